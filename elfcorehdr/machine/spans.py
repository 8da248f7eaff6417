"""Which addresses are taken: runs of bytes, joined where they touch."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from elfcorehdr.machine.sizes import U64


class Spans:
    """Made of pairs start, end (included), in any order."""

    def __init__(self, pairs: Iterable[tuple[int, int]]) -> None:
        self._runs: list[tuple[int, int]] = []
        for start, end in sorted(pairs):
            if self._runs and start <= self._runs[-1][1] + 1:
                self._runs[-1] = (self._runs[-1][0], max(self._runs[-1][1], end))
            else:
                self._runs.append((start, end))

    def covers(self, start: int, size: int) -> bool:
        """Whether all of start + size is taken."""
        i = bisect_right(self._runs, (start, U64)) - 1
        return i >= 0 and start + size - 1 <= self._runs[i][1]

    def touches(self, start: int, end: int) -> bool:
        """Whether any of start..end (included) is taken."""
        i = bisect_right(self._runs, (end, U64)) - 1
        return i >= 0 and start <= self._runs[i][1]

    @property
    def end(self) -> int:
        """Behind the last byte."""
        return self._runs[-1][1] + 1
