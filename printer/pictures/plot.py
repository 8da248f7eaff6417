"""The picture of memmap.py as svg, png or pdf. The file that knows matplotlib, an optional extra."""

from __future__ import annotations

from itertools import accumulate, islice
from typing import Any

from elfcorehdr.errors import ProfileError
from printer.layout.roles import Role
from printer.layout.sizes import printable, size_text
from printer.pictures.memmap import Kind, Picture, View

ENDINGS = ("svg", "png", "pdf")
_UNITS = 1000
"""Width of the bar in units of which every range gets at least _LEAST."""
_LEAST = 20
_DRAWN = 400
"""From this many ranges on there are no lines between them."""
_ARROWS = 4
_LABEL_ROOM = 21
"""Units between two addresses below the bar that can be told apart."""


def save(found: Picture, path: str) -> None:
    """Draw found into a file whose ending names the form.

    ProfileError for another ending or without matplotlib, OSError if path cannot be written.
    """
    ending = path.rpartition(".")[2].lower()
    if ending not in ENDINGS:
        raise ProfileError(f"{path}: ends in .{ending}, expected .svg, .png or .pdf")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ProfileError(
            f"{path}: matplotlib is needed to draw, expected it installed: pip install 'kdumpfs[plot]'"
        ) from None
    figure = Figure(figsize=(13, 1.9 + 1.5 * len(found.views)), layout="constrained")
    FigureCanvasAgg(figure)
    _draw(figure.add_subplot(), found)
    figure.savefig(path, dpi=130, metadata={"Date": None} if ending == "svg" else None)


def _draw(axes: Any, found: Picture) -> None:
    widths = _widths(found)
    edges = [0.0, *accumulate(widths)]
    column = found.placer(widths)
    top = len(found.views) - 1
    for n, view in enumerate(found.views):
        _bar(axes, view, widths, edges, top - n)
        _sizes(axes, found, view, widths, edges, top - n)
        _marks(axes, view, column, top - n)
        _offsets(axes, view, column, top - n)
    axes.set_xlim(0, edges[-1])
    axes.set_ylim(-0.62, top + 0.72)
    names = [printable(view.layout.core.name.rpartition("/")[2]) for view in found.views]
    axes.set_yticks(range(top + 1), names[::-1], parse_math=False)
    _ticks(axes, found, edges)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_title("Physical memory in the elfcorehdr", loc="left", fontsize=12)
    axes.set_xlabel(
        "physical address (a range has a least width; beyond that, to scale)", fontsize=9
    )
    _legend(axes, found)


def _widths(found: Picture) -> list[float]:
    sizes = [span.size for span in found.ranges]
    least = min(_LEAST, _UNITS * 0.6 / len(sizes))
    total = sum(sizes)
    return [least + size / total * (_UNITS - least * len(sizes)) for size in sizes]


def _bar(axes: Any, view: View, widths: list[float], edges: list[float], y: int) -> None:
    """One header's ranges; sizes are written in those that have room."""
    for kind in Kind:
        spans = [(edges[i], widths[i]) for i, k in enumerate(view.kinds) if k is kind]
        if spans:
            edge = "white" if len(widths) < _DRAWN else "none"
            axes.broken_barh(
                spans, (y - 0.22, 0.44), facecolors=kind.colour, edgecolor=edge, lw=0.8
            )


def _sizes(
    axes: Any, found: Picture, view: View, widths: list[float], edges: list[float], y: int
) -> None:
    """The size in every range that has room for it, in the colour that can be read there."""
    for i, span in enumerate(found.ranges):
        text = size_text(span.size)
        if widths[i] >= 6.5 * len(text):
            dark = view.kinds[i] in (Kind.HOLE, Kind.CRASHKERNEL)
            colour = "#333333" if dark else "white"
            axes.text(
                edges[i] + widths[i] / 2,
                y,
                text,
                ha="center",
                va="center",
                fontsize=8,
                color=colour,
            )


def _marks(axes: Any, view: View, column: Any, y: int) -> None:
    signs = {"n": ("|", "#333333"), "v": ("D", "#333333"), "k": ("^", "#333333")}
    for sign, (marker, colour) in signs.items():
        places = [column(m.address) for m in view.marks if m.sign == sign]
        if places:
            axes.plot(
                places, [y - 0.3] * len(places), marker, color=colour, ms=6, ls="", clip_on=False
            )


def _offsets(axes: Any, view: View, column: Any, y: int) -> None:
    """An arrow from each row that is read from elsewhere to where it is read."""
    rows = zip(view.layout.core.phdrs, view.layout.roles, strict=True)
    for p in islice((p for p, role in rows if role is Role.BACKUP), _ARROWS):
        start, end = column(p.p_paddr + p.p_memsz // 2), column(p.p_offset)
        arrow = {
            "arrowstyle": "-|>",
            "connectionstyle": f"arc3,rad={-min(0.3, 45 / max(1, abs(end - start)))}",
            "color": Kind.BACKED_UP.colour,
        }
        axes.annotate("", (end, y + 0.22), (start, y + 0.22), arrowprops=arrow)
        axes.text(
            max(start, end) + 6,
            y + 0.27,
            f"{size_text(p.p_memsz)} read from {p.p_offset:#x}",
            ha="left",
            fontsize=8,
            color=Kind.BACKED_UP.colour,
        )


def _ticks(axes: Any, found: Picture, edges: list[float]) -> None:
    """Addresses where ranges begin, as many as there is room for."""
    places: list[tuple[float, str]] = []
    addresses = [*(span.start for span in found.ranges), found.ranges[-1].end + 1]
    for edge, address in zip(edges, addresses, strict=True):
        if not places or edge - places[-1][0] >= _LABEL_ROOM:
            places.append((edge, hex(address)))
    axes.set_xticks([x for x, _ in places], [text for _, text in places], rotation=38, ha="right")
    axes.tick_params(axis="x", labelsize=8)


def _legend(axes: Any, found: Picture) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    present = [kind for kind in Kind if any(kind in view.kinds for view in found.views)]
    handles: list[Any] = [Patch(color=kind.colour, label=kind.word) for kind in present]
    signs = {mark.sign for view in found.views for mark in view.marks}
    for sign, marker, word in (
        ("n", "|", "CPU notes"),
        ("v", "D", "vmcoreinfo"),
        ("k", "^", "kernel image"),
    ):
        if sign in signs:
            handles.append(Line2D([], [], marker=marker, color="#333333", ls="", label=word))
    axes.legend(
        handles=handles,
        ncols=4,
        fontsize=8,
        frameon=False,
        loc="lower right",
        bbox_to_anchor=(1, 1),
    )
