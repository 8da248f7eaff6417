"""memblock.memory: what RAM there is, region by region. Mirrors mm/memblock.c (v6.18)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence

from elfcorehdr.lib.journal import Edit, Journal
from elfcorehdr.lib.ranges import Range
from elfcorehdr.lib.record import NamedTuple

NOMAP = "NOMAP"
"""MEMBLOCK_NOMAP: in no direct map, hence in no header."""
DRV_MNG = "DRV_MNG"
"""MEMBLOCK_DRIVER_MANAGED: virtio-mem's, in a region of its own."""


class Region(NamedTuple):
    """One memblock region: start..end in bytes, both included; its NUMA node; flags as debugfs prints them."""

    start: int
    end: int
    node: int = 0
    flags: str = ""

    @property
    def allocatable(self) -> bool:
        """Whether memblock_alloc() takes from it: should_skip_region()."""
        return NOMAP not in self.flags and DRV_MNG not in self.flags


def split_by_node(
    regions: Iterable[Region], nodes: Mapping[int, int], block_size: int
) -> Iterator[Region]:
    """The regions cut where the node changes; nodes has that of memory blocks, where it is known."""
    for region in regions:
        if not nodes:
            yield region
            continue
        start = region.start
        while start <= region.end:
            node = nodes.get(start // block_size, region.node)
            end = start // block_size * block_size + block_size - 1
            while end < region.end and nodes.get((end + 1) // block_size, region.node) == node:
                end += block_size
            end = min(end, region.end)
            yield region._replace(start=start, end=end, node=node)
            start = end + 1


class Memblock:
    """An ascending list of disjoint regions; add() joins neighbours of one node and flags."""

    def __init__(self, regions: Iterable[Region] = ()) -> None:
        self._starts: list[int] = []
        self._regions: list[Region] = []
        self._node_starts: dict[int, list[int]] = {}
        self._node_bytes: dict[int, int] = {}
        self.seams: list[int] = []
        """Where a region begins right behind another one, ascending."""
        self.edits = Journal()
        """What add() and remove() did."""
        self._splice(0, 0, sorted(regions))

    def __iter__(self) -> Iterator[Region]:
        return iter(self._regions)

    def __len__(self) -> int:
        return len(self._regions)

    def __getitem__(self, index: int) -> Region:
        return self._regions[index]

    @property
    def starts(self) -> Sequence[int]:
        """The first byte of each region, ascending."""
        return self._starts

    def total(self) -> int:
        """memblock_phys_mem_size(): bytes of RAM."""
        return sum(self._node_bytes.values())

    def end_of_dram(self) -> int:
        """memblock_end_of_DRAM(): the address behind the last byte."""
        return self._regions[-1].end + 1 if self._regions else 0

    def nodes(self) -> list[int]:
        """Nodes with memory, ascending."""
        return sorted(self._node_starts)

    def node_bytes(self, node: int) -> int:
        """Bytes of RAM on a node."""
        return self._node_bytes.get(node, 0)

    def node_regions(self, node: int) -> Iterator[Region]:
        """A node's regions, ascending, as they are when reached."""
        at = -1
        while starts := self._node_starts.get(node):
            i = bisect_right(starts, at)
            if i == len(starts):
                return
            at = starts[i]
            yield self._regions[bisect_left(self._starts, at)]

    def node_span(self, node: int) -> Range | None:
        """First to last byte of a node's RAM; None without any."""
        starts = self._node_starts.get(node)
        if not starts:
            return None
        return Range(starts[0], self._regions[bisect_left(self._starts, starts[-1])].end)

    def index(self, address: int) -> int:
        """How many regions begin at or below address."""
        return bisect_right(self._starts, address)

    def find(self, address: int) -> Region | None:
        """The region that holds address, or None."""
        i = bisect_right(self._starts, address) - 1
        if i >= 0 and self._regions[i].end >= address:
            return self._regions[i]
        return None

    def overlapping(self, start: int, end: int) -> Iterator[Region]:
        """The regions with a byte in start..end (included), ascending."""
        i = max(0, bisect_right(self._starts, start) - 1)
        if i < len(self._regions) and self._regions[i].end < start:
            i += 1
        while i < len(self._regions) and self._regions[i].start <= end:
            yield self._regions[i]
            i += 1

    def covers(self, start: int, end: int) -> bool:
        """Whether every byte of start..end (included) is RAM."""
        while region := self.find(start):
            if region.end >= end:
                return True
            start = region.end + 1
        return False

    def overlaps(self, start: int, end: int) -> bool:
        """Whether any byte of start..end (included) is RAM."""
        i = bisect_right(self._starts, end) - 1
        return i >= 0 and self._regions[i].end >= start

    def add(self, start: int, end: int, node: int = 0, flags: str = "") -> None:
        """memblock_add_node(): make start..end (included), which must not be RAM yet, a region.

        It is joined with neighbours of the same node and flags.
        """
        lo = hi = i = bisect_left(self._starts, start)
        regions = self._regions
        first, last = start, end
        if i and regions[i - 1].end + 1 == start and regions[i - 1][2:] == (node, flags):
            lo, first = i - 1, regions[i - 1].start
        if i < len(regions) and end + 1 == regions[i].start and regions[i][2:] == (node, flags):
            hi, last = i + 1, regions[i].end
        self._splice(lo, hi, [Region(first, last, node, flags)])
        self.edits.append(Edit(True, start, end, first < start, last > end))

    def remove(self, start: int, end: int) -> None:
        """memblock_remove(): take start..end (included) out, splitting regions if need be."""
        lo = max(0, bisect_right(self._starts, start) - 1)
        if lo < len(self._regions) and self._regions[lo].end < start:
            lo += 1
        hi = bisect_right(self._starts, end)
        kept: list[Region] = []
        for region in self._regions[lo:hi]:
            if region.start < start:
                kept.append(region._replace(end=start - 1))
            if region.end > end:
                kept.append(region._replace(start=end + 1))
        self._splice(lo, hi, kept)
        self.edits.append(Edit(False, start, end))

    def _splice(self, lo: int, hi: int, new: list[Region]) -> None:
        """Put new in the place of regions lo up to hi (not included); the one place that changes them."""
        for old in self._regions[lo:hi]:
            starts = self._node_starts[old.node]
            del starts[bisect_left(starts, old.start)]
            self._node_bytes[old.node] -= old.end - old.start + 1
            if not starts:
                del self._node_starts[old.node], self._node_bytes[old.node]
        self._drop_seams(lo, hi)
        self._regions[lo:hi] = new
        self._starts[lo:hi] = [r.start for r in new]
        for region in new:
            insort(self._node_starts.setdefault(region.node, []), region.start)
            size = region.end - region.start + 1
            self._node_bytes[region.node] = self._node_bytes.get(region.node, 0) + size
        self._note_seams(lo, lo + len(new))

    def _drop_seams(self, lo: int, hi: int) -> None:
        """Forget the seams in front of regions lo to hi, both included."""
        if self.seams:
            starts = self._starts[lo : hi + 1]
            if starts:
                at = bisect_left(self.seams, starts[0])
                del self.seams[at : bisect_right(self.seams, starts[-1])]

    def _note_seams(self, lo: int, hi: int) -> None:
        """Find the seams in front of regions lo to hi, both included."""
        regions = self._regions
        found = [
            regions[i].start
            for i in range(max(lo, 1), min(hi + 1, len(regions)))
            if regions[i - 1].end + 1 == regions[i].start
        ]
        if found:
            at = bisect_left(self.seams, found[0])
            self.seams[at:at] = found
