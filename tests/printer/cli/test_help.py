"""Help that works as pasted, version, shell completion."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

import printer
from printer.cli.commands import COMMANDS, cli
from tests.headers import SEED, SEED_TEXT, VMCORE, packed

ROOT = Path(__file__).resolve().parents[3]


COMMAND = [sys.executable, "-m", "printer.cli.main"]


def run(*arguments: object, stdin: bytes = b"", **environment: str):
    """The command in a process of its own."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        cwd=ROOT,
        env=os.environ | environment,
        check=False,
        timeout=60,
    )


def invoke(*arguments: object, stdin: bytes = b""):
    """The click side in this process."""
    return CliRunner().invoke(cli, list(map(str, arguments)), input=stdin, prog_name="elfcorehdr")


@pytest.fixture
def seed_bin(tmp_path):
    path = tmp_path / "seed.bin"
    path.write_bytes(packed(*SEED))
    return path


def tree_of_examples(tmp_path: Path) -> dict[str, Path]:
    """Files by the names that the examples use."""
    (tmp_path / "mnt/control").mkdir(parents=True)
    (tmp_path / "mnt/control/elfcorehdr").write_bytes(packed(*SEED))
    block = tmp_path / "mnt/sys/devices/system/memory/memory62"
    block.mkdir(parents=True)
    for name in ("elfcorehdr.bin", "before.bin", "after.bin", "FILE"):
        (tmp_path / name).write_bytes(packed(*SEED))
    (tmp_path / "before.txt").write_bytes(SEED_TEXT.read_bytes())
    (tmp_path / "guest-ram.img").write_bytes(bytes(8192) + packed(*SEED))
    (tmp_path / "vmcore").write_bytes(VMCORE.read_bytes())
    (tmp_path / "iomem").write_text("00000000-3ffffffff : System RAM\n")
    (tmp_path / "machine.toml").write_text("memory = [{ start = 0, size = 0x400000000 }]\n")
    (tmp_path / "dmesg").write_text(f"#!/bin/sh\ncat {SEED_TEXT}\n")
    (tmp_path / "jq").write_text("#!/bin/sh\ncat\n")
    (tmp_path / "elfcorehdr").write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    for tool in ("dmesg", "jq", "elfcorehdr"):
        (tmp_path / tool).chmod(0o755)
    return {
        "/proc/vmcore": tmp_path / "vmcore",
        "/proc/iomem": tmp_path / "iomem",
        "/mnt": tmp_path / "mnt",
    }


def examples() -> list[str]:
    found = []
    for name in (None, *COMMANDS):
        text = invoke(*([name] if name else []), "--help").output
        block = text.split("Examples:")[1].split("Options:")[0]
        lines = [re.sub(r"  +\S.*", "", line.strip()) for line in block.splitlines()]
        found += [line for line in lines if "elfcorehdr " in line]
    return found


def test_there_are_examples_for_every_command():
    shown = " ".join(examples())
    assert all(f"elfcorehdr {name}" in shown for name in COMMANDS)


@pytest.mark.parametrize("example", examples())
def test_example_of_help_works_as_pasted(example, tmp_path):
    for name, stand_in in tree_of_examples(tmp_path).items():
        example = example.replace(name, str(stand_in))
    done = subprocess.run(
        ["bash", "-c", example],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if "-o memory.svg" in example and "matplotlib is needed" in done.stderr:
        pytest.skip("matplotlib, of the extra [plot], is not installed")
    assert done.stderr == ""
    assert done.returncode in ((0, 1) if "check" in example or "diff" in example else (0,))


def test_help_imports_nothing_but_click(seed_bin):
    code = (
        "import sys; import click; before = set(sys.modules)\n"
        "import printer.cli.main; from printer.cli.commands import cli\n"
        "try: cli(['print', '--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in set(sys.modules) - before if m in ('tabulate', 'json', 'struct', 'elfcorehdr.elf')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_version_is_the_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {
        "attr": "printer.version.__version__"
    }
    assert invoke("--version").output == f"elfcorehdr {printer.__version__}\n"


def test_shell_completion_works():
    done = run(
        _ELFCOREHDR_COMPLETE="bash_complete", COMP_WORDS="elfcorehdr print --fo", COMP_CWORD="2"
    )
    assert done.stdout.decode().split() == ["plain,--format"]
    done = run(_ELFCOREHDR_COMPLETE="bash_complete", COMP_WORDS="elfcorehdr ", COMP_CWORD="1")
    assert {line.split(",")[1] for line in done.stdout.decode().split()} >= {
        "print",
        "diff",
        "check",
        "map",
    }


def test_shell_completion_knows_the_formats():
    words = "elfcorehdr print --format js"
    done = run(_ELFCOREHDR_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD="3")
    assert done.stdout.decode().split() == ["plain,json", "plain,jsonl"]
