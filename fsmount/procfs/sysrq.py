"""/proc/sysrq-trigger: drivers/tty/sysrq.c, write_sysrq_trigger()."""

from __future__ import annotations

from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.panic import Crash
from fsmount.tree.kobject import AttributeGroup, Caller, Declaration, Filesystem, singleton

proc = AttributeGroup("", singleton, fs=Filesystem.PROCFS)


def _store(kernel: Kernel, buf: str, caller: Caller) -> None:
    # A leading underscore asks for every key that follows, else the first alone counts.
    boots = kernel.boots
    for key in buf[1:].rstrip("\n") if buf.startswith("_") else buf[:1]:
        if kernel.dead or kernel.boots != boots:
            return
        kernel.panic.sysrq(key, Crash(pid=caller.pid or 1, comm=caller.comm or "sh"))


proc.add(
    "sysrq-trigger",
    store=_store,
    doc="Do what the key written does, e.g. `c` a crash: of this machine.",
)

GROUPS: tuple[Declaration, ...] = (proc,)
