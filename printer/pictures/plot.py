"""The picture of blocks.py as svg, png or pdf. The file that knows matplotlib, an optional extra.

A figure is laid out in inches: for each header a name, the arrows, the bar; then what became of the blocks, the
addresses, what was found. Colours are told apart by their lightness and by hatching, too; an SVG has its text
as text, says what it shows to a screen reader, and turns its ink light on a dark page.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import accumulate
from textwrap import wrap
from typing import Any, NamedTuple

from elfcorehdr.errors import ProfileError
from printer.judge.diff import row_words
from printer.judge.rules import Finding, Level
from printer.lacking import install
from printer.layout.sizes import printable, size_text
from printer.pictures.blocks import Arrow, Block, Delta, Kind, Picture, View, grouped
from printer.pictures.text import draw

ENDINGS = ("svg", "png", "pdf")
INK, FAINT, PAPER = "#1b1c1e", "#6f7276", "#fdfdfc"
"""Text and lines; what is less important; the page. No other colour is one of these: see _for_readers()."""
ALARM, CALM = "#b8141d", "#2c66b3"
"""Sentences and arrows: what is wrong, and what points where it should. Lighter on a dark page, too."""
DARK = {
    "ink": "#e8e8e6",
    "faint": "#a2a5a9",
    "paper": "#16181b",
    "alarm": "#ff8a8f",
    "calm": "#86b4f2",
}
"""What an SVG has in their place on a dark page."""
_WIDE, _LEGEND, _MARGIN = 13.0, 2.75, 0.3
_TITLE, _NAME, _ARROWS, _BAR, _SIGNS_ROOM, _STRIP, _TICKS, _LINE = (
    0.72,
    0.24,
    0.5,
    0.84,
    0.2,
    0.3,
    0.8,
    0.2,
)
_LEAST = 0.09
"""Inches that a block has at least."""
_CHAR = 0.071
"""Inches of a character of 8 points."""
_MOST = 8
"""Findings that are written out."""
_SIGNS = (("n", "|", "CPU notes"), ("v", "D", "vmcoreinfo"), ("k", "^", "kernel image"))


def save(found: Picture, path: str) -> None:
    """Draw found into a file whose ending names the form.

    ProfileError for another ending or without matplotlib, OSError if path cannot be written.

    >>> save(picture([Layout(read("elfcorehdr.bin"))]), "memory.svg")
    """
    ending = path.rpartition(".")[2].lower()
    if ending not in ENDINGS:
        raise ProfileError(f"{path}: ends in .{ending[:20]}, expected .svg, .png or .pdf")
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ProfileError(
            f"{path}: matplotlib is needed to draw: {install('matplotlib')}"
        ) from None
    told = _told(found)
    plain: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "elfcorehdr",
        "hatch.linewidth": 0.6,
        "font.family": "DejaVu Sans",
        "text.parse_math": False,
    }
    with matplotlib.rc_context(plain):
        figure = Figure(figsize=(_WIDE, _height(found, told)), facecolor=PAPER)
        FigureCanvasAgg(figure)
        _Drawing(figure, found, told).draw()
        words = "\n".join(draw(found, 80, colour=False, unicode=False))
        about = {"Title": found.title, "Description": words}
        if ending == "svg":
            kept = io.StringIO()
            figure.savefig(kept, format="svg", metadata={"Date": None, "Title": found.title})
            with open(path, "w", encoding="utf-8") as file:
                file.write(_for_readers(kept.getvalue(), found.title, words))
        elif ending == "png":
            figure.savefig(path, dpi=130, metadata=about)
        else:
            figure.savefig(path, metadata={"Title": found.title, "Subject": words})


def _for_readers(svg: str, title: str, words: str) -> str:
    """With a title and a description for screen readers; ink and paper change places on a dark page."""
    from xml.sax.saxutils import escape

    inks = {"ink": INK, "faint": FAINT, "paper": PAPER, "alarm": ALARM, "calm": CALM}
    dark = ";".join(f"--{name}:{colour}" for name, colour in DARK.items())
    style = f"<style>@media (prefers-color-scheme: dark){{:root{{{dark}}}}}</style>"
    head = f"<title>{escape(title)}</title><desc>{escape(words)}</desc>{style}"
    begin = svg.index("<svg ")
    opening = svg[begin : svg.index(">", begin) + 1].replace("<svg ", '<svg role="img" ', 1)
    for name, colour in inks.items():
        svg = svg.replace(f": {colour}", f": var(--{name}, {colour})")
        svg = svg.replace(f'fill="{colour}"', f'style="fill: var(--{name}, {colour})"')
    end = svg.index(">", begin) + 1
    return svg[:begin] + opening + head + svg[end:]


class Told(NamedTuple):
    """A finding that is written out."""

    view: int
    finding: Finding
    more: int
    """How many of its rule are not."""


def _told(found: Picture) -> list[Told]:
    """What is written out, errors first."""
    every = [
        Told(n, finding, more)
        for n, view in enumerate(found.views)
        for finding, more in grouped(view.findings)
    ]
    every.sort(key=lambda told: -told.finding.level)
    return every[:_MOST]


def _height(found: Picture, told: Sequence[object]) -> float:
    views = sum(_above(found, view) + _BAR + _SIGNS_ROOM for view in found.views)
    strip = _STRIP if any(found.deltas) else 0
    return _TITLE + views + strip + _TICKS + _LINE * (len(told) + 1.5)


def _above(found: Picture, view: View) -> float:
    """Inches above a bar: for its name, if there are two, and for arrows."""
    name = _NAME if len(found.views) > 1 else 0.0
    return name + (_ARROWS if view.arrows else 0.12)


class _Drawing:
    """A figure that is being drawn, from its top down; x and y in inches, from the left and the bottom."""

    def __init__(self, figure: Any, found: Picture, told: Sequence[Told]) -> None:
        self.found = found
        self.told = told
        self.high = _height(found, told)
        self.axes = figure.add_axes((0, 0, 1, 1))
        self.axes.set_xlim(0, _WIDE)
        self.axes.set_ylim(0, self.high)
        self.axes.axis("off")
        room = _WIDE - _LEGEND - 2 * _MARGIN
        self.edges = [_MARGIN, *(_MARGIN + e for e in accumulate(found.widths(room, _LEAST)))]
        self.numbers = {(one.view, one.finding): i for i, one in enumerate(told, 1)}

    def draw(self) -> None:
        self.text(_MARGIN, self.high - 0.3, self.found.subject, size=12, weight="bold")
        rest = self.found.title.removeprefix(f"{self.found.subject}: ")
        line = wrap(rest, 150)[0] if len(rest) <= 150 else f"{wrap(rest, 147)[0]}..."
        self.text(_MARGIN, self.high - 0.55, line, size=9.5)
        y = self.high - _TITLE
        for n, view in enumerate(self.found.views):
            y = self.view(n, view, y)
        if any(self.found.deltas):
            self.deltas(y - _STRIP)
            y -= _STRIP
        self.ticks(y)
        self.legend()
        self.sentences(y - _TICKS)

    def view(self, n: int, view: View, top: float) -> float:
        """A header's name, arrows and bar; the y of the bar's bottom."""
        if len(self.found.views) > 1:
            self.text(_MARGIN, top - 0.14, view.label, size=9, weight="bold")
        base = top - _above(self.found, view) - _BAR
        for block, left, right in self.stretches(view):
            self.block(block, left, right, base)
        for arrow in view.arrows:
            self.arrow(arrow, base + _BAR)
        for sign, marker, _ in _SIGNS:
            places = [self.place(m.address) for m in view.marks if m.sign == sign]
            if places:
                self.axes.plot(places, [base - 0.07] * len(places), marker, color=INK, ms=5, ls="")
        for block, left, _ in self.stretches(view):
            numbers = [self.numbers[n, f] for f in block.findings if (n, f) in self.numbers]
            if numbers:
                self.badge(left + 0.08, base + _BAR, numbers)
        return base - _SIGNS_ROOM

    def stretches(self, view: View) -> Iterator[tuple[Block, float, float]]:
        return zip(view.blocks, self.edges, self.edges[1:], strict=False)

    def place(self, address: int) -> float:
        return self.found.place(self.edges, address)

    def block(self, block: Block, left: float, right: float, base: float) -> None:
        if block.kind is Kind.HOLE:
            self.hole(left, right, base)
            return
        share = block.loaded / block.size if block.kind is Kind.PARTLY else 1.0
        kind: Kind = Kind.LOADED if block.kind is Kind.PARTLY else block.kind
        above = Kind.NOT_LOADED if block.missing else Kind.HOLE
        if share < 1:
            self.patch(above, left, right, base + _BAR * share, _BAR * (1 - share))
        self.patch(kind, left, right, base, _BAR * share)
        text = size_text(block.size)
        if block.kind is Kind.PARTLY:
            text = f"{block.rows:,} rows: {size_text(block.loaded)} of {text}"
            if share < 0.35:  # there is more room above
                kind, share = above, 1 + share
            base -= _BAR * (1 - share) / 2
        self.inside(text, left, right, base, kind)

    def patch(self, kind: Kind, left: float, right: float, bottom: float, height: float) -> None:
        from matplotlib.patches import Rectangle

        dark = kind in (Kind.LOADED, Kind.WRONG, Kind.BACKED_UP)
        edge = PAPER if dark else FAINT
        box = (left, bottom), right - left, height
        self.axes.add_patch(
            Rectangle(*box, facecolor=kind.colour, edgecolor=edge, lw=0, hatch=kind.hatch)
        )
        frame = ALARM if kind is Kind.WRONG else INK
        self.axes.add_patch(
            Rectangle(*box, fill=False, edgecolor=frame, lw=1.6 if kind is Kind.WRONG else 0.5)
        )

    def hole(self, left: float, right: float, base: float) -> None:
        """A break of the axis: nothing lies here."""
        middle = base + _BAR / 2
        self.axes.plot([left, right], [middle, middle], ":", color=FAINT, lw=1)
        x = (left + right) / 2
        for shift in (-0.03, 0.03):
            ends = [x + shift - 0.03, x + shift + 0.03], [middle - 0.09, middle + 0.09]
            self.axes.plot(*ends, color=FAINT, lw=1)

    def inside(self, text: str, left: float, right: float, base: float, kind: Kind) -> None:
        """Text in a block, upright if it is too narrow; none if there is no room."""
        wide, long = right - left, _CHAR * len(text)
        if wide < long + 0.08 and (wide < 0.17 or long > _BAR):
            return
        light = kind in (Kind.LOADED, Kind.WRONG, Kind.BACKED_UP)
        box = {"facecolor": kind.colour, "edgecolor": "none", "pad": 1.2} if kind.hatch else None
        self.axes.text(
            (left + right) / 2, base + _BAR / 2, text,
            ha="center", va="center", fontsize=8, bbox=box,
            color="#ffffff" if light else "#111111",
            rotation=0 if wide >= long + 0.08 else 90,
        )  # fmt: skip

    def arrow(self, arrow: Arrow, top: float) -> None:
        """From a row to where it is read: red if that is not the backup region."""
        colour = ALARM if arrow.wrong else CALM
        source, target = self.place(arrow.source + arrow.size // 2), self.place(arrow.target)
        label = f"{size_text(arrow.size)} read from {arrow.target:#x}"
        label += ": not the backup region" if arrow.wrong else ", the backup region"
        style = {"arrowstyle": "-|>", "color": colour, "lw": 1.6, "shrinkA": 0, "shrinkB": 0}
        if arrow.source <= arrow.target < arrow.source + arrow.size:  # it points at itself
            left, right = (self.place(x) for x in (arrow.source, arrow.source + arrow.size))
            source, target = left + (right - left) * 0.2, left + (right - left) * 0.8
            style["connectionstyle"] = f"arc3,rad={-min(3.0, 0.5 / (target - source))}"
        else:
            rad = min(1.0, 0.5 / max(abs(target - source), 0.01))
            style["connectionstyle"] = f"arc3,rad={-rad if target > source else rad}"
        self.axes.annotate("", (target, top), (source, top), arrowprops=style)
        self.text(max(source, target) + 0.16, top + 0.16, label, colour=colour, weight="bold")

    def badge(self, x: float, top: float, numbers: Sequence[int]) -> None:
        """The numbers of findings, on the block that they are about."""
        self.axes.text(
            x, top - 0.12, ",".join(map(str, numbers)),
            ha="center", va="center", fontsize=7, color="#ffffff", weight="bold",
            bbox={"boxstyle": "circle,pad=0.25", "facecolor": "#8a0f16", "edgecolor": "#ffffff", "lw": 0.8},
        )  # fmt: skip

    def deltas(self, base: float) -> None:
        """What became of each block, below both bars."""
        from matplotlib.patches import Rectangle

        for n, delta in enumerate(self.found.deltas):
            if delta is None:
                continue
            left, right = self.edges[n], self.edges[n + 1]
            self.axes.add_patch(
                Rectangle(
                    (left, base + 0.06), right - left, _STRIP - 0.1,
                    facecolor=PAPER, edgecolor=delta.colour, hatch=delta.hatch * 2, lw=1.2,
                )
            )  # fmt: skip
            text = self.delta_text(n, delta)
            if right - left >= _CHAR * len(text) + 0.1:
                box = {"facecolor": PAPER, "edgecolor": "none", "pad": 1}
                self.axes.text(
                    (left + right) / 2, base + _STRIP / 2 + 0.01, text,
                    ha="center", va="center", fontsize=8, color=INK, bbox=box,
                )  # fmt: skip

    def delta_text(self, n: int, delta: Delta) -> str:
        size = abs(self.found.views[-1].blocks[n].loaded - self.found.views[0].blocks[n].loaded)
        text = f"{delta.sign} {size_text(size)}" if size else delta.word
        if not size and self.found.changes[n]:
            text = f"{delta.sign} {row_words(self.found.changes[n][0])[5]}"
        return text

    def ticks(self, base: float) -> None:
        """Addresses where blocks begin, as many as there is room for, and the end."""
        blocks = self.found.blocks
        last = -1.0
        for x, address in zip(
            self.edges, [*(b.start for b in blocks), blocks[-1].stop], strict=True
        ):
            self.axes.plot([x, x], [base - 0.05, base + 0.02], color=INK, lw=0.7)
            if x - last < 0.2:
                continue
            last = x
            self.axes.text(
                x, base - 0.08, hex(address), rotation=-35, rotation_mode="anchor",
                ha="left", va="top", fontsize=7.5, color=INK,
            )  # fmt: skip

    def legend(self) -> None:
        """What colours, hatchings and signs mean, beside the bars."""
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        present = {block.kind for view in self.found.views for block in view.blocks}
        handles: list[Any] = [
            Patch(
                facecolor=kind.colour if kind is not Kind.HOLE else PAPER,
                edgecolor=FAINT, hatch=kind.hatch, label=kind.word,
            )
            for kind in Kind if kind in present
        ]  # fmt: skip
        if Kind.PARTLY in present:
            handles = [h for h in handles if h.get_label() != Kind.PARTLY.word]
            handles.append(
                Patch(facecolor=PAPER, edgecolor=FAINT, label="height: share that is loaded")
            )
        signs = {mark.sign for view in self.found.views for mark in view.marks}
        handles += [
            Line2D([], [], marker=marker, color=INK, ls="", ms=5, label=word)
            for sign, marker, word in _SIGNS
            if sign in signs
        ]
        handles += [
            Patch(
                facecolor=PAPER, edgecolor=d.colour, hatch=d.hatch * 2, label=f"{d.sign} {d.word}"
            )
            for d in Delta
            if d in self.found.deltas
        ]
        legend = self.axes.legend(
            handles=handles, loc="upper left", fontsize=8.5, frameon=False, labelcolor=INK,
            bbox_to_anchor=((_WIDE - _LEGEND - 0.1) / _WIDE, (self.high - 0.15) / self.high),
            handleheight=1.3, handlelength=2.0, labelspacing=0.7,
            title="a block's width: fourth root of its size", title_fontsize=7.5,
        )  # fmt: skip
        legend.get_title().set_color(FAINT)
        legend._legend_box.align = "left"

    def sentences(self, y: float) -> None:
        """What was found, a line each."""
        for i, (n, finding, more) in enumerate(self.told, 1):
            view = self.found.views[n]
            where = view.label if len(self.found.views) > 1 else ""
            if finding.row is not None:
                where = f"{where} row {finding.row:#x} ({view.layout.what(finding.row)})".strip()
            line = f"{i}  {finding.level.word}: {where + ': ' if where else ''}{finding.message}"
            line = f"{line[:160]}{f', and {more:,} more' if more else ''} [{finding.rule.id}]"
            y -= _LINE
            colour = ALARM if finding.level is Level.ERROR else INK
            self.text(_MARGIN, y, printable(line), colour=colour)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 8,
        weight: str = "normal",
        colour: str = INK,
    ) -> None:
        self.axes.text(x, y, text, fontsize=size, weight=weight, color=colour, va="center")
