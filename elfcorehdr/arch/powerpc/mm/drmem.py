"""The table of logical memory blocks: arch/powerpc/mm/drmem.c (v7.1)."""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator

from elfcorehdr.lib.record import NamedTuple
from elfcorehdr.machine import Lmbs

NO_ASSOCIATIVITY = 0xFFFFFFFF
_Run = tuple[int, Lmbs]
"""The row of its first LMB, and the run."""


def _first(run: _Run) -> int:
    return run[0]


def _drc(run: _Run) -> int:
    return run[1].drc


def _run_start(run: _Run) -> int:
    return run[1].start


class Lmb(NamedTuple):
    """One logical memory block: its row in the table, base address, DRC index."""

    row: int
    base: int
    drc: int


_OTHER = [rb"[^%c]" % flag for flag in range(4)]
"""By the flags of an LMB: where the next one has others."""


class LmbTable:
    """drmem_info: the LMBs in table order; one byte each says whether it is assigned or reserved."""

    ASSIGNED, RESERVED = 1, 2

    def __init__(self, runs: tuple[Lmbs, ...], lmb_size: int) -> None:
        self._size = lmb_size
        self._runs: list[_Run] = []
        self._flags = bytearray(sum(run.count for run in runs))
        first = 0
        for run in runs:
            self._runs.append((first, run))
            if run.flags & Lmbs.RESERVED:
                self._flags[first : first + run.count] = bytes([self.RESERVED]) * run.count
            first += run.count
        self._by_drc = sorted((r for r in self._runs if r[1].drc), key=_drc)
        self._by_start = sorted(self._runs, key=_run_start)

    def __len__(self) -> int:
        return len(self._flags)

    def lmb(self, row: int) -> Lmb:
        """The LMB in that row."""
        if not 0 <= row < len(self._flags):
            raise IndexError(row)
        first, run = self._runs[bisect_right(self._runs, row, key=_first) - 1]
        k = row - first
        return Lmb(row, run.start + k * self._size, run.drc + k if run.drc else 0)

    def by_drc(self, drc: int) -> Lmb | None:
        """The LMB with that DRC index, if there is one."""
        i = bisect_right(self._by_drc, drc, key=_drc) - 1
        if i < 0:
            return None
        first, run = self._by_drc[i]
        return self.lmb(first + drc - run.drc) if drc < run.drc + run.count else None

    def by_base(self, base: int) -> Lmb | None:
        """The LMB that begins at a physical address, if there is one."""
        i = bisect_right(self._by_start, base, key=_run_start) - 1
        if i < 0:
            return None
        first, run = self._by_start[i]
        k, rest = divmod(base - run.start, self._size)
        return self.lmb(first + k) if not rest and k < run.count else None

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

    def dynamic_memory_v2(self, rma_size: int = 0) -> bytes:
        """ibm,dynamic-memory-v2: a count, then sequential LMBs, base, DRC index, associativity, flags a run.

        Those in the real mode area are memory@0's, and marked as reserved, so that who reads both
        (kexec-tools) has each once.
        """
        sets: list[tuple[int, Lmb, int]] = []
        for first, run in self._runs:
            row = first
            while row < first + run.count:
                flag = self._flags[row]
                other = re.compile(_OTHER[flag], re.DOTALL).search(
                    self._flags, row, first + run.count
                )
                end = other.start() if other else first + run.count
                bits = Lmbs.ASSIGNED if flag & self.ASSIGNED else run.flags & ~Lmbs.ASSIGNED
                if (base := self.lmb(row).base) < rma_size:
                    end = min(end, row + -(-(rma_size - base) // self._size))
                    bits |= Lmbs.RESERVED
                sets.append((end - row, self.lmb(row), bits))
                row = end
        rows = b"".join(
            struct.pack(">IQIII", count, lmb.base, lmb.drc, NO_ASSOCIATIVITY, bits)
            for count, lmb, bits in sets
        )
        return struct.pack(">I", len(sets)) + rows
