"""How costs grow with the size of the machine, and the plot of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import click

from benchmarks import engine, machines
from benchmarks.measure import PROJECT, cpu_in_process, wall_of
from benchmarks.mounted import mount_to_first_file
from benchmarks.mounts import MEMORY, Workshop, resident
from benchmarks.tools import Curve, Curves
from printer.forms import kernel_text

BLOCKS = (16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144)
CPUS = (8, 32, 128, 512, 2048, 8192)
HEADERS = (24, 100, 1000, 8000, 65_534)

PLOT = PROJECT / "docs" / "performance-growth.svg"
TOOLS_PLOT = PROJECT / "docs" / "performance-tools.svg"


def measured(shop: Workshop, rounds: int, *, quick: bool) -> Curves:
    """Every curve; quick takes every other size."""
    step = 2 if quick else 1
    sizes = {
        "memory blocks": BLOCKS[::-1][::step][::-1],
        "CPUs": CPUS[::-1][::step][::-1],
        "program headers": HEADERS[::-1][::step][::-1],
    }
    curves: Curves = {axis: {} for axis in sizes}

    def point(axis: str, line: str, size: int, cost: Callable[[], float]) -> None:
        cost()
        value = median(cost() for _ in range(rounds))
        curves[axis].setdefault(line, {})[size] = value

    for size in sizes["memory blocks"]:
        machine = machines.write(shop.path, size)
        point(
            "memory blocks",
            "mount to first file",
            size,
            partial(mount_to_first_file, shop, machine),
        )
        with shop.ours(machine) as root:
            at = f"{root}/{MEMORY}"
            point("memory blocks", "ls -U", size, partial(wall_of, f"ls -U {at}"))
            point("memory blocks", "cat one state", size, partial(_reads, f"{at}/memory{{}}/state"))
    for size in sizes["CPUs"]:
        machine = machines.write(shop.path, 64, size)
        point("CPUs", "mount to first file", size, partial(mount_to_first_file, shop, machine))
        kernel = machines.booted(64, size)
        point("CPUs", "memory event with its header", size, partial(engine.events, kernel))
        with shop.ours(machine) as root:
            at = f"{root}/sys/devices/system/cpu"
            point("CPUs", "ls -U", size, partial(wall_of, f"ls -U {at}"))
            point(
                "CPUs", "lscpu --sysroot -e", size, partial(wall_of, f"lscpu --sysroot {root} -e")
            )
            point("CPUs", "cat the mask of online CPUs", size, partial(_reads, f"{at}/online"))
    for size in sizes["program headers"]:
        axis, kernel = "program headers", engine.full_kernel(size)
        engine.events(kernel)
        point(axis, "event with its header", size, partial(engine.events, kernel))
        anew = partial(cpu_in_process, partial(engine.rebuild, kernel))
        point(axis, "rebuild", size, anew)
        text = partial(kernel_text.render, engine.header_of(kernel))
        point(axis, "print", size, partial(cpu_in_process, text))
    return curves


def _reads(path: str, count: int = 16) -> float:
    """Seconds for one open, read and close."""
    from_ = time.perf_counter()
    for n in range(count):
        with open(path.format(n), "rb") as file:
            file.read()
    return (time.perf_counter() - from_) / count


def memory_curve(shop: Workshop) -> Curve:
    """Bytes that the server holds before anybody looks, by blocks."""
    curve = {}
    for size in BLOCKS[::2] + BLOCKS[-1:]:
        with shop.ours(machines.write(shop.path, size)) as root:
            curve[size] = float(resident(root))
    return curve


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
