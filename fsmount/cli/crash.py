"""Commands about a machine that dies: `kdumpfs crash` and `kdumpfs vmcore`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import click

from fsmount.cli.click_options import DIRECTORY, Directory, with_options
from fsmount.cli.options import MACHINE_OPTIONS

CHUNK = 1 << 20
"""Bytes that are read at once; a piece without content becomes a hole."""


@click.command()
@click.option("--panic", metavar="TEXT", help="What the kernel panics with.")
@click.option("--oops", is_flag=True, help="An oops: a panic only with panic_on_oops.")
@click.option(
    "--hard",
    metavar="CPU",
    type=int,
    multiple=True,
    help="A hard lockup: this CPU does not stop, so it has no note.",
)
@click.option("--warn", metavar="TEXT", help="A WARN(): a panic only with panic_on_warn.")
@click.option(
    "--hung-task",
    metavar="COMM[:PID]",
    help="A process that hangs: a panic only with hung_task_panic.",
)
@click.option(
    "--soft-lockup",
    metavar="CPU[:COMM[:PID]]",
    help="A CPU that schedules nobody else: a panic only with softlockup_panic.",
)
@DIRECTORY
def crash(directory: str, oops: bool, hard: tuple[int, ...], **texts: str | None) -> None:
    """Crash the machine in DIR, without a word as `echo c > proc/sysrq-trigger` does.

    \b
    kdumpfs crash /mnt
    kdumpfs crash --panic 'hung_task: blocked tasks' /mnt
    kdumpfs crash --hard 3 /mnt
    kdumpfs crash --hung-task nfsd:812 /mnt
    """
    from fsmount.host.mounting import request

    body: dict[str, object] = {key: text for key, text in texts.items() if text is not None}
    if oops:
        body["oops"] = True
    if hard:
        body["hard"] = list(hard)
    if len(body) > 1:
        words = ", ".join(f"--{key.replace('_', '-')}" for key in body)
        raise click.UsageError(f"{words}: expected at most one of them")
    request(directory, "crash", body)


@click.command()
@with_options(MACHINE_OPTIONS)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    required=True,
    type=click.Path(dir_okay=False, writable=True),
    help="The file to write; - is the standard output, whole and not sparse.",
)
@click.option("--quiet", is_flag=True, help="No progress bar.")
@click.argument("directory", metavar="[DIR]", required=False, type=Directory(file_okay=False))
def vmcore(directory: str | None, output: str, quiet: bool, **options: Any) -> None:
    """Write the vmcore of a machine that crashed as a sparse file.

    Of the machine in DIR, which must run its capture kernel; without DIR one is booted, loaded and crashed for it.

    \b
    kdumpfs vmcore -m pc-2g -o vmcore
    kdumpfs vmcore /mnt -o vmcore
    """
    from elfcorehdr.errors import ProfileError

    if directory is not None:
        from fsmount.host.mounted import check_answers

        check_answers(directory)
        path = os.path.join(directory, "proc/vmcore")
        try:
            fd = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise ProfileError(f"{path}: {error.strerror}: no capture kernel runs there") from None
        size = os.fstat(fd).st_size
        write(output, size, lambda at, n: os.pread(fd, n, at), quiet=quiet)
        return
    from fsmount.cli.boot import BootOptions, boot

    kernel, _ = boot(BootOptions(**options, crashes=True))
    kernel.panic.sysrq("c")
    if kernel.vmcore is None:
        raise ProfileError(f"machine {kernel.machine.name}: its capture kernel has no /proc/vmcore")
    write(output, kernel.vmcore.size, kernel.vmcore.read, quiet=quiet)


def write(output: str, size: int, read: Callable[[int, int], bytes], *, quiet: bool) -> None:
    """Write size bytes of read(offset, count) to a file, whole or not at all. ProfileError."""
    from elfcorehdr.errors import ProfileError

    if output == "-":
        if os.isatty(1):
            raise ProfileError("standard output: a terminal, expected a pipe or a file")
        for at in range(0, size, CHUNK):
            sys.stdout.buffer.write(read(at, min(CHUNK, size - at)))
        sys.stdout.buffer.flush()
        return
    output = os.path.realpath(output)  # a link stays one
    if os.path.lexists(output) and not os.path.isfile(output):
        raise ProfileError(f"{output}: not a regular file, expected a name for a new one")
    part = f"{output}.{os.getpid()}.part"
    zeros = bytes(CHUNK)
    show = not quiet and os.isatty(2)
    try:
        bar = click.progressbar(length=size, label=output, file=sys.stderr, hidden=not show)
        with open(part, "wb") as file, bar:
            file.truncate(size)
            for at in range(0, size, CHUNK):
                piece = read(at, min(CHUNK, size - at))
                if piece != zeros[: len(piece)]:
                    os.pwrite(file.fileno(), piece, at)
                bar.update(len(piece))
        os.replace(part, output)
    except OSError as error:
        raise ProfileError(f"{output}: {error.strerror}; nothing was kept") from None
    finally:
        if os.path.exists(part):
            os.unlink(part)


COMMANDS = (crash, vmcore)
