"""/proc/vmstat, zoneinfo, buddyinfo, pagetypeinfo: mm/vmstat.c (v6.1, v6.12, v7.3).

Names, order and layout are the kernel's; memory is all free, in blocks as large as can be, but for huge pages.
"""

from __future__ import annotations

from collections.abc import Iterator

from elfcorehdr.changes import in_sysfs
from elfcorehdr.init.main import Kernel
from elfcorehdr.mm.page_alloc import DEVICE, MOVABLE, Zone, watermarks, zones
from elfcorehdr.mm.vmstat import BY_ZONE, DIRTY, EVENTS, NODE, NUMA, PAGING, ZONE, names
from fsmount.tree.kobject import AttributeGroup, Declaration, Filesystem, singleton

proc = AttributeGroup("", singleton, fs=Filesystem.PROCFS)
MIGRATE_TYPES = ("Unmovable", "Movable", "Reclaimable", "HighAtomic", "CMA", "Isolate")
"""migratetype_names[], mm/show_mem.c."""


@proc.show
def vmstat_show(kernel: Kernel) -> str:
    """Every counter of the kernel, one a line."""
    free = sum(kernel.nodes.memory(node)[1] for node in kernel.nodes.ids()) // kernel.page_size
    known = {"nr_free_pages": free, "nr_free_pages_blocks": free}
    by_zone = [
        f"{event}_{zone.lower()}"
        for event in BY_ZONE
        for zone in (*kernel.arch.zone_names, MOVABLE, DEVICE)
    ]
    all_names = (
        *names(kernel, ZONE, NUMA, NODE, DIRTY, PAGING),
        *by_zone,
        *names(kernel, EVENTS),
        "nr_unstable",
    )
    return "".join(f"{name} {known.get(name, 0)}\n" for name in all_names)


@proc.show
def zoneinfo_show(kernel: Kernel) -> str:
    """Each zone of each node: pages, watermarks, counters, what each running CPU keeps."""
    return "".join(_zoneinfo(kernel))


def _zoneinfo(kernel: Kernel) -> Iterator[str]:
    of_node = names(kernel, NODE)
    of_zone = names(kernel, ZONE)
    numa = names(kernel, NUMA)
    every = {node: list(zones(kernel, node)) for node in kernel.nodes.ids()}
    populated = [z for some in every.values() for z in some if z.present]
    managed = sum(z.managed for z in populated)
    pagesets = _pagesets(kernel)
    for some in every.values():
        first = next((z for z in some if z.present), None)
        for zone in some:
            yield f"Node {zone.node}, zone {zone.name:>8}"
            if zone is first:
                yield "\n  per-node stats"
                yield "".join(f"\n      {name:<12} 0" for name in of_node)
            marks = (
                watermarks(kernel, zone, managed, len(populated))
                if zone.name != DEVICE
                else (0,) * 4
            )
            if not zone.present and zone.name != MOVABLE:
                marks = (0,) * 4
            shown = dict(zip(("min", "low", "high", "promo"), marks, strict=True))
            if not kernel.has(in_sysfs.NODE_COUNTERS_6_12):
                del shown["promo"]
            yield f"\n  pages free     {zone.free}\n        boost    0"
            yield "".join(f"\n        {name:<8} {value}" for name, value in shown.items())
            yield (
                f"\n        spanned  {zone.spanned}\n        present  {zone.present}"
                f"\n        managed  {zone.managed}\n        cma      0"
                f"\n        protection: ({', '.join(['0'] * len(some))})"
            )
            if not zone.present:
                yield "\n"
                continue
            values = {"nr_free_pages": zone.free, "nr_free_pages_blocks": zone.free}
            yield "".join(f"\n      {name:<12} {values.get(name, 0)}" for name in (*of_zone, *numa))
            yield pagesets
            yield (f"\n  node_unreclaimable:  0\n  start_pfn:           {zone.start_pfn}")
            if kernel.has(in_sysfs.ZONEINFO_6_16):
                yield "\n  reserved_highatomic: 0\n  free_highatomic:     0"
            yield "\n"


def _pagesets(kernel: Kernel) -> str:
    """What each running CPU keeps for itself: the same in every zone, nothing."""
    if kernel.has(in_sysfs.ZONEINFO_6_16):
        rows = ["count:    0", "high:     0", "batch:    63", "high_min: 0", "high_max: 0"]
    else:
        rows = ["count: 0", "high:  0", "batch: 63"]
    each = "".join(f"\n              {row}" for row in rows) + "\n  vm stats threshold: 0"
    return "\n  pagesets" + "".join(f"\n    cpu: {n}{each}" for n in kernel.cpus.online)


@proc.show
def buddyinfo_show(kernel: Kernel) -> str:
    """Free blocks of each order: the largest that fit, then what is left over."""
    return "".join(
        f"Node {zone.node}, zone {zone.name:>8} "
        + "".join(f"{n:>6} " for n in _blocks(kernel, zone))
        + "\n"
        for node in kernel.nodes.ids()
        for zone in zones(kernel, node)
        if zone.present
    )


def _blocks(kernel: Kernel, zone: Zone) -> list[int]:
    """How many free blocks of each order make up the zone's free pages."""
    order = kernel.arch.max_page_order(kernel)
    return [*(zone.free >> n & 1 for n in range(order)), zone.free >> order]


@proc.show(mode=0o400)
def pagetypeinfo_show(kernel: Kernel) -> str:
    """Free blocks of each order by what may be in them, node by node: all is movable."""
    return "".join(line for node in kernel.nodes.with_memory() for line in _pagetypes(kernel, node))


def _pagetypes(kernel: Kernel, node: int) -> Iterator[str]:
    """pagetypeinfo_show() of a node."""
    order = kernel.arch.pageblock_bytes(kernel) // kernel.page_size
    orders = range(kernel.arch.max_page_order(kernel) + 1)
    populated = [zone for zone in zones(kernel, node) if zone.present]
    yield f"Page block order: {order.bit_length() - 1}\nPages per block:  {order}\n\n"
    yield f"{'Free pages count per migrate type at order':<43} "
    yield "".join(f"{n:>6} " for n in orders) + "\n"
    for zone in populated:
        for kind in MIGRATE_TYPES:
            counts = _blocks(kernel, zone) if kind == "Movable" else [0] * len(orders)
            yield f"Node {node:>4}, zone {zone.name:>8}, type {kind:>12} "
            yield "".join(f"{n:>6} " for n in counts) + "\n"
    yield f"\n{'Number of blocks type':<23}"
    yield "".join(f"{kind:>12} " for kind in MIGRATE_TYPES) + "\n"
    for zone in populated:
        blocks = -(-zone.spanned // order)
        yield f"Node {node}, zone {zone.name:>8} "
        yield "".join(f"{blocks if kind == 'Movable' else 0:>12} " for kind in MIGRATE_TYPES) + "\n"


GROUPS: tuple[Declaration, ...] = (proc,)
