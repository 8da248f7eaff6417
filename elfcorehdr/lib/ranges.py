"""Physical address ranges, ends included: struct range and struct crash_mem of the kernel.

Mirrors crash_exclude_mem_range() of kernel/crash_core.c (v6.18) and the range arithmetic of
arch/powerpc/kexec/ranges.c (v7.1).
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from elfcorehdr.errors import KernelError
from elfcorehdr.lib.record import NamedTuple


class Range(NamedTuple):
    """start..end in bytes, both included, as struct range has it."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self.end - self.start + 1

    def overlaps(self, start: int, end: int) -> bool:
        """Whether any byte of start..end (included) lies in this range."""
        return self.start <= end and start <= self.end

    @classmethod
    def sized(cls, start: int, size: int) -> Range:
        """The range of size bytes that begins at start."""
        return cls(start, start + size - 1)


class CrashMem:
    """struct crash_mem: a list of ranges with room for max_nr_ranges (None: as many as needed)."""

    __slots__ = ("max_nr_ranges", "ranges")

    def __init__(self, ranges: Iterable[Range] = (), max_nr_ranges: int | None = None) -> None:
        self.ranges = list(ranges)
        self.max_nr_ranges = max_nr_ranges

    def __len__(self) -> int:
        return len(self.ranges)

    def __iter__(self) -> Iterator[Range]:
        return iter(self.ranges)

    def __repr__(self) -> str:
        return "CrashMem(" + ", ".join(f"{r.start:#x}-{r.end:#x}" for r in self.ranges) + ")"

    def exclude(self, start: int, end: int, *, continues: bool = True) -> None:
        """Take start..end (included) out of the ranges, splitting one if need be.

        The list must ascend: the walk stops at the first range wholly above the cut.
        KernelError(ENOMEM) if a split does not fit in max_nr_ranges; ranges before the one to be
        split are then cut already, as the kernel leaves them.
        continues=False stops after the first range that was cut at an edge, as kernels before 6.8.
        Mirrors crash_exclude_mem_range(), kernel/crash_core.c.
        """
        i = 0
        while i < len(self.ranges):
            s, e = self.ranges[i]
            if start > e:
                i += 1
                continue
            if end < s:
                break
            cut_start, cut_end = max(start, s), min(end, e)
            if cut_start == s and cut_end == e:
                del self.ranges[i]
                continue
            if cut_start > s and cut_end < e:
                if self.max_nr_ranges is not None and len(self.ranges) >= self.max_nr_ranges:
                    raise KernelError(errno.ENOMEM, "no room to split a range")
                self.ranges[i : i + 1] = [Range(s, cut_start - 1), Range(cut_end + 1, e)]
                return
            if cut_end == e:
                self.ranges[i] = Range(s, cut_start - 1)
            else:
                self.ranges[i] = Range(cut_end + 1, e)
            if not continues:
                return
            i += 1

    def sort(self, *, merge: bool = False) -> None:
        """Order by start; with merge, join ranges that overlap or touch.

        Mirrors sort_memory_ranges(), arch/powerpc/kexec/ranges.c.
        """
        self.ranges.sort()
        if not merge:
            return
        merged: list[Range] = []
        for r in self.ranges:
            if merged and r.start <= merged[-1].end + 1:
                merged[-1] = Range(merged[-1].start, max(merged[-1].end, r.end))
            else:
                merged.append(r)
        self.ranges = merged


def parse_ids(text: str) -> tuple[int, ...]:
    """The ids of a kernel list such as "0-3,6" (ends included), ascending; "" is no id.

    ValueError for anything else.
    """
    return tuple(ids_of(text))


def ids_of(text: str) -> Sequence[int]:
    """parse_ids(), as a range where it is one: that takes no room, however many there are."""
    runs: list[range] = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        runs.append(range(int(first), int(last or first) + 1))
    if len(runs) == 1:
        return runs[0]
    return sorted({*chain.from_iterable(runs)})


def format_ids(ids: Iterable[int]) -> str:
    """Ascending ids as the kernel's %*pbl prints them: "0-3,6"; no ids is ""."""
    ids = list(ids)
    if len(ids) > 1 and ids[-1] - ids[0] == len(ids) - 1:  # one run, as usual
        return f"{ids[0]}-{ids[-1]}"
    out: list[str] = []
    first = last = -2
    for n in ids:
        if n == last + 1:
            last = n
            continue
        if first >= 0:
            out.append(f"{first}" if first == last else f"{first}-{last}")
        first = last = n
    if first >= 0:
        out.append(f"{first}" if first == last else f"{first}-{last}")
    return ",".join(out)
