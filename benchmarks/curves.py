"""Costs by size: how they grow, told and drawn."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.measure import PROJECT

Curve = dict[int, float]
Curves = dict[str, dict[str, Curve]]
PLOT = PROJECT / "docs" / "performance-growth.svg"
TOOLS_PLOT = PROJECT / "docs" / "performance-tools.svg"


def exponent(curve: Curve) -> float:
    """How a cost grows over the upper half of the sizes: 1 is linear, 2 quadratic."""
    import math

    sizes = sorted(curve)[(len(curve) - 1) // 2 :]
    first, last = sizes[0], sizes[-1]
    if first == last:
        return 0.0
    return math.log(curve[last] / curve[first]) / math.log(last / first)


def tell(curves: Curves) -> None:
    """The exponent of every line."""
    for axis, lines in curves.items():
        for line, curve in lines.items():
            click.echo(
                f"{axis}: {line}: grows as size to the power of {exponent(curve):.2f}", err=True
            )


def draw(curves: Curves, path: Path) -> None:
    """One panel an axis, both scales logarithmic; grey lines are linear growth.

    More than three panels stand in two rows.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "kdumpfs"
    from matplotlib import pyplot as plt

    height = 1 if len(curves) <= 3 else 2
    width = -(-len(curves) // height)
    figure, grid = plt.subplots(
        height, width, figsize=(5 * width, 5 * height), sharey=True, squeeze=False
    )
    panels = grid.flatten()
    for panel in panels[len(curves) :]:
        panel.set_axis_off()
    for panel, (axis, lines) in zip(panels, curves.items(), strict=False):
        every = [value for curve in lines.values() for value in curve.values()]
        sizes = sorted({size for curve in lines.values() for size in curve})
        for decade in range(-14, 2):
            guide = [10.0**decade * size for size in sizes]
            panel.plot(sizes, guide, color="#dddddd", linewidth=0.8, zorder=0)
        for line, curve in lines.items():
            panel.plot(list(curve), list(curve.values()), marker="o", markersize=4, label=line)
        panel.set(xscale="log", yscale="log", xlabel=axis)
        panel.set_ylim(min(every) / 4, max(every) * 4)
        panel.legend(fontsize=8, loc="upper left")
    low = min(v for lines in curves.values() for c in lines.values() for v in c.values())
    high = max(v for lines in curves.values() for c in lines.values() for v in c.values())
    panels[0].set_ylim(low / 2, high * 40)
    for panel in grid[:, 0]:
        panel.set_ylabel("seconds (grey: linear growth)")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)
