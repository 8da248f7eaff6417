"""Physical memory as a function: areas whose bytes are made when they are read. Imports .page_use."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable

from elfcorehdr.lib.record import NamedTuple
from elfcorehdr.mm.page_use import PageUse, Run

Reader = Callable[[int, int], bytes]
"""The bytes of offset..offset+size-1 of an area."""

ReadFile = Callable[[str, int, int], bytes]
"""At most size bytes of the file `path` from an offset: whoever runs the machine reads files, not the engine."""

LINE = 32
"""Bytes of a line that names its page's address."""


class Area(NamedTuple):
    """Bytes start..end-1, made by read(offset, size)."""

    start: int
    end: int
    read: Reader


def constant(content: bytes) -> Reader:
    """A reader of bytes that are there already."""
    return lambda offset, size: content[offset : offset + size]


def table(count: int, width: int, entries: Callable[[int, int], bytes]) -> Reader:
    """A reader of `count` entries of `width` bytes; entries(first, behind the last) makes whole ones."""

    def read(offset: int, size: int) -> bytes:
        first, last = offset // width, -(-(offset + size) // width)
        made = entries(first, min(last, count))
        made = made[offset - first * width : offset - first * width + size]
        return made.ljust(size, b"\0")

    return read


class PhysMem:
    """The memory of a machine. What no area has is made from the use of its pages."""

    def __init__(self, use: PageUse) -> None:
        self.use = use
        self._areas: list[Area] = []
        self._starts: list[int] = []
        self.read_file: ReadFile = lambda path, offset, size: b""
        """Gives bytes of a file that is mapped in."""

    def put(self, start: int, size: int, read: Reader | bytes) -> None:
        """From now on start..start+size-1 is what read makes; what overlaps an older area overrules it."""
        if isinstance(read, bytes):
            read = constant(read)
        end = start + size
        i = max(0, bisect_right(self._starts, start) - 1)
        if i < len(self._areas) and self._areas[i].end <= start:
            i += 1
        overruled = self._areas[i : bisect_left(self._starts, end)]
        del self._areas[i : i + len(overruled)], self._starts[i : i + len(overruled)]
        for old in overruled:
            if old.start < start:
                self._insert(Area(old.start, start, old.read))
            if old.end > end:
                self._insert(Area(end, old.end, _behind(old.read, end - old.start)))
        self._insert(Area(start, end, read))

    def close(self) -> None:
        """Nobody reads any more: its readers, many of which know this memory, can go at once."""
        self._areas.clear()
        self._starts.clear()

    def _insert(self, area: Area) -> None:
        i = bisect_right(self._starts, area.start)
        self._areas.insert(i, area)
        self._starts.insert(i, area.start)

    def read(self, address: int, size: int) -> bytes:
        """The bytes address..address+size-1; where nothing is, zeros."""
        parts: list[bytes] = []
        at, end = address, address + size
        i = max(0, bisect_right(self._starts, at) - 1)
        while at < end:
            while i < len(self._areas) and self._areas[i].end <= at:
                i += 1
            area = self._areas[i] if i < len(self._areas) else None
            if area is not None and area.start <= at:
                stop = min(area.end, end)
                parts.append(area.read(at - area.start, stop - at))
            else:
                stop = end if area is None else min(area.start, end)
                parts += self._unclaimed(at, stop)
            at = stop
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _unclaimed(self, start: int, end: int) -> list[bytes]:
        return [self._content(run) for run in self.use.runs(start, end)]

    def _content(self, run: Run) -> bytes:
        use, size = run.use, run.end - run.start
        content = use.content or ("zero" if use.kind == "free" else "address")
        if content == "zero":
            return bytes(size)
        if content.startswith("file:"):
            path = content.removeprefix("file:")
            return self.read_file(path, run.start - self._base(run), size).ljust(size, b"\0")
        if content != "address":
            text = content.encode()
            skip = run.start % len(text)
            return (text * ((skip + size) // len(text) + 1))[skip : skip + size]
        return addresses(run.start, run.end, use.kind, self.use.page_size)

    def _base(self, run: Run) -> int:
        """Where the declared use begins that a run is a part of."""
        return next((r.start for r in self.use.said() if r.start <= run.start < r.end), run.start)


def addresses(start: int, end: int, kind: str, page_size: int) -> bytes:
    """Pages of lines that name the page's address and what it is used for."""
    first = start // page_size * page_size
    tail = f" {kind}".ljust(LINE - 17)[: LINE - 17].encode() + b"\n"
    lines = page_size // LINE
    made = b"".join((b"%016x" % page + tail) * lines for page in range(first, end, page_size))
    return made[start - first : end - first]


def _behind(read: Reader, skip: int) -> Reader:
    return lambda offset, size: read(offset + skip, size)
