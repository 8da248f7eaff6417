"""Physical memory as a row of blocks, worked out from one header or from two on one scale, with what check() and diff found.

A block is a row of the header, a stretch between rows, or, where there are too many to be seen, a run of
rows. text.py prints blocks, plot.py draws them. Imports elfcorehdr.elf and .lib.ranges.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from itertools import pairwise
from operator import sub
from typing import NamedTuple

from elfcorehdr.elf import PT_NOTE
from printer.inputs.source import Form
from printer.judge.checks import check_layout
from printer.judge.diff import Change, Diff, RowDiff, compare
from printer.judge.rules import Finding, Level
from printer.judge.surroundings import Surroundings
from printer.layout.roles import Layout, Role, picked
from printer.layout.sizes import printable
from printer.layout.spans import U64, Spans

SINGLE = 40
"""Up to so many rows each is a block of its own."""
SPECIAL = 16
"""Rows of a kind that are shown by themselves among more: those with findings, changed ones, the backup region's,
firmware. Where there are more of a kind they are shares of a run."""
GAPS = 6
"""Of a run of many rows: it is divided at so many of its largest gaps."""


class Kind(Enum):
    """What a block is: its word, glyph, plain glyph, ANSI colour, colour, hatching."""

    LOADED = ("loaded", "█", "#", 32, "#1b7f5c", "")
    BACKED_UP = ("loaded from the backup region", "▓", "B", 36, "#3a76c4", "//")
    FIRMWARE = ("loaded, inside the crashkernel", "▚", "F", 35, "#b48ac9", "||")
    PARTLY = ("partly loaded", "▒", "%", 32, "#8cc5a2", "")
    WRONG = ("loaded, but wrong", "✗", "X", 31, "#d3262f", "xx")
    CRASHKERNEL = ("crashkernel", "░", "=", 33, "#f3dc8c", "\\\\")
    NOT_LOADED = ("memory that is not loaded", "!", "!", 31, "#f29a6b", "++")
    HOLE = ("nothing there", "·", ".", 90, "#dddddd", "")

    def __init__(
        self, word: str, glyph: str, plain: str, ansi: int, colour: str, hatch: str
    ) -> None:
        self.word = word
        self.glyph = glyph
        self.plain = plain
        self.ansi = ansi
        self.colour = colour
        self.hatch = hatch

    def __repr__(self) -> str:
        return f"<Kind.{self.name}>"


class Delta(Enum):
    """What became of a block from the first header to the second: its word, sign, ANSI colour, colour, hatching."""

    ADDED = ("added", "+", 32, "#1b7f5c", "//")
    REMOVED = ("removed", "-", 31, "#d3262f", "\\\\")
    CHANGED = ("changed", "~", 33, "#b36b00", "--")

    def __init__(self, word: str, sign: str, ansi: int, colour: str, hatch: str) -> None:
        self.word = word
        self.sign = sign
        self.ansi = ansi
        self.colour = colour
        self.hatch = hatch


class Block(NamedTuple):
    """A stretch of memory in one header; stop is not included."""

    start: int
    stop: int
    kind: Kind
    row: int | None = None
    """The row that loads it, if it is one alone."""
    rows: int = 0
    """How many rows load something of it."""
    loaded: int = 0
    """Bytes of it that are loaded."""
    missing: int = 0
    """Bytes of it that are memory of the machine, neither loaded nor the crashkernel's."""
    findings: tuple[Finding, ...] = ()

    @property
    def size(self) -> int:
        """Bytes."""
        return self.stop - self.start


class Mark(NamedTuple):
    """A place worth a sign: where a note lies, where the image is."""

    address: int
    sign: str
    word: str


class Arrow(NamedTuple):
    """A row that is read from elsewhere, or should be: from where it lies to where p_offset points."""

    row: int
    size: int
    source: int
    target: int
    wrong: bool
    """Whether that is not the backup region."""


class View(NamedTuple):
    """One header on the common scale."""

    layout: Layout
    label: str
    """The input's name, as much of it as tells it from the other."""
    blocks: tuple[Block, ...]
    marks: tuple[Mark, ...]
    arrows: tuple[Arrow, ...]
    findings: tuple[Finding, ...]


class Picture(NamedTuple):
    """Blocks that follow each other without a gap, the same stretches in each view."""

    views: tuple[View, ...]
    deltas: tuple[Delta | None, ...]
    """With two views: what became of each block."""
    changes: tuple[tuple[RowDiff, ...], ...]
    """With two views: the rows of each block that differ."""
    subject: str
    """The machine, its kernel and architecture, as far as they are known."""
    title: str
    """One line: the subject and the input; with two views what diff says."""

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks of the first view, whose stretches are those of all."""
        return self.views[0].blocks

    def widths(self, total: float, least: float) -> list[float]:
        """The width of each block, in all total: by the fourth root of its size, so that 64 KiB beside 64 TiB
        can be seen and is smaller; holes are a break of the axis, of one width."""
        roots = [block.size**0.25 for block in self.blocks]
        for n in range(len(roots)):
            if all(view.blocks[n].kind is Kind.HOLE for view in self.views):
                roots[n] = 0.0
        most = max(roots, default=1.0) or 1.0
        roots = [root or most / 12 for root in roots]
        least = min(least, total / len(roots) / 2)
        spare = total - least * len(roots)
        return [least + root * spare / sum(roots) for root in roots]

    def place(self, edges: Sequence[float], address: int) -> float:
        """Where an address is on a scale with these edges of blocks."""
        starts = [block.start for block in self.blocks]
        n = max(0, bisect_right(starts, address) - 1)
        block = self.blocks[n]
        inside = min(max(address - block.start, 0), block.size - 1) / block.size
        return edges[n] + inside * (edges[n + 1] - edges[n])


def picture(layouts: Sequence[Layout], machine: Surroundings | None = None) -> Picture:
    """The common picture of one header or of two, checked; the machine adds the crashkernel and unloaded RAM.

    Without machine the crashkernel is taken to be the gap that the backup region lies in.

    >>> picture([Layout(read("elfcorehdr.bin"))]).blocks[0]
    Block(start=0, stop=65536, kind=<Kind.BACKED_UP>, row=9, rows=1, loaded=65536, missing=0, findings=())
    """
    around = machine or Surroundings()
    found = compare(layouts[0].core, layouts[-1].core) if len(layouts) > 1 else None
    memories = [_Memory(layout, around) for layout in layouts]
    edges = {0}
    for n, memory in enumerate(memories):
        changed = [row.b if n else row.a for row in found.rows] if found else []
        edges.update(memory.edges(row for row in changed if row is not None))
    cuts = sorted(edge for edge in edges if edge >= 0)
    stretches = list(pairwise(cuts)) or [(0, 1)]
    stretches = _joined(stretches, memories, found)
    labels = distinct([layout.core.name for layout in layouts])
    views = tuple(
        View(
            memory.layout,
            label,
            tuple(memory.block(a, b) for a, b in stretches),
            tuple(_marks(memory.layout)),
            tuple(_arrows(memory.layout, memory.by_row)),
            tuple(memory.findings),
        )
        for memory, label in zip(memories, labels, strict=True)
    )
    subject = _subject(layouts, around)
    changes = tuple(tuple(_changes_in(found, a, b)) for a, b in stretches) if found else ()
    deltas = tuple(_delta(views, n, changes[n]) for n in range(len(stretches))) if found else ()
    title = f"{subject}: " + (found.sentence() if found else printable(layouts[0].core.name))
    return Picture(views, deltas, changes, subject, title)


class _Memory:
    """What one header says of any stretch of memory, in a time that does not grow with its rows."""

    def __init__(self, layout: Layout, machine: Surroundings) -> None:
        self.layout = layout
        self.findings = check_layout(layout, machine)
        self.by_row: dict[int | None, list[Finding]] = {}
        for finding in self.findings:
            self.by_row.setdefault(finding.row, []).append(finding)
        placed = [f for f in self.by_row.get(None, ()) if f.place is not None]
        self.placed = placed if len(placed) <= SPECIAL else placed[:1]
        crash = machine.crashkernel or layout.crashkernel_gap
        self.crashkernel = Spans.of(crash)
        never = layout.arch.low_memory if layout.arch else 0
        self.ram = Spans.of(machine.memory) - self.crashkernel - Spans.between([0], [never])
        rows = layout.memory_rows
        starts = picked(layout.core.phdrs.p_paddr, rows)
        stops = layout.memory_stops
        if not layout.in_order:
            order = sorted(range(len(rows)), key=lambda n: (starts[n], stops[n]))
            rows, starts, stops = ([c[n] for n in order] for c in (rows, starts, stops))
        self.rows, self.starts, self.stops = rows, starts, stops
        self._loaded = _Sums(layout.memory)
        self._ram = _Sums(self.ram - layout.memory if self.ram else self.ram)

    def edges(self, changed: Iterable[int]) -> Iterator[int]:
        """The addresses at which blocks begin or end."""
        for spans in (self.crashkernel, self.ram):
            if len(spans.starts) <= SINGLE:
                yield from (*spans.starts, *spans.stops)
        if not self.starts:
            return
        special = set(range(len(self.rows)))
        if len(self.rows) > SINGLE:
            special = set(self._special(changed))
            yield from self._runs(sorted(special))
        for n in special:
            yield from (self.starts[n], min(self.stops[n], U64))

    def _special(self, changed: Iterable[int]) -> Iterator[int]:
        """Places of the rows that are shown by themselves."""
        roles, rows = self.layout.roles, self.rows
        asked = {
            row
            for some in (list(self.by_row), list(changed))
            if len(some) <= SPECIAL
            for row in some
        }
        if asked - {None}:
            yield from [n for n, row in enumerate(rows) if row in asked]
        if roles.count(Role.MEMORY) < len(rows):
            odd = [n for n, row in enumerate(rows) if roles[row] is not Role.MEMORY]
            yield from odd[:SPECIAL]
        for start, stop in zip(self.crashkernel.starts, self.crashkernel.stops, strict=True):
            first, last = bisect_left(self.stops, start), bisect_left(self.starts, stop)
            yield from range(first, min(last, first + SPECIAL))

    def _runs(self, special: list[int]) -> Iterator[int]:
        """Edges of the runs of rows between those that are shown by themselves."""
        for before, after in pairwise([-1, *special, len(self.rows)]):
            first, last = before + 1, after - 1
            if first > last:
                continue
            yield from (self.starts[first], min(self.stops[last], U64))
            if last - first >= SINGLE:
                gaps = list(map(sub, self.starts[first + 1 : last + 1], self.stops[first:last]))
                most = 16 * max(1, sum(gaps) // len(gaps))
                large = [n for n, gap in enumerate(gaps) if gap > most]
                for n in sorted(large, key=gaps.__getitem__)[-GAPS:]:
                    yield from (self.stops[first + n], self.starts[first + n + 1])

    def block(self, start: int, stop: int) -> Block:
        """What start..stop is."""
        first, last = bisect_right(self.stops, start), bisect_left(self.starts, stop)
        count = max(0, last - first)
        row = self.rows[first] if count == 1 else None
        loaded = self._loaded.within(start, stop)
        missing = self._ram.within(start, stop)
        findings = tuple(self.by_row.get(row, ())) if row is not None else ()
        findings += tuple(f for f in self.placed if f.place is not None and start <= f.place < stop)
        inside = self.crashkernel.covers(start, stop)
        kind = Kind.PARTLY
        if not loaded:
            kind = Kind.NOT_LOADED if missing else Kind.HOLE
            kind = Kind.CRASHKERNEL if inside else kind
        elif loaded == stop - start:
            kind = Kind.FIRMWARE if inside else Kind.LOADED
            if row is not None and self.layout.roles[row] is Role.BACKUP:
                kind = Kind.BACKED_UP
            if any(finding.level is Level.ERROR for finding in findings):
                kind = Kind.WRONG
        return Block(start, stop, kind, row, count, loaded, missing, findings)


class _Sums:
    """Bytes of spans within a stretch."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    def within(self, start: int, stop: int) -> int:
        """Bytes of start..stop that lie in the spans."""
        starts, stops = self._spans.starts, self._spans.stops
        first, last = bisect_right(stops, start), bisect_left(starts, stop)
        if first >= last:
            return 0
        size = sum(stops[first:last]) - sum(starts[first:last])
        return size - max(0, start - starts[first]) - max(0, stops[last - 1] - stop)


def _joined(
    stretches: list[tuple[int, int]], memories: Sequence[_Memory], found: Diff | None
) -> list[tuple[int, int]]:
    """Neighbours that are the same in every header made one: two inputs need edges, one does not."""
    kept: list[tuple[int, int]] = []
    last: object = None
    for start, stop in stretches:
        now = [
            (block.kind, block.row, block.rows)
            for block in (memory.block(start, stop) for memory in memories)
        ]
        if kept and now == last and all(rows == 1 or not rows for _, _, rows in now):
            kept[-1] = (kept[-1][0], stop)
        else:
            kept.append((start, stop))
        last = now
    return kept


def _marks(layout: Layout) -> Iterator[Mark]:
    phdrs = layout.core.phdrs
    if layout.image is not None:
        yield Mark(phdrs.p_paddr[layout.image], "k", Role.KERNEL.value)
    if layout.core.form is not Form.ELFCOREHDR:
        return
    for row in phdrs.rows_of(PT_NOTE):
        sign = "v" if layout.roles[row] is Role.VMCOREINFO else "n"
        yield Mark(phdrs.p_paddr[row], sign, layout.what(row))


def _arrows(layout: Layout, findings: dict[int | None, list[Finding]]) -> Iterator[Arrow]:
    """From each row that is read from elsewhere, or should be, to where it is read; the first few."""
    if layout.core.form is not Form.ELFCOREHDR:
        return
    wanted = (Role.BACKUP, Role.FIRST_64K)
    rows = (row for row in layout.memory_rows if layout.roles[row] in wanted)
    for row, _ in zip(rows, range(4), strict=False):
        p = layout.core.phdrs[row]
        ids = {finding.rule.id for finding in findings.get(row, ())}
        wrong = {"backup-offset-zero", "backup-outside-crashkernel", "offset-not-paddr"} & ids
        yield Arrow(row, p.p_memsz, p.p_paddr, p.p_offset, bool(wrong))


def _changes_in(found: Diff, start: int, stop: int) -> Iterator[RowDiff]:
    """Rows that differ in what is more than their being there, and lie in a stretch."""
    shown = {Change.GREW, Change.SHRANK, Change.MOVED, Change.OFFSET, Change.OTHER}
    for row in found.rows:
        phdr = row.phdr_b or row.phdr_a
        if phdr and phdr.p_type != PT_NOTE and shown & set(row.changes):
            at = min(p.p_paddr for p in (row.phdr_a, row.phdr_b) if p)
            if start <= at < stop:
                yield row


def _delta(views: Sequence[View], n: int, changes: Sequence[RowDiff]) -> Delta | None:
    before, after = views[0].blocks[n], views[-1].blocks[n]
    if before.loaded < after.loaded:
        return Delta.ADDED
    if before.loaded > after.loaded:
        return Delta.REMOVED
    elsewhere = any(Change.OFFSET in row.changes or Change.OTHER in row.changes for row in changes)
    return Delta.CHANGED if elsewhere or before.kind is not after.kind else None


def grouped(findings: Iterable[Finding]) -> list[tuple[Finding, int]]:
    """The first finding of each rule that many have, every one of the others; with it how many more there are."""
    by_rule: dict[str, list[Finding]] = {}
    for finding in findings:
        by_rule.setdefault(finding.rule.id, []).append(finding)
    return [
        pair
        for some in by_rule.values()
        for pair in ([(f, 0) for f in some] if len(some) <= 3 else [(some[0], len(some) - 1)])
    ]


def distinct(names: Sequence[str]) -> list[str]:
    """The last parts of paths, as many as tell them apart."""
    parts = [printable(name).rstrip("/").split("/") for name in names]
    for count in range(1, max(map(len, parts)) + 1):
        short = ["/".join(part[-count:]) for part in parts]
        if len(set(short)) == len(short):
            return short
    return ["/".join(part) for part in parts]


def _subject(layouts: Sequence[Layout], machine: Surroundings) -> str:
    arch = layouts[0].arch.name if layouts[0].arch else machine.arch
    release = machine.release or next(filter(None, map(_release, layouts)), "")
    words = [machine.name, f"Linux {release}" if release else "", arch]
    return printable(", ".join(filter(None, words))) or "physical memory"


def _release(layout: Layout) -> str:
    """The kernel's version that VMCOREINFO tells, if the notes were read."""
    for data in layout.core.note_data or ():
        at = (data or b"").find(b"OSRELEASE=")
        if data and at >= 0:
            return data[at + 10 : at + 100].split(b"\n")[0].decode("ascii", "replace")
    return ""
