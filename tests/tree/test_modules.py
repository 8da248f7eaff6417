"""A user's own attributes: taken, or refused with one sentence."""

from __future__ import annotations

import sys

import pytest

from elfcorehdr.errors import ProfileError
from fsmount.tree.kernfs import Tree
from fsmount.tree.modules import load_module
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
    tree = Tree(Machine(), [*DECLARATIONS, *load_module(path, DECLARATIONS)])
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
    (new,) = load_module(path, DECLARATIONS)
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


def test_file_that_redefines_an_attribute(write):
    path = write(HEAD + GROUP + 'group.add("text", show=lambda machine: "")\n')
    assert refusal(path) == (
        f"{path}: sys/kernel/text/text is declared twice, and the first is always visible; "
        "expected a name that is free"
    )


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
