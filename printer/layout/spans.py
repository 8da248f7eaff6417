"""Arithmetic of physical memory as lists of ranges, ends included. Imports elfcorehdr.elf and .ranges."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator

from elfcorehdr.elf import PT_LOAD, Phdr
from elfcorehdr.lib.ranges import Range

U64 = 1 << 64


def loaded(phdrs: Iterable[Phdr]) -> list[Range]:
    """The physical memory of all PT_LOADs as ascending ranges that neither overlap nor touch.

    A size that wraps ends at the last address.
    """
    spans = sorted(
        Range(p.p_paddr, min(p.p_paddr + p.p_memsz, U64) - 1)
        for p in phdrs
        if p.p_type == PT_LOAD and p.p_memsz
    )
    return union(spans)


def union(spans: Iterable[Range]) -> list[Range]:
    """Ascending ranges joined where they overlap or touch."""
    joined: list[Range] = []
    for span in spans:
        if joined and span.start <= joined[-1].end + 1:
            joined[-1] = Range(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return joined


def subtract(spans: Iterable[Range], cuts: Iterable[Range]) -> Iterator[Range]:
    """What of spans lies in no cut; both ascending and without overlaps."""
    remaining = iter(cuts)
    cut = next(remaining, None)
    for start, end in spans:
        while cut is not None and cut.start <= end:
            if cut.start > start:
                yield Range(start, cut.start - 1)
            start = max(start, cut.end + 1)
            if cut.end >= end:
                break
            cut = next(remaining, None)
        if start <= end:
            yield Range(start, end)


def within(spans: Iterable[Range]) -> Callable[[int, int], bool]:
    """A function that tells whether start..end (included) lies wholly in one of the spans, joined."""
    joined = union(sorted(spans))
    starts = [span.start for span in joined]

    def inside(start: int, end: int) -> bool:
        i = bisect_right(starts, start) - 1
        return i >= 0 and end <= joined[i].end

    return inside


def touching(spans: Iterable[Range]) -> Callable[[int, int], bool]:
    """A function that tells whether any byte of start..end (included) lies in one of the spans."""
    joined = union(sorted(spans))
    starts = [span.start for span in joined]

    def touches(start: int, end: int) -> bool:
        i = bisect_right(starts, end) - 1
        return i >= 0 and joined[i].end >= start

    return touches
