"""What a machine's pages are used for: runs of one use, computed; nothing is kept per page.

What is declared (`[[use]]` of the machine) and what boot took are runs of their own; all other RAM holds the
mixture, a pattern that repeats with the address. `hole` is what is no RAM but has a struct page, `isolated` is memory of an offline block.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from elfcorehdr.lib.record import NamedTuple


class Use(NamedTuple):
    """What a run of pages is: kind, log2 of the pages of its blocks (buddy, folio), and what is in them.

    content: "" (free pages are zero, others name their address), "zero", "address", "file:PATH", or a text that repeats.
    """

    kind: str
    order: int = 0
    content: str = ""


KERNEL = Use("kernel")
HOLE = Use("hole", 0, "zero")
ISOLATED = Use("isolated", 0, "zero")

MIXTURE: tuple[tuple[str, int, int], ...] = (
    # kind, bytes of a block (a page where a page is larger), MiB
    ("free", 4 << 20, 16),
    ("cache", 0, 12),
    ("anon", 0, 8),
    ("cache", 64 << 10, 4),
    ("slab", 0, 3),
    ("slab", 32 << 10, 1),
    ("private-cache", 0, 1),
    ("kernel", 0, 3),
    ("anon", 2 << 20, 4),
    ("free", 256 << 10, 8),
    ("cache", 0, 2),
    ("free", 0, 2),
)
"""How RAM is used where nothing is said: these runs fill 64 MiB, again and again. A choice, not a measurement."""

KERNEL_UP_TO = 16 << 30
"""Above it slab and kernel of the mixture are cache: a kernel's own memory does not grow with the machine's."""

PERIOD = sum(mib for _, _, mib in MIXTURE) << 20


class Run(NamedTuple):
    """Bytes start..end-1 of one use."""

    start: int
    end: int
    use: Use


class PageUse:
    """The use of every page of a machine. ram: start and end (not included) of what is RAM, ascending."""

    def __init__(self, ram: Iterable[tuple[int, int]], page_size: int, max_order: int) -> None:
        self.page_size = page_size
        self.max_order = max_order
        self.max_block = max_order
        """log2 of the pages of the largest block of any run."""
        self._ram = [*ram]
        self._ram_starts = [start for start, _ in self._ram]
        self._runs: list[Run] = []
        self._starts: list[int] = []
        self._mixture: list[Run] = []
        self._mixture_above: list[Run] = []
        at = 0
        for kind, block, mib in MIXTURE:
            order = max(0, (block // page_size).bit_length() - 1) if block else 0
            use = Use(kind, min(order, max_order))
            self._mixture.append(Run(at, at + (mib << 20), use))
            above = Use("cache") if kind in ("slab", "kernel") else use
            self._mixture_above.append(Run(at, at + (mib << 20), above))
            at += mib << 20

    def put(self, start: int, end: int, use: Use) -> None:
        """Say that start..end-1, rounded out to pages, has a use; what was said of it before is overruled."""
        page = self.page_size
        self.max_block = max(self.max_block, use.order)
        start, end = start // page * page, -(-end // page) * page
        lo = bisect_right(self._starts, start)
        if lo and self._runs[lo - 1].end > start:
            lo -= 1
        hi = bisect_left(self._starts, end)
        overruled = self._runs[lo:hi]
        cut = [run._replace(end=start) for run in overruled if run.start < start]
        cut.append(Run(start, end, use))
        cut += [run._replace(start=end) for run in overruled if run.end > end]
        self._runs[lo:hi] = cut
        self._starts[lo:hi] = [run.start for run in cut]

    def said(self) -> Iterator[Run]:
        """What put() has said, ascending."""
        return iter(self._runs)

    def runs(self, start: int, end: int) -> Iterator[Run]:
        """The runs of start..end-1, ascending; what is no RAM is a hole."""
        i = bisect_right(self._starts, start)
        if i and self._runs[i - 1].end > start:
            i -= 1
        at = start
        while at < end:
            run = self._runs[i] if i < len(self._runs) else None
            if run is not None and run.start <= at:
                stop = min(run.end, end)
                yield Run(at, stop, run.use)
                at, i = stop, i + 1
                continue
            stop = end if run is None else min(run.start, end)
            yield from self._rest(at, stop)
            at = stop

    def _rest(self, start: int, end: int) -> Iterator[Run]:
        """The runs of start..end-1, of which nothing was said."""
        i = bisect_right(self._ram_starts, start)
        if i and self._ram[i - 1][1] > start:
            i -= 1
        at = start
        while at < end:
            ram = self._ram[i] if i < len(self._ram) else None
            if ram is None or ram[0] >= end:
                yield Run(at, end, HOLE)
                return
            if ram[0] > at:
                yield Run(at, ram[0], HOLE)
                at = ram[0]
            stop = min(ram[1], end)
            yield from self._mixed(at, stop)
            at, i = stop, i + 1

    def _mixed(self, start: int, end: int) -> Iterator[Run]:
        at = start
        while at < end:
            base = at // PERIOD * PERIOD
            for run in self._mixture if base < KERNEL_UP_TO else self._mixture_above:
                stop = min(base + run.end, end)
                if stop > at:
                    yield Run(at, stop, run.use)
                    at = stop
                    if at == end:
                        return

    def blocks(self, run: Run) -> Iterator[tuple[int, int, int]]:
        """A run as blocks of pages: address, order, how many such blocks follow each other.

        As the buddy allocator has it, a block is aligned to its size: at a run's edges they are smaller.
        """
        page = self.page_size
        at, end, order = run.start, run.end, run.use.order
        # A page that is RAM in part only counts whole.
        at, end = at // page * page, -(-end // page) * page
        size = page << order
        while at < end:
            if not at % size and at + size <= end:
                count = (end - at) // size
                yield at, order, count
                at += count * size
                continue
            o = order
            while o and (at % (page << o) or at + (page << o) > end):
                o -= 1
            yield at, o, 1
            at += page << o
