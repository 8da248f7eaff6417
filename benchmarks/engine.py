"""Rows about the engine and the two command lines: headers built, spliced, printed; start-up."""

from __future__ import annotations

import subprocess
import time
from functools import partial
from itertools import repeat
from typing import Any

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
from printer import parse
from printer.forms import kernel_text

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


def _print(shop: Workshop, rounds: int) -> list[Cost]:
    header = header_of(full_kernel())
    path = shop.path / "full.elf"
    path.write_bytes(header)
    costs = interleaved(
        {
            "ours": lambda: cpu_in_process(lambda: kernel_text.render(header)),
            "sprintf": lambda: in_c(shop, "print", 5),
            "cli": lambda: cpu_of(elfcorehdr("print", str(path))),
            "readelf": lambda: cpu_of(["readelf", "-lW", str(path)]),
        },
        2 * rounds,
    )
    return [ratio(costs, "ours", "sprintf"), ratio(costs, "cli", "readelf")]


def _print_few(shop: Workshop, rounds: int) -> list[Cost]:
    path = shop.path / "seed.elf"
    path.write_bytes(parse(SEED.read_text(), 21).pack())
    script = f"{PYTHON.rpartition('/')[0]}/readelf.py"
    costs = interleaved(
        {
            "ours": lambda: cpu_of(elfcorehdr("print", str(path))),
            "nothing": lambda: cpu_of([PYTHON, "-I", "-c", "pass"]),
            "pyelftools": lambda: cpu_of([PYTHON, script, "-l", str(path)]),
        },
        6 * rounds,
    )
    return [ratio(costs, "ours", "nothing"), ratio(costs, "ours", "pyelftools")]


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


def _tabulated(shop: Workshop, rounds: int) -> list[Cost]:
    """The most rows that tabulate is given while a full header is shown in every other form."""
    import tabulate

    from printer.forms import tables

    given: list[int] = []
    real = tabulate.tabulate

    def counted(rows: Any, *args: Any, **kwargs: Any) -> str:
        given.append(len(rows))
        return real(rows, *args, **kwargs)

    tabulate.tabulate = counted  # type: ignore[assignment]
    try:
        for count in (0, 1, tables.MANY, tables.MANY + 1, PHDRS):
            for fmt in ("table", "markdown", "html"):
                made = tables.table(("A", "B"), partial(repeat, ("1", "2"), count), fmt)
                assert "".join(made).count("2") >= count
    finally:
        tabulate.tabulate = real
    return [Cost(max(given), f"tables of up to {PHDRS:,} rows")]


ROWS = (
    Row("11", f"print {PHDRS:,} rows, in process", "C sprintf", "<=", 3.2, 0.5, "0.12", _print),
    Row("12", f"elfcorehdr print, {PHDRS:,} rows", "readelf -lW", "<=", 3.0, 2.2, "0.2", _print, 1),
    Row("13", "elfcorehdr print, 13 rows", "python -I -c pass", "<=", 5.0, 1.2, "1.07", _print_few),
    Row("13b", "elfcorehdr print, 13 rows", "pyelftools readelf.py", "<=", 0.6, 0.15, "0.13", _print_few, 1),
    Row("14", f"build {PHDRS:,} program headers", "C", "<=", 100, 85, "1", _build),
    Row("15", f"hotplug event, {PHDRS:,} program headers", "rebuild", ">=", 50, 150, "a memmove", _event, 0, "x faster"),
    Row("16", "kdumpfs --help", "import click", "<=", 1.15, 1.05, "1", _help, 0),
    Row("16", "kdumpfs --version", "import click", "<=", 1.15, 1.05, "1", _help, 1),
    Row("16", "elfcorehdr --help", "import click", "<=", 1.15, 1.05, "1", _help, 2),
    Row("16", "elfcorehdr --version", "import click", "<=", 1.15, 1.05, "1", _help, 3),
    Row("17", "rows that tabulate is ever given", "", "<=", 50, None, "", _tabulated, 0, "rows"),
)  # fmt: skip
