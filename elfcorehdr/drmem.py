"""The table of logical memory blocks: arch/powerpc/mm/drmem.c (v7.1). Imports .machine."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from .machine import Lmbs

NO_ASSOCIATIVITY = 0xFFFFFFFF


class Lmb(NamedTuple):
    """One logical memory block: its row in the table, base address, DRC index."""

    row: int
    base: int
    drc: int


class LmbTable:
    """drmem_info: the LMBs in table order; one byte each says whether it is assigned or reserved."""

    ASSIGNED, RESERVED = 1, 2

    def __init__(self, runs: tuple[Lmbs, ...], lmb_size: int) -> None:
        self._size = lmb_size
        self._runs: list[tuple[int, Lmbs]] = []
        self._flags = bytearray(sum(run.count for run in runs))
        first = 0
        for run in runs:
            self._runs.append((first, run))
            if run.flags & Lmbs.RESERVED:
                self._flags[first : first + run.count] = bytes([self.RESERVED]) * run.count
            first += run.count

    def __len__(self) -> int:
        return len(self._flags)

    def lmb(self, row: int) -> Lmb:
        """The LMB in that row."""
        for first, run in reversed(self._runs):
            if row >= first:
                k = row - first
                drc = run.drc + k if run.drc else 0
                return Lmb(row, run.start + k * self._size, drc)
        raise IndexError(row)

    def by_drc(self, drc: int) -> Lmb | None:
        """The LMB with that DRC index, if there is one."""
        for first, run in self._runs:
            if run.drc and run.drc <= drc < run.drc + run.count:
                return self.lmb(first + drc - run.drc)
        return None

    def by_base(self, base: int) -> Lmb | None:
        """The LMB that begins at a physical address, if there is one."""
        for first, run in self._runs:
            k, rest = divmod(base - run.start, self._size)
            if not rest and 0 <= k < run.count:
                return self.lmb(first + k)
        return None

    def assign(self, row: int, *, assigned: bool) -> None:
        """Set or clear DRCONF_MEM_ASSIGNED."""
        if assigned:
            self._flags[row] |= self.ASSIGNED
        else:
            self._flags[row] &= ~self.ASSIGNED

    def assign_present(self, present: Callable[[int, int], bytearray]) -> None:
        """At boot: an LMB that is not reserved is assigned if its memory is there.

        present(base, count) says so for count LMBs from an address on: a byte each, 0 or ASSIGNED.
        """
        for first, run in self._runs:
            if not run.flags & Lmbs.RESERVED:
                self._flags[first : first + run.count] = present(run.start, run.count)

    def assigned(self, row: int) -> bool:
        """DRCONF_MEM_ASSIGNED"""
        return bool(self._flags[row] & self.ASSIGNED)

    def reserved(self, row: int) -> bool:
        """DRCONF_MEM_RESERVED"""
        return bool(self._flags[row] & self.RESERVED)

    def removable(self, row: int) -> bool:
        """lmb_is_removable(): assigned and not reserved."""
        return self._flags[row] == self.ASSIGNED

    def free(self, row: int) -> bool:
        """Neither assigned nor reserved."""
        return not self._flags[row]

    def rows(self, flags: int) -> Iterator[int]:
        """The rows whose flags are exactly these, ascending, as they are when reached."""
        row = self._flags.find(flags)
        while row >= 0:
            yield row
            row = self._flags.find(flags, row + 1)

    def count(self, flags: int) -> int:
        """How many rows have exactly these flags."""
        return self._flags.count(flags)

    def dynamic_memory_v2(self) -> bytes:
        """ibm,dynamic-memory-v2: a count, then sequential LMBs, base, DRC index, associativity, flags a run."""
        sets: list[tuple[int, Lmb, int]] = []
        for first, run in self._runs:
            row = first
            while row < first + run.count:
                flag, end = self._flags[row], row
                while end < first + run.count and self._flags[end] == flag:
                    end += 1
                bits = Lmbs.ASSIGNED if flag & self.ASSIGNED else run.flags & ~Lmbs.ASSIGNED
                sets.append((end - row, self.lmb(row), bits))
                row = end
        rows = b"".join(
            struct.pack(">IQIII", count, lmb.base, lmb.drc, NO_ASSOCIATIVITY, bits)
            for count, lmb, bits in sets
        )
        return struct.pack(">I", len(sets)) + rows
