"""`python -m benchmarks.proposals`: the shipped proposals on 8,192 CPUs and 64 TiB, as the table of docs/proposing.md.

Each is mounted by itself with kdump loaded, and read as a person would: cat, or grep -r for a directory.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

import click

from benchmarks.measure import PROJECT
from benchmarks.mounts import Workshop, workshop
from benchmarks.rows import seconds
from elfcorehdr.elf import ElfCoreHdr

ROUNDS = 7
ROW = 100
"""The row whose p_offset is asked for: a CPU's note, in the first page of a table."""


class Way(NamedTuple):
    """One proposal: where it is, how all of it is read, and how one value."""

    example: str
    path: str
    files: Callable[[int], int]
    """How many files hold it, for so many rows."""
    one: Callable[[str], int]
    """p_offset of ROW, from the path."""


def _of_table(path: str) -> int:
    with open(path) as file:
        for line in file:
            fields = line.split()
            if fields[:1] == [f"{ROW:#x}"]:
                return int(fields[2], 16)
    raise LookupError("cut off")


def _of_bytes(path: str) -> int:
    with open(path, "rb", buffering=0) as file:
        file.seek(64 + 56 * ROW + 8)
        return int.from_bytes(file.read(8), "little")


def _of_lines(path: str) -> int:
    with open(path) as file:
        for line in file:
            fields = line.split()
            if fields[0] == str(ROW):
                return int(fields[2], 16)
    raise LookupError("not there")


def _of_file(path: str) -> int:
    return int(Path(path, str(ROW), "p_offset").read_text(), 16)


KEXEC = "sys/kernel/kexec"
WAYS = (
    Way("elfcorehdr_print", f"{KEXEC}/crash_elfcorehdr_print", lambda rows: 1, _of_table),
    Way("elfcorehdr_raw", f"{KEXEC}/crash_elfcorehdr_raw", lambda rows: 1, _of_bytes),
    Way("elfcorehdr_debugfs", "sys/kernel/debug/kdump/elfcorehdr", lambda rows: 1, _of_lines),
    Way("elfcorehdr_values", f"{KEXEC}/crash_elfcorehdr", lambda rows: 7 * rows, _of_file),
)


def large(directory: Path) -> str:
    """The machine as a file: pseries-64t with 8,192 CPUs."""
    from elfcorehdr import profiles

    text = profiles.text("pseries-64t").replace('"0-2047"', '"0-8191"')
    assert '"0-8191"' in text
    path = directory / "large.toml"
    path.write_text("nr_cpus = 8192\n" + text)
    return str(path)


def measured(shop: Workshop, way: Way, machine: str) -> tuple[str, ...]:
    """One line of the table."""
    example = PROJECT / "examples" / f"{way.example}.py"
    with shop.ours(machine, "--load", "--module", str(example)) as root:
        path = os.path.join(root, way.path)
        rows = ElfCoreHdr.unpack(Path(root, "control/elfcorehdr").read_bytes()).phdrs
        command = f"grep -rh . {path}" if os.path.isdir(path) else f"cat {path}"
        got = subprocess.run(["bash", "-c", command], check=True, capture_output=True).stdout
        whole = median(_wall(command) for _ in range(3))
        try:
            right = way.one(path) == rows[ROW].p_offset
            assert right
            took = []
            for _ in range(ROUNDS):
                since = time.perf_counter()
                way.one(path)
                took.append(time.perf_counter() - since)
            one = seconds(median(took))
        except LookupError as cut:
            one = str(cut)
        lines = got.count(b"\n")
        seen = _rows_seen(way, got, lines)
        return (
            f"[{way.example}.py](../examples/{way.example}.py)",
            f"{way.files(len(rows)):,}",
            f"{len(got):,} B",
            f"{seen:,} of {len(rows):,}",
            seconds(whole),
            one,
        )


def _rows_seen(way: Way, got: bytes, lines: int) -> int:
    if way.one is _of_bytes:
        return (len(got) - 64) // 56
    if way.one is _of_table:
        return sum(line.startswith(b"0x") and line.endswith(b"-") for line in got.split(b"\n"))
    return lines // 7 if way.one is _of_file else lines


def _wall(command: str) -> float:
    since = time.perf_counter()
    subprocess.run(["bash", "-c", command], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - since


@click.command()
def main() -> None:
    """Measure, and print the table as Markdown."""
    from tabulate import tabulate

    heads = (
        "proposal",
        "files",
        "a reader gets",
        "program headers",
        "all of it",
        f"p_offset of row {ROW}",
    )
    with workshop() as shop:
        machine = large(shop.path)
        lines = [measured(shop, way, machine) for way in WAYS]
    click.echo(tabulate(lines, heads, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
