"""`python -m tests.soak`: all of it, one after the other, the figures in a table; ends with 1 if anything was wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice

import click

from tests.soak.endurance import endured
from tests.soak.kill import PROJECT, killed
from tests.soak.storm import storm

TABLES = (
    "tests/mounted/test_hostile.py",
    "tests/mounted/test_blocked.py",
    "tests/mounted/test_listings.py",
)
"""What a handler may answer, what one caller may ask for, listings by readers of every kind."""


class Soak:
    """What was done and found so far."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str]] = []
        self.wrong: list[str] = []

    def row(self, what: str, figures: str, wrong: list[str]) -> None:
        self.rows.append((what, figures))
        self.wrong += [f"{what}: {one}" for one in wrong]
        click.echo(f"{what}: {figures}" + "".join(f"\n  WRONG {one}" for one in wrong[:20]))


def fuzz(soak: Soak, inputs: int, jobs: int, seed: int) -> None:
    """So many inputs, by that many processes, in shares that end soon enough to show that they go on."""
    share = min(20_000, -(-inputs // jobs))
    firsts = iter(range(0, inputs, share))
    running: list[subprocess.Popen[str]] = []
    kinds: Counter[str] = Counter()
    refused, slowest, wrong, since = 0, 0.0, list[str](), time.monotonic()

    def started() -> Iterator[subprocess.Popen[str]]:
        for first in firsts:
            count = min(share, inputs - first)
            command = [sys.executable, "-m", "tests.soak.fuzz", str(first), str(count), str(seed)]
            yield subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)

    more = started()
    running = list(islice(more, jobs))
    while running:
        process = running.pop(0)
        said = process.communicate()[0]
        if process.returncode:
            wrong.append(f"{process.args} ended with {process.returncode}")
        else:
            of_kinds, of_refused, of_slowest, of_wrong = json.loads(said)
            kinds.update(of_kinds)
            refused, slowest = refused + of_refused, max(slowest, of_slowest)
            wrong += of_wrong
        running += islice(more, 1)
        if inputs > 1_000_000 and sum(kinds.values()) % 500_000 < share:
            click.echo(f"  {sum(kinds.values()):,} inputs, {len(wrong)} wrong", err=True)
    of_each = ", ".join(f"{name} {count:,}" for name, count in kinds.most_common())
    took = time.monotonic() - since
    figures = f"{sum(kinds.values()):,} inputs in {took:.0f} s ({of_each}); {refused:,} refused, the slowest {slowest:.2f} s"
    soak.row("fuzz", figures, wrong)


def storms(soak: Soak, events: int, writers: int, seed: int, until: float) -> None:
    """One storm at least, and more while there is time."""
    n = stores = refused = listings = headers = 0
    wrong: list[str] = []
    since = time.monotonic()
    while n == 0 or time.monotonic() < until:
        found = storm(events, writers, seed=seed + n)
        stores, refused, n = stores + found.stores, refused + found.refused, n + 1
        listings, headers = listings + found.listings, headers + found.headers
        wrong += found.wrong
        if found.descriptors > 40:
            wrong.append(f"{found.descriptors} descriptors more")
    figures = (
        f"{n} of {events:,} events by {writers} writers, {time.monotonic() - since:.0f} s: {stores:,} stores ({refused:,} refused) "
        f"replayed, {listings:,} listings and {headers:,} headers whole"
    )  # fmt: skip
    soak.row("storms", figures, wrong)


def tables(soak: Soak) -> None:
    """The tables, as pytest has them."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TABLES]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    last = done.stdout.strip().splitlines()[-1:] or [""]
    wrong = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    soak.row(
        "tables of answers, of slow calls, of listings",
        last[0],
        wrong or ([] if not done.returncode else last),
    )


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--events", default=10_000, show_default=True, help="Stores in each storm.")
@click.option("--writers", default=32, show_default=True, help="Processes that make them.")
@click.option("--inputs", default=100_000, show_default=True, help="Inputs to the fuzzer.")
@click.option(
    "--minutes", default=0.0, help="How long storms and endurance go on, each. [default: once, 8 s]"
)
@click.option(
    "--kills",
    default=10,
    show_default=True,
    help="Servers of mounts to kill, and half as many runs.",
)
@click.option("--jobs", default=len(os.sched_getaffinity(0)), help="Processes that fuzz.")
@click.option("--seed", default=1, show_default=True)
@click.option(
    "--tables/--no-tables", "with_tables", default=False, help="The tables of the tests, too."
)
@click.option(
    "--only", multiple=True, type=click.Choice(["fuzz", "storms", "kills", "endurance", "tables"])
)
@click.option("--long", is_flag=True, help="10,000,000 inputs, 30 minutes, 200 kills, the tables.")
def main(
    events: int,
    writers: int,
    inputs: int,
    minutes: float,
    kills: int,
    jobs: int,
    seed: int,
    with_tables: bool,
    only: tuple[str, ...],
    long: bool,
) -> None:
    """Storms, kills, fuzz and endurance of the servers, judged.

    \b
    scripts/soak                             a minute
    scripts/soak --long                      hours
    scripts/soak --only fuzz --inputs 1000000 --seed 7
    """
    if long:
        inputs, minutes, kills, with_tables = 10_000_000, 30.0, 200, True
    soak, parts = Soak(), only or ("storms", "kills", "endurance", "fuzz")
    if "storms" in parts:
        storms(soak, events, writers, seed, time.monotonic() + minutes * 60)
    if "kills" in parts:
        found = killed(kills, kills // 2, seed=seed)
        soak.row("kills", f"{found.mounts} mounts, {found.runs} runs: nothing left", found.wrong)
    if "endurance" in parts:
        held = endured(minutes * 60 or 8.0)
        first, last = held.samples[0][0] / 1024, held.samples[-1][0] / 1024
        soak.row(
            "endurance",
            f"{minutes * 60 or 8:.0f} s: {first:.1f} MB, at the end {last:.1f} MB, {held.samples[-1][1]} descriptors",
            held.wrong,
        )
    if "fuzz" in parts:
        fuzz(soak, inputs, jobs, seed)
    if with_tables or "tables" in parts:
        tables(soak)
    click.echo(f"{len(soak.wrong)} wrong" if soak.wrong else "all is well")
    sys.exit(1 if soak.wrong else 0)


if __name__ == "__main__":
    main()
