"""nodeN/meminfo and nodeN/vmstat: node_read_meminfo(), node_read_vmstat() of drivers/base/node.c (v7.2).

The names and their order are the kernel's (elfcorehdr/mm/vmstat.py); of the numbers only the memory's size and the huge
pages are known, the rest counts what nothing here does.
"""

from __future__ import annotations

from elfcorehdr.changes import in_sysfs
from elfcorehdr.init.main import Kernel
from elfcorehdr.mm.vmstat import ALWAYS, NODE, NUMA, ZONE, Table, names, with_

ROWS: Table = (
    (ALWAYS, "MemTotal MemFree MemUsed SwapCached Active Inactive Active(anon) Inactive(anon)"),
    (ALWAYS, "Active(file) Inactive(file) Unevictable Mlocked Dirty Writeback FilePages Mapped"),
    (ALWAYS, "AnonPages Shmem KernelStack PageTables SecPageTables NFS_Unstable Bounce"),
    (ALWAYS, "WritebackTmp KReclaimable Slab SReclaimable SUnreclaim"),
    (with_("TRANSPARENT_HUGEPAGE"), "AnonHugePages ShmemHugePages ShmemPmdMapped"),
    (with_("TRANSPARENT_HUGEPAGE"), "FileHugePages FilePmdMapped"),
    (with_(in_sysfs.UNACCEPTED_MEMORY, "UNACCEPTED_MEMORY"), "Unaccepted"),
    (with_(in_sysfs.NODE_COUNTERS_7_2), "Balloon"),
    (with_(in_sysfs.NODE_COUNTERS_7_1), "GPUActive GPUReclaim"),
)
"""The rows of nodeN/meminfo that are in kB, in their order (the same golden cases)."""


def node_meminfo(kernel: Kernel, node: int) -> str:
    """A node's memory, in kB; what is used is the kernel and the crash kernel's reservation alone."""
    total, free = kernel.nodes.memory(node)
    known = {"MemTotal": total, "MemFree": free, "MemUsed": total - free}
    rows = [
        f"Node {node} {name + ':':<{_column(kernel, name)}}{known.get(name, 0) // 1024:>8} kB\n"
        for name in names(kernel, ROWS)
    ]
    if kernel.hugetlb.supported:
        pages = kernel.hugetlb.count(kernel.hugetlb.default_size, node)
        rows += [
            f"Node {node} {f'HugePages_{name}:':<16} {0 if name == 'Surp' else pages:>5}\n"
            for name in HUGE
        ]
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
    return "".join(f"{name} {known.get(name, 0)}\n" for name in names(kernel, ZONE, NUMA, NODE))
