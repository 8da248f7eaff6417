"""import printer: its public names."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import printer

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
