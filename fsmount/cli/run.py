"""The command `kdumpfs run`, and `kdumpfs userland`, which fetches programs for it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import click

from fsmount.cli.click_options import with_options
from fsmount.cli.options import RUN_OPTIONS
from fsmount.host.programs import search_path
from printer.cli.completers import items, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from printer.cli.completers import Items


def _commands(ctx: click.Context, _param: click.Parameter, begun: str) -> Items:
    """The commands in PATH, and in sbin, which is in it inside; then files."""
    if ctx.params.get("command") or "/" in begun:
        return items((), file=begun)
    found: set[str] = set()
    for directory in search_path(os.environ.get("PATH", os.defpath)).split(":"):
        with suppress(OSError), os.scandir(directory or ".") as entries:
            found |= {e.name for e in entries if e.name.startswith(begun) and os.access(e, os.X_OK)}
    return items(sorted(found))


@click.command(context_settings={"allow_interspersed_args": False})
@with_options(RUN_OPTIONS)
@click.option(
    "--pass-fd",
    "pass_fds",
    metavar="N",
    multiple=True,
    type=click.IntRange(3),
    help="Leave descriptor N open for the command; others above 2 are closed.",
)
@click.option(
    "--uname/--no-uname",
    "uname_machine",
    default=True,
    help="Whether `uname -m` says the emulated machine or the host's.",
)
@click.argument(
    "command",
    metavar="[--] [COMMAND...]",
    nargs=-1,
    type=click.UNPROCESSED,
    shell_complete=_commands,
)
@click.pass_context
def run(ctx: click.Context, /, **given: Any) -> None:
    """Run COMMAND (or your shell) as if on the machine: unchanged tools, real paths, the host safe.

    \b
    kdumpfs run -- lsmem
    kdumpfs run --load -- cat /sys/kernel/kexec/crash_elfcorehdr_print
    kdumpfs run -- sh -c 'chmem -d 1G; dmesg | tail'
    kdumpfs run --record seen.txt -- kdump-config status; grep ENOENT seen.txt
    kdumpfs run --package unpacked/ -- kdump-config load
    kdumpfs run --load --then 'kdump-config savecore' -- sh -c 'echo c > /proc/sysrq-trigger'
    kdumpfs run -m pc-2g --crashed -- makedumpfile -d 31 /proc/vmcore dump
    kdumpfs run

    \b
    What it may write to:
      /sys, /proc, /dev/kmsg, kdump's system calls
          the machine's: processes, CPUs, memory, clock; the host's other
          files of /sys can be read
      the current directory
          real, if it is below your home, a temporary directory or in a
          project under version control
      --rw PATH
          real
      everything else: /usr, /etc, /var, /home, /tmp
          private: a copy-on-write copy, discarded at the end
      files of root's there, as an ordinary user
          private too where kdump's tools keep settings (/etc/default, /etc/kdump,
          /etc/kdump.conf, /etc/sysconfig, /var/lib/kdump); others can be read
      --keep DIR
          gets a copy of what was written to private places at the end,
          /tmp and /var/tmp aside
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
    from fsmount.cli.mount import run as run_command

    ctx.exit(run_command(**given))


def _architectures() -> Iterable[str]:
    from fsmount.foreign.guests import GUESTS

    return (guest.machine for guest in GUESTS)


@click.command()
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    required=True,
    type=click.Path(file_okay=False, resolve_path=True),
    help="Where to unpack; what is there already stays.",
)
@click.option("--suite", metavar="NAME", help="bookworm, trixie, sid, ...; default: this Debian's.")
@click.option("--mirror", metavar="URL", help="Default: http://deb.debian.org/debian.")
@click.option("--whole", is_flag=True, help="With shell and coreutils too, a root of its own.")
@click.option("--qemu", is_flag=True, help="Fetch the emulator too (of sid, for this machine).")
@click.argument("architecture", metavar="ARCHITECTURE", shell_complete=words(_architectures))
@click.argument("packages", metavar="PACKAGE...", nargs=-1, required=True)
def userland(
    architecture: str,
    packages: tuple[str, ...],
    output: str,
    suite: str | None,
    mirror: str | None,
    whole: bool,
    qemu: bool,
) -> None:
    """Fetch Debian packages of ARCHITECTURE with what they need, and unpack them. Installs nothing.

    \b
    kdumpfs userland ppc64le kexec-tools powerpc-utils kdump-tools -o ppc
    kdumpfs run --package ppc -- kexec -p -s -d /boot/vmlinux
    kdumpfs userland --qemu --suite sid riscv64 kexec-tools -o riscv

    apt does it, in directories of its own: no root, no foreign architecture for dpkg, no
    maintainer script. What a mirror lists and has not is taken from snapshot.debian.org, or from a later
    suite, and said. Commands that every Debian has (sh, cat, perl-base) are left out, because the
    host's serve; --whole has them too. ARCHITECTURE is ppc64le, aarch64, riscv64 or x86_64.
    """
    import sys
    from pathlib import Path

    from fsmount.foreign import userland as fetching

    guest, directory = fetching.guest_of(architecture), Path(output)
    shown = sys.stderr.isatty()  # else each step would be a line
    with click.progressbar(
        length=1000, label=guest.machine, file=sys.stderr, hidden=not shown
    ) as bar:

        def told(what: str, done: float) -> None:
            bar.label = what.ljust(24)[:24]
            bar.update(max(0, int(done * 1000) - bar.pos))

        unpacked, remarks = fetching.fetch(
            guest, packages, directory, suite=suite, mirror=mirror, whole=whole, progress=told
        )
        if qemu:
            fetching.fetch_qemu(guest, directory, mirror=mirror, progress=told)
    for remark in remarks:
        click.echo(f"kdumpfs: userland: {remark}", err=True)
    size = "package" if len(unpacked) == 1 else "packages"
    click.echo(f"{output}: {len(unpacked)} {size}, {', '.join(p.name for p in unpacked)}")


COMMANDS = (run, userland)
