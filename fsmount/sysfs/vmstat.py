"""nodeN/meminfo and nodeN/vmstat: node_read_meminfo(), node_read_vmstat() of drivers/base/node.c, mm/vmstat.c (v7.2).

The names and their order are the kernel's; of the numbers only the memory's size is known, the rest
counts what nothing here does.
"""

from __future__ import annotations

from elfcorehdr.changes import in_sysfs
from elfcorehdr.changes.change import Change
from elfcorehdr.init.main import Kernel

Condition = tuple[tuple[Change | str, ...], tuple[Change, ...]]
"""Changes and options (CONFIG_) that the kernel must have, and changes that it must not have."""
ALWAYS: Condition = ((), ())


def _with(*needs: Change | str) -> Condition:
    return needs, ()


def _before(change: Change) -> Condition:
    return (), (change,)


COUNTERS: tuple[tuple[Condition, str], ...] = (
    (ALWAYS, "nr_free_pages"),
    (_with(in_sysfs.NODE_COUNTERS_6_16), "nr_free_pages_blocks"),
    (ALWAYS, "nr_zone_inactive_anon nr_zone_active_anon nr_zone_inactive_file"),
    (ALWAYS, "nr_zone_active_file nr_zone_unevictable nr_zone_write_pending nr_mlock"),
    (_before(in_sysfs.NODE_COUNTERS_6_16), "nr_bounce"),
    (_with("ZSMALLOC"), "nr_zspages"),
    (ALWAYS, "nr_free_cma"),
    (_with(in_sysfs.UNACCEPTED_MEMORY, "UNACCEPTED_MEMORY"), "nr_unaccepted"),
    (ALWAYS, "numa_hit numa_miss numa_foreign numa_interleave numa_local numa_other"),
    (ALWAYS, "nr_inactive_anon nr_active_anon nr_inactive_file nr_active_file nr_unevictable"),
    (ALWAYS, "nr_slab_reclaimable nr_slab_unreclaimable nr_isolated_anon nr_isolated_file"),
    (ALWAYS, "workingset_nodes workingset_refault_anon workingset_refault_file"),
    (ALWAYS, "workingset_activate_anon workingset_activate_file workingset_restore_anon"),
    (ALWAYS, "workingset_restore_file workingset_nodereclaim nr_anon_pages nr_mapped"),
    (ALWAYS, "nr_file_pages nr_dirty nr_writeback"),
    (_before(in_sysfs.NODE_COUNTERS_6_17), "nr_writeback_temp"),
    (ALWAYS, "nr_shmem nr_shmem_hugepages nr_shmem_pmdmapped nr_file_hugepages"),
    (ALWAYS, "nr_file_pmdmapped nr_anon_transparent_hugepages nr_vmscan_write"),
    (ALWAYS, "nr_vmscan_immediate_reclaim nr_dirtied nr_written nr_throttled_written"),
    (ALWAYS, "nr_kernel_misc_reclaimable nr_foll_pin_acquired nr_foll_pin_released"),
    (_with(in_sysfs.NODE_COUNTERS_7_1), "nr_vmalloc"),
    (ALWAYS, "nr_kernel_stack nr_page_table_pages nr_sec_page_table_pages"),
    (_with(in_sysfs.NODE_COUNTERS_6_12, "IOMMU_SUPPORT"), "nr_iommu_pages"),
    (_with("SWAP"), "nr_swapcached"),
    (_with("NUMA_BALANCING"), "pgpromote_success pgpromote_candidate"),
    (
        _with("NUMA_BALANCING", in_sysfs.NODE_COUNTERS_6_18),
        "pgpromote_candidate_nrl",
    ),
    (
        _with(in_sysfs.NODE_COUNTERS_6_12),
        "pgdemote_kswapd pgdemote_direct pgdemote_khugepaged",
    ),
    (_with(in_sysfs.NODE_COUNTERS_6_16), "pgdemote_proactive"),
    (_with(in_sysfs.NODE_COUNTERS_7_1), "pgsteal_kswapd pgsteal_direct"),
    (
        _with(in_sysfs.NODE_COUNTERS_7_1),
        "pgsteal_khugepaged pgsteal_proactive pgsteal_anon",
    ),
    (_with(in_sysfs.NODE_COUNTERS_7_1), "pgsteal_file pgscan_kswapd pgscan_direct"),
    (_with(in_sysfs.NODE_COUNTERS_7_1), "pgscan_khugepaged pgscan_proactive pgscan_anon"),
    (_with(in_sysfs.NODE_COUNTERS_7_1), "pgscan_file"),
    (_with(in_sysfs.NODE_COUNTERS_7_3), "pgrotate_anon pgrotate_file"),
    (_with(in_sysfs.NODE_COUNTERS_7_1), "pgrefill"),
    (_with(in_sysfs.NODE_COUNTERS_6_16, "HUGETLB_PAGE"), "nr_hugetlb"),
    (_with(in_sysfs.NODE_COUNTERS_6_16), "nr_balloon_pages"),
    (_with(in_sysfs.NODE_COUNTERS_6_18), "nr_kernel_file_pages"),
    (_with(in_sysfs.NODE_COUNTERS_7_1), "nr_gpu_active nr_gpu_reclaim"),
)
"""The counters of nodeN/vmstat in their order (golden ppc64 6.12 to 7.3, x86_64 6.1 to 7.3)."""

ROWS: tuple[tuple[Condition, str], ...] = (
    (ALWAYS, "MemTotal MemFree MemUsed SwapCached Active Inactive Active(anon) Inactive(anon)"),
    (ALWAYS, "Active(file) Inactive(file) Unevictable Mlocked Dirty Writeback FilePages Mapped"),
    (ALWAYS, "AnonPages Shmem KernelStack PageTables SecPageTables NFS_Unstable Bounce"),
    (ALWAYS, "WritebackTmp KReclaimable Slab SReclaimable SUnreclaim"),
    (_with("TRANSPARENT_HUGEPAGE"), "AnonHugePages ShmemHugePages ShmemPmdMapped"),
    (_with("TRANSPARENT_HUGEPAGE"), "FileHugePages FilePmdMapped"),
    (_with(in_sysfs.UNACCEPTED_MEMORY, "UNACCEPTED_MEMORY"), "Unaccepted"),
    (_with(in_sysfs.NODE_COUNTERS_7_2), "Balloon"),
    (_with(in_sysfs.NODE_COUNTERS_7_1), "GPUActive GPUReclaim"),
)
"""The rows of nodeN/meminfo that are in kB, in their order (the same golden cases)."""


def _has(kernel: Kernel, need: Change | str) -> bool:
    return kernel.config(need) if isinstance(need, str) else kernel.has(need)


def _names(kernel: Kernel, table: tuple[tuple[Condition, str], ...]) -> list[str]:
    """The names whose condition the kernel meets."""
    return [
        name
        for (needs, lacks), names in table
        if all(_has(kernel, need) for need in needs) and not any(map(kernel.has, lacks))
        for name in names.split()
    ]


def node_meminfo(kernel: Kernel, node: int) -> str:
    """A node's memory, in kB; what is used is the kernel and the crash kernel's reservation alone."""
    total, free = kernel.nodes.memory(node)
    known = {"MemTotal": total, "MemFree": free, "MemUsed": total - free}
    rows = [
        f"Node {node} {name + ':':<{_column(kernel, name)}}{known.get(name, 0) // 1024:>8} kB\n"
        for name in _names(kernel, ROWS)
    ]
    if kernel.config("HUGETLB_PAGE"):
        rows += [f"Node {node} {f'HugePages_{name}:':<16} {0:>5}\n" for name in HUGE]
    return "".join(rows)


def _column(kernel: Kernel, name: str) -> int:
    """Where a number's field begins. Quirk: in old kernels a column early in two rows (golden x86_64 6.1)."""
    early = name in ("FileHugePages", "FilePmdMapped")
    return 15 if early and not kernel.has(in_sysfs.NODE_COUNTERS_6_12) else 16


HUGE = ("Total", "Free", "Surp")
"""hugetlb_report_node_meminfo(), mm/hugetlb.c."""


def node_vmstat(kernel: Kernel, node: int) -> str:
    """A node's counters, one a line."""
    free = kernel.nodes.memory(node)[1] // kernel.page_size
    known = {"nr_free_pages": free, "nr_free_pages_blocks": free}
    return "".join(f"{name} {known.get(name, 0)}\n" for name in _names(kernel, COUNTERS))
