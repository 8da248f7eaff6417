"""/sys: one module a kernel file, under its name (drivers/base/memory.c is memory.py); each ends in GROUPS.

May import tree/, the engine and the printed form of a header. Start with kexec_core.py.
"""

from __future__ import annotations

from fsmount.sysfs import (
    cacheinfo,
    configfs,
    cpu,
    debugfs,
    devicetree,
    kexec_core,
    ksysfs,
    memmap,
    memory,
    mm,
    node,
    notifier_error_inject,
    params,
    powerpc,
    vulnerabilities,
)
from fsmount.tree.kobject import Declaration

GROUPS: tuple[Declaration, ...] = (
    *kexec_core.GROUPS,
    *ksysfs.GROUPS,
    *powerpc.GROUPS,
    *memory.GROUPS,
    *cpu.GROUPS,
    *cacheinfo.GROUPS,
    *vulnerabilities.GROUPS,
    *node.GROUPS,
    *memmap.GROUPS,
    *mm.GROUPS,
    *configfs.GROUPS,
    *params.GROUPS,
    *debugfs.GROUPS,
    *devicetree.GROUPS,
    *notifier_error_inject.GROUPS,
)
"""All of /sys."""
