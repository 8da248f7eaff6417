"""Arithmetic of physical memory: ascending spans that neither overlap nor touch.

Starts and stops are arrays of ints and not objects: 65,534 spans are made in 5 ms, in a MiB.
Imports elfcorehdr.lib.ranges.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress, count, islice
from operator import add, ge, gt, lt, ne

from elfcorehdr.lib.ranges import Range

U64 = 1 << 64


class Spans:
    """Memory as spans in ascending order; what overlaps or touches is one span."""

    __slots__ = ("starts", "stops")

    def __init__(self, starts: Sequence[int], stops: Sequence[int]) -> None:
        """starts, stops (the address behind a span): ascending, apart from each other."""
        self.starts = starts
        self.stops = stops

    @classmethod
    def sized(cls, starts: Sequence[int], sizes: Sequence[int]) -> Spans:
        """Of rows in any order; a size that wraps ends at the last address."""
        return cls.between(starts, behind(starts, sizes))

    @classmethod
    def of(cls, ranges: Iterable[Range]) -> Spans:
        """Of ranges in any order."""
        kept = list(ranges)
        return cls.between([r.start for r in kept], [r.end + 1 for r in kept])

    @classmethod
    def between(cls, starts: Sequence[int], stops: Sequence[int]) -> Spans:
        """Of starts and the addresses behind, in any order, empty ones and overlaps among them."""
        if stops and max(stops) > U64:
            stops = [min(stop, U64) for stop in stops]
        if any(map(ge, starts, stops)):
            full = list(map(lt, starts, stops))
            starts, stops = list(compress(starts, full)), list(compress(stops, full))
        if not any(map(gt, stops, islice(starts, 1, None))):  # they ascend; some may touch
            apart = list(map(ne, stops, islice(starts, 1, None)))
            if not all(apart):
                starts = _packed([*starts[:1], *compress(starts[1:], apart)])
                stops = _packed([*compress(stops, apart), stops[-1]])
            return cls(starts, stops)
        joined: list[int] = []
        behind: list[int] = []
        for start, stop in sorted(zip(starts, stops, strict=True)):
            if behind and start <= behind[-1]:
                behind[-1] = max(behind[-1], stop)
            else:
                joined.append(start)
                behind.append(stop)
        return cls(joined, behind)

    def __bool__(self) -> bool:
        return bool(self.starts)

    def __iter__(self) -> Iterator[Range]:
        """The spans as ranges, their ends included."""
        return (Range(a, b - 1) for a, b in zip(self.starts, self.stops, strict=True))

    @property
    def size(self) -> int:
        """Bytes in all spans."""
        return sum(self.stops) - sum(self.starts)

    def __sub__(self, other: Spans) -> Spans:
        """What of self lies in no span of other."""
        if not self.starts or (self.starts, self.stops) == (other.starts, other.stops):
            return Spans([], [])
        first, last = self._common(other, reverse=False), self._common(other, reverse=True)
        last = min(last, len(self.starts) - first, len(other.starts) - first)
        starts: list[int] = []
        stops: list[int] = []
        cuts = other._pairs(first, last)
        cut = next(cuts, None)
        for start, stop in self._pairs(first, last):
            while cut is not None and cut[0] < stop:
                if cut[0] > start:
                    starts.append(start)
                    stops.append(cut[0])
                start = max(start, cut[1])
                if cut[1] >= stop:
                    break
                cut = next(cuts, None)
            if start < stop:
                starts.append(start)
                stops.append(stop)
        return Spans(starts, stops)

    def _pairs(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """The spans without the first and the last ones, so many."""
        stop = len(self.starts) - last
        return zip(islice(self.starts, first, stop), islice(self.stops, first, stop), strict=True)

    def _common(self, other: Spans, *, reverse: bool) -> int:
        """How many spans are the same at the beginning, or at the end, of both."""
        least = min(len(self.starts), len(other.starts))
        for ours, theirs in ((self.starts, other.starts), (self.stops, other.stops)):
            pairs = map(ne, reversed(ours), reversed(theirs)) if reverse else map(ne, ours, theirs)
            least = min(least, next(compress(count(), pairs), least))
        return least

    def covers(self, start: int, stop: int) -> bool:
        """Whether start..stop (stop not included) lies in one span."""
        i = bisect_right(self.starts, start) - 1
        return i >= 0 and stop <= self.stops[i]

    def touches(self, start: int, stop: int) -> bool:
        """Whether any byte of start..stop (stop not included) lies in a span."""
        i = bisect_right(self.starts, stop - 1) - 1
        return i >= 0 and self.stops[i] > start

    def whole_pages(self, page: int) -> Spans:
        """The whole pages that lie in the spans: their starts rounded up, their stops down."""
        return Spans.between(
            [-(-start // page) * page for start in self.starts],
            [stop // page * page for stop in self.stops],
        )


def behind(starts: Sequence[int], sizes: Sequence[int]) -> Sequence[int]:
    """The addresses behind ranges; an array unless one is beyond 2^64."""
    try:
        return array("Q", map(add, starts, sizes))
    except OverflowError:
        return list(map(add, starts, sizes))


def _packed(numbers: list[int]) -> Sequence[int]:
    return array("Q", numbers) if numbers[-1] < U64 else numbers


def ascending_from(starts: Sequence[int], stops: Sequence[int]) -> int | None:
    """From which range on they ascend without an overlap: 0, 1 (the first is out of line), None for later."""
    return next((first for first in (0, 1) if _ascend(starts, stops, first)), None)


def _ascend(starts: Sequence[int], stops: Sequence[int], first: int) -> bool:
    return not any(map(gt, islice(stops, first, None), islice(starts, first + 1, None)))


def nested(starts: Sequence[int], stops: Sequence[int], ascending: int | None = None) -> list[int]:
    """Places of the ranges that lie wholly inside another one; of equal ones all but the first.

    ascending: what ascending_from() says of them.
    """
    if ascending == 0:
        return []
    if ascending == 1:  # as kernels write them: the image, then memory in its order
        first, stop = starts[0], stops[0]
        i = bisect_right(starts, first, 1) - 1
        if i and stop <= stops[i] and (first, stop) != (starts[i], stops[i]):
            return [0]
        if (not i or stops[i] <= first) and (i + 1 == len(starts) or stop <= starts[i + 1]):
            return []
    order = sorted(range(len(starts)), key=lambda n: (starts[n], -stops[n], n))
    inside: list[int] = []
    reach = -1
    for n in order:
        if stops[n] <= reach:
            inside.append(n)
        reach = max(reach, stops[n])
    return sorted(inside)
