"""Hotplug in thousands of events at once: what one costs, by how many there are.

Each storm runs on a kernel of 8,192 memory blocks with kdump loaded, so that the header is made
right after each event; the engine alone, on the CPU's clock. The cost of an event must not depend
on how many came before it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks import machines
from elfcorehdr.arch.powerpc.platforms.pseries.dlpar import DRC_LMB
from elfcorehdr.drivers.base.memory import OnlineType
from elfcorehdr.init.main import Kernel

BLOCKS = 8192
EVENTS = (100, 1000, 4000)
Storm = Callable[[Kernel, int], None]


def _count(kernel: Kernel, events: int) -> None:
    """Half of them out and in again, in two requests."""
    assert kernel.platform.dlpar is not None
    kernel.platform.dlpar.store(f"memory remove count {events // 2}")
    kernel.platform.dlpar.store(f"memory add count {events // 2}")


def _index(kernel: Kernel, events: int) -> None:
    """Every other block out by its DRC index, then in again: the header gets a range for each."""
    assert kernel.platform.dlpar is not None
    for action in ("remove", "add"):
        for k in range(events // 2):
            n = machines.RESERVED + 2 * k
            kernel.platform.dlpar.store(f"memory {action} index {DRC_LMB + n:#x}")


def _probe(kernel: Kernel, events: int) -> None:
    """New blocks behind all others, one write each, every other one: they stay apart."""
    kernel.memory_hotplug.auto_online = OnlineType.ONLINE
    for k in range(events):
        kernel.memory_hotplug.probe((BLOCKS + 1 + 2 * k) * machines.BLOCK)


def _chmem(kernel: Kernel, events: int) -> None:
    """Blocks offline from the top, then online from the bottom, as `chmem -d` and `chmem -e` do."""
    memory = kernel.memory
    blocks = [memory.block(BLOCKS - 1 - k) for k in range(events // 2)]
    for block in blocks:
        assert block is not None
        kernel.memory_hotplug.offline(block)
    for block in reversed(blocks):
        assert block is not None
        kernel.memory_hotplug.online(block, OnlineType.ONLINE)


def _hypervisor(kernel: Kernel, events: int) -> None:
    """The hypervisor takes blocks and hands them out again, one event of its own each."""
    for k in range(events // 2):
        start = (machines.RESERVED + 2 * k) * machines.BLOCK
        kernel.platform.unplug_memory(start, machines.BLOCK)
    for k in range(events // 2):
        kernel.platform.plug_memory((machines.RESERVED + 2 * k) * machines.BLOCK, machines.BLOCK)


def _cores(kernel: Kernel, events: int) -> None:
    """Cores of eight threads out and in again."""
    assert kernel.platform.dlpar is not None
    for k in range(events // 16):
        kernel.platform.dlpar.cpu.remove(0x10000008 + 8 * k)
    for k in range(events // 16):
        kernel.platform.dlpar.cpu.add(0x10000008 + 8 * k)


STORMS: dict[str, Storm] = {
    "dlpar: memory by count": _count,
    "dlpar: memory by index": _index,
    "probe": _probe,
    "offline, online": _chmem,
    "hypervisor: memory": _hypervisor,
    "dlpar: cores": _cores,
}


def per_event(storm: Storm, events: int) -> float:
    """Seconds of CPU for one event of a storm of so many."""
    kernel = machines.booted(BLOCKS, 8192 if storm is _cores else 8)
    before = kernel.crash_hp.rebuilds
    from_ = time.process_time()
    storm(kernel, events)
    took = time.process_time() - from_
    if storm is not _cores and kernel.crash_hp.rebuilds - before != events:
        raise RuntimeError(f"{kernel.crash_hp.rebuilds - before} headers for {events} events")
    return took / events


def measured() -> dict[str, dict[int, float]]:
    """Seconds of CPU an event, by storm and number of events."""
    return {name: {n: per_event(storm, n) for n in EVENTS} for name, storm in STORMS.items()}


def print_table(found: dict[str, dict[int, float]], *, markdown: bool) -> None:
    """A line a storm, and how many times a late event costs an early one."""
    import click
    from tabulate import tabulate

    from benchmarks.rows import seconds

    lines = [
        (
            name,
            *(seconds(value) for value in of.values()),
            f"{of[EVENTS[-1]] / of[EVENTS[0]]:.2g} x",
        )
        for name, of in found.items()
    ]
    heads = ("an event of so many", *(f"{n:,}" for n in EVENTS), "last to first")
    fmt = "github" if markdown else "simple"
    click.echo(tabulate(lines, heads, tablefmt=fmt, disable_numparse=True))


if __name__ == "__main__":
    print_table(measured(), markdown=False)
