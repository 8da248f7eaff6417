"""Rows about starts: a command that does nothing in `kdumpfs run`, a recording made and mounted."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from functools import partial
from pathlib import Path

from benchmarks.measure import PYTHON, cpu_of, interleaved, kdumpfs
from benchmarks.mounts import Workshop
from benchmarks.rows import Cost, Row, ratio
from fsmount.host.recordings.record import entries


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


BLOCKS = 8192


def _record(shop: Workshop, rounds: int) -> list[Cost]:
    """CPU time; cp says of files that nobody may read that it cannot, and goes on."""
    names, copy = shop.path / "names", shop.path / "copy"
    names.write_text("".join(f"{name}\0" for name in entries("/") if not Path("/", name).is_dir()))
    words = f"xargs -0 cp -a --parents -t {shlex.quote(str(copy))} < {shlex.quote(str(names))}"
    script = f"rm -rf {shlex.quote(str(copy))}; mkdir {shlex.quote(str(copy))}; {words} 2> /dev/null; true"
    costs = interleaved(
        {
            "record": partial(
                cpu_of, kdumpfs("record", "-o", str(shop.path / "here.tar.gz")), cwd=Path("/")
            ),
            "cp": partial(cpu_of, ["bash", "-c", script], cwd=Path("/")),
        },
        2 * rounds,
    )
    return [ratio(costs, "record", "cp")]


def _replay(shop: Workshop, rounds: int) -> list[Cost]:
    """Seconds until `kdumpfs mount` is back: then the first file can be read."""
    recording, point = shop.path / "big.tar.gz", shop.point()
    shipped = ("-m", "pc-2g", "--memory", f"{BLOCKS // 8}G")
    with shop.ours("pc-2g", "--memory", f"{BLOCKS // 8}G") as mounted:
        module = "fsmount.host.recordings.record"
        words = [PYTHON, "-m", module, "--root", mounted, "-o", str(recording)]
        subprocess.run(words, check=True, capture_output=True)
    state = Path(point, f"sys/devices/system/memory/memory{BLOCKS - 1}/state")

    def mount(*words: str) -> float:
        from_ = time.perf_counter()
        subprocess.run(kdumpfs("mount", *words, point), check=True)
        took = time.perf_counter() - from_
        try:
            assert state.read_text() == "online\n"
        finally:
            subprocess.run(kdumpfs("umount", point), check=True)
        return took

    costs = interleaved(
        {
            "shipped": partial(mount, *shipped),
            "files": partial(mount, "--recording", str(recording)),
            "machine": partial(mount, "-m", str(recording)),
        },
        4 * rounds,
    )
    return [ratio(costs, "files", "shipped"), ratio(costs, "machine", "shipped")]


ROWS = (
    Row("20", "kdumpfs run -- true", "import click", "<=", 1.7, 1.2, "1", _run, 0),
    Row("20", "kdumpfs run --in DIR -- true", "kdumpfs run", "<=", 0.5, 0.3, "0.3", _run, 1),
    Row("29", "kdumpfs record of this machine", "cp -a --parents of the same files", "<=", 2, 1.5, "", _record),
    Row("30", f"mount --recording, {BLOCKS:,} blocks", "mount of a shipped machine", "<=", 2, 1.5, "1", _replay, 0),
    Row("30", f"mount -m RECORDING, {BLOCKS:,} blocks", "mount of a shipped machine", "<=", 2, 1.5, "1", _replay, 1),
)  # fmt: skip
