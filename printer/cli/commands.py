"""The commands of `elfcorehdr` as click has them. Each is a file of its own beside this one.

Nothing but click is imported at the top: `--help` and shell completion cost click alone.
"""

from __future__ import annotations

import click

from printer.cli import ending
from printer.cli.extras import EXTRAS

COMMANDS = {"print": "printing", "diff": "judging", "check": "judging", "map": "mapping"}
"""In the order in which they are learnt: the file that each is in, imported when it is asked for."""


class Commands(ending.Ending):
    """The commands of COMMANDS."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Their names."""
        return [*COMMANDS, *EXTRAS]

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """One of them, from its file; None for another name."""
        if name in EXTRAS:
            return EXTRAS[name]
        if name not in COMMANDS:
            return None
        from importlib import import_module

        found: click.Command = getattr(import_module(f"printer.cli.{COMMANDS[name]}"), f"{name}_")
        return found


def _version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted:
        from printer.version import __version__

        click.echo(f"elfcorehdr {__version__}")
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-V",
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Show, compare and check the ELF core header that kdump works with.

    FILE is a raw elfcorehdr, /proc/vmcore or a vmcore file, an ELF core of makedumpfile -E,
    the kernel's printed text (also inside a dmesg), a directory where kdumpfs is mounted,
    or - for standard input. Of a dump only the headers are read, whatever its size.

    \b
    Examples:
      elfcorehdr print /proc/vmcore              the program headers, as the kernel prints them
      dmesg | elfcorehdr print - --format table  sizes, and what each row is for
      elfcorehdr diff before.bin after.bin       what a hotplug event changed
      elfcorehdr check --iomem /proc/iomem FILE  what is wrong with a header; exit status 1
      elfcorehdr map FILE                        physical memory as a picture
    """


def run(begin: bytes = b"") -> None:
    """The click side of main(); begin is what `print -` has read of standard input before."""
    ending.run(cli, "elfcorehdr", begin)
