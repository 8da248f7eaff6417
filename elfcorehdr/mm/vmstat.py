"""Which counters a kernel has, in their order: vmstat_text[] of mm/vmstat.c (v6.1, v6.12, v7.2, v7.3).

What counts is nobody here: names only. Imports changes.
"""

from __future__ import annotations

from elfcorehdr.changes import in_sysfs
from elfcorehdr.changes.change import Change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

Condition = tuple[tuple[Change | str, ...], tuple[Change, ...]]
"""Changes and options (CONFIG_) that the kernel must have, and changes that it must not have."""
ALWAYS: Condition = ((), ())


def with_(*needs: Change | str) -> Condition:
    return needs, ()


def before(change: Change) -> Condition:
    return (), (change,)


Table = tuple[tuple[Condition, str], ...]

ZONE: Table = (
    (ALWAYS, "nr_free_pages"),
    (with_(in_sysfs.NODE_COUNTERS_6_16), "nr_free_pages_blocks"),
    (ALWAYS, "nr_zone_inactive_anon nr_zone_active_anon nr_zone_inactive_file"),
    (ALWAYS, "nr_zone_active_file nr_zone_unevictable nr_zone_write_pending nr_mlock"),
    (before(in_sysfs.NODE_COUNTERS_6_16), "nr_bounce"),
    (with_("ZSMALLOC"), "nr_zspages"),
    (ALWAYS, "nr_free_cma"),
    (with_(in_sysfs.UNACCEPTED_MEMORY, "UNACCEPTED_MEMORY"), "nr_unaccepted"),
)
"""Counters of a zone: enum zone_stat_item."""
NUMA: Table = ((ALWAYS, "numa_hit numa_miss numa_foreign numa_interleave numa_local numa_other"),)
"""enum numa_stat_item"""
NODE: Table = (
    (ALWAYS, "nr_inactive_anon nr_active_anon nr_inactive_file nr_active_file nr_unevictable"),
    (ALWAYS, "nr_slab_reclaimable nr_slab_unreclaimable nr_isolated_anon nr_isolated_file"),
    (ALWAYS, "workingset_nodes workingset_refault_anon workingset_refault_file"),
    (ALWAYS, "workingset_activate_anon workingset_activate_file workingset_restore_anon"),
    (ALWAYS, "workingset_restore_file workingset_nodereclaim nr_anon_pages nr_mapped"),
    (ALWAYS, "nr_file_pages nr_dirty nr_writeback"),
    (before(in_sysfs.NODE_COUNTERS_6_17), "nr_writeback_temp"),
    (ALWAYS, "nr_shmem nr_shmem_hugepages nr_shmem_pmdmapped nr_file_hugepages"),
    (ALWAYS, "nr_file_pmdmapped nr_anon_transparent_hugepages nr_vmscan_write"),
    (ALWAYS, "nr_vmscan_immediate_reclaim nr_dirtied nr_written nr_throttled_written"),
    (ALWAYS, "nr_kernel_misc_reclaimable nr_foll_pin_acquired nr_foll_pin_released"),
    (with_(in_sysfs.NODE_COUNTERS_7_1), "nr_vmalloc"),
    (ALWAYS, "nr_kernel_stack nr_page_table_pages nr_sec_page_table_pages"),
    (with_(in_sysfs.NODE_COUNTERS_6_12, "IOMMU_SUPPORT"), "nr_iommu_pages"),
    (with_("SWAP"), "nr_swapcached"),
    (with_("NUMA_BALANCING"), "pgpromote_success pgpromote_candidate"),
    (
        with_("NUMA_BALANCING", in_sysfs.NODE_COUNTERS_6_18),
        "pgpromote_candidate_nrl",
    ),
    (
        with_(in_sysfs.NODE_COUNTERS_6_12),
        "pgdemote_kswapd pgdemote_direct pgdemote_khugepaged",
    ),
    (with_(in_sysfs.NODE_COUNTERS_6_16), "pgdemote_proactive"),
    (with_(in_sysfs.NODE_COUNTERS_7_1), "pgsteal_kswapd pgsteal_direct"),
    (
        with_(in_sysfs.NODE_COUNTERS_7_1),
        "pgsteal_khugepaged pgsteal_proactive pgsteal_anon",
    ),
    (with_(in_sysfs.NODE_COUNTERS_7_1), "pgsteal_file pgscan_kswapd pgscan_direct"),
    (with_(in_sysfs.NODE_COUNTERS_7_1), "pgscan_khugepaged pgscan_proactive pgscan_anon"),
    (with_(in_sysfs.NODE_COUNTERS_7_1), "pgscan_file"),
    (with_(in_sysfs.NODE_COUNTERS_7_3), "pgrotate_anon pgrotate_file"),
    (with_(in_sysfs.NODE_COUNTERS_7_1), "pgrefill"),
    (with_(in_sysfs.NODE_COUNTERS_6_16, "HUGETLB_PAGE"), "nr_hugetlb"),
    (with_(in_sysfs.NODE_COUNTERS_6_16), "nr_balloon_pages"),
    (with_(in_sysfs.NODE_COUNTERS_6_18), "nr_kernel_file_pages"),
    (with_(in_sysfs.NODE_COUNTERS_7_1), "nr_gpu_active nr_gpu_reclaim"),
)
"""Counters of a node: enum node_stat_item (golden ppc64 6.12 to 7.3, x86_64 6.1 to 7.3)."""

DIRTY: Table = (
    (ALWAYS, "nr_dirty_threshold nr_dirty_background_threshold"),
    (with_(in_sysfs.NODE_COUNTERS_6_12), "nr_memmap_pages nr_memmap_boot_pages"),
)
"""enum vm_stat_item"""
PAGING: Table = ((ALWAYS, "pgpgin pgpgout pswpin pswpout"),)
BY_ZONE = ("pgalloc", "allocstall", "pgskip")
"""TEXTS_FOR_ZONES(): a counter for each zone that the kernel was built with."""
EVENTS: Table = (
    (ALWAYS, "pgfree pgactivate pgdeactivate pglazyfree pgfault pgmajfault pglazyfreed"),
    (before(in_sysfs.NODE_COUNTERS_7_1), "pgrefill"),
    (ALWAYS, "pgreuse"),
    (before(in_sysfs.NODE_COUNTERS_7_1), "pgsteal_kswapd pgsteal_direct"),
    (((), (in_sysfs.NODE_COUNTERS_6_12,)), "pgdemote_kswapd pgdemote_direct"),
    (((in_sysfs.NODE_COUNTERS_6_12,), (in_sysfs.NODE_COUNTERS_7_1,)), "pgsteal_khugepaged"),
    (((in_sysfs.NODE_COUNTERS_6_16,), (in_sysfs.NODE_COUNTERS_7_1,)), "pgsteal_proactive"),
    (before(in_sysfs.NODE_COUNTERS_7_1), "pgscan_kswapd pgscan_direct"),
    (((in_sysfs.NODE_COUNTERS_6_12,), (in_sysfs.NODE_COUNTERS_7_1,)), "pgscan_khugepaged"),
    (((in_sysfs.NODE_COUNTERS_6_16,), (in_sysfs.NODE_COUNTERS_7_1,)), "pgscan_proactive"),
    (ALWAYS, "pgscan_direct_throttle"),
    (before(in_sysfs.NODE_COUNTERS_7_1), "pgscan_anon pgscan_file pgsteal_anon pgsteal_file"),
    (with_(in_sysfs.NODE_COUNTERS_6_12), "zone_reclaim_success"),
    (ALWAYS, "zone_reclaim_failed pginodesteal slabs_scanned kswapd_inodesteal"),
    (ALWAYS, "kswapd_low_wmark_hit_quickly kswapd_high_wmark_hit_quickly pageoutrun pgrotated"),
    (ALWAYS, "drop_pagecache drop_slab oom_kill"),
    (with_("NUMA_BALANCING"), "numa_pte_updates numa_huge_pte_updates numa_hint_faults"),
    (with_("NUMA_BALANCING"), "numa_hint_faults_local numa_pages_migrated"),
    (ALWAYS, "pgmigrate_success pgmigrate_fail thp_migration_success thp_migration_fail"),
    (ALWAYS, "thp_migration_split compact_migrate_scanned compact_free_scanned"),
    (ALWAYS, "compact_isolated compact_stall compact_fail compact_success"),
    (ALWAYS, "compact_daemon_wake compact_daemon_migrate_scanned compact_daemon_free_scanned"),
    (with_("HUGETLB_PAGE"), "htlb_buddy_alloc_success htlb_buddy_alloc_fail"),
    (with_("CMA"), "cma_alloc_success cma_alloc_fail"),
    (ALWAYS, "unevictable_pgs_culled unevictable_pgs_scanned unevictable_pgs_rescued"),
    (ALWAYS, "unevictable_pgs_mlocked unevictable_pgs_munlocked unevictable_pgs_cleared"),
    (ALWAYS, "unevictable_pgs_stranded"),
    (with_("TRANSPARENT_HUGEPAGE"), "thp_fault_alloc thp_fault_fallback"),
    (with_("TRANSPARENT_HUGEPAGE"), "thp_fault_fallback_charge thp_collapse_alloc"),
    (with_("TRANSPARENT_HUGEPAGE"), "thp_collapse_alloc_failed thp_file_alloc"),
    (with_("TRANSPARENT_HUGEPAGE"), "thp_file_fallback thp_file_fallback_charge"),
    (with_("TRANSPARENT_HUGEPAGE"), "thp_file_mapped thp_split_page thp_split_page_failed"),
    (with_("TRANSPARENT_HUGEPAGE"), "thp_deferred_split_page"),
    (with_("TRANSPARENT_HUGEPAGE", in_sysfs.NODE_COUNTERS_6_12), "thp_underused_split_page"),
    (with_("TRANSPARENT_HUGEPAGE"), "thp_split_pmd thp_scan_exceed_none_pte"),
    (with_("TRANSPARENT_HUGEPAGE"), "thp_scan_exceed_swap_pte thp_scan_exceed_share_pte"),
    (with_("TRANSPARENT_HUGEPAGE", "HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD"), "thp_split_pud"),
    (with_("TRANSPARENT_HUGEPAGE"), "thp_zero_page_alloc thp_zero_page_alloc_failed"),
    (with_("TRANSPARENT_HUGEPAGE"), "thp_swpout thp_swpout_fallback"),
    (with_("MEMORY_BALLOON"), "balloon_inflate balloon_deflate balloon_migrate"),
    (with_("SWAP"), "swap_ra swap_ra_hit"),
    (with_("SWAP", in_sysfs.NODE_COUNTERS_6_12), "swpin_zero swpout_zero"),
    (with_("SWAP", "KSM"), "ksm_swpin_copy"),
    (with_("KSM"), "cow_ksm"),
    (with_("ZSWAP"), "zswpin zswpout"),
    (with_("ZSWAP", in_sysfs.NODE_COUNTERS_6_12), "zswpwb"),
    (with_("X86"), "direct_map_level2_splits direct_map_level3_splits"),
    (with_("X86", in_sysfs.NODE_COUNTERS_6_16), "direct_map_level2_collapses"),
    (with_("X86", in_sysfs.NODE_COUNTERS_6_16), "direct_map_level3_collapses"),
    (with_("SWAP", in_sysfs.NODE_COUNTERS_7_3), "nrswpin nrswpout"),
)
"""enum vm_event_item, less those a zone (golden identity 7.1.13, 7.3.4)."""


def has(kernel: Kernel, need: Change | str) -> bool:
    """Whether the kernel has a change, or was built with an option."""
    return kernel.config(need) if isinstance(need, str) else kernel.has(need)


def names(kernel: Kernel, *tables: Table) -> list[str]:
    """The names whose condition the kernel meets."""
    return [
        name
        for table in tables
        for (needs, lacks), some in table
        if all(has(kernel, need) for need in needs) and not any(map(kernel.has, lacks))
        for name in some.split()
    ]
