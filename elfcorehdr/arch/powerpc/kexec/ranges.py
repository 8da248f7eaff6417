"""Memory ranges of ppc64 kexec: arch/powerpc/kexec/ranges.c (v7.1)."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterable

from elfcorehdr import changes
from elfcorehdr.kernel.kexec_core import U64
from elfcorehdr.lib.ranges import CrashMem, Range
from elfcorehdr.mm.memblock import Memblock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

CHUNK = 2048
"""MEM_RANGE_CHUNK_SZ: what a list grows by, in bytes."""
HEAD, ENTRY = 8, 16
"""sizeof(struct crash_mem) and of one range in it."""
GROWTH = CHUNK // ENTRY
"""Entries that a list gains each time it grows."""
BACKUP_SRC_SIZE = 0x10000
"""BACKUP_SRC_START is 0: the first 64 KiB, whatever the page size."""

Debug = Callable[[str], None]


def nr_joined(memblock: Memblock) -> int:
    """At how many seams, from the lowest on, two regions become one, as the list was full when both were in it.

    Each region of memblock is added to a MemRanges, which is sorted and merged whenever it is full,
    as get_crash_memory_ranges() does. Found from the seams alone: between two of them a full list
    only grows.
    """
    seams, room, merged = memblock.seams, (CHUNK - HEAD) // ENTRY, 0
    starts, count = memblock.starts, len(seams)
    while merged < count:
        added = room + merged
        missing = bisect_right(starts, seams[merged]) - added
        if missing > 0:
            more = -(-missing // GROWTH) * GROWTH
            room, added = room + more, added + more
        if added > len(starts):
            break
        merged = bisect_right(seams, starts[added - 1], merged)
    return merged


class MemRanges(CrashMem):
    """struct crash_mem as ranges.c grows it; debug gets the pr_debug() lines, without their prefix."""

    __slots__ = ("_debug", "_highest", "_settled")

    def __init__(self, debug: Debug | None = None) -> None:
        super().__init__(max_nr_ranges=0)
        self._debug = debug
        self._highest = -1  # the highest end so far: what begins above it overlaps nothing
        self._settled = 0  # so many entries are merged already, and ascend with all added since

    @classmethod
    def of(cls, ranges: Iterable[Range]) -> MemRanges:
        """A part of another list."""
        part = cls()
        part.ranges = list(ranges)
        return part

    @property
    def full(self) -> bool:
        """Whether the next range makes the list grow."""
        return len(self.ranges) == self.max_nr_ranges

    def grow(self) -> None:
        """realloc_mem_ranges()"""
        size = HEAD + (self.max_nr_ranges or 0) * ENTRY
        size = 0 if not self.max_nr_ranges else (size + CHUNK - 1) // CHUNK * CHUNK
        self.max_nr_ranges = (size + CHUNK - HEAD) // ENTRY

    def add(self, base: int, size: int) -> None:
        """add_mem_range(): join the first range that overlaps, else append at the end; size 0 is nothing.

        Sizes and ends are modulo 2^64, as u64 has it. Two old ranges are never joined.
        """
        if not size:
            return
        end = (base + size - 1) & U64
        if base <= self._highest:
            for i, (start, last) in enumerate(self.ranges):
                if base < last and end > start:
                    self.ranges[i] = Range(min(base, start), max(end, last))
                    self._highest = max(self._highest, end)
                    self._settled = 0
                    return
        if self.full:
            self.grow()
        if self._debug:
            self._debug(
                f"Added memory range [{base:#016x} - {end:#016x}] at index {len(self.ranges)}"
            )
        if base <= self._highest:
            self._settled = 0
        self.ranges.append(Range(base, end))
        self._highest = max(self._highest, end)

    def sort(self, *, merge: bool = False) -> None:
        """sort_memory_ranges()

        Quirk: merging compares with the entry before in the old list, not with the merged one, and
        takes the later end even if it is the smaller; equal for ranges that do not overlap.
        """
        kept = max(self._settled - 1, 0) if merge else 0
        ranges = sorted(self.ranges[kept:], key=lambda r: r.start)
        if merge and ranges:
            merged = [ranges[0]]
            for before, r in itertools.pairwise(ranges):
                if r.start <= before.end + 1:
                    merged[-1] = Range(merged[-1].start, r.end)
                else:
                    merged.append(r)
            ranges = merged
        self.ranges[kept:] = ranges
        self._settled = len(self.ranges) if merge else 0
        ranges = self.ranges
        if self._debug:
            self._debug("Memory ranges:")
            for i, (start, end) in enumerate(ranges):
                self._debug(f"\t[{i:03}][{start:#016x} - {end:#016x}]")

    def exclude(self, start: int, end: int, *, continues: bool = True) -> None:
        """As CrashMem.exclude()."""
        self._settled = 0
        super().exclude(start, end, continues=continues)

    def remove(self, base: int, size: int, *, wraps: bool) -> None:
        """remove_mem_range(): take a block out of the one range that holds it whole, if there is one.

        A block strictly inside a range leaves its tail appended last: one byte too long (G2), or
        with wraps of a size that wraps at 2^64 (G1). A block across an edge is not removed at all.
        """
        # Quirk: both tails are the kernel's own arithmetic, seen in golden ppc64/A, B and D (G2).
        self._settled = 0
        end = base + size - 1
        for i, (start, last) in enumerate(self.ranges):
            if not (start <= base and end <= last):
                continue
            if base == start and end == last:
                del self.ranges[i]
            elif base == start:
                self.ranges[i] = Range(end + 1, last)
            elif end == last:
                self.ranges[i] = Range(start, base - 1)
            else:
                self.ranges[i] = Range(start, base - 1)
                self.add(end + 1, (base - end - 1) & U64 if wraps else last - end + 1)
            return


def _list(kernel: Kernel) -> MemRanges:
    if not kernel.log.debugging("ranges"):
        return MemRanges()
    return MemRanges(lambda text: kernel.log.debug("ranges", f"kexec ranges: {text}"))


def _add_firmware(kernel: Kernel, ranges: MemRanges) -> None:
    """add_rtas_mem_range(), add_opal_mem_range(): with the sizes of the device tree, not page rounded."""
    for firmware in (kernel.machine.rtas, kernel.machine.opal):
        if firmware is not None:
            ranges.add(firmware.start, firmware.size)


def get_crash_memory_ranges(kernel: Kernel) -> MemRanges:
    """Memblock region by region, less the reservation, plus firmware and backup.

    The backup range [0, 64 KiB) is an entry of its own, next to the one that follows it.
    """
    ranges = _list(kernel)
    for region in kernel.memblock:
        start = region.start
        if start == 0:
            if region.end < BACKUP_SRC_SIZE:
                continue
            start = BACKUP_SRC_SIZE
        ranges.add(start, region.end - start + 1)
        if ranges.full:
            ranges.sort(merge=True)
    if ranges.full:
        ranges.grow()
    kexec = kernel.kexec
    for cut in (kexec.crashk_res, *kexec.crashk_cma_ranges):
        if cut is not None:
            if ranges.full:
                ranges.grow()
            ranges.exclude(cut.start, cut.end, continues=kernel.has(changes.EXCLUDE_CONTINUES))
    _add_firmware(kernel, ranges)
    ranges.add(0, BACKUP_SRC_SIZE)
    ranges.sort()
    return ranges


def get_exclude_memory_ranges(kernel: Kernel) -> list[Range]:
    """What no segment may touch."""
    ranges = _list(kernel)
    ranges.add(0, kernel.machine.kernel_end)
    _add_firmware(kernel, ranges)
    ranges.sort(merge=True)
    return ranges.ranges


def get_reserved_memory_ranges(kernel: Kernel) -> MemRanges:
    """What firmware keeps."""
    ranges = _list(kernel)
    _add_firmware(kernel, ranges)
    return ranges


def get_usable_memory_ranges(kernel: Kernel) -> MemRanges:
    """What the capture kernel may use: all below the end of the reservation, and firmware's."""
    ranges = _list(kernel)
    region = kernel.kexec.crashk_res
    if region is not None:
        ranges.add(0, region.end + 1)
    _add_firmware(kernel, ranges)
    return ranges
