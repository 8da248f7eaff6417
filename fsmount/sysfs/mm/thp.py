"""/sys/kernel/mm/transparent_hugepage/: mm/huge_memory.c, mm/khugepaged.c, mm/shmem.c (v6.1, v6.12, v7.3)."""

from __future__ import annotations

from collections.abc import Iterator

from elfcorehdr.changes import in_mm
from elfcorehdr.init.main import Kernel
from elfcorehdr.lib.record import Record
from fsmount.sysfs.mm.setting import U32, choice, counters, number, since
from fsmount.tree.kobject import AttributeGroup, Declaration, Kset, singleton

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TOP = "kernel/mm/transparent_hugepage"


def _has_thp(kernel: Kernel, obj: object) -> bool:
    """CONFIG_TRANSPARENT_HUGEPAGE, and a processor that has huge pages: hugepage_init()."""
    return kernel.config("TRANSPARENT_HUGEPAGE") and kernel.arch.thp(kernel)


def hpage_pmd_nr(kernel: Kernel) -> int:
    """HPAGE_PMD_NR: pages of a huge one."""
    return kernel.arch.pageblock_bytes(kernel) // kernel.page_size


thp = AttributeGroup(TOP, singleton, is_visible=_has_thp)


def _at(name: str) -> Any:
    return lambda obj: f"{TOP}/{name}"


choice(thp, "enabled", "always madvise never", "always", _at("enabled"))
choice(thp, "defrag", "always defer defer+madvise madvise never", "madvise", _at("defrag"))
number(thp, "use_zero_page", 1, 1)


@thp.show
def hpage_pmd_size_show(kernel: Kernel) -> str:
    """Bytes of a huge page."""
    return f"{kernel.arch.pageblock_bytes(kernel)}\n"


choice(
    thp,
    "shmem_enabled",
    "always within_size advise never deny force",
    "never",
    _at("shmem_enabled"),
)
number(thp, "shrink_underused", 1, 1, visible=since(in_mm.THP_UNDERUSED))

khugepaged = AttributeGroup(f"{TOP}/khugepaged", singleton, is_visible=_has_thp)
number(khugepaged, "defrag", 1, 1)
number(khugepaged, "max_ptes_none", lambda k: hpage_pmd_nr(k) - 1, lambda k: hpage_pmd_nr(k) - 1)
number(khugepaged, "max_ptes_swap", lambda k: hpage_pmd_nr(k) // 8, lambda k: hpage_pmd_nr(k) - 1)
number(khugepaged, "max_ptes_shared", lambda k: hpage_pmd_nr(k) // 2, lambda k: hpage_pmd_nr(k) - 1)
number(khugepaged, "pages_to_scan", lambda k: hpage_pmd_nr(k) * 8, U32, least=1)
counters(khugepaged, "pages_collapsed full_scans")
number(khugepaged, "scan_sleep_millisecs", 10000)
number(khugepaged, "alloc_sleep_millisecs", 60000)


class Size(Record):
    """struct thpsize: one size of folios, 2^order pages."""

    kernel: Kernel
    order: int

    @property
    def kib(self) -> int:
        """In KiB, as its directory is called."""
        return (self.kernel.page_size << self.order) >> 10

    @property
    def anon(self) -> bool:
        """THP_ORDERS_ALL_ANON: from four pages on."""
        return self.order >= 2

    @property
    def pmd(self) -> bool:
        """Whether it is that of a huge page."""
        return 1 << self.order == hpage_pmd_nr(self.kernel)


def _sizes(kernel: Kernel) -> Iterator[Size]:
    """Each size that there is a directory for."""
    if not _has_thp(kernel, None) or not kernel.has(in_mm.THP_SIZES):
        return
    least = 1 if kernel.has(in_mm.THP_SHMEM_SIZES) else 2
    for order in range(least, hpage_pmd_nr(kernel).bit_length()):
        yield Size(kernel, order)


sizes: Kset[Size] = Kset(
    names=lambda kernel: (f"hugepages-{size.kib}kB" for size in _sizes(kernel)),
    lookup=lambda kernel, name: next(
        (size for size in _sizes(kernel) if name == f"hugepages-{size.kib}kB"), None
    ),
    count=lambda kernel: sum(1 for _ in _sizes(kernel)),
)


def _anon(kernel: Kernel, size: Size) -> bool:
    return size.anon


def _key(name: str) -> Any:
    return lambda size: f"{TOP}/hugepages-{size.kib}kB/{name}"


def _usual(size: Size) -> str:
    """hugepage_init_sysfs(): that of a huge page inherits."""
    return "inherit" if size.pmd else "never"


one = AttributeGroup(f"{TOP}/hugepages-*", sizes)
choice(one, "enabled", "always inherit madvise never", _usual, _key("enabled"), visible=_anon)
choice(
    one,
    "shmem_enabled",
    "always inherit within_size advise never",
    _usual,
    _key("shmem_enabled"),
    visible=since(in_mm.THP_SHMEM_SIZES),
)


def _has_stats(kernel: Kernel, size: Size) -> bool:
    return kernel.has(in_mm.THP_STATS)


stats = AttributeGroup(f"{TOP}/hugepages-*/stats", sizes, is_visible=_has_stats)


def _in(change: Any, *, anon: bool = False) -> Any:
    return lambda kernel, size: kernel.has(change) and (size.anon or not anon)


counters(stats, "anon_fault_alloc anon_fault_fallback", visible=_in(in_mm.THP_STATS, anon=True))
counters(stats, "anon_fault_fallback_charge", visible=_in(in_mm.THP_STATS, anon=True))
counters(stats, "swpout swpout_fallback", visible=_in(in_mm.THP_STATS))
counters(stats, "split split_failed", visible=_in(in_mm.THP_SHMEM_SIZES))
counters(stats, "split_deferred", visible=_in(in_mm.THP_SHMEM_SIZES, anon=True))
counters(
    stats,
    "shmem_alloc shmem_fallback shmem_fallback_charge",
    visible=_in(in_mm.THP_SHMEM_SIZES),
)
counters(stats, "nr_anon nr_anon_partially_mapped", visible=_in(in_mm.THP_UNDERUSED, anon=True))
counters(
    stats,
    "zswpout swpin swpin_fallback swpin_fallback_charge",
    visible=_in(in_mm.THP_SWAPIN_STATS),
)
counters(stats, "collapse_alloc collapse_alloc_failed", visible=_in(in_mm.THP_COLLAPSE_STATS))
counters(
    stats,
    "collapse_exceed_swap_pte collapse_exceed_none_pte collapse_exceed_shared_pte",
    visible=_in(in_mm.THP_COLLAPSE_STATS, anon=True),
)

GROUPS: tuple[Declaration, ...] = (thp, khugepaged, one, stats)
