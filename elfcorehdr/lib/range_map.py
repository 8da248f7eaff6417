"""What is said of address ranges, each later word overruling earlier ones; looked up in O(log n)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right


class RangeMap:
    """Addresses to numbers. Neighbours with one number are one entry, so saying a thing again adds none."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._values: list[int] = []

    def __len__(self) -> int:
        """How many entries there are."""
        return len(self._starts)

    def get(self, address: int) -> int | None:
        """The number at an address, or None."""
        i = bisect_right(self._starts, address) - 1
        return self._values[i] if i >= 0 and address <= self._ends[i] else None

    def put(self, start: int, end: int, value: int | None) -> None:
        """From now on start..end (included) has this number; None: no number any more."""
        # What touches may become one with it; what is cut keeps its rest.
        lo, hi = bisect_left(self._ends, start - 1), bisect_right(self._starts, end + 1)
        before: list[tuple[int, int, int]] = []
        behind: list[tuple[int, int, int]] = []
        first, last = start, end
        for i in range(lo, hi):
            s, e, v = self._starts[i], self._ends[i], self._values[i]
            if v == value:
                first, last = min(first, s), max(last, e)
                continue
            if s < start:
                before.append((s, min(e, start - 1), v))
            if e > end:
                behind.append((max(s, end + 1), e, v))
        here = [] if value is None else [(first, last, value)]
        new = [*before, *here, *behind]
        self._starts[lo:hi] = [s for s, _, _ in new]
        self._ends[lo:hi] = [e for _, e, _ in new]
        self._values[lo:hi] = [v for _, _, v in new]
