"""The commands about recorded machines: `kdumpfs record`, `kdumpfs diff-tree`."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click

from fsmount.cli.click_options import Readable
from fsmount.cli.options import machine_names
from printer.cli.completers import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


@click.command()
@click.option(
    "-o",
    "--output",
    metavar="FILE.tar[.gz|.xz|.zst]",
    type=click.Path(dir_okay=False),
    help="The archive. [default: HOSTNAME.tar.gz]",
)
@click.option("--anonymize", is_flag=True, help="Leave out names, addresses and serial numbers.")
@click.option(
    "--script",
    is_flag=True,
    help="Print the recorder itself: one Python file for a machine without kdumpfs.",
)
def record(output: str | None, anonymize: bool, script: bool) -> None:
    """Record this machine's /sys and /proc, to replay it elsewhere.

    \b
    sudo kdumpfs record -o lpar.tar.gz         # root alone sees the addresses in /proc/iomem
    kdumpfs record --script > record.py        # copy it there: python3 record.py -o lpar.tar.gz
    kdumpfs mount -m lpar.tar.gz /mnt          # a machine that behaves
    kdumpfs run --recording lpar.tar.gz -- lscpu   # its files as they are, read-only
    kdumpfs machines --from lpar.tar.gz > lpar.toml
    """
    from fsmount.host.recordings import record as recorder

    if script:
        from importlib.resources import files

        click.echo(_alone(files("fsmount.host.recordings"), "record"), nl=False)
        return
    words = ["-o", output or f"{'machine' if anonymize else os.uname().nodename}.tar.gz"]
    raise SystemExit(recorder.main([*words, *(["--anonymize"] if anonymize else [])], "kdumpfs"))


def _alone(folder: Traversable, name: str) -> str:
    """The recorder's text, the modules of ours that it imports in place of the first import of each."""
    seen = set()

    def text(found: re.Match[str]) -> str:
        if found[1] in seen:
            return ""
        seen.add(found[1])
        return with_imports((folder / f"{found[1]}.py").read_text("utf-8"))

    def with_imports(text_: str) -> str:
        return re.sub(r"(?m)^from fsmount\.host\.recordings\.(\w+) import .*\n", text, text_)

    return with_imports((folder / f"{name}.py").read_text("utf-8"))


@click.command("diff-tree")
@click.option(
    "-m",
    "--machine",
    metavar="NAME|FILE",
    shell_complete=words(machine_names, files=True),
    help="The machine to compare with. [default: the one that follows from the recording]",
)
@click.option("--kernel", metavar="VERSION", default="", help="Kernel to boot it with.")
@click.option("-a", "--all", "every", is_flag=True, help="Also what is not emulated.")
@click.argument("recording", metavar="RECORDING", type=Readable(exists=True))
@click.pass_context
def diff_tree(
    ctx: click.Context, recording: str, machine: str | None, kernel: str, every: bool
) -> None:
    """Say where the tree of a machine differs from a RECORDING, file by file.

    Ends with 0 (the same), 1 (different) or 2 (trouble). Of files whose content is live the form is
    compared: rows and words, not numbers.

    \b
    kdumpfs diff-tree lpar.tar.gz
    kdumpfs diff-tree -m lpar.toml lpar.tar.gz
    """
    from fsmount.cli.boot import BootOptions, boot
    from fsmount.cli.recorded.diff import differences
    from fsmount.host.recordings.recording import read_recording

    found = read_recording(Path(recording))
    _, tree = boot(BootOptions(machine=machine or recording, kernel=kernel))
    agreed, lines, unknown = differences(tree, found)
    for line in lines:
        click.echo(line)
    if every:
        for path in unknown:
            click.echo(f"{path}: not emulated")
    click.echo(
        f"{agreed} files agree, {len(lines)} differ, {len(unknown)} are not emulated", err=True
    )
    ctx.exit(1 if lines else 0)


COMMANDS = (record, diff_tree)
