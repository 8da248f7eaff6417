"""What differs between kernels in /sys/kernel/mm: one named change a row, as in __init__.py. Imports .change."""

from __future__ import annotations

from elfcorehdr.changes.change import Change

THP_SIZES = Change(
    "thp-sizes",
    "mm/huge_memory.c thpsize_create(): commit 3485b88390b0; golden identity 7.1 to 7.3",
    (6, 8),
    "transparent_hugepage/hugepages-*kB/enabled exist.",
)
THP_STATS = Change(
    "thp-stats",
    "mm/huge_memory.c DEFINE_MTHP_STAT_ATTR(): commit ec33687c6749; source of 6.12",
    (6, 10),
    "transparent_hugepage/hugepages-*kB/stats exists.",
)
THP_SHMEM_SIZES = Change(
    "thp-shmem-sizes",
    "mm/shmem.c thpsize_shmem_enabled_attr: commit 4b98995530b7; source of 6.12",
    (6, 11),
    "transparent_hugepage/hugepages-*kB/shmem_enabled exist, from two pages on.",
)
THP_UNDERUSED = Change(
    "thp-shrink-underused",
    "mm/huge_memory.c split_underused_thp_attr: source of 6.12",
    (6, 12),
    "transparent_hugepage/shrink_underused exists; stats counts splits and folios.",
)
THP_SWAPIN_STATS = Change(
    "thp-swapin-stats",
    "mm/huge_memory.c, in the source of 7.2, not in that of 6.12; golden identity 7.3.4",
    (6, 14),
    "transparent_hugepage/hugepages-*kB/stats counts zswpout and swpin.",
)
THP_COLLAPSE_STATS = Change(
    "thp-collapse-stats",
    "mm/huge_memory.c, in the source of 7.2, not in that of 6.12; golden identity 7.3.4",
    (7, 2),
    "transparent_hugepage/hugepages-*kB/stats counts what khugepaged collapses.",
)
KSM_PROFIT = Change(
    "ksm-profit",
    "mm/ksm.c general_profit_attr: source of 6.12, not of 6.1",
    (6, 4),
    "ksm/general_profit exists.",
)
KSM_SCANNED = Change(
    "ksm-scanned",
    "mm/ksm.c pages_scanned_attr, ksm_zero_pages_attr: source of 6.12, not of 6.1",
    (6, 6),
    "ksm/pages_scanned and ksm_zero_pages exist.",
)
KSM_SMART_SCAN = Change(
    "ksm-smart-scan",
    "mm/ksm.c smart_scan_attr, pages_skipped_attr: source of 6.12, not of 6.1",
    (6, 7),
    "ksm/smart_scan and pages_skipped exist.",
)
KSM_ADVISOR = Change(
    "ksm-advisor",
    "mm/ksm.c advisor_mode_attr: source of 6.12, not of 6.1",
    (6, 8),
    "ksm/advisor_* exist.",
)
