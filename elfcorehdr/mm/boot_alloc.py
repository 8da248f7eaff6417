"""memblock_alloc(): memory from the top of RAM down, around what is taken; mm/memblock.c (v7.2). Imports .ranges."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable


class BootAlloc:
    """Free memory as start and end (not included) pairs; what is given out never comes back."""

    def __init__(self, ram: Iterable[tuple[int, int]], taken: Iterable[tuple[int, int]]) -> None:
        self._free = [*ram]
        self.given: list[tuple[int, int]] = []
        """What was allocated: start, end."""
        for start, end in taken:
            self._take(start, end)

    def _take(self, start: int, end: int) -> None:
        i = max(0, bisect_right(self._free, (start, 1 << 64)) - 1)
        if i < len(self._free) and self._free[i][1] <= start:
            i += 1
        j = bisect_left(self._free, (end, 0))
        cut = self._free[i:j]
        self._free[i:j] = [
            piece
            for old in cut
            for piece in ((old[0], min(old[1], start)), (max(old[0], end), old[1]))
            if piece[0] < piece[1]
        ]

    def alloc(self, size: int, align: int) -> int:
        """Size bytes, as high as there is room. MemoryError without room."""
        for low, high in reversed(self._free):
            start = (high - size) // align * align
            if start >= low:
                self._take(start, start + size)
                insort(self.given, (start, start + size))
                return start
        raise MemoryError(f"no room for {size:#x} bytes")
