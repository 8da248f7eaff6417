"""Small files of /proc: modules, swaps, partitions, diskstats, consoles, execdomains, dma, fb (v7.3).

kernel/module/procfs.c, mm/swapfile.c, block/genhd.c, fs/proc/consoles.c, kernel/exec_domain.c, kernel/dma.c, fbdev. No
disk, no swap and no screen is emulated: their files have what they have then.
"""

from __future__ import annotations

from elfcorehdr.init.main import Kernel
from fsmount.tree.kobject import (
    CAP_SYSLOG,
    AttributeGroup,
    Caller,
    Declaration,
    Filesystem,
    singleton,
)

proc = AttributeGroup("", singleton, fs=Filesystem.PROCFS)

CONSOLES = {
    "ttyS": (4, 64, "p a"),
    "hvc": (229, 0, "   "),
    "ttyAMA": (204, 64, "p a"),
    "tty": (4, 0, "p  "),
}
"""By driver: major and first minor number, and which flags it has besides E, C and N (golden identity)."""


@proc.show
def modules_show(kernel: Kernel, caller: Caller) -> str:
    """Loaded modules, the last first: name, size, users, state, address (0 without CAP_SYSLOG)."""
    shown = caller.capable(CAP_SYSLOG)
    return "".join(
        f"{m.name} {m.size} 0 - Live 0x{m.address if shown else 0:016x}\n"
        for m in reversed(kernel.modules.loaded.values())
    )


@proc.show
def swaps_show(kernel: Kernel) -> str:
    """Swap areas: the heading."""
    return "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"


@proc.show
def partitions_show(kernel: Kernel) -> str:
    """Disks and their partitions: without one not even the heading."""
    return ""


@proc.show
def diskstats_show(kernel: Kernel) -> str:
    """Counters of disks: none."""
    return ""


@proc.show
def fb_show(kernel: Kernel) -> str:
    """Frame buffers: none."""
    return ""


@proc.show
def execdomains_show(kernel: Kernel) -> str:
    """The one there is."""
    return "0-0\tLinux           \t[kernel]\n"


@proc.show(is_visible=lambda kernel, obj: kernel.config("ISA_DMA_API"))
def dma_show(kernel: Kernel) -> str:
    """ISA DMA channels in use."""
    return " 4: cascade\n" if kernel.config("X86") else ""


@proc.show
def consoles_show(kernel: Kernel) -> str:
    """The console that the command line names last: it can be written, is enabled and /dev/console."""
    named = [w.removeprefix("console=") for w in kernel.cmdline.split() if w.startswith("console=")]
    name = named[-1].partition(",")[0] if named else "tty0"
    driver = name.rstrip("0123456789")
    if driver not in CONSOLES:
        return ""
    major, minor, flags = CONSOLES[driver]
    index = int(name[len(driver) :] or 0)
    nbcon = "N" if driver in ("ttyS", "ttyAMA") else " "
    operations = "-WU" if driver == "tty" else "-W-"
    return f"{name:<20} {operations} (EC {nbcon}{flags}) {major:>4}:{minor + index}\n"


GROUPS: tuple[Declaration, ...] = (proc,)
