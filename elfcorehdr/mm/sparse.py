"""Sections and the map of struct pages: mm/sparse.c, mm/sparse-vmemmap.c (v7.2), SPARSEMEM_EXTREME with VMEMMAP.

Entries and struct pages are made when they are read. Imports the rest of mm.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable

from elfcorehdr.kernel.vmcoreinfo.text import VmcoreInfo
from elfcorehdr.lib.record import NamedTuple
from elfcorehdr.mm.physmem import PhysMem, table
from elfcorehdr.mm.struct_page import StructPage

SECTION_MARKED_PRESENT, SECTION_HAS_MEM_MAP, SECTION_IS_ONLINE, SECTION_IS_EARLY = 1, 2, 4, 8
"""include/linux/mmzone.h"""

Alloc = Callable[[int, int], int]
"""memblock_alloc(size, align): a physical address; MemoryError without room."""


class Chunk(NamedTuple):
    """Struct pages at virtual addresses start..end-1, which lie at phys."""

    start: int
    end: int
    phys: int


class Sections:
    """Which sections there are: runs of first, behind the last, and flags, ascending."""

    def __init__(
        self,
        regions: Iterable[tuple[int, int]],
        section_bits: int,
        *,
        boot_end: int,
        offline: Iterable[tuple[int, int]] = (),
    ) -> None:
        self.bits = section_bits
        self.runs: list[tuple[int, int, int]] = []
        early = SECTION_MARKED_PRESENT | SECTION_HAS_MEM_MAP | SECTION_IS_ONLINE
        for start, end in regions:
            first, last = start >> section_bits, ((end - 1) >> section_bits) + 1
            flags = early | (SECTION_IS_EARLY if start < boot_end else 0)
            if self.runs and first <= self.runs[-1][1] and self.runs[-1][2] == flags:
                self.runs[-1] = (self.runs[-1][0], max(last, self.runs[-1][1]), flags)
                continue
            if self.runs:
                first = max(first, self.runs[-1][1])
            if first < last:
                self.runs.append((first, last, flags))
        for start, end in offline:
            self._clear(start >> section_bits, ((end - 1) >> section_bits) + 1)

    def _clear(self, first: int, last: int) -> None:
        """Sections first..last-1 are not online."""
        i = max(0, bisect_right(self.runs, (first, 1 << 64, 0)) - 1)
        while i < len(self.runs) and self.runs[i][0] < last:
            lo, hi, flags = self.runs[i]
            if hi > first and flags & SECTION_IS_ONLINE:
                cut = [
                    (lo, max(lo, first), flags),
                    (max(lo, first), min(hi, last), flags & ~SECTION_IS_ONLINE),
                    (min(hi, last), hi, flags),
                ]
                made = [run for run in cut if run[0] < run[1]]
                self.runs[i : i + 1] = made
                i += len(made)
                continue
            i += 1

    def flags(self, first: int, last: int) -> Iterable[tuple[int, int]]:
        """How many sections from first to last-1 have which flags, in order; 0 for one that is not there."""
        i = max(0, bisect_right(self.runs, (first, 1 << 64, 0)) - 1)
        at = first
        while at < last:
            if i == len(self.runs) or self.runs[i][0] >= last:
                yield last - at, 0
                return
            lo, hi, flags = self.runs[i]
            if hi > at:
                if lo > at:
                    yield lo - at, 0
                    at = lo
                stop = min(hi, last)
                yield stop - at, flags
                at = stop
            i += 1


def populate(
    mem: PhysMem, sections: Sections, pages: StructPage, vmemmap: int, granule: int, alloc: Alloc
) -> list[Chunk]:
    """vmemmap_populate(): memory for the struct pages of every section; gives where they lie, ascending.

    granule: the size of the pages that the array is mapped with, in bytes.
    """
    per = (1 << sections.bits) // mem.use.page_size * pages.size
    spans: list[tuple[int, int]] = []
    for first, last, _ in sections.runs:
        start = (vmemmap + first * per) // granule * granule
        end = -(-(vmemmap + last * per) // granule) * granule
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    chunks: list[Chunk] = []
    for start, end in spans:
        chunks += _backed(start, end, granule, alloc)
    for chunk in chunks:
        mem.put(chunk.phys, chunk.end - chunk.start, _reader(mem, pages, chunk.start - vmemmap))
    return chunks


def _backed(start: int, end: int, granule: int, alloc: Alloc) -> list[Chunk]:
    """Memory for start..end-1, in as few pieces as there is room for."""
    try:
        return [Chunk(start, end, alloc(end - start, granule))]
    except MemoryError:
        count = (end - start) // granule
        if count < 2:
            raise
        middle = start + count // 2 * granule
        return [*_backed(start, middle, granule, alloc), *_backed(middle, end, granule, alloc)]


def _reader(mem: PhysMem, pages: StructPage, base: int) -> Callable[[int, int], bytes]:
    size = pages.size

    def read(offset: int, length: int) -> bytes:
        at, end = base + offset, base + offset + length
        first = max(at, 0)
        made = pages.pages(mem.use, first // size, -(-end // size))
        skip = first - first // size * size
        return bytes(first - at) + made[skip : skip + end - first]

    return read


def mem_section(
    mem: PhysMem,
    sections: Sections,
    info: VmcoreInfo,
    vmemmap: int,
    va: Callable[[int], int],
    alloc: Alloc,
) -> int:
    """sparse_init(): the roots and the sections' entries; the physical address of the roots' array."""
    width = info.size("mem_section")
    at = info.offset("mem_section.section_mem_map") or 0
    per_root = mem.use.page_size // width
    roots = info.length("mem_section")
    if not sections.runs:
        raise ValueError("a machine without memory")
    low, high = sections.runs[0][0] // per_root, (sections.runs[-1][1] - 1) // per_root + 1
    count = (high - low) * per_root
    page = mem.use.page_size
    entries = alloc(count * width, page)

    def made(first: int, last: int) -> bytes:
        parts = []
        for many, flags in sections.flags(low * per_root + first, low * per_root + last):
            entry = bytearray(width)
            if flags:
                struct.pack_into("<Q", entry, at, vmemmap | flags)
            parts.append(bytes(entry) * many)
        return b"".join(parts)

    mem.put(entries, count * width, table(count, width, made))

    def pointers(first: int, last: int) -> bytes:
        parts = []
        for root in range(first, last):
            used = low <= root < high and any(
                flags for _, flags in sections.flags(root * per_root, (root + 1) * per_root)
            )
            parts.append(struct.pack("<Q", va(entries + (root - low) * page) if used else 0))
        return b"".join(parts)

    where = alloc(roots * 8, 64)
    mem.put(where, roots * 8, table(roots, 8, pointers))
    return where
