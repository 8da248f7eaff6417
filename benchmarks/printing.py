"""Rows about the printer: what each command costs on as many rows as a header can have, and on the cover letter's 13."""

from __future__ import annotations

import json
import subprocess
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

from benchmarks.engine import PHDRS, SEED, full_kernel, header_of, in_c
from benchmarks.measure import PYTHON, cpu_in_process, cpu_of, elfcorehdr, interleaved
from benchmarks.mounts import Workshop
from benchmarks.rows import Cost, Row, ratio
from printer import parse
from printer.forms import kernel_text

COMMANDS = {
    "print": ("print",),
    "check": ("check",),
    "print -f json": ("print", "-f", "json"),
    "diff, the same": ("diff",),
    "diff, two rows differ": ("diff",),
    "map": ("map",),
}
"""What is measured, by what it is called."""
_PEAK = """
import json, os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ,
                     file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
print(json.dumps(os.wait4(pid, 0)[2].ru_maxrss * 1024))
"""
"""Starts a command and prints its peak: a process that starts one is counted in, so this is a small one."""


def _files(shop: Workshop) -> tuple[Path, Path]:
    """A full header, and one of which a block went and another shrank."""
    full, other = shop.path / "full.elf", shop.path / "other.elf"
    header = bytearray(header_of(full_kernel()))
    full.write_bytes(header)
    row = 64 + PHDRS // 2 * 56
    header[row + 32 : row + 48] = (0x8000000).to_bytes(8, "little") * 2
    del header[64 + 100 * 56 : 64 + 101 * 56]
    header[56:58] = (PHDRS - 1).to_bytes(2, "little")
    other.write_bytes(header)
    return full, other


def _commands(shop: Workshop) -> dict[str, list[str]]:
    full, other = _files(shop)
    second = {"diff, the same": [str(full)], "diff, two rows differ": [str(other)]}
    return {
        name: elfcorehdr(*words, str(full), *second.get(name, []))
        for name, words in COMMANDS.items()
    }


def _cost(command: list[str]) -> float:
    """CPU seconds; diff may find something."""
    shell = ["sh", "-c", '"$@" > /dev/null; test $? -lt 2', "sh", *command]
    return cpu_of(shell)


def _full(shop: Workshop, rounds: int) -> list[Cost]:
    commands = _commands(shop)
    runs = {name: partial(_cost, command) for name, command in commands.items()}
    runs["readelf"] = partial(_cost, ["readelf", "-lW", str(shop.path / "full.elf")])
    costs = interleaved(runs, 2 * rounds)
    return [ratio(costs, name, "readelf") for name in COMMANDS]


def _memory(shop: Workshop, _rounds: int) -> list[Cost]:
    """Peak resident memory of each command, the largest."""
    peaks = {}
    for name, command in _commands(shop).items():
        script = [PYTHON, "-I", "-S", "-c", _PEAK, *command]
        done = subprocess.run(script, check=True, capture_output=True, text=True)
        peaks[name] = json.loads(done.stdout) / 2**20
    most = max(peaks, key=peaks.__getitem__)
    return [Cost(peaks[most], ", ".join(f"{name} {peak:.0f}" for name, peak in peaks.items()))]


def _sprintf(shop: Workshop, rounds: int) -> list[Cost]:
    header = header_of(full_kernel())
    costs = interleaved(
        {
            "ours": lambda: cpu_in_process(lambda: kernel_text.render(header)),
            "sprintf": lambda: in_c(shop, "print", 5),
        },
        2 * rounds,
    )
    return [ratio(costs, "ours", "sprintf")]


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
    Row("11", f"print {PHDRS:,} rows, in process", "C sprintf", "<=", 3.2, 0.5, "0.12", _sprintf),
    Row("12", f"elfcorehdr print, {PHDRS:,} rows", "readelf -lW", "<=", 1.6, 1.4, "0.2", _full, 0),
    Row("12b", f"elfcorehdr check, {PHDRS:,} rows", "readelf -lW", "<=", 5, 4, "0.2", _full, 1),
    Row("12c", f"elfcorehdr print -f json, {PHDRS:,} rows", "readelf -lW", "<=", 7, 5, "0.2", _full, 2),
    Row("12d", f"elfcorehdr diff of a file with itself, {PHDRS:,} rows", "readelf -lW", "<=", 6, 2.5, "0.2", _full, 3),
    Row("12d", f"elfcorehdr diff, two of {PHDRS:,} rows differ", "readelf -lW", "<=", 10, 6, "0.2", _full, 4),
    Row("12e", f"elfcorehdr map, {PHDRS:,} rows", "readelf -lW", "<=", 7, 5, "0.2", _full, 5),
    Row("12f", f"peak memory of the dearest of them, {PHDRS:,} rows", "", "<=", 40, 32, "14", _memory, 0, "MiB"),
    Row("13", "elfcorehdr print, 13 rows", "python -I -c pass", "<=", 5.0, 1.2, "1.07", _print_few),
    Row("13b", "elfcorehdr print, 13 rows", "pyelftools readelf.py", "<=", 0.6, 0.15, "0.13", _print_few, 1),
    Row("17", "rows that tabulate is ever given", "", "<=", 50, None, "", _tabulated, 0, "rows"),
)  # fmt: skip
