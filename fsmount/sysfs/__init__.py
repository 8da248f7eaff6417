"""The declarations: modules named after the kernel file they mirror."""

from __future__ import annotations

from fsmount.procfs import kcore, sysrq
from fsmount.procfs import proc as procfs
from fsmount.sysfs import (
    cacheinfo,
    cpu,
    debugfs,
    devicetree,
    hugetlb,
    kexec_core,
    ksysfs,
    memmap,
    memory,
    node,
    notifier_error_inject,
    powerpc,
    vulnerabilities,
)
from fsmount.tree.kobject import Declaration

DECLARATIONS: tuple[Declaration, ...] = (
    *kexec_core.GROUPS,
    *ksysfs.GROUPS,
    *powerpc.GROUPS,
    *memory.GROUPS,
    *cpu.GROUPS,
    *cacheinfo.GROUPS,
    *vulnerabilities.GROUPS,
    *node.GROUPS,
    *memmap.GROUPS,
    *hugetlb.GROUPS,
    *debugfs.GROUPS,
    *devicetree.GROUPS,
    *procfs.GROUPS,
    *sysrq.GROUPS,
    *kcore.GROUPS,
    *notifier_error_inject.GROUPS,
)
"""All that a tree is made of, before a user's own modules."""
