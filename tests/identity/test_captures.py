"""/proc of real kernels, file by file."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from tests.identity.compare import Identity, compare

CAPTURES = sorted(
    path.parents[2]
    for path in (Path(__file__).parent.parent / "golden/kernel/identity").glob("*/living/proc/stat")
)
"""The whole ones: of some captures only what other tests read is here."""
SAME = (
    *("stat", "uptime", "loadavg", "softirqs", "interrupts", "cpuinfo", "cmdline", "iomem"),
    *("consoles", "swaps", "execdomains", "partitions", "diskstats", "dma", "fb"),
    *("meminfo", "vmstat", "zoneinfo", "buddyinfo", "pagetypeinfo"),
)
"""Files of /proc that are the same, in form where their content is live."""


@cache
def compared(capture: Path) -> Identity:
    return compare(capture)


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.name)
def test_proc_says_what_a_real_kernel_said(capture: Path) -> None:
    wrong = {d.path for d in compared(capture).unexplained}
    assert not wrong & {f"/proc/{name}" for name in SAME}


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.name)
def test_every_difference_is_in_the_table(capture: Path) -> None:
    assert not [str(difference)[:300] for difference in compared(capture).unexplained]
