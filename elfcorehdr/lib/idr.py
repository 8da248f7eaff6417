"""Numbers that are handed out and come back: lib/idr.c (v7.1)."""

from __future__ import annotations

from heapq import heappop, heappush


class Ida:
    """struct ida: always the lowest number that is free."""

    def __init__(self, taken: int = 0) -> None:
        self._next = taken
        self._free: list[int] = []

    def alloc(self) -> int:
        """ida_alloc(): a number that is taken from now on."""
        if self._free:
            return heappop(self._free)
        self._next += 1
        return self._next - 1

    def free(self, number: int) -> None:
        """ida_free(): the number is free again."""
        heappush(self._free, number)
