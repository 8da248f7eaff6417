"""Recorded machines: `kdumpfs record`, `kdumpfs diff-tree`, and a machine from a recording."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from elfcorehdr.errors import ProfileError
from elfcorehdr.lib.record import replace

if TYPE_CHECKING:
    from collections.abc import Callable

    from elfcorehdr.init.main import Kernel
    from elfcorehdr.machine import Machine
    from elfcorehdr.machine.recorded import Derived
    from fsmount.cli.boot import BootOptions
    from fsmount.control.requests import UserModules
    from fsmount.host.recording import Recording
    from fsmount.tree.kernfs import Tree


def derived(recording: Recording, arch: str = "", kernel: str = "") -> Derived:
    """The machine that boots to a recording's files. ProfileError where too little is in it."""
    from elfcorehdr.arch import arch_of
    from elfcorehdr.machine.recorded import derive

    name = Path(recording.name).name
    for ending in (".zst", ".gz", ".xz", ".bz2", ".tgz", ".tar"):
        name = name.removesuffix(ending)
    try:
        return derive(
            recording, name, lambda one: arch_of(one).cpuinfo_rows(), arch=arch, release=kernel
        )
    except ProfileError as error:
        raise ProfileError(f"{recording.name}: {error}") from None


def recorded_machine(path: str) -> Machine:
    """As derived(), of a file or directory; what is read is judged by the reader of machines' files."""
    from elfcorehdr.machine.reader import from_toml
    from elfcorehdr.machine.writer import to_toml
    from fsmount.host.recording import read_recording

    return from_toml(to_toml(derived(read_recording(Path(path))).machine), path)


def booted_recording(
    options: BootOptions, machine: Machine | None, clock: Callable[[], int]
) -> tuple[Kernel, Tree, UserModules]:
    """As boot.booted(): the recorded machine, with its files as they are in place of the emulated ones.

    Where the recording does not tell enough to boot, the machine is another one, and nothing of it shows.
    """
    from elfcorehdr import profiles
    from fsmount.cli.boot import booted
    from fsmount.cli.recorded_tree import recorded_tree
    from fsmount.host.recording import read_recording

    recording = read_recording(Path(options.recording))
    alone = False
    if machine is None and options.machine == profiles.DEFAULT:
        try:
            machine = derived(recording, kernel=options.kernel).machine
        except ProfileError:
            alone = True
    kernel, tree, modules = booted(replace(options, recording=""), machine, clock)
    modules.tree = recorded_tree(tree, recording, alone=alone)
    return kernel, modules.tree, modules


def as_toml(path: str, arch: str, kernel: str) -> str:
    """`kdumpfs machines --from`: the machine's file, with what could not be known at its top."""
    from elfcorehdr.machine.reader import from_toml
    from elfcorehdr.machine.writer import to_toml
    from fsmount.host.recording import read_recording

    recording = read_recording(Path(path))
    found = derived(recording, arch, kernel)
    comments = [f"Derived from {Path(path).name} by `kdumpfs machines --from`."]
    comments += [f"Mended: {what}" for what in recording.mended]
    comments += [f"Not known: {what}" for what in found.missing]
    text = to_toml(found.machine, tuple(comments))
    from_toml(text, path)
    return text


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
    from fsmount.host import record as recorder

    if script:
        click.echo(Path(recorder.__file__).read_text("utf-8"), nl=False)
        return
    words = ["-o", output or f"{'machine' if anonymize else os.uname().nodename}.tar.gz"]
    raise SystemExit(recorder.main([*words, *(["--anonymize"] if anonymize else [])]))


@click.command("diff-tree")
@click.option(
    "-m",
    "--machine",
    metavar="NAME|FILE",
    help="The machine to compare with. [default: the one that follows from the recording]",
)
@click.option("--kernel", metavar="VERSION", default="", help="Kernel to boot it with.")
@click.option("-a", "--all", "every", is_flag=True, help="Also what is not emulated.")
@click.argument("recording", metavar="RECORDING", type=click.Path(exists=True))
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
    from fsmount.cli.tree_diff import differences
    from fsmount.host.recording import read_recording

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
