"""/proc/meminfo: fs/proc/meminfo.c, mm/hugetlb.c hugetlb_report_meminfo(), arch_report_meminfo() (v6.1, v7.3)."""

from __future__ import annotations

import errno

from elfcorehdr.changes import in_sysctl, in_sysfs
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.lib.kstrtox import kstrtoull
from elfcorehdr.mm.vmstat import ALWAYS, Table, names, with_
from fsmount.tree.kobject import AttributeGroup, Declaration, Filesystem, singleton

proc = AttributeGroup("", singleton, fs=Filesystem.PROCFS)

ROWS: Table = (
    (ALWAYS, "MemTotal MemFree MemAvailable Buffers Cached SwapCached Active Inactive"),
    (ALWAYS, "Active(anon) Inactive(anon) Active(file) Inactive(file) Unevictable Mlocked"),
    (ALWAYS, "SwapTotal SwapFree"),
    (with_("ZSWAP"), "Zswap Zswapped"),
    (ALWAYS, "Dirty Writeback AnonPages Mapped Shmem KReclaimable Slab SReclaimable SUnreclaim"),
    (ALWAYS, "KernelStack PageTables SecPageTables NFS_Unstable Bounce WritebackTmp"),
    (ALWAYS, "CommitLimit Committed_AS VmallocTotal VmallocUsed VmallocChunk Percpu"),
    (with_("MEMORY_FAILURE"), "HardwareCorrupted"),
    (with_("TRANSPARENT_HUGEPAGE"), "AnonHugePages ShmemHugePages ShmemPmdMapped"),
    (with_("TRANSPARENT_HUGEPAGE"), "FileHugePages FilePmdMapped"),
    (with_("CMA"), "CmaTotal CmaFree"),
    (with_(in_sysfs.UNACCEPTED_MEMORY, "UNACCEPTED_MEMORY"), "Unaccepted"),
    (with_(in_sysfs.NODE_COUNTERS_6_16), "Balloon"),
    (with_(in_sysfs.NODE_COUNTERS_7_1), "GPUActive GPUReclaim"),
)
"""The rows in kB, in their order."""
LONG = "HardwareCorrupted:"
"""Longer than the column."""


@proc.show
def meminfo_show(kernel: Kernel) -> str:
    """Memory in kB; what is used is the kernel, the crash kernel's reservation and huge pages alone."""
    total = free = 0
    for node in kernel.nodes.ids():
        node_total, node_free = kernel.nodes.memory(node)
        total, free = total + node_total, free + node_free
    huge = kernel.hugetlb.total_kib()
    known = {
        "MemTotal": total >> 10,
        "MemFree": free >> 10,
        "MemAvailable": free >> 10,
        "CommitLimit": (total >> 10) - huge >> 1,  # vm.overcommit_ratio is 50
        "VmallocTotal": kernel.arch.vmalloc_kib(kernel),
    }
    rows = [f"{name + ':':<16}{known.get(name, 0):>8} kB\n" for name in names(kernel, ROWS)]
    rows = [f"{LONG} {0:>5} kB\n" if row.startswith(LONG) else row for row in rows]
    if kernel.hugetlb.supported:
        size = kernel.hugetlb.default_size
        pages = kernel.hugetlb.count(size)
        for name, count in (("Total", pages), ("Free", pages), ("Rsvd", 0), ("Surp", 0)):
            rows.append(f"HugePages_{name + ':':<6}{count:>8}\n")
        rows.append(f"{'Hugepagesize:':<16}{size:>8} kB\n{'Hugetlb:':<16}{huge:>8} kB\n")
    rows += [f"{name + ':':<16}{kib:>8} kB\n" for name, kib in kernel.arch.direct_map(kernel)]
    return "".join(rows)


vm = AttributeGroup("sys/vm", singleton, fs=Filesystem.PROCFS)


def _has_hugetlb(kernel: Kernel, obj: object) -> bool:
    if kernel.has(in_sysctl.HUGETLB_SUPPORTED):
        return kernel.hugetlb.supported
    return kernel.config("HUGETLB_PAGE")


def nr_hugepages_show(kernel: Kernel) -> str:
    """Huge pages of the default size in the pools."""
    return f"{kernel.hugetlb.count(kernel.hugetlb.default_size)}\n"


def nr_hugepages_store(kernel: Kernel, buf: str) -> None:
    """Ask for so many; fewer is no error. EINVAL, EOPNOTSUPP without huge pages."""
    if not kernel.hugetlb.supported:
        raise KernelError(errno.EOPNOTSUPP, "no huge pages here")
    kernel.hugetlb.set(kernel.hugetlb.default_size, kstrtoull(buf))


for _name in ("nr_hugepages", "nr_hugepages_mempolicy"):
    vm.add(_name, show=nr_hugepages_show, store=nr_hugepages_store, is_visible=_has_hugetlb)


@vm.show(is_visible=_has_hugetlb)
def nr_overcommit_hugepages_show(kernel: Kernel) -> str:
    """How many more there may be when somebody needs them."""
    return f"{kernel.hugetlb.overcommit.get(kernel.hugetlb.default_size, 0)}\n"


@vm.store(is_visible=_has_hugetlb)
def nr_overcommit_hugepages_store(kernel: Kernel, buf: str) -> None:
    """Set it. EINVAL."""
    kernel.hugetlb.overcommit[kernel.hugetlb.default_size] = kstrtoull(buf)


GROUPS: tuple[Declaration, ...] = (proc, vm)
