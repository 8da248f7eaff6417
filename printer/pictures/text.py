"""The picture of blocks.py in a terminal: a bar for each header, signs and arrows below, then a line a block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from printer.judge.diff import row_words
from printer.judge.rules import Finding
from printer.layout.sizes import printable, size_text
from printer.pictures.blocks import Block, Delta, Kind, Picture, View, grouped

LISTED = 48
"""Blocks that are listed below the bar; with more the first and last are."""
_SIGNS = {"n": "CPU notes", "v": "vmcoreinfo", "k": "kernel image", "!": "finding"}
_RED = 31


class _Style:
    """Glyphs and colours of a terminal."""

    def __init__(self, *, colour: bool, unicode: bool) -> None:
        self.colour = colour
        self.unicode = unicode

    def kind(self, kind: Kind) -> str:
        return self.paint(kind.glyph if self.unicode else kind.plain, kind.ansi)

    def delta(self, delta: Delta | None) -> str:
        return self.paint(delta.sign, delta.ansi) if delta else " "

    def paint(self, text: str, ansi: int) -> str:
        return f"\033[{ansi}m{text}\033[0m" if self.colour and text.strip() else text


def draw(found: Picture, columns: int, *, colour: bool, unicode: bool) -> Iterator[str]:
    """The picture as text lines, columns wide.

    >>> list(draw(picture([Layout(read("elfcorehdr.bin"))]), 40, colour=False, unicode=False))[3]
    'BB######======FFFF=======###############'
    """
    style = _Style(colour=colour, unicode=unicode)
    edges = _edges(found, columns)
    yield found.title
    yield ""
    yield _scale(found, columns)
    for view in found.views:
        if len(found.views) > 1:
            yield f"{view.label}:"
        yield _bar(view.blocks, edges, style)
        if signs := _signs(found, view, edges, columns, style):
            yield signs
        yield from _arrows(found, view, edges, columns, style)
    if found.deltas:
        yield "".join(
            style.delta(delta) * (edges[n + 1] - edges[n]) for n, delta in enumerate(found.deltas)
        ).rstrip()
    yield ""
    yield from _legend(found, columns, style)
    yield ""
    yield from _list(found, style)
    yield from _whole(found, style)


def _edges(found: Picture, columns: int) -> list[int]:
    """The column at which each block begins, and the end; each has one if there is room."""
    widths = found.widths(columns, 1.0)
    edges = [0, *(round(edge) for edge in accumulate(widths))]
    count = len(widths)
    if count > columns:
        return edges
    for n in range(1, count):  # from the left: at least one column each
        edges[n] = max(edges[n], edges[n - 1] + 1)
    edges[count] = columns
    for n in range(count - 1, 0, -1):
        edges[n] = min(edges[n], edges[n + 1] - 1)
    return edges


def _scale(found: Picture, columns: int) -> str:
    left, right = hex(found.blocks[0].start), hex(found.blocks[-1].stop)
    return left + right.rjust(max(columns, len(left) + len(right) + 1) - len(left))


def _bar(blocks: Sequence[Block], edges: Sequence[int], style: _Style) -> str:
    return "".join(
        style.kind(block.kind) * (edges[n + 1] - edges[n]) for n, block in enumerate(blocks)
    )


def _column(found: Picture, edges: Sequence[int], address: int, columns: int) -> int:
    return min(columns - 1, int(found.place([float(edge) for edge in edges], address)))


def _signs(found: Picture, view: View, edges: Sequence[int], columns: int, style: _Style) -> str:
    line = [" "] * columns
    for mark in view.marks:
        line[_column(found, edges, mark.address, columns)] = mark.sign
    for n, block in enumerate(view.blocks):
        if block.findings and edges[n] < columns:
            line[edges[n]] = "!"
    return "".join(style.paint(sign, _RED) if sign == "!" else sign for sign in line).rstrip()


def _arrows(
    found: Picture, view: View, edges: Sequence[int], columns: int, style: _Style
) -> Iterator[str]:
    """Where rows are read that are read from elsewhere; what does not point at the backup region is red."""
    across, corner, back, head = ("─", "╰", "╯", "▶◀") if style.unicode else ("-", "`", "'", "><")
    for arrow in view.arrows:
        a, b = (_column(found, edges, x, columns) for x in (arrow.source, arrow.target))
        if a < b:
            line = " " * a + corner + across * (b - a - 1) + head[0]
        elif b < a:
            line = " " * b + head[1] + across * (a - b - 1) + back
        else:
            line = " " * a + ("↺" if style.unicode else "@")
        text = f"{size_text(arrow.size)} of row {arrow.row:#x} read from {arrow.target:#x}"
        text += ": not the backup region" if arrow.wrong else ": the backup region"
        room = columns - len(line) - 1 >= len(text)
        line = f"{line} {text}" if room or len(text) >= columns else f"{line}\n{text:>{columns}}"
        yield from (style.paint(part, _RED if arrow.wrong else 36) for part in line.split("\n"))


def _legend(found: Picture, columns: int, style: _Style) -> Iterator[str]:
    """What the glyphs and signs mean, as many to a line as there is room for."""
    present = {block.kind for view in found.views for block in view.blocks}
    signs = {mark.sign for view in found.views for mark in view.marks}
    if any(block.findings for view in found.views for block in view.blocks):
        signs.add("!")
    words = [(style.kind(kind), kind.word) for kind in Kind if kind in present]
    words += [(sign, word) for sign, word in _SIGNS.items() if sign in signs]
    words += [(style.delta(delta), delta.word) for delta in Delta if delta in found.deltas]
    line, used = "", 0
    for glyph, word in words:
        if used and used + 4 + len(word) > columns:
            yield line
            line, used = "", 0
        gap = "  " if used else ""
        line, used = f"{line}{gap}{glyph} {word}", used + len(gap) + 2 + len(word)
    yield line


def _list(found: Picture, style: _Style) -> Iterator[str]:
    """A line for each block: where, how large, what, which row, what is wrong; with two headers what changed."""
    starts = [hex(block.start) for block in found.blocks]
    sizes = [size_text(block.size) for block in found.blocks]
    wide, size_wide = max(map(len, starts)), max(map(len, sizes))
    count = len(starts)
    cut = range(LISTED // 2, count - LISTED // 2) if count > LISTED else range(0)
    for n in range(count):
        if n in cut:
            if n == cut.start:
                yield f"... {len(cut)} blocks more (print --format table)"
            continue
        glyphs = "".join(style.kind(view.blocks[n].kind) for view in found.views)
        sign = f"{style.delta(found.deltas[n])} " if found.deltas else ""
        line = f"{sign}{starts[n]:<{wide}}  {sizes[n]:>{size_wide}}  {glyphs}  {_words(found, n)}"
        yield line.rstrip()
        for finding, more in grouped(_findings(found, n)):
            yield style.paint(f"{' ' * (wide + size_wide + 7)}{_sentence(finding, more)}", _RED)


def _findings(found: Picture, n: int) -> list[Finding]:
    """What was found about a block in any view, once."""
    return list(dict.fromkeys(f for view in found.views for f in view.blocks[n].findings))


def _sentence(finding: Finding, more: int) -> str:
    also = f", and {more:,} more" if more else ""
    return f"{finding.level.word}: {finding.message}{also} [{finding.rule.id}]"


def _words(found: Picture, n: int) -> str:
    words = " -> ".join(dict.fromkeys(_what(view, view.blocks[n]) for view in found.views))
    if found.changes and found.changes[n]:
        words += " (" + "; ".join(row_words(row)[5] for row in found.changes[n][:3]) + ")"
    return words


def _what(view: View, block: Block) -> str:
    text = block.kind.word
    if block.row is not None:
        text = f"row {block.row:#x}: {text}"
        if block.kind is Kind.BACKED_UP:
            text += f" at {view.layout.core.phdrs.p_offset[block.row]:#x}"
    elif block.rows:
        text = f"{block.rows:,} rows: {size_text(block.loaded)} loaded"
    if block.missing and block.kind is not Kind.NOT_LOADED:
        text += f", {size_text(block.missing)} of memory not"
    inside = [mark for mark in view.marks if block.start <= mark.address < block.stop]
    notes = sum(mark.sign == "n" for mark in inside)
    extra = [f"{mark.word} at {mark.address:#x}" for mark in inside if mark.sign != "n"]
    if notes:
        extra.insert(0, f"{notes:,} CPU note{'s' * (notes > 1)}")
    region = [a.row for a in view.arrows if not a.wrong and block.start <= a.target < block.stop]
    extra += [f"backup region of row {row:#x}" for row in region]
    return text + (f" ({', '.join(extra[:4])})" if extra else "")


def _whole(found: Picture, style: _Style) -> Iterator[str]:
    """Findings that belong to no block: about the whole, about notes and other rows."""
    for view in found.views:
        shown = {finding for block in view.blocks for finding in block.findings}
        rest = grouped(finding for finding in view.findings if finding not in shown)
        name = f"{view.label}: " if len(found.views) > 1 else ""
        for finding, more in rest:
            where = "" if finding.row is None else f"row {finding.row:#x}: "
            yield style.paint(printable(f"{name}{where}{_sentence(finding, more)}"), _RED)
