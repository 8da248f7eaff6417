"""A group whose commands are imported when they are run: `--help` and shell completion know their names and first lines."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """A group that is given modules with COMMANDS, and of each command its name and first line."""

    elsewhere: Mapping[str, Mapping[str, str]]
    """Module to the names of its commands, and to what `--help` says of each."""

    def __init__(self, *args: Any, **given: Any) -> None:
        self._here: dict[str, click.Command] = {}
        super().__init__(*args, **given)

    @property
    def commands(self) -> MutableMapping[str, click.Command]:
        """All of them, imported."""
        for module, names in self.elsewhere.items():
            self._import(module, names)
        return self._here

    @commands.setter
    def commands(self, commands: MutableMapping[str, click.Command]) -> None:
        self._here = dict(commands)

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add one that is here."""
        self._here[name or cmd.name or ""] = cmd

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, sorted."""
        return sorted({*self._here, *(name for names in self.elsewhere.values() for name in names)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One command; its module is imported."""
        if cmd_name not in self._here:
            for module, names in self.elsewhere.items():
                if cmd_name in names:
                    self._import(module, names)
        return self._here.get(cmd_name)

    def _import(self, module: str, names: Mapping[str, str]) -> None:
        if not self._here.keys() >= names.keys():
            for command in import_module(module).COMMANDS:
                self._here[command.name] = command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands; nothing is imported for it."""
        names = self.list_commands(ctx)
        limit = formatter.width - 6 - max(map(len, names))
        lines = {name: line for table in self.elsewhere.values() for name, line in table.items()}
        known = {name: click.Command(name, help=line) for name, line in lines.items()} | self._here
        rows = [(name, known[name].get_short_help_str(limit)) for name in names]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
