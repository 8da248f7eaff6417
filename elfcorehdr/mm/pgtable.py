"""Page tables as functions: of each level one array for each span of virtual addresses, made when it is read.

What an entry looks like is the architecture's. Imports .physmem.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Sequence

from elfcorehdr.lib.record import NamedTuple
from elfcorehdr.mm.physmem import PhysMem, table


class Mapping(NamedTuple):
    """Virtual start..end-1 mapped to phys.., by leaves of 1 << shift bytes; start, end and phys are aligned to that."""

    start: int
    end: int
    phys: int
    shift: int


class Entries(NamedTuple):
    """An architecture's entries: a pointer to a table at a physical address, a leaf, and their byte order."""

    pointer: Callable[[int], int]
    leaf: Callable[[int, int], int]
    """Of a physical address, at a level's shift."""
    big_endian: bool = False


class _Array(NamedTuple):
    """The tables of one level for virtual start..end-1, contiguous in memory."""

    start: int
    end: int
    phys: int


class PageTables:
    """The tables below a root whose place is given.

    shifts: what one entry of each level spans, log2, from the root down.
    """

    def __init__(
        self,
        mem: PhysMem,
        root: int,
        shifts: Sequence[int],
        root_bits: int,
        entries: Entries,
        alloc: Callable[[int, int], int],
        mappings: Sequence[Mapping],
    ) -> None:
        self._mem = mem
        self._shifts = shifts
        self._entries = entries
        self._mappings = sorted(m for m in mappings if m.start < m.end)
        self._starts = [m.start for m in self._mappings]
        self._arrays: list[list[_Array]] = [[]]
        for level in range(1, len(shifts)):
            self._arrays.append(self._allocate(level, alloc))
        span = 1 << (shifts[0] + root_bits)
        base = self._mappings[0].start // span * span if self._mappings else 0
        self._arrays[0] = [_Array(base, base + span, root)]
        mem.put(root, 8 << root_bits, self._reader(0, self._arrays[0][0]))

    def _allocate(self, level: int, alloc: Callable[[int, int], int]) -> list[_Array]:
        """Arrays for what is mapped at this level or below it."""
        span = 1 << self._shifts[level - 1]
        spans: list[list[int]] = []
        for m in self._mappings:
            if m.shift >= self._shifts[level - 1]:
                continue
            start, end = m.start // span * span, -(-m.end // span) * span
            if spans and start <= spans[-1][1]:
                spans[-1][1] = max(spans[-1][1], end)
            else:
                spans.append([start, end])
        page = self._mem.use.page_size
        arrays = []
        for start, end in spans:
            size = (end - start) >> self._shifts[level] << 3
            at = alloc(
                -(-size // page) * page,
                max(page, 8 << (self._shifts[level - 1] - self._shifts[level])),
            )
            arrays.append(_Array(start, end, at))
            self._mem.put(at, size, self._reader(level, arrays[-1]))
        return arrays

    def _reader(self, level: int, array: _Array) -> Callable[[int, int], bytes]:
        shift = self._shifts[level]

        def entries(first: int, last: int) -> bytes:
            made = [self._entry(level, array.start + (n << shift)) for n in range(first, last)]
            order = ">" if self._entries.big_endian else "<"
            return struct.pack(f"{order}{len(made)}Q", *made)

        return table((array.end - array.start) >> shift, 8, entries)

    def _entry(self, level: int, va: int) -> int:
        shift = self._shifts[level]
        end = va + (1 << shift)
        i = max(0, bisect_right(self._starts, va) - 1)
        while i < len(self._mappings) and self._mappings[i].start < end:
            m = self._mappings[i]
            if m.end > va:
                if m.shift >= shift:
                    return self._entries.leaf(m.phys + va - m.start, shift)
                below = self._shifts[level + 1]
                for array in self._arrays[level + 1]:
                    if array.start <= va < array.end:
                        at = array.phys + ((va - array.start) >> below << 3)
                        return self._entries.pointer(at)
            i += 1
        return 0


def aligned(start: int, end: int, phys: int, shifts: Sequence[int]) -> list[Mapping]:
    """start..end-1 mapped to phys.. with the largest leaves of `shifts` (ascending) that fit, edges rounded out to the least."""
    least = 1 << shifts[0]
    skew = start % least
    start, phys = start - skew, phys - skew
    end = -(-end // least) * least
    for shift in reversed(shifts[1:]):
        size = 1 << shift
        if (start - phys) % size:
            continue
        first, last = -(-start // size) * size, end // size * size
        if first < last:
            lower = [s for s in shifts if s < shift]
            return [
                *(aligned(start, first, phys, lower) if start < first else []),
                Mapping(first, last, phys + first - start, shift),
                *(aligned(last, end, phys + last - start, lower) if last < end else []),
            ]
    return [Mapping(start, end, phys, shifts[0])]
