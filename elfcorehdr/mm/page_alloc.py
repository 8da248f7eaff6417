"""Zones and their watermarks: mm/page_alloc.c, mm/mm_init.c, mm/khugepaged.c (v7.3). Nothing is ever allocated but huge pages.

Sizes are in pages.
"""

from __future__ import annotations

from collections.abc import Iterator

from elfcorehdr.lib.ranges import Range
from elfcorehdr.lib.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

MOVABLE, DEVICE = "Movable", "Device"


class Zone(Record):
    """struct zone"""

    node: int
    name: str
    start_pfn: int = 0
    spanned: int = 0
    present: int = 0
    managed: int = 0
    free: int = 0


def zones(kernel: Kernel, node: int) -> Iterator[Zone]:
    """A node's zones, empty ones too, in the kernel's order."""
    page, at = kernel.page_size, 0
    huge = kernel.hugetlb.node_bytes(node)
    made = []
    for name in kernel.arch.zone_names:
        limits = kernel.arch.zone_limits(kernel, name)
        made.append(_zone(kernel, node, name, Range(max(limits.start, at), limits.end)))
        if limits.end + 1 > at:
            at = limits.end + 1
    for zone in reversed(made):  # huge pages come out of the highest zone
        taken = min(huge // page, zone.managed)
        huge -= taken * page
        made[made.index(zone)] = Zone(
            *(zone.node, zone.name, zone.start_pfn, zone.spanned, zone.present, zone.managed),
            zone.managed - taken,
        )
    yield from made
    yield _movable(kernel, node)
    yield Zone(node, DEVICE)


def _zone(kernel: Kernel, node: int, name: str, limits: Range) -> Zone:
    """What of a node's RAM lies within limits and is online outside Movable."""
    if limits.start > limits.end:
        return Zone(node, name)
    page, memory = kernel.page_size, kernel.memory
    first = last = -1
    present = gone = 0
    for region in kernel.memblock.node_regions(node):
        start, end = max(region.start, limits.start), min(region.end, limits.end)
        if start > end:
            continue
        first = start if first < 0 else first
        last = end
        out = memory.not_in_kernel_zones(start, end)
        present += end - start + 1 - out
        gone += kernel.nodes.kept(start, end)
    if first < 0:
        return Zone(node, name)
    managed = max(present - gone, 0) // page
    return Zone(
        node,
        name,
        first // page,
        (last + 1) // page - first // page,
        present // page,
        managed,
        managed,
    )


def _movable(kernel: Kernel, node: int) -> Zone:
    """The blocks that were onlined into it."""
    page, memory = kernel.page_size, kernel.memory
    pages = 0
    for region in kernel.memblock.node_regions(node):
        pages += memory.movable(region.start, region.end) // page
    return Zone(node, MOVABLE, 0, pages, pages, pages, pages)


def min_free_kbytes(kernel: Kernel, managed: int, populated: int) -> int:
    """calculate_min_free_kbytes(), then set_recommended_min_free_kbytes() where transparent huge pages are on.

    managed: pages of all zones; populated: how many zones have any.
    """
    from math import isqrt  # a shared object that no start needs

    kib = kernel.page_size // 1024
    least = min(max(isqrt(managed * kib * 16), 128), 262144)
    if kernel.config("TRANSPARENT_HUGEPAGE") and kernel.arch.thp(kernel):
        block = kernel.arch.pageblock_bytes(kernel) // kernel.page_size
        # MIGRATE_PCPTYPES is 3: two blocks a zone, and one a type for a type.
        recommended = block * populated * (2 + 3 * 3)
        least = max(least, min(recommended, managed // 20) * kib)
    return least


def watermarks(
    kernel: Kernel, zone: Zone, managed: int, populated: int
) -> tuple[int, int, int, int]:
    """__setup_per_zone_wmarks(): min, low, high, promo."""
    least = min_free_kbytes(kernel, managed, populated) * 1024 // kernel.page_size
    if zone.name == MOVABLE:
        low = min(max(zone.managed // 1024, 32), 128)
        step = max(0, zone.managed * 10 // 10000)
    else:
        low = least * zone.managed // managed if managed else 0
        step = max(low // 4, zone.managed * 10 // 10000)
    return low, low + step, low + 2 * step, low + 3 * step
