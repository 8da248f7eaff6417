"""/proc, as far as the emulated kernel answers for it: fs/proc/, kernel/resource.c, drivers/tty/sysrq.c.

May import tree/ and the engine. Start with proc.py.
"""

from __future__ import annotations

from fsmount.procfs import (
    files,
    kcore,
    meminfo,
    powerpc,
    proc,
    stat,
    sysctls,
    sysrq,
    vmcore,
    vmstat,
)
from fsmount.tree.kobject import Declaration

GROUPS: tuple[Declaration, ...] = (
    *proc.GROUPS,
    *files.GROUPS,
    *stat.GROUPS,
    *meminfo.GROUPS,
    *vmstat.GROUPS,
    *powerpc.GROUPS,
    *sysctls.GROUPS,
    *sysrq.GROUPS,
    *kcore.GROUPS,
    *vmcore.GROUPS,
)
"""All of /proc."""
