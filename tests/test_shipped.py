"""Shipped machines: profiles/shipped.py is what the TOML files say, and never stands in for a changed one."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from elfcorehdr import profiles
from elfcorehdr.machine.reader import from_toml
from elfcorehdr.profiles import shipped

ROOT = Path(__file__).parent.parent
PROFILES = ROOT / "elfcorehdr/profiles"


def test_the_generated_module_is_what_the_script_makes(tmp_path: Path) -> None:
    made = tmp_path / "shipped.py"
    subprocess.run([sys.executable, str(ROOT / "scripts/machines"), str(made)], check=True)
    assert made.read_text() == (PROFILES / "shipped.py").read_text(), "run scripts/machines"


@pytest.mark.parametrize("name", profiles.names())
def test_a_shipped_machine_is_the_one_that_its_file_describes(name: str) -> None:
    read = from_toml(profiles.text(name), name)
    mark, make = shipped.MACHINES[name]
    assert make() == read == profiles.load(name)
    assert repr(make()) == repr(read)  # the same types, too: True is no 1
    assert mark == profiles.fingerprint((PROFILES / f"{name}.toml").read_bytes())


def test_a_machine_whose_file_was_edited_is_read_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "edited"
    shutil.copytree(PROFILES, package)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("edited")
    monkeypatch.setattr(profiles, "__name__", "edited")
    edited = package / "pc-2g.toml"
    text = edited.read_text()
    edited.write_text(text.replace("loglevel=8", "loglevel=7"))
    assert edited.read_text() != text
    assert "loglevel=7" in profiles.load("pc-2g").cmdline


def test_no_start_of_a_shipped_machine_reads_toml() -> None:
    code = (
        "import sys\nfrom elfcorehdr import profiles\nprofiles.load(profiles.DEFAULT)\n"
        "sys.exit('tomllib' in sys.modules or 'elfcorehdr.machine.checks' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
