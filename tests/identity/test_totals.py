"""MemTotal of real kernels, within one percent: what boot keeps is computed, not left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from elfcorehdr import profiles
from elfcorehdr.init.main import Kernel
from elfcorehdr.machine.quick import with_cmdline
from elfcorehdr.mm.page_alloc import zones
from tests import sysfs_dump
from tests.identity import compare
from tests.identity.capture import rows_of

GOLDEN = Path(__file__).parent.parent / "golden/kernel"
CAPTURES = sorted(path.parents[2] for path in GOLDEN.glob("identity/*/living/proc/meminfo"))
DUMPS = sorted(
    dump
    for case in GOLDEN.glob("[aprx]*/*/replay.json")
    for dump in sysfs_dump.dumps_of(case.parent)
)
TOTAL = re.compile(rb"MemTotal: +(\d+) kB")


def total(content: bytes) -> int:
    match = TOTAL.search(content)
    return int(match[1]) if match else 0


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.name)
def test_memtotal_of_proc_meminfo(capture: Path) -> None:
    rows = rows_of(capture)
    tree = compare.tree_of(capture, rows)
    node = compare._node(tree, "/proc/meminfo")
    assert node is not None
    real = total(sysfs_dump.content_of(rows["/proc/meminfo"]))
    assert total(tree.content(node)) == pytest.approx(real, rel=0.01)


def nodes_of(dump: Path) -> Iterator[tuple[int, int]]:
    """Each node's MemTotal, real and ours."""
    rows = sysfs_dump.rows_of(dump)
    paths = [p for p in rows if re.search(r"/node\d+/meminfo$", p)]
    run = sysfs_dump.replayed(dump, rows) if paths else None
    for path in paths:
        real = total(sysfs_dump.content_of(rows[path]))
        node = sysfs_dump._node(run, path, rows[path])
        if real and node is not None:
            yield real, total(run.tree.content(node))


@pytest.mark.parametrize("dump", DUMPS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_memtotal_of_each_node(dump: Path) -> None:
    for real, ours in nodes_of(dump):
        assert ours == pytest.approx(real, rel=0.01)


@pytest.mark.parametrize("name", profiles.names())
def test_meminfo_and_zones_agree(name: str) -> None:
    kernel = Kernel.boot(profiles.load(name))
    for node in kernel.nodes.ids():
        managed = sum(zone.managed for zone in zones(kernel, node))
        pages = kernel.nodes.memory(node)[0] // kernel.page_size
        assert abs(managed - pages) <= 4  # an e820 row ends in the midst of a page


@pytest.mark.parametrize("name", profiles.names())
def test_a_reservation_that_shrinks_gives_its_memory_back(name: str) -> None:
    with_it = Kernel.boot(profiles.load(name))
    region = with_it.kexec.crashk_res
    assert region is not None
    low = with_it.kexec.crashk_low_res
    kept = region.size // 2
    before = sum(with_it.nodes.memory(node)[0] for node in with_it.nodes.ids())
    with_it.kexec.crash_shrink_memory(kept + (low.size if low else 0))
    after = sum(with_it.nodes.memory(node)[0] for node in with_it.nodes.ids())
    assert after - before == region.size - kept


def test_log_buf_len_is_paid_for() -> None:
    plain = profiles.load("pc-2g")
    small, large = (
        Kernel.boot(with_cmdline(plain, f"{plain.cmdline} {word}".strip()))
        for word in ("", "log_buf_len=16M")
    )
    # 16 MiB of text, 24 and 112 bytes for each 32 of them: golden ppc64/A
    assert small.nodes.memory(0)[0] - large.nodes.memory(0)[0] == (16 << 20) * (32 + 136) // 32
