"""Physical memory as a picture, drawn from one header or from two on one scale.

The picture is a row of ranges, each as wide as it is large but never narrower than a column, so
that 64 KiB beside 16 GiB can still be seen. picture() works it out, draw() prints it;
plot.py draws the same with matplotlib. Imports elfcorehdr.elf and .ranges.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate, pairwise

from elfcorehdr.elf import PT_NOTE
from elfcorehdr.lib.ranges import Range
from printer.inputs.source import Form
from printer.judge.surroundings import Surroundings
from printer.layout.roles import Layout, Role
from printer.layout.sizes import printable, size_text
from printer.layout.spans import U64, Spans

LISTED = 48
"""Ranges that are listed below the bar; with more the first and last are."""


class Kind(Enum):
    """What a range of physical memory is: its word, glyph, plain glyph, ANSI colour, colour name."""

    LOADED = ("loaded", "█", "#", 32, "#4c9f70")
    BACKED_UP = ("loaded from the backup region", "▓", "B", 36, "#2f7fb5")
    FIRMWARE = ("loaded, inside the crashkernel", "▚", "F", 35, "#8e5ea2")
    CRASHKERNEL = ("crashkernel", "░", "=", 33, "#e8b84a")
    NOT_LOADED = ("memory that is not loaded", "!", "!", 31, "#c8443c")
    HOLE = ("not loaded", "·", ".", 90, "#e6e6e6")

    def __init__(self, word: str, glyph: str, plain: str, ansi: int, colour: str) -> None:
        self.word = word
        self.glyph = glyph
        self.plain = plain
        self.ansi = ansi
        self.colour = colour


@dataclass(frozen=True, slots=True)
class Mark:
    """A place worth a sign: where a note lies, where a row is read from."""

    address: int
    sign: str
    word: str


@dataclass(frozen=True, slots=True)
class View:
    """One header on the common scale."""

    layout: Layout
    kinds: tuple[Kind, ...]
    """What each of the picture's ranges is here."""
    rows: tuple[int | None, ...]
    """The row that loads each range, None where none does."""
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """Ranges that follow each other without a gap, and what they are in each header."""

    ranges: tuple[Range, ...]
    views: tuple[View, ...]

    def widths(self, columns: int) -> list[int]:
        """Columns of each range: at least one, the rest by size; in all, columns or more."""
        sizes = [span.size for span in self.ranges]
        spare = max(0, columns - len(sizes))
        total = sum(sizes) or 1
        exact = [size * spare / total for size in sizes]
        widths = [1 + int(share) for share in exact]
        left = spare - sum(int(share) for share in exact)
        by_rest = sorted(range(len(sizes)), key=lambda i: int(exact[i]) - exact[i])
        for i in by_rest[:left]:
            widths[i] += 1
        return widths

    def placer(self, widths: Sequence[float]) -> Callable[[int], float]:
        """A function from an address to its column on the scale of these widths."""
        starts = [span.start for span in self.ranges]
        edges = [0.0, *accumulate(widths)]

        def column(address: int) -> float:
            i = max(0, bisect_right(starts, address) - 1)
            span = self.ranges[i]
            inside = min(address - span.start, span.size - 1) / span.size
            return edges[i] + inside * widths[i]

        return column


def picture(layouts: Sequence[Layout], machine: Surroundings | None = None) -> Picture:
    """The common picture of one header or more; machine adds the crashkernel and unloaded RAM.

    Without machine the crashkernel is taken to be the gap that the backup region lies in.
    """
    around = machine or Surroundings()
    reserved = [around.crashkernel or layout.crashkernel_gap for layout in layouts]
    edges: set[int] = {0}
    for layout, crash in zip(layouts, reserved, strict=True):
        spans = [*_load_spans(layout).values(), *crash, *around.memory]
        edges.update(edge for span in spans for edge in (span.start, span.end + 1))
    ends = sorted(edges)
    ranges = tuple(Range(start, end - 1) for start, end in pairwise(ends)) or (Range(0, 0),)
    views = tuple(
        _view(layout, ranges, crash, around)
        for layout, crash in zip(layouts, reserved, strict=True)
    )
    return _joined(Picture(ranges, views))


def _load_spans(layout: Layout) -> dict[int, Range]:
    """Row -> memory, for the rows that load memory."""
    wanted = (Role.MEMORY, Role.BACKUP, Role.FIRST_64K)
    return {
        row: Range(p.p_paddr, min(p.p_paddr + p.p_memsz, U64) - 1)
        for row, p in enumerate(layout.core.phdrs)
        if layout.roles[row] in wanted and p.p_memsz
    }


def _view(
    layout: Layout, ranges: tuple[Range, ...], crash: tuple[Range, ...], around: Surroundings
) -> View:
    spans = sorted((span, row) for row, span in _load_spans(layout).items())
    starts = [span.start for span, _ in spans]
    in_crashkernel, in_memory = Spans.of(crash), Spans.of(around.memory)
    kinds: list[Kind] = []
    rows: list[int | None] = []
    for at in ranges:
        i = bisect_right(starts, at.start) - 1
        row = spans[i][1] if i >= 0 and spans[i][0].end >= at.start else None
        inside = in_crashkernel.covers(at.start, at.end + 1)
        if row is not None and layout.roles[row] is Role.BACKUP:
            kind = Kind.BACKED_UP
        elif row is not None:
            kind = Kind.FIRMWARE if inside else Kind.LOADED
        elif inside:
            kind = Kind.CRASHKERNEL
        else:
            kind = Kind.NOT_LOADED if in_memory.covers(at.start, at.end + 1) else Kind.HOLE
        kinds.append(kind)
        rows.append(row)
    return View(layout, tuple(kinds), tuple(rows), tuple(_marks(layout)))


def _marks(layout: Layout) -> Iterator[Mark]:
    if layout.core.form is not Form.ELFCOREHDR:
        return
    for row, p in enumerate(layout.core.phdrs):
        role = layout.roles[row]
        if p.p_type == PT_NOTE:
            yield Mark(p.p_paddr, "v" if role is Role.VMCOREINFO else "n", layout.what(row))
        elif role is Role.KERNEL:
            yield Mark(p.p_paddr, "k", role.value)
        elif role is Role.BACKUP:
            yield Mark(p.p_offset, "b", f"backup region of row {row:#x}")


def _joined(found: Picture) -> Picture:
    """Neighbours that are the same in every view made one: two inputs need edges, one does not."""
    keep: list[int] = []
    for i in range(len(found.ranges)):
        same = keep and all(
            (v.kinds[i], v.rows[i]) == (v.kinds[keep[-1]], v.rows[keep[-1]]) for v in found.views
        )
        if not same:
            keep.append(i)
    ends = [*(found.ranges[i].start - 1 for i in keep[1:]), found.ranges[-1].end]
    ranges = tuple(Range(found.ranges[i].start, end) for i, end in zip(keep, ends, strict=True))
    views = tuple(
        View(v.layout, tuple(v.kinds[i] for i in keep), tuple(v.rows[i] for i in keep), v.marks)
        for v in found.views
    )
    return Picture(ranges, views)


def draw(found: Picture, columns: int, *, colour: bool, unicode: bool) -> Iterator[str]:
    """The picture as text lines, columns wide: a bar for each header, signs, then the ranges."""
    widths = found.widths(columns)
    if len(widths) > columns:
        step = len(widths) / columns
        cells = [int(i * step) for i in range(columns)]
    else:
        cells = [i for i, width in enumerate(widths) for _ in range(width)]
    yield _scale(found, columns)
    for view in found.views:
        if len(found.views) > 1:
            yield f"{printable(view.layout.core.name)}:"
        yield "".join(_cell(view.kinds[i], colour=colour, unicode=unicode) for i in cells)
        if signs := _signs(found, view, columns, widths):
            yield signs
    yield ""
    yield from _legend(found, columns, colour=colour, unicode=unicode)
    yield ""
    yield from _list(found, colour=colour, unicode=unicode)


def _scale(found: Picture, columns: int) -> str:
    left, right = hex(found.ranges[0].start), hex(found.ranges[-1].end + 1)
    return left + right.rjust(max(columns, len(left) + len(right) + 1) - len(left))


def _cell(kind: Kind, *, colour: bool, unicode: bool) -> str:
    glyph = kind.glyph if unicode else kind.plain
    return f"\033[{kind.ansi}m{glyph}\033[0m" if colour else glyph


def _signs(found: Picture, view: View, columns: int, widths: list[int]) -> str:
    line = [" "] * columns
    factor = columns / sum(widths)
    column = found.placer(widths)
    for mark in view.marks:
        line[min(columns - 1, int(column(mark.address) * factor))] = mark.sign
    return "".join(line).rstrip()


def _legend(found: Picture, columns: int, *, colour: bool, unicode: bool) -> Iterator[str]:
    """What the glyphs and signs mean, as many to a line as there is room for."""
    present = {kind for view in found.views for kind in view.kinds}
    signs = {mark.sign for view in found.views for mark in view.marks}
    known = {"n": "CPU notes", "v": "vmcoreinfo", "k": "kernel image", "b": "backup region"}
    words = [(_cell(k, colour=colour, unicode=unicode), k.word) for k in Kind if k in present]
    words += [(sign, word) for sign, word in known.items() if sign in signs]
    line, used = "", 0
    for glyph, word in words:
        if used and used + 4 + len(word) > columns:
            yield line
            line, used = "", 0
        gap = "  " if used else ""
        line, used = f"{line}{gap}{glyph} {word}", used + len(gap) + 2 + len(word)
    yield line
    yield "Ranges are at least one column wide; beyond that, to scale."


def _list(found: Picture, *, colour: bool, unicode: bool) -> Iterator[str]:
    """A line for each range: where, how large, what, which row; with two headers what changed."""
    starts = [hex(span.start) for span in found.ranges]
    sizes = [size_text(span.size) for span in found.ranges]
    wide, size_wide = max(map(len, starts)), max(map(len, sizes))
    shown = range(len(starts))
    cut = range(LISTED // 2, len(starts) - LISTED // 2) if len(starts) > LISTED else range(0)
    for i in shown:
        if i in cut:
            if i == cut.start:
                yield f"... {len(cut)} ranges more (print --format table)"
            continue
        glyphs = "".join(_cell(v.kinds[i], colour=colour, unicode=unicode) for v in found.views)
        sign = _change_sign(found, i)
        line = f"{sign}{starts[i]:<{wide}}  {sizes[i]:>{size_wide}}  {glyphs}  {_words(found, i)}"
        yield line.rstrip()


def _change_sign(found: Picture, i: int) -> str:
    if len(found.views) < 2:
        return ""
    first, last = found.views[0].rows[i] is not None, found.views[-1].rows[i] is not None
    return {(True, False): "- ", (False, True): "+ "}.get((first, last), "  ")


def _words(found: Picture, i: int) -> str:
    words = [_what(found, view, i) for view in found.views]
    return " -> ".join(dict.fromkeys(words))


def _what(found: Picture, view: View, i: int) -> str:
    row, span = view.rows[i], found.ranges[i]
    text = view.kinds[i].word if row is None else f"row {row:#x}: {view.kinds[i].word}"
    if row is not None and view.kinds[i] is Kind.BACKED_UP:
        text += f" at {view.layout.core.phdrs[row].p_offset:#x}"
    inside = [mark for mark in view.marks if span.start <= mark.address <= span.end]
    notes = sum(mark.sign == "n" for mark in inside)
    extra = [f"{mark.word} at {mark.address:#x}" for mark in inside if mark.sign != "n"]
    if notes:
        extra.insert(0, f"{notes} CPU note{'s' * (notes > 1)}")
    return text + (f" ({', '.join(extra[:4])})" if extra else "")
