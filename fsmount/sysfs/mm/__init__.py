"""/sys/kernel/mm: mm/hugetlb.c, mm/huge_memory.c, mm/khugepaged.c, mm/shmem.c, mm/ksm.c, mm/vmscan.c (v7.3).

What can be set is kept, counters are 0, since nothing is ever allocated.
"""

from __future__ import annotations

from fsmount.sysfs.mm import hugetlb, ksm, others, thp
from fsmount.tree.kobject import Declaration

GROUPS: tuple[Declaration, ...] = (*hugetlb.GROUPS, *thp.GROUPS, *ksm.GROUPS, *others.GROUPS)
