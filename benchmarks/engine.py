"""Rows about the engine and the two command lines: headers built, spliced, printed; start-up."""

from __future__ import annotations

import subprocess
import time
from functools import partial

from benchmarks import machines
from benchmarks.measure import (
    PROJECT,
    PYTHON,
    cpu_in_process,
    cpu_of,
    elfcorehdr,
    interleaved,
    kdumpfs,
)
from benchmarks.mounts import Workshop
from benchmarks.rows import Cost, Row, ratio
from elfcorehdr.drivers.base.memory import OnlineType
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.crash_core import crash_prepare_elf64_headers
from elfcorehdr.kernel.phdrs import load_rows
from elfcorehdr.lib.ranges import Range

PHDRS = 65_534
"""As many as e_phnum can count before its escape value."""
SEED = PROJECT / "tests/golden/kernel/seed/crash_elfcorehdr_print.txt"


def full_kernel(phdrs: int = PHDRS, cpus: int = 8) -> Kernel:
    """A kernel whose loaded header has exactly so many program headers, none of whose ranges touch."""
    fixed = (
        cpus + 1 + 3
    )  # the notes; the backup region, and memory in front of and behind the reservation
    blocks = phdrs - fixed + machines.RESERVED
    return machines.booted(max(blocks, machines.RESERVED + 1), cpus, gaps=True)


def header_of(kernel: Kernel) -> bytes:
    """The loaded header."""
    header = kernel.kexec.elfcorehdr()
    assert header is not None
    return header


def ranges_of(count: int) -> list[Range]:
    """Ranges as benchmarks/c/phdrs.c has them."""
    return [Range(n << 29, (n << 29) + (1 << 28) - 1) for n in range(count)]


def in_c(shop: Workshop, what: str, times: int) -> float:
    """CPU seconds of the C loop."""
    command = [shop.compiled("phdrs"), what, str(PHDRS), str(times)]
    return float(subprocess.run(command, check=True, capture_output=True).stdout)


def events(kernel: Kernel, count: int = 20) -> float:
    """CPU seconds of one hotplug event with its header: blocks go offline and come back."""
    memory = kernel.memory
    ids = [n for n in memory.block_ids() if n >= machines.RESERVED]
    blocks = [memory.block(ids[k * len(ids) // count]) for k in range(count)]
    before = kernel.crash_hp.rebuilds
    from_ = time.process_time()
    for block in blocks:
        assert block is not None
        kernel.memory_hotplug.offline(block)
        kernel.memory_hotplug.online(block, OnlineType.ONLINE)
    took = (time.process_time() - from_) / (2 * count)
    assert kernel.crash_hp.rebuilds == before + 2 * count
    return took


def rebuild(kernel: Kernel) -> bytearray:
    """The header built anew, as the first event does."""
    return crash_prepare_elf64_headers(kernel, kernel.arch.crash_ranges(kernel))


def _build(shop: Workshop, rounds: int) -> list[Cost]:
    kernel, ranges = machines.booted(16), ranges_of(PHDRS)
    costs = interleaved(
        {
            "ours": lambda: cpu_in_process(lambda: load_rows(kernel, ranges)),
            "C": lambda: in_c(shop, "build", 50),
        },
        3 * rounds,
    )
    return [ratio(costs, "ours", "C")]


def _event(shop: Workshop, rounds: int) -> list[Cost]:
    kernel = full_kernel()
    assert header_of(kernel)[56:58] == PHDRS.to_bytes(2, "little")
    events(kernel)
    costs = interleaved(
        {
            "event": lambda: events(kernel),
            "rebuild": lambda: cpu_in_process(lambda: rebuild(kernel)),
        },
        2 * rounds,
    )
    cost = ratio(costs, "event", "rebuild")
    return [Cost(1 / cost.value, cost.context)]


def _help(shop: Workshop, rounds: int) -> list[Cost]:
    commands = {
        f"{name.__name__} {option}": name(option)
        for name in (kdumpfs, elfcorehdr)
        for option in ("--help", "--version")
    }
    runs = {what: partial(cpu_of, command) for what, command in commands.items()}
    runs["click"] = partial(cpu_of, [PYTHON, "-I", "-c", "import click"])
    costs = interleaved(runs, 6 * rounds)
    return [ratio(costs, what, "click") for what in commands]


ROWS = (
    Row("14", f"build {PHDRS:,} program headers", "C", "<=", 100, 85, "1", _build),
    Row("15", f"hotplug event, {PHDRS:,} program headers", "rebuild", ">=", 50, 150, "a memmove", _event, 0, "x faster"),
    Row("16", "kdumpfs --help", "import click", "<=", 1.15, 1.05, "1", _help, 0),
    Row("16", "kdumpfs --version", "import click", "<=", 1.15, 1.05, "1", _help, 1),
    Row("16", "elfcorehdr --help", "import click", "<=", 1.15, 1.05, "1", _help, 2),
    Row("16", "elfcorehdr --version", "import click", "<=", 1.15, 1.05, "1", _help, 3),
)  # fmt: skip
