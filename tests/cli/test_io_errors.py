"""What cannot be written is told in one sentence with exit status 2; help, completion and the list of commands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fsmount.cli.commands import kdumpfs
from printer.cli.commands import COMMANDS, cli

ROOT = Path(__file__).resolve().parents[2]
MODULES = {"kdumpfs": "kdumpfs", "elfcorehdr": "printer.cli.main"}


def run(command: str, **how):
    name, *words = command.split()
    return subprocess.run(
        [sys.executable, "-m", MODULES[name], *words],
        **{"cwd": ROOT, "stderr": subprocess.PIPE, "text": True, "timeout": 60, "check": False}
        | how,
    )


COMMAND_LINES = [
    "kdumpfs --help",
    "kdumpfs --version",
    "kdumpfs help run",
    "kdumpfs kernels",
    "kdumpfs changes",
    "kdumpfs machines",
    "kdumpfs machines pc-2g",
    "kdumpfs machines --json",
    "kdumpfs crashkernel -m pc-2g 256M",
    "kdumpfs completion bash",
    "kdumpfs mount --help",
    "kdumpfs run --help",
    "elfcorehdr --help",
    "elfcorehdr --version",
    "elfcorehdr check --help",
    "elfcorehdr completion zsh",
]


@pytest.mark.parametrize("command", COMMAND_LINES)
def test_a_full_standard_output_is_one_sentence(command):
    fd = os.open("/dev/full", os.O_WRONLY)
    try:
        done = run(command, stdout=fd)
    finally:
        os.close(fd)
    assert done.stderr == f"{command.split()[0]}: standard output: No space left on device\n"
    assert done.returncode == 2


@pytest.mark.parametrize("command", COMMAND_LINES)
def test_a_reader_that_has_gone_is_no_traceback(command):
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        done = run(command, stdout=theirs)
    finally:
        os.close(theirs)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("command", ["kdumpfs kernels", "kdumpfs --help"])
def test_what_fits_is_written(command):
    done = run(command, stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout) > 1000


def test_no_line_of_the_list_of_commands_is_cut():
    text = run("kdumpfs --help", stdout=subprocess.PIPE).stdout
    assert "..." not in text.split("Commands:")[1]
    joined = " ".join(text.split())
    for name, command in kdumpfs.commands.items():
        first = " ".join((command.help or "").split("\n\n")[0].split())
        assert f"{name} {first.split('. ')[0].rstrip('.')}" in joined


@pytest.mark.parametrize(
    ("name", "command"),
    [*(("kdumpfs", c) for c in sorted(kdumpfs.commands)), *(("elfcorehdr", c) for c in COMMANDS)],
)
def test_help_command_is_the_commands_help(name, command):
    from click.testing import CliRunner

    group = kdumpfs if name == "kdumpfs" else cli
    asked = CliRunner().invoke(group, ["help", command], prog_name=name)
    usual = CliRunner().invoke(group, [command, "--help"], prog_name=name)
    assert (asked.exit_code, asked.output) == (0, usual.output)


def test_help_alone_is_the_list_and_an_unknown_command_is_refused():
    both = [run(f"kdumpfs {word}", stdout=subprocess.PIPE).stdout for word in ("help", "--help")]
    assert both[0] == both[1] != ""
    done = run("kdumpfs help nothing", stdout=subprocess.PIPE)
    assert done.returncode == 2
    assert "no command 'nothing', expected one of abi, " in done.stderr


@pytest.mark.parametrize("name", MODULES)
def test_the_completion_file_completes_in_bash(tmp_path, name):
    script = tmp_path / name
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m {MODULES[name]} "$@"\n')
    script.chmod(0o755)
    begun = {"kdumpfs": "crashk", "elfcorehdr": "prin"}[name]
    done = subprocess.run(
        [
            *("bash", "-c"),
            f"eval \"$({name} completion bash)\"; complete -p {name} | grep -o 'F [a-z_]*'\n"
            f"COMP_WORDS=({name} {begun}); COMP_CWORD=1; _{name}_completion {name}\n"
            'echo "${COMPREPLY[@]}"',
        ],
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    expected = {"kdumpfs": "crashkernel", "elfcorehdr": "print"}[name]
    assert done.stdout.splitlines() == [f"F _{name}_completion", expected], done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("name", MODULES)
def test_the_completion_file_parses_where_its_shell_is(shell, name):
    text = run(f"{name} completion {shell}", stdout=subprocess.PIPE).stdout
    assert re.search(rf"_{name.upper()}_COMPLETE={shell}_complete", text)
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is missing: apt install {shell}")
    subprocess.run([shell, "-n"], input=text, text=True, check=True, timeout=60)
