"""The command `kdumpfs run`."""

from __future__ import annotations

import gc
from typing import Any

import click

from fsmount.cli.click_options import with_options
from fsmount.cli.options import MACHINE_OPTIONS


@click.command(context_settings={"allow_interspersed_args": False})
@with_options(MACHINE_OPTIONS)
@click.option(
    "--rw",
    "--share",
    "share",
    metavar="PATH",
    multiple=True,
    help="Let the command write to the real PATH, a file or directory (--share is its old name).",
)
@click.option(
    "--no-share",
    is_flag=True,
    help="Share nothing but what --rw names: not the current directory either.",
)
@click.option(
    "--keep",
    metavar="DIR",
    type=click.Path(file_okay=False, resolve_path=True),
    help="Copy what the command wrote to private places (/var/log, /var/crash, ...) to DIR.",
)
@click.option(
    "--pass-fd",
    "pass_fds",
    metavar="N",
    multiple=True,
    type=click.IntRange(3),
    help="Leave descriptor N open for the command; others above 2 are closed.",
)
@click.option(
    "--package",
    "over",
    metavar="DIR",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, resolve_path=True),
    help="Lay an unpacked package (its usr, etc, boot, ...) over the system, for this run only.",
)
@click.option(
    "--uname/--no-uname",
    "uname_machine",
    default=True,
    help="Whether `uname -m` says the emulated machine or the host's.",
)
@click.option(
    "--record",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Log what the command read, wrote and called in the machine, one line each.",
)
@click.option(
    "--then",
    metavar="COMMAND",
    help="What runs on the capture kernel once the machine has crashed, by sh -c; its status is the run's.",
)
@click.option(
    "--crashed",
    is_flag=True,
    help="Load, crash at once, and run COMMAND on the capture kernel.",
)
@click.argument("command", metavar="[--] [COMMAND...]", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def run(
    ctx: click.Context,
    /,
    command: tuple[str, ...],
    share: tuple[str, ...],
    no_share: bool,
    keep: str | None,
    pass_fds: tuple[int, ...],
    over: tuple[str, ...],
    uname_machine: bool,
    record: str | None,
    then: str | None,
    crashed: bool,
    **options: Any,
) -> None:
    """Run COMMAND (or your shell) as if on the machine: unchanged tools, real paths, the host safe.

    \b
    kdumpfs run -- lsmem
    kdumpfs run --load -- cat /sys/kernel/kexec/crash_elfcorehdr_print
    kdumpfs run -- sh -c 'chmem -d 1G; dmesg | tail'
    kdumpfs run --record seen.txt -- kdump-config status; grep ENOENT seen.txt
    kdumpfs run --package unpacked/ -- kdump-config load
    kdumpfs run --load --then 'kdump-config savecore' -- sh -c 'echo c > /proc/sysrq-trigger'
    kdumpfs run --crashed -- makedumpfile -d 31 /proc/vmcore dump
    kdumpfs run

    \b
    What it may write to:
      /sys, /proc, /dev/kmsg, kdump's system calls
          the machine's; the host's other files there can be read
      the current directory
          real, if it is below your home, a temporary directory or in a
          project under version control
      --rw PATH
          real
      everything else: /usr, /etc, /var, /home, /tmp
          private: a copy-on-write copy, discarded at the end
      --keep DIR
          gets a copy of what was written to private places, at the end
      /run, /dev, /dev/shm
          private, made anew, discarded
      NFS, FUSE and other file systems with a server
          can be read
      sockets and FIFOs of the host
          nobody listens
      cgroup, debugfs and the like outside /sys
          not there

    The exit status is the command's. Inside, /run/kdumpfs/fuse is the whole tree:
    `kdumpfs plug /run/kdumpfs/fuse memory 1G` plugs memory while the command runs.
    """
    from pathlib import Path  # with what it imports, a tenth of a start

    from fsmount.cli.boot import BootOptions, boot
    from fsmount.run.server import RunOptions, run_command

    if crashed:
        options["load"] = True
    kernel, tree = boot(BootOptions(**options))
    if crashed:
        kernel.panic.sysrq("c")
    log = Path(record) if record is not None else None
    gc.freeze()
    gc.enable()
    wanted = RunOptions(
        share=share,
        share_directory=not no_share,
        keep=keep,
        pass_fds=pass_fds,
        over=over,
        uname_machine=uname_machine,
        record=log,
        then=("/bin/sh", "-c", then) if then is not None else (),
    )
    ctx.exit(run_command(kernel, tree, command, wanted))
