"""docs/commands.md: every command and option, of --help."""

from __future__ import annotations

import inspect
import re
from typing import NamedTuple

import click

from fsmount.cli.commands import kdumpfs
from pages.markdown import GENERATED, escaped, one_line, table
from printer.cli.commands import cli


class Option(NamedTuple):
    """One option as it is written, and what it does."""

    words: str
    text: str


class Command(NamedTuple):
    """One command: usage, paragraphs (those of a `\\b` are examples), options."""

    name: str
    usage: str
    text: list[tuple[str, bool]]
    options: list[Option]


def commands(group: click.Group, name: str) -> list[Command]:
    """The group itself, then its commands."""
    ctx = click.Context(group, info_name=name)
    found = [_command(group, name)]
    for word in group.list_commands(ctx):
        command = group.get_command(ctx, word)
        assert command is not None
        found.append(_command(command, f"{name} {word}"))
    return found


def _command(command: click.Command, name: str) -> Command:
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    usage = " ".join([name, "[OPTIONS]", *map(_argument, arguments)])
    if isinstance(command, click.Group):
        usage += " COMMAND [ARGS]..."
    text = []
    for block in re.split(r"\n\s*\n", inspect.cleandoc(command.help or "")):
        is_code = block.startswith("\b")
        text.append((block.removeprefix("\b\n"), True) if is_code else (one_line(block), False))
    options = [
        Option(_words(p), one_line(p.help or "") + _shown_default(p))
        for p in command.params
        if isinstance(p, click.Option) and not p.hidden and p.opts != ["--help"]
    ]
    return Command(name, usage, text, options)


def _argument(argument: click.Argument) -> str:
    shown = argument.metavar or (argument.name or "").upper()
    if not argument.required and not shown.startswith("["):
        shown = f"[{shown}]"
    return f"{shown}..." if argument.nargs == -1 and "..." not in shown else shown


def _words(option: click.Option) -> str:
    words = ", ".join((*option.opts, *option.secondary_opts))
    if option.is_flag or option.count:
        return words
    if option.metavar is None and isinstance(option.type, click.Choice):
        return f"{words} {'|'.join(map(str, option.type.choices))}"
    return f"{words} {option.metavar or option.type.name.upper()}"


def _shown_default(option: click.Option) -> str:
    wanted = option.show_default and not option.is_flag and option.default not in (None, "")
    return (
        f" [default: {option.default}]" if wanted and isinstance(option.default, str | int) else ""
    )


GROUPS = (("kdumpfs", kdumpfs), ("elfcorehdr", cli))


STATUS = (
    "0 done; 1 something was found, of what judges and compares (`elfcorehdr check` and `diff`, `kdumpfs check-api` and "
    "`diff-tree`); 2 what was asked for cannot be, said in one sentence; of `kdumpfs run` the command's."
)


def commands_page() -> str:
    """docs/commands.md."""
    parts = [
        GENERATED,
        f"# Commands\n\nEvery command takes `-h` and `--help` too. Exit status: {STATUS}\n\n",
    ]
    for name, group in GROUPS:
        for command in commands(group, name):
            parts.append(
                f"{'##' if command.name == name else '###'} {command.name}\n\n    {command.usage}\n\n"
            )
            for text, is_code in command.text:
                lines = text.splitlines() if is_code else [escaped(text)]
                parts += [f"{'    ' if is_code else ''}{line}".rstrip() + "\n" for line in lines]
                parts.append("\n")
            if command.options:
                rows = [[f"`{o.words}`", escaped(o.text)] for o in command.options]
                parts += [*table(["option", "what"], rows), "\n"]
    return "".join(parts).rstrip("\n") + "\n"
