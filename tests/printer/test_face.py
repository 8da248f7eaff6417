"""import printer: its public names."""

from __future__ import annotations

import ast
import doctest
import importlib.util
import io
import subprocess
import sys
from pathlib import Path

import pytest

import printer
from tests.headers import PPC64_A, SEED, SEED_TEXT, VMCORE, load, packed

ROOT = Path(__file__).resolve().parents[2]


def test_every_public_name_is_there_and_documented():
    declared = ast.parse(Path(printer.__file__).read_text())
    typed = {
        alias.asname
        for node in ast.walk(declared)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    assert typed == set(printer._HOME)
    for name in sorted(typed):
        assert getattr(printer, name).__doc__, name
        assert name in dir(printer)
    with pytest.raises(AttributeError):
        printer.nothing  # noqa: B018 - the attribute error is what is tested


def test_every_public_name_has_a_worked_example_that_works(tmp_path, monkeypatch):
    """help(printer.check) and its like show what to type; the files are those of the examples."""
    bug = (*SEED[:9], load(0, 0x10000, 0), *SEED[10:])
    for file, content in {
        "elfcorehdr.bin": packed(*SEED),
        "bad.bin": packed(*bug),
        "before.bin": (PPC64_A / "elfcorehdr-04.bin").read_bytes(),
        "after.bin": (PPC64_A / "elfcorehdr-03.bin").read_bytes(),
        "vmcore": VMCORE.read_bytes(),
        "crash_elfcorehdr_print.txt": SEED_TEXT.read_bytes(),
        "iomem": b"00000000-3ffffffff : System RAM\n",
    }.items():
        (tmp_path / file).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    names = {name: getattr(printer, name) for name in printer.__all__ if name != "__version__"}
    if importlib.util.find_spec("matplotlib") is None:
        del names["save"]
    finder = doctest.DocTestFinder(recurse=False)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for name, value in names.items():
        (example,) = finder.find(value, name, globs=dict(names))
        assert example.examples, name
        said = io.StringIO()
        assert runner.run(example, out=said.write).failed == 0, said.getvalue()


def test_reprs_are_one_line():
    core = printer.from_bytes(packed(*SEED), "hdr")
    assert repr(core) == "<Core hdr: elfcorehdr of 13 program headers>"
    assert repr(printer.Layout(core)) == f"<Layout of {core!r}>"
    assert repr(core.phdrs) == "<13 program headers>"
    assert repr(printer.compare(core, core)) == "<Diff of hdr and hdr: 0 rows>"


def test_package_says_that_it_is_typed():
    assert (Path(printer.__file__).parent / "py.typed").exists()


def test_star_import_gives_every_public_name():
    names: dict[str, object] = {}
    exec("from printer import *", names)
    assert set(printer._HOME) <= set(names)
    assert names["read"] is printer.read


def test_importing_the_package_imports_none_of_its_modules():
    code = "import sys, printer; print([m for m in sys.modules if m.startswith('printer.')])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout == "[]\n"
