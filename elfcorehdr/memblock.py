"""memblock.memory: what RAM there is, region by region. Mirrors mm/memblock.c (v6.18).

Imports only .ranges.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

NOMAP = "NOMAP"
"""MEMBLOCK_NOMAP: in no direct map, hence in no header."""


class Region(NamedTuple):
    """One memblock region: start..end in bytes, both included; its NUMA node; flags as debugfs prints them."""

    start: int
    end: int
    node: int = 0
    flags: str = ""


class Memblock:
    """An ascending list of disjoint regions; neighbours of one node and flags are one region.

    `edits` holds what add() and remove() did since somebody last cleared it, as
    (True for add, start, end): a header kept from the last build is brought up to date from it.
    """

    def __init__(self, regions: Iterable[Region] = ()) -> None:
        self._starts: list[int] = []
        self._regions: list[Region] = []
        self.edits: list[tuple[bool, int, int]] = []
        for region in sorted(regions):
            self._starts.append(region.start)
            self._regions.append(region)

    def __iter__(self) -> Iterator[Region]:
        return iter(self._regions)

    def __len__(self) -> int:
        return len(self._regions)

    def total(self) -> int:
        """memblock_phys_mem_size(): bytes of RAM."""
        return sum(r.end - r.start + 1 for r in self._regions)

    def end_of_dram(self) -> int:
        """memblock_end_of_DRAM(): the address behind the last byte."""
        return self._regions[-1].end + 1 if self._regions else 0

    def find(self, address: int) -> Region | None:
        """The region that holds address, or None."""
        i = bisect_right(self._starts, address) - 1
        if i >= 0 and self._regions[i].end >= address:
            return self._regions[i]
        return None

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
        self.edits.append((True, start, end))
        i = bisect_left(self._starts, start)
        regions = self._regions
        lo = hi = i
        if i and regions[i - 1].end + 1 == start and regions[i - 1][2:] == (node, flags):
            lo, start = i - 1, regions[i - 1].start
        if i < len(regions) and end + 1 == regions[i].start and regions[i][2:] == (node, flags):
            hi, end = i + 1, regions[i].end
        regions[lo:hi] = [Region(start, end, node, flags)]
        self._starts[lo:hi] = [start]

    def remove(self, start: int, end: int) -> None:
        """memblock_remove(): take start..end (included) out, splitting regions if need be."""
        self.edits.append((False, start, end))
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
        self._regions[lo:hi] = kept
        self._starts[lo:hi] = [r.start for r in kept]
