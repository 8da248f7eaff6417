"""A user's own attributes: taken, or refused with one sentence."""

from __future__ import annotations

import sys

import pytest

from elfcorehdr.errors import ProfileError
from fsmount.tree.kernfs import Tree
from fsmount.tree.kobject import AttributeGroup, singleton
from fsmount.tree.modules import load_module, replaced
from tests.counters import DECLARATIONS, Machine

HEAD = "from kdumpfs.module import AttributeGroup, Link, singleton\n"
GROUP = 'group = AttributeGroup("kernel/text", singleton)\n'


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "mine.py"
        path.write_text(text)
        return str(path)

    return write


def refusal(path):
    with pytest.raises(ProfileError) as caught:
        load_module(path, DECLARATIONS)
    return str(caught.value)


def test_groups_and_links_of_the_file_join_the_tree(write):
    path = write(
        HEAD
        + GROUP
        + "@group.show\n"
        + "def upper_show(machine):\n"
        + "    return machine.text.upper()\n"
        + 'links = [Link("kernel/text/again", singleton, "kernel/text/text")]\n'
    )
    tree = Tree(Machine(), [*DECLARATIONS, *load_module(path, DECLARATIONS).declarations])
    assert tree.open(tree.lookup("sys/kernel/text/upper")).read(99, 0) == b"HELLO\n"
    assert tree.readlink(tree.lookup("sys/kernel/text/again")) == "text"
    assert tree.open(tree.lookup("sys/kernel/text/text")).read(99, 0) == b"hello\n"
    assert "kdumpfs_module_mine" not in sys.modules


def test_declarations_that_it_only_imports_are_not_taken_twice(write):
    path = write(
        HEAD
        + "from tests.counters import text\n"
        + GROUP
        + 'group.add("more", show=lambda machine: "more")\n'
    )
    (new,) = load_module(path, DECLARATIONS).declarations
    assert list(new.attributes) == ["more"]


def test_missing_file(tmp_path):
    assert refusal(str(tmp_path / "none.py")) == f"{tmp_path}/none.py: no such file"
    assert refusal("readme.txt") == "readme.txt: is not a Python file; expected FILE.py"


def test_file_that_is_not_python(write):
    path = write("x = 1\ndef\n")
    assert refusal(path) == f"{path}: line 2: invalid syntax; expected Python"


def test_file_that_fails_at_import(write):
    path = write("x = 1\nimport nothing_of_that_name\n")
    assert refusal(path) == (
        f"{path}: line 2: cannot be imported: "
        "ModuleNotFoundError: No module named 'nothing_of_that_name'"
    )


def test_file_that_exits_and_its_directory_stays_clean(write, tmp_path):
    path = write("import sys\nsys.exit(3)\n")
    assert refusal(path) == f"{path}: line 2: cannot be imported: SystemExit: 3"
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.py"]


def test_file_that_declares_nothing(write):
    path = write("x = 1\n")
    assert refusal(path) == (
        f"{path}: declares nothing; expected an AttributeGroup, Link or Subtree at its top level"
    )


def test_a_file_of_that_name_that_is_there_already_gives_way(write):
    path = write(HEAD + GROUP + 'group.add("text", show=lambda machine: "mine")\n')
    module = load_module(path, DECLARATIONS)
    assert list(replaced(module, DECLARATIONS)) == ["/sys/kernel/text/text"]
    tree = Tree(Machine(), [*DECLARATIONS, *module.declarations])
    assert tree.open(tree.lookup("sys/kernel/text/text")).read(99, 0) == b"mine"
    names = [name for name, _ in tree.names(tree.lookup("sys/kernel/text"))]
    assert names.count("text") == 1


def test_a_file_that_is_not_always_there_stands_before_the_other(write):
    path = write(
        HEAD
        + GROUP
        + 'group.add("text", show=lambda machine: "mine", is_visible=lambda m, o: m.new_names)\n'
    )
    machine = Machine()
    tree = Tree(machine, [*DECLARATIONS, *load_module(path, DECLARATIONS).declarations])
    assert tree.open(tree.lookup("sys/kernel/text/text")).read(99, 0) == b"mine"
    machine.new_names = False
    assert tree.open(tree.lookup("sys/kernel/text/text")).read(99, 0) == b"hello\n"


def test_a_file_in_place_of_a_directory_is_refused(write):
    path = write(
        HEAD
        + 'group = AttributeGroup("kernel", singleton)\n'
        + 'group.add("text", show=lambda machine: "mine")\n'
    )
    assert refusal(path) == (
        f"{path}: sys/kernel/text is a directory; expected a name that is free"
    )


def test_file_of_two_modules_is_refused(write, tmp_path):
    text = HEAD + GROUP + 'group.add("more", show=lambda machine: "")\n'
    first = load_module(write(text), DECLARATIONS)
    other = tmp_path / "other.py"
    other.write_text(text)
    with pytest.raises(ProfileError, match="sys/kernel/text/more is declared twice"):
        load_module(str(other), [*DECLARATIONS, *first.declarations])


def test_a_method_that_no_group_declares(write):
    path = write(
        HEAD + GROUP + 'group.add("x", show=lambda m: "")\n\ndef upper_show(m):\n    return ""\n'
    )
    assert refusal(path) == (
        f"{path}: line 5: upper_show is declared by no group; expected `@GROUP.show` above it, or "
        "a name that begins with _ if it is a helper"
    )


def test_a_decimal_mode(write):
    path = write(HEAD + GROUP + "@group.show(mode=644)\ndef upper_show(m): ...\n")
    assert refusal(path) == (
        f"{path}: line 3: kernel/text/upper: mode 0o1204 (644 in decimal), expected octal read and "
        "write bits, no more for the group than for the owner, none to write for others, such as "
        "0o644"
    )


@pytest.mark.parametrize("mode", [0o666, 0o777, 0o004, 0o044, 400, 444, 600])
def test_modes_that_the_kernel_refuses_at_build_time(mode):
    with pytest.raises(ValueError, match="expected octal"):
        AttributeGroup("x", singleton).add("y", show=lambda _: "", mode=mode)


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o400, 0o444, 0o200, 0o220, 0o664, 0o640, 0])
def test_modes_that_are_taken(mode):
    AttributeGroup("x", singleton).add("y", show=lambda _: "", mode=mode)


def test_his_other_files_are_imported_too_and_anew_each_time(write, tmp_path):
    (tmp_path / "other_of_mine.py").write_text("WORD = 'one'\n")
    path = write(
        "from other_of_mine import WORD\n" + HEAD + GROUP + 'group.add("x", show=lambda m: WORD)\n'
    )
    for word in ("one", "two"):
        (tmp_path / "other_of_mine.py").write_text(f"WORD = '{word}'\n")
        tree = Tree(Machine(), load_module(path, ()).declarations)
        assert tree.open(tree.lookup("sys/kernel/text/x")).read(9, 0) == word.encode()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["mine.py", "other_of_mine.py"]


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        (
            "def upper(machine): ...",
            "upper: its name must be that of the file followed by _show",
        ),
        (
            "def upper_show(): ...",
            "upper_show takes 0 argument(s), expected (obj) or (obj, caller)",
        ),
    ],
)
def test_method_with_a_bad_signature(write, method, sentence):
    path = write(HEAD + GROUP + "@group.show\n" + method + "\n")
    assert refusal(path) == f"{path}: line 3: {sentence}"


def test_bad_path(write):
    path = write(HEAD + 'group = AttributeGroup("/sys/kernel", singleton)\n')
    assert refusal(path) == (
        f"{path}: line 2: sys//sys/kernel: not a path of names, with at most one `*` in each"
    )
