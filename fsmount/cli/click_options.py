"""Our tables of options as click's: for the commands, their help and shell completion."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from fsmount.cli.options import Option

F = TypeVar("F", bound=Callable[..., Any])


class Directory(click.Path):
    """The path of a mounted tree, or of where to mount: click would ask for its attributes, and its server may not answer."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The words as they are."""
        return value


DIRECTORY = click.argument("directory", metavar="DIR", type=Directory())


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
    names = option.completes
    if names is not None:
        settings |= {
            "shell_complete": lambda _context, _parameter, start: [
                name for name in names() if name.startswith(start)
            ]
        }
    return settings
