"""Rows about `kdumpfs run`: what a command costs that does nothing."""

from __future__ import annotations

import json
import subprocess
from functools import partial
from pathlib import Path

from benchmarks.measure import PYTHON, cpu_of, interleaved, kdumpfs
from benchmarks.mounts import Workshop
from benchmarks.rows import Cost, Row, ratio


def _served(pid: int) -> float:
    """Seconds of CPU that a server took so far."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _within(point: str, pid: int) -> float:
    """Seconds of CPU of a run in a mounted machine, its server's included."""
    before = _served(pid)
    took = cpu_of(kdumpfs("run", "--in", point, "--", "true"))
    return took + _served(pid) - before


def _run(shop: Workshop, rounds: int) -> list[Cost]:
    point = shop.point()
    subprocess.run(kdumpfs("mount", point), check=True)
    try:
        pid = json.loads(Path(point, "control/machine").read_text())["pid"]
        costs = interleaved(
            {
                "run": partial(cpu_of, kdumpfs("run", "--", "true")),
                "in": partial(_within, point, pid),
                "click": partial(cpu_of, [PYTHON, "-I", "-c", "import click"]),
            },
            4 * rounds,
        )
    finally:
        subprocess.run(kdumpfs("umount", point), check=True)
    return [ratio(costs, "run", "click"), ratio(costs, "in", "run")]


ROWS = (
    Row("20", "kdumpfs run -- true", "import click", "<=", 1.7, 1.2, "1", _run, 0),
    Row("20", "kdumpfs run --in DIR -- true", "kdumpfs run", "<=", 0.5, 0.3, "0.3", _run, 1),
)  # fmt: skip
