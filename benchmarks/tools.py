"""What people run over a whole tree, at growing sizes, and how long others wait meanwhile.

`python -m benchmarks.tools` measures this alone; `./scripts/bench` does with everything else. Every
tool gets a mount of its own, so nothing is in the host kernel's caches; output goes through a pipe,
because GNU tar does not read what it would write to /dev/null.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click

from benchmarks import machines
from benchmarks.curves import TOOLS_PLOT, Curves, draw, tell
from benchmarks.measure import PROJECT, PYTHON, wall_of
from benchmarks.mounts import MEMORY, Workshop, resident
from benchmarks.rows import seconds

CPU, NODE = "sys/devices/system/cpu", "sys/devices/system/node"
"""Axis to line to size to seconds."""

# A file that only can be written is a complaint and exit status 1 or 2, on a real sysfs too.
WALKS = {
    "ls -lR": "(ls -lR {at}; true) 2>&1 | wc -l",
    "find": "find {at} | wc -l",
    "grep -r": "(grep -r . {at}; true) 2>&1 | wc -l",
    "tar c": "(tar c {at}; true) 2>/dev/null | wc -c",
}
BYTES_A_NAME = 2500
"""What a name that was looked at takes at most: inode and dentry in the host's kernel, and the server's own."""
NAMES_A_BLOCK, NAMES_A_CPU = 20, 60


class Size(NamedTuple):
    """A machine to run tools over, and its place on an axis."""

    axis: str
    at: int
    blocks: int
    cpus: int = 8
    nodes: int = 1
    gaps: bool = False
    tools: tuple[tuple[str, str], ...] = ()
    """Name and command of each, with {root} and {at}."""
    options: tuple[str, ...] = ()

    @property
    def needs(self) -> int:
        """Bytes of memory that a walk over all names takes."""
        names = self.blocks * NAMES_A_BLOCK + self.cpus * NAMES_A_CPU
        return names * BYTES_A_NAME


def _walks(where: str, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    walks = ((name, command.format(at=f"{{root}}/{where}")) for name, command in WALKS.items())
    return (*walks, *more)


def sizes(*, quick: bool) -> list[Size]:
    """What is measured, by axis, ascending; quick stops early."""
    lsmem, lscpu = ("lsmem", "lsmem --sysroot {root}"), ("lscpu -e", "lscpu --sysroot {root} -e")
    blocks = (64, 1024, 8192) if quick else (64, 1024, 8192, 32_768)
    found = [Size("memory blocks", n, n, tools=_walks(MEMORY, lsmem)) for n in blocks]
    if not quick:  # the others open or name each of 5 million files: a quarter of an hour each
        find = ("find", WALKS["find"].format(at=f"{{root}}/{MEMORY}"))
        found.append(Size("memory blocks", 262_144, 262_144, tools=(find, lsmem)))
    cpus = (32, 512) if quick else (32, 512, 2048, 8192)
    found += [Size("CPUs", n, 64, n, tools=_walks(CPU, lscpu)) for n in cpus]
    for n in (1, 8) if quick else (1, 8, 64):
        axis = "NUMA nodes (16,384 blocks, 512 CPUs)"
        found.append(Size(axis, n, 16_384, 512, n, tools=_walks(NODE, lscpu)))
    header = "sys/kernel/kexec/crash_elfcorehdr_print"
    of_header = (
        ("cat crash_elfcorehdr_print", f"cat {{root}}/{header} | wc -l"),
        ("find devicetree", "find {root}/sys/firmware/devicetree | wc -l"),
        ("cat /proc/iomem", "cat {root}/proc/iomem | wc -l"),
    )
    for n in (24, 1000) if quick else (24, 1000, 8000, 65_000):
        options = ("--load", "--no-page-limit")
        found.append(Size("memory ranges", n, n, gaps=True, tools=of_header, options=options))
    return found


def measured(shop: Workshop, *, quick: bool, axes: tuple[str, ...] = ()) -> Curves:
    """Seconds that each tool takes, once a size; a size for which memory is short is left out.

    axes are the beginnings of those to measure; () is all.
    """
    curves: Curves = {}
    for size in sizes(quick=quick):
        if axes and not size.axis.startswith(axes):
            continue
        if available() < size.needs:
            click.echo(f"{size.axis}: {size.at:,}: too little memory, left out", err=True)
            continue
        machine = machines.write(shop.path, size.blocks, size.cpus, size.nodes, gaps=size.gaps)
        for name, command in size.tools:
            with shop.ours(machine, *size.options) as root, forgotten():
                took = wall_of(command.format(root=root))
                held = resident(root) / (1 << 20)
            curves.setdefault(size.axis, {}).setdefault(name, {})[size.at] = took
            click.echo(
                f"{size.axis}: {size.at:,}: {name}: {seconds(took)}; server {held:.0f} MB", err=True
            )
    return curves


def available() -> int:
    """MemAvailable, in bytes."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no MemAvailable")


@contextmanager
def forgotten() -> Iterator[None]:
    """Afterwards the host's kernel keeps no names that nobody uses: of some sizes they are gigabytes."""
    try:
        yield
    finally:
        Path("/proc/sys/vm/drop_caches").write_text("2")


# Others meanwhile

LIMIT_S = 15
"""Seconds after which a tool over the big machine is stopped: long enough to see it hinder others."""
BUSY = {
    "nothing": "sleep 3",
    "a loop that computes": "timeout 3 sh -c 'while :; do :; done'",
    "ls -U memory": "for i in 1 2 3; do ls -U {root}/sys/devices/system/memory; done | wc -l",
    "ls -lR": "timeout {s} ls -lR {root}/sys | wc -l",
    "find": "timeout {s} find {root}/sys | wc -l",
    "grep -r memory": "timeout {s} grep -rs . {root}/sys/devices/system/memory | wc -l",
    "grep -r cpu": "timeout {s} grep -rs . {root}/sys/devices/system/cpu | wc -l",
    "grep -r devicetree": "timeout {s} grep -rsac . {root}/sys/firmware/devicetree | wc -l",
    "tar c": "timeout {s} tar c {root}/sys 2>/dev/null | wc -c",
    "lsmem": "timeout {s} lsmem --sysroot {root} | wc -l",
    "lscpu -e": "timeout {s} lscpu --sysroot {root} -e | wc -l",
    "cat crash_elfcorehdr_print": (
        "for i in 1 2 3 4 5; do cat {root}/sys/kernel/kexec/crash_elfcorehdr_print; done | wc -l"
    ),
    "ls -l of the big directories": (
        "for i in 1 2 3 4 5; do ls -ld {root}/sys/devices/system/* "
        "{root}/sys/firmware/devicetree/base/*; done | wc -l"
    ),
}
READER = """
import os, statistics, sys, time
path, took = sys.argv[1], []
clock, open_, read, close = time.perf_counter, os.open, os.read, os.close
go_on = True
def stop(*_):
    global go_on
    go_on = False
import signal
signal.signal(signal.SIGTERM, stop)
print(flush=True)
while go_on:
    from_ = clock()
    fd = open_(path, 0)
    read(fd, 64)
    close(fd)
    took.append(clock() - from_)
took.sort()
print(len(took), statistics.median(took), took[len(took) * 999 // 1000], took[-1])
"""


class Wait(NamedTuple):
    """How long one open, read and close took another process meanwhile, in seconds."""

    reads: int
    median: float
    p999: float
    worst: float


def waits(shop: Workshop, *, quick: bool) -> dict[str, Wait]:
    """For each tool over the big machine: what a reader of memory0/state waits meanwhile."""
    blocks, cpus = (16_384, 512) if quick else (262_144, 8192)
    machine = machines.write(shop.path, blocks, cpus, 64)
    found = {}
    for name, command in BUSY.items():
        with shop.ours(machine, "--load") as root, forgotten():
            found[name] = _while_running(command.format(root=root, s=LIMIT_S), root)
        wait = found[name]
        click.echo(
            f"reader during {name}: median {seconds(wait.median)}, worst {seconds(wait.worst)}",
            err=True,
        )
    return found


def _while_running(command: str, root: str) -> Wait:
    reader = subprocess.Popen(
        [PYTHON, "-I", "-c", READER, f"{root}/{MEMORY}/memory0/state"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdout is not None
    reader.stdout.readline()
    try:
        subprocess.run(["bash", "-c", command], stdout=subprocess.DEVNULL, cwd=PROJECT, check=False)
    finally:
        reader.terminate()
        out, _ = reader.communicate()
    count, *times = out.split()
    return Wait(int(count), *map(float, times))


def print_waits(found: dict[str, Wait], *, markdown: bool) -> None:
    """The table; ratios are to a reader that is alone."""
    from tabulate import tabulate

    alone = found["nothing"]
    lines = [
        (
            name,
            f"{wait.reads:,}",
            f"{wait.median / alone.median:.3g} x",
            f"{wait.p999 / alone.median:.3g} x",
            seconds(wait.worst),
        )
        for name, wait in found.items()
    ]
    heads = ("meanwhile", "reads", "median, to alone", "99.9 %, to the median alone", "worst")
    fmt = "github" if markdown else "simple"
    click.echo(tabulate(lines, heads, tablefmt=fmt, disable_numparse=True))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="Smaller machines: a minute or two.")
@click.option("--via", type=click.Choice(["libfuse", "direct"]), default=None)
@click.option("--tools/--no-tools", default=True, help="How the tools' costs grow.")
@click.option("--waits/--no-waits", "with_waits", default=True, help="What others wait meanwhile.")
@click.option("--axis", "axes", multiple=True, help="Only the axes that begin so, such as CPUs.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False), help="Write figures here.")
@click.option("--plot", type=click.Path(dir_okay=False), help="The plot: .svg or .png.")
@click.option("--markdown", is_flag=True, help="The table as Markdown.")
def main(
    quick: bool,
    via: str | None,
    tools: bool,
    with_waits: bool,
    axes: tuple[str, ...],
    json_file: str | None,
    plot: str | None,
    markdown: bool,
) -> None:
    """Run tools over big trees: how their costs grow, and whether anybody else has to wait."""
    from benchmarks.conditions import awake
    from benchmarks.mounts import workshop

    with awake() as idle, workshop(via or "") as shop:
        click.echo(idle, err=True)
        found = waits(shop, quick=quick) if with_waits else {}
        curves = measured(shop, quick=quick, axes=axes) if tools else {}
    if curves:
        tell(curves)
        draw(curves, Path(plot) if plot else TOOLS_PLOT)
    if found:
        print_waits(found, markdown=markdown)
    if json_file:
        document = {
            "tools": curves,
            "waits": {name: wait._asdict() for name, wait in found.items()},
        }
        Path(json_file).write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
