"""Commands that are imported when they are run: none is missing, and what --help says of them is theirs."""

from __future__ import annotations

import inspect
import subprocess
import sys

import click
import pytest

from fsmount.cli.commands import ELSEWHERE, kdumpfs


@pytest.mark.parametrize("module", ELSEWHERE)
def test_the_table_has_every_command_of_the_file_and_its_first_sentence(module):
    table = {
        command.name: inspect.cleandoc(command.help or "").split("\n\n")[0].replace("\n", " ")
        for command in sys.modules.get(module, __import__(module, fromlist=["x"])).COMMANDS
    }
    assert dict(ELSEWHERE[module]) == table


def test_names_and_commands_agree():
    context = click.Context(kdumpfs)
    names = kdumpfs.list_commands(context)
    assert sorted(kdumpfs.commands) == names
    for name in names:
        command = kdumpfs.get_command(context, name)
        assert command is not None
        assert command.name == name


def test_help_imports_none_of_them():
    code = (
        "import sys\n"
        "from fsmount.cli.commands import kdumpfs\n"
        "try:\n    kdumpfs(['--help'])\nexcept SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stderr.split()) & {*ELSEWHERE}
    assert "transcript  " in done.stdout
