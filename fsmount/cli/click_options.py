"""What click is given: our tables of options, and commands that are imported when they are run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from importlib import import_module
from typing import Any, TypeVar

import click

from fsmount.cli.options import Option
from printer.cli.completers import path, words
from printer.cli.ending import Ending

F = TypeVar("F", bound=Callable[..., Any])


class Directory(click.Path):
    """The path of a mounted tree, or of where to mount: click would ask for its attributes, and its server may not answer."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The words as they are; of a named machine its directory."""
        from fsmount.host.named import found

        return found(value)


_WHOLE = 1 << 16
"""Characters of a first sentence, at most: none is cut."""
DIRECTORY = click.argument("directory", metavar="DIR", type=Directory(file_okay=False))


def with_options(options: Iterable[Option]) -> Callable[[F], F]:
    """Decorator: these options, in this order; the command gets their values by name."""

    def decorate(command: F) -> F:
        for option in reversed(tuple(options)):
            command = click.option(*option.words, option.name, **_settings(option))(command)
        return command

    return decorate


def _settings(option: Option) -> dict[str, Any]:
    settings: dict[str, Any] = {"help": option.help, "show_default": option.shows_default}
    if not option.metavar:
        settings |= {"is_flag": True}
        return settings | ({"flag_value": False, "default": True} if option.default else {})
    settings |= {"metavar": option.metavar, "multiple": option.many}
    if not option.many:
        settings |= {"default": option.default}
    if option.choices:
        settings |= {"type": click.Choice(option.choices)}
    if option.file:
        settings |= {"type": click.Path(dir_okay=False)}
    if option.completes is not None:
        settings |= {"shell_complete": words(option.completes, files="FILE" in option.metavar)}
    elif not option.choices and (kind := _KINDS.get(option.metavar)):
        settings |= {"shell_complete": path(kind)}
    return settings


_KINDS = {"DIR": "dir", "FILE": "file", "FILE.py": "file", "PATH": "file", "DIR|TAR": "file"}
"""What completes a value that is a path, by what it is called."""


class LazyGroup(Ending):
    """A group of which some commands are in other files, imported when they are run.

    `--help` and shell completion know their names and first sentences.
    """

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
        """The list of commands with their first sentences, whole; nothing is imported for it."""
        names = self.list_commands(ctx)
        lines = {name: line for table in self.elsewhere.values() for name, line in table.items()}
        known = {name: click.Command(name, help=line) for name, line in lines.items()} | self._here
        rows = [(name, known[name].get_short_help_str(_WHOLE)) for name in names]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class Readable(click.Path):
    """What exists, and is not asked for where a mounted tree's server does not answer."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As of click.Path; ProfileError."""
        from fsmount.host.mounting import check_not_silent

        check_not_silent(os.fspath(value))
        return super().convert(value, param, ctx)
