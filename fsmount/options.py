"""Machine options shared by `kdumpfs mount` and `kdumpfs run`. The one file besides cli that knows click's options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def complete_machine(context: click.Context, parameter: click.Parameter, start: str) -> list[str]:
    """Names of shipped machines, for shell completion."""
    from elfcorehdr import profiles

    return [name for name in profiles.names() if name.startswith(start)]


def complete_change(context: click.Context, parameter: click.Parameter, start: str) -> list[str]:
    """Names of changes, for shell completion."""
    from elfcorehdr.changes import BY_NAME

    return [name for name in BY_NAME if name.startswith(start)]


def complete_kernel(context: click.Context, parameter: click.Parameter, start: str) -> list[str]:
    """Releases, for shell completion."""
    from elfcorehdr.changes import RELEASES

    return [release for release in RELEASES if release.startswith(start)]


_OPTIONS = (
    click.option(
        "-m",
        "--machine",
        metavar="NAME|FILE",
        default="pseries-16g",
        show_default=True,
        shell_complete=complete_machine,
        help="Machine to boot: a shipped one (see `kdumpfs machines`) or a TOML file.",
    ),
    click.option(
        "--kernel",
        metavar="VERSION",
        default="",
        shell_complete=complete_kernel,
        help="Kernel to behave as, such as 6.18 or 6.12.107 (see `kdumpfs kernels`). [default: 7.1]",
    ),
    click.option(
        "--with",
        "with_",
        metavar="CHANGE",
        multiple=True,
        shell_complete=complete_change,
        help="Switch on a single change (see `kdumpfs changes`).",
    ),
    click.option(
        "--without",
        metavar="CHANGE",
        multiple=True,
        shell_complete=complete_change,
        help="Switch off a single change.",
    ),
    click.option(
        "--cmdline",
        metavar="TEXT",
        default=None,
        help="Kernel command line, instead of the machine's.",
    ),
    click.option("--load", is_flag=True, help="Load kdump at once, as kexec_file_load does."),
    click.option(
        "--module",
        "modules",
        metavar="FILE.py",
        multiple=True,
        type=click.Path(dir_okay=False),
        help="Add your own attributes from a Python file.",
    ),
    click.option(
        "--print-mode",
        type=click.Choice(["text", "dmesg", "both"]),
        default="text",
        show_default=True,
        help="What reading crash_elfcorehdr_print does: return the table, log it, or both.",
    ),
    click.option(
        "--no-page-limit",
        "page_limit",
        is_flag=True,
        flag_value=False,
        default=True,
        help="Do not cut files at one page.",
    ),
    click.option("--debug", is_flag=True, help="Put pr_debug() messages into the kernel log too."),
)


def machine_options(command: F) -> F:
    """Decorator: every option of a machine; the command gets them as BootOptions has them, by name."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
