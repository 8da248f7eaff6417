"""fsmount/cli/packed.py: modules come from the pack only as long as they are what a .pyc file would be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
START = """
import sys
from fsmount.cli import packed
packed.use()
import fsmount.one, fsmount.room.two
print(fsmount.one.VALUE, fsmount.one.__file__, fsmount.one.__cached__, fsmount.room.__path__)
print(*(type(m.__spec__.loader).__name__ for m in (fsmount.one, fsmount.room, fsmount.room.two)))
packed.settle()
import importlib.resources, inspect
assert packed.Finder not in sys.meta_path
assert inspect.getsource(fsmount.one).startswith("VALUE = ")
assert importlib.resources.files("fsmount.room").joinpath("text").read_text() == "data"
"""
ORDINARY = "SourceFileLoader SourceFileLoader SourceFileLoader"
PACKED = "_Loader _Loader _Loader"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A package with the real packed.py and three modules that can be edited."""
    for name, text in {
        "fsmount/__init__.py": "",
        "fsmount/cli/__init__.py": "",
        "fsmount/one.py": "VALUE = 1\n",
        "fsmount/room/__init__.py": "",
        "fsmount/room/two.py": "from fsmount.one import VALUE\n",
        "fsmount/room/text": "data",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    shutil.copy(ROOT / "fsmount/cli/packed.py", tmp_path / "fsmount/cli")
    return tmp_path


def start(tree: Path, code: str = START, *options: str, **environment: str) -> list[str]:
    """The lines that a start prints."""
    env = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "", **environment}
    env.pop("PYTHONPYCACHEPREFIX", None)
    command = [sys.executable, *options, "-c", code]
    done = subprocess.run(command, cwd="/", env=env, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


def packs(tree: Path) -> list[Path]:
    """The files that settle() made."""
    return [path for path in tree.rglob("packed.*") if path.suffix not in (".py", ".pyc")]


def test_the_second_start_imports_from_the_pack_and_its_modules_are_as_ever(tree: Path) -> None:
    first, second = start(tree), start(tree)
    assert (first[1], second[1]) == (ORDINARY, PACKED)
    assert first[0] == second[0]
    assert len(packs(tree)) == 1


def test_an_edited_source_is_what_runs_and_is_packed_anew(tree: Path) -> None:
    start(tree)
    (tree / "fsmount/one.py").write_text("VALUE = 22\n")
    edited = start(tree)
    assert edited[0].startswith("22 ")
    assert edited[1] == "SourceFileLoader _Loader _Loader"
    again = start(tree)
    assert again[0].startswith("22 ")
    assert again[1] == PACKED


def test_a_module_that_went_and_one_that_came_are_seen(tree: Path) -> None:
    start(tree)
    (tree / "fsmount/one.py").rename(tree / "fsmount/new.py")
    code = "from fsmount.cli import packed; packed.use(); import fsmount.new\nimport fsmount.one"
    with pytest.raises(subprocess.CalledProcessError) as failed:
        start(tree, code)
    assert "No module named 'fsmount.one'" in failed.value.stderr


@pytest.mark.parametrize("rubbish", [b"", b"\0" * 64, "head", "half"])
def test_a_pack_that_is_none_is_as_no_pack(tree: Path, rubbish: bytes | str) -> None:
    start(tree)
    (pack,) = packs(tree)
    data = pack.read_bytes()
    pack.write_bytes(
        {"head": data[:8], "half": data[:40]}.get(
            str(rubbish), bytes(rubbish, "ascii") if isinstance(rubbish, str) else rubbish
        )
    )
    assert start(tree)[1] == ORDINARY
    assert start(tree)[1] == PACKED


def test_nothing_is_written_where_python_writes_nothing(tree: Path) -> None:
    assert start(tree, START, "-B")[1] == ORDINARY
    assert not packs(tree)


def test_a_forked_child_never_reads_by_its_parents_descriptor(tree: Path) -> None:
    start(tree)
    code = START.replace(
        "packed.use()\n", "packed.use()\nimport os\nif os.fork(): os._exit(os.wait()[1])\n"
    )
    assert start(tree, code)[1] == ORDINARY


def test_the_pack_is_no_more_open_than_the_source_whatever_the_umask(tree: Path) -> None:
    (tree / "fsmount/cli/packed.py").chmod(0o644)
    start(tree, f"import os; os.umask(0)\n{START}")
    (pack,) = packs(tree)
    assert pack.stat().st_mode & 0o777 == 0o644


def test_where_no_pack_can_be_written_starts_go_on_without(tree: Path) -> None:
    start(tree)
    (pack,) = packs(tree)
    pack.unlink()
    pack.mkdir()  # root may write anywhere, but not replace a directory
    assert start(tree)[1] == start(tree)[1] == ORDINARY
    assert [path.name for path in pack.parent.iterdir() if pack.name in path.name] == [pack.name]
