"""How both command lines end: status 0, or one sentence that says who speaks, and status 2.

Imports click at the top, and terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import Any, NoReturn

import click

from printer.cli.terminal import (
    INTERRUPTED,
    bounded,
    help_width,
    leave,
    name_stdout,
    sentence_of,
)


class Ending(click.Group):
    """A group whose errors, click's own among them, read `NAME: what is wrong`, and end with 2."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run a command and end the process by SystemExit, as click's own does."""
        if not standalone_mode:
            return self._end_of(*args, **extra)
        name = extra.get("prog_name") or self.name or ""
        try:
            end = self._end_of(*args, **extra)
            if sys.stdout is not None:
                sys.stdout.flush()  # the last error of writing is told like the first
        except click.ClickException as error:
            tell(name, error)
            sys.exit(2)
        except click.Abort:  # Ctrl-C: neither "found" nor "different"
            sys.exit(INTERRUPTED)
        except OSError as error:
            click.echo(f"{name}: {sentence_of(error)}", err=True)
            sys.exit(2)
        sys.exit(end)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; its parser does not say whose option lacks a value."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            command = self.get_command(ctx, ctx.invoked_subcommand or "")
            if error.ctx is None and command is not None:
                error.ctx = click.Context(command, ctx, ctx.invoked_subcommand)
            raise

    def _end_of(self, *args: Any, **extra: Any) -> int:
        """The exit status that a command ends with, however it says so."""
        try:
            main: Callable[..., Any] = super().main
            end = main(*args, standalone_mode=False, **extra)
        except SystemExit as ended:
            end = ended.code
        return end if isinstance(end, int) else 0


def tell(name: str, error: click.ClickException) -> None:
    """One sentence on standard error; where words were wrong, the right ones on the next line."""
    ctx = getattr(error, "ctx", None)
    text = " ".join(error.format_message().split())
    if not isinstance(error, click.UsageError):
        click.echo(f"{name}: {bounded(text)}", err=True)
        return
    if type(error).__name__ == "NoArgsIsHelpError":  # since click 8.2: the message is the help
        error.show()
        return
    text = bounded(text.removesuffix(".").replace(". Did you mean", "; did you mean"))
    click.echo(f"{name}: {text[:1].lower()}{text[1:]}", err=True)
    if ctx is not None:
        usage = " ".join(ctx.get_usage().split()).replace("Usage:", "usage:")
        click.echo(f"{usage}; `{ctx.command_path} --help` tells more", err=True)


def run(group: click.Group, name: str, begin: bytes | None = None) -> NoReturn:
    """A command line of this process, from sys.argv; begin is what main() has read of standard input before."""
    if f"_{name.upper()}_COMPLETE" in os.environ:
        from printer.cli.completion import register

        register()
    name_stdout()
    for stream in (sys.stdout, sys.stderr):  # a name may be no UTF-8, a terminal not know a glyph
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        group.main(prog_name=name, terminal_width=help_width(), obj=begin)
    except SystemExit as end:
        leave(end)
    raise AssertionError("click ends by SystemExit")
