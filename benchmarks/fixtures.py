"""Row about tests: a fixture's machine without a mount, beside umockdev's testbed."""

from __future__ import annotations

import subprocess
from pathlib import Path

from benchmarks.measure import PROJECT, PYTHON, interleaved
from benchmarks.mounts import Workshop
from benchmarks.rows import Cost, Row, seconds

TIMES = 20
OURS = f"""\
import time
from kdumpfs.testing import machine
machine(load=True)
since = time.perf_counter()
for _ in range({TIMES}):
    machine(load=True)
print((time.perf_counter() - since) / {TIMES})
"""
THEIRS = """\
import sys, time, gi
gi.require_version("UMockdev", "1.0")
from gi.repository import UMockdev
devices, times = sys.argv[1], int(sys.argv[2])
UMockdev.Testbed.new()
since = time.perf_counter()
for _ in range(times):
    bed = UMockdev.Testbed.new()
    if devices:
        bed.add_from_string(devices)
print((time.perf_counter() - since) / times)
"""
"""For Debian's Python, which has the binding; under umockdev-wrapper."""


def devices(blocks: int, cpus: int) -> str:
    """What umockdev is given to have the same memory blocks and CPUs, without what they do."""
    memory = (
        f"P: /devices/system/memory/memory{n}\nE: SUBSYSTEM=memory\nA: state=online\n"
        f"A: phys_index={n:08x}\nA: removable=1\nA: valid_zones=Normal\n"
        for n in range(blocks)
    )
    cpu = (f"P: /devices/system/cpu/cpu{n}\nE: SUBSYSTEM=cpu\nA: online=1\n" for n in range(cpus))
    return "\n".join((*memory, *cpu))


def _seconds(command: list[str]) -> float:
    done = subprocess.run(command, check=True, cwd=PROJECT, capture_output=True, text=True)
    return float(done.stdout)


def _umockdev(what: str, times: int) -> float:
    if not Path("/usr/bin/umockdev-wrapper").exists():
        raise RuntimeError(
            "umockdev is missing: apt install umockdev gir1.2-umockdev-1.0 python3-gi"
        )
    return _seconds(["umockdev-wrapper", "/usr/bin/python3", "-c", THEIRS, what, str(times)])


def _machine(_shop: Workshop, rounds: int) -> list[Cost]:
    full = devices(64, 8)
    costs = interleaved(
        {
            "ours": lambda: _seconds([PYTHON, "-c", OURS]),
            "empty": lambda: _umockdev("", TIMES),
            "full": lambda: _umockdev(full, 2),
        },
        2 * rounds,
    )
    context = (
        f"umockdev: an empty testbed {seconds(costs['empty'])}, "
        f"with as many blocks and CPUs {seconds(costs['full'])}"
    )
    return [Cost(costs["ours"] * 1e3, context)]


ROWS = (
    Row("19", "a test's machine without a mount, kdump loaded", "umockdev's testbed", "<=", 20, 5,
        "", _machine, 0, "ms"),
)  # fmt: skip
