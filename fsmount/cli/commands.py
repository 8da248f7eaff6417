"""The commands of `kdumpfs`. Heavy modules are imported where they are used: start-up is part of the product."""

from __future__ import annotations

from typing import Any

import click

from elfcorehdr.errors import ProfileError
from fsmount.cli.click_options import DIRECTORY, LazyGroup, with_options
from fsmount.cli.options import MOUNT_OPTIONS
from printer.cli import ending
from printer.cli.completers import path
from printer.cli.extras import EXTRAS
from printer.cli.terminal import bounded
from printer.version import __version__

EXAMPLES = """
\b
Examples:
  kdumpfs mount --load /mnt              the mail's machine, with kdump loaded
  cat /mnt/sys/kernel/kexec/crash_elfcorehdr_print
  echo offline > /mnt/sys/devices/system/memory/memory30/state
  kdumpfs umount /mnt
"""


ELSEWHERE = {
    "fsmount.cli.run": {
        "run": "Run COMMAND (or your shell) as if on the machine: unchanged tools, real paths, the host safe.",
        "userland": "Fetch Debian packages of ARCHITECTURE with what they need, and unpack them. Installs nothing.",
    },
    "fsmount.cli.crash": {
        "crash": "Crash the machine in DIR, without a word as `echo c > proc/sysrq-trigger` does.",
        "vmcore": "Write the vmcore of a machine that crashed as a sparse file.",
    },
    "fsmount.cli.answers": {
        "machines": "List the machines that are shipped, or print one as TOML, to start your own from.",
        "kernels": "List kernel versions, and which changes each has.",
        "changes": "List the single changes between kernels, or tell one in full.",
        "crashkernel": "Tell what each crashkernel= STRING reserves, and where.",
    },
    "fsmount.cli.watch": {
        "status": "Tell what is mounted where: machine, kernel, whether kdump is loaded, modules, server.",
        "dmesg": "Print the kernel log of the machine in DIR.",
        "uevents": "Print the uevents of the machine in DIR: number, action, device.",
        "reload": "Take edited modules into the running machine in DIR: all that are loaded, or FILE.py, also a new one.",
        "web": "Show the machine in DIR, or one that is booted for it, on a page that is live.",
    },
    "fsmount.cli.propose": {
        "abi": "Print what each file is, in the form of the kernel's Documentation/ABI; PATH limits it.",
        "check-api": "Tell which of the kernel's rules for its interface a proposal does not keep, each with its source.",
        "skeleton": "Print the C of a proposal: methods, attributes, groups, and its entry in Documentation/ABI.",
        "transcript": "Run a shell script on the machine, and print its commands with their output, for a cover letter.",
    },
    "fsmount.cli.record": {
        "record": "Record this machine's /sys and /proc, to replay it elsewhere.",
        "diff-tree": "Say where the tree of a machine differs from a RECORDING, file by file.",
    },
}
"""Commands in other files, and the first sentence of each; a test holds them against the commands."""


class Command(LazyGroup):
    """A group whose errors are one sentence and exit status 2."""

    elsewhere = ELSEWHERE

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what the user got wrong is said in one sentence."""
        try:
            return super().invoke(ctx)
        except ProfileError as error:
            click.echo(f"kdumpfs: {bounded(str(error))}", err=True)
            ctx.exit(2)


@click.group(cls=Command, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="kdumpfs")
def kdumpfs() -> None:
    """The kdump and hotplug side of a Linux machine's /sys, without the machine."""


@kdumpfs.command()
@with_options(MOUNT_OPTIONS)
@DIRECTORY
def mount(**given: Any) -> None:
    """Boot a machine and mount its /sys, /proc and /dev below DIR.

    \b
    kdumpfs mount --load /mnt
    kdumpfs mount -m pseries-4g --kernel 6.18 /mnt
    kdumpfs mount --kernel 7.0 --with backup-offset-at-load --load /mnt
    kdumpfs mount --module proposal.py /mnt
    """
    from fsmount.cli import mount as serve

    serve.mount(**given)


@kdumpfs.command()
@click.option("--lazy", is_flag=True, help="Detach at once, even if something still uses it.")
@click.option("--force", is_flag=True, help="Kill its server, and detach at once.")
@DIRECTORY
def umount(directory: str, lazy: bool, force: bool) -> None:
    """Unmount DIR and end its server; a dead mount is cleared too. Of a machine of `run --name X`, X is its DIR.

    \b
    kdumpfs umount /mnt
    kdumpfs umount --force /mnt            the server does not answer
    """
    from fsmount.host.mounting import unmount
    from fsmount.host.named import forget

    unmount(directory, lazy=lazy, force=force)
    forget(directory)


@kdumpfs.command()
@click.option("--legacy", is_flag=True, help="Load with kexec_load, as `kexec -c -p` does.")
@click.option("--hotplug", is_flag=True, help="With --legacy: let the kernel follow hotplug.")
@click.option(
    "--initrd", metavar="FILE", help="Initrd of the capture kernel.", shell_complete=path("file")
)
@click.option("--append", metavar="TEXT", default=None, help="Its command line.")
@click.option("--debug", is_flag=True, help="Log every step, as `kexec -d` does.")
@DIRECTORY
@click.argument("kernel", metavar="[KERNEL]", required=False, shell_complete=path("file"))
def load(
    directory: str,
    kernel: str | None,
    legacy: bool,
    hotplug: bool,
    initrd: str | None,
    append: str | None,
    debug: bool,
) -> None:
    """Load a crash kernel, as the kexec system calls do. Without KERNEL, the machine's own sizes are used.

    \b
    kdumpfs load /mnt
    kdumpfs load --legacy --hotplug /mnt
    kdumpfs load --initrd initrd.img --append "root=/dev/sda2" /mnt vmlinux
    """
    from fsmount.host.mounting import request

    if hotplug and not legacy:
        raise click.UsageError(
            "--hotplug goes with --legacy: kexec_file_load always follows hotplug"
        )
    body: dict[str, object] = {"syscall": "kexec_load" if legacy else "kexec_file_load"}
    files = {
        key: path for key, path in (("kernel", kernel), ("initrd", initrd)) if path is not None
    }
    body |= {"hotplug": True} if hotplug else {}
    body |= {"debug": True} if debug else {}
    body |= {"cmdline": append} if append is not None else {}
    request(directory, "load", body, files)


@kdumpfs.command()
@click.option("--legacy", is_flag=True, help="Unload with kexec_load.")
@DIRECTORY
def unload(directory: str, legacy: bool) -> None:
    """Unload the crash kernel.

    \b
    kdumpfs unload /mnt
    """
    from fsmount.host.mounting import request

    request(directory, "unload", {"syscall": "kexec_load" if legacy else "kexec_file_load"})


def size(text: str) -> int:
    """A size or address such as 1G, 256M or 0x400000000; click.BadParameter."""
    from elfcorehdr.machine.sizes import parse_size, shown

    value = parse_size(text)
    if value is None:
        raise click.BadParameter(
            f"{shown(text)}, expected a number such as 1G, 256M or 0x400000000"
        )
    return value


_AS = click.option(
    "--as",
    "how",
    type=click.Choice(["dimm", "virtio-mem", "lmb"]),
    default="dimm",
    show_default=True,
    help="What the memory is.",
)
_KIND = click.argument("what", metavar="memory|cpu", type=click.Choice(["memory", "cpu"]))


@kdumpfs.command()
@click.option(
    "--at", metavar="ADDRESS", help="Where memory goes; the first free blocks if not given."
)
@click.option("--node", type=int, default=0, help="NUMA node.", show_default=True)
@_AS
@DIRECTORY
@_KIND
@click.argument("amount", metavar="SIZE|SLOT")
def plug(directory: str, what: str, amount: str, at: str | None, node: int, how: str) -> None:
    """Plug in memory or a CPU (on ppc64 a core), as a hypervisor does.

    \b
    kdumpfs plug /mnt memory 1G
    kdumpfs plug --at 0x400000000 --node 1 /mnt memory 512M
    kdumpfs plug /mnt cpu 1
    """
    from fsmount.host.mounting import request

    body: dict[str, object]
    if what == "cpu":
        body = {"cpu": size(amount), "node": node}
    else:
        where = size(at) if at is not None else None
        body = {"memory": where, "size": size(amount), "node": node, "as": how}
    request(directory, "plug", body)


@kdumpfs.command()
@_AS
@DIRECTORY
@_KIND
@click.argument("address", metavar="ADDRESS|CPU")
@click.argument("amount", metavar="[SIZE]", required=False)
def unplug(directory: str, what: str, address: str, amount: str | None, how: str) -> None:
    """Ask memory (one block if no SIZE is given) or a CPU (on ppc64 its core) back.

    \b
    kdumpfs unplug /mnt memory 0x400000000 1G
    kdumpfs unplug /mnt cpu 8
    """
    from fsmount.host.mounting import request

    body: dict[str, object]
    if what == "cpu":
        body = {"cpu": size(address)}
    else:
        body = {"memory": size(address), "as": how}
        if amount is not None:
            body["size"] = size(amount)
    request(directory, "unplug", body)


for extra in EXTRAS.values():
    kdumpfs.add_command(extra)


def run() -> None:
    """The command line, by click."""
    ending.run(kdumpfs, "kdumpfs")
