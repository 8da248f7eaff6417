"""`elfcorehdr diff` and `elfcorehdr check`: what changed, what is wrong."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from printer.cli.shared import (
    INPUT,
    around,
    each,
    formats,
    one_sentence,
    read_input,
    reading,
    show,
    surroundings,
)

if TYPE_CHECKING:
    from printer.judge.rules import Finding
    from printer.layout.roles import Layout


@click.command("diff")
@click.argument("a", type=INPUT)
@click.argument("b", type=INPUT)
@click.option(
    "-f",
    "--format",
    "fmt",
    default="text",
    metavar="FORMAT",
    help="text (default: a sentence, then the rows), json, jsonl, or a table format as in print.",
    shell_complete=formats("text", "json", "jsonl"),
)
@click.option("-q", "--quiet", is_flag=True, help="Say nothing, only the exit status.")
@click.option("--scan", is_flag=True, help="Search memory images for the headers.")
def diff_(a: str, b: str, fmt: str, quiet: bool, scan: bool) -> None:
    """Show what is different in header B, compared with header A.

    Rows are matched by the memory they describe. A and B may be any two inputs: p_offset is
    left out where it is a physical address in one and a place in the file in the other.
    Exit status 0: the same, 1: different, 2: trouble.

    \b
    Examples:
      elfcorehdr print /mnt > before.txt; echo offline > /mnt/sys/devices/system/memory/memory62/state
      elfcorehdr diff before.txt /mnt
      elfcorehdr diff elfcorehdr.bin /proc/vmcore --format json | jq -r .sentence
    """
    from printer.cli.terminal import Progress
    from printer.judge.diff import compare

    if a == b == "-":
        raise click.UsageError("only one of A and B can be standard input")
    with one_sentence(), Progress() as progress:
        found = compare(*(read_input(name, progress, scan=scan) for name in (a, b)))
        if not quiet:
            from printer.forms.diff_views import diff_pieces

            show(diff_pieces(found, fmt))
    sys.exit(1 if found else 0)


@click.command("check")
@click.argument("files", type=INPUT, nargs=-1, required=True, metavar="FILE...")
@click.option(
    "-f",
    "--format",
    "fmt",
    type=click.Choice(["text", "json", "jsonl", "sarif"]),
    default="text",
    help="How to print findings.",
    show_default=True,
)
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "note"]),
    default="warning",
    help="Findings from this level on make the exit status 1 (default: warning).",
)
@click.option("-q", "--quiet", is_flag=True, help="Say nothing, only the exit status.")
@click.option(
    "--possible", metavar="CPUS", help="The possible CPUs, as in /sys/devices/system/cpu/possible."
)
@around
@reading
def check_(
    files: tuple[str, ...],
    fmt: str,
    fail_on: str,
    quiet: bool,
    machine: str | None,
    iomem: str | None,
    possible: str | None,
    scan: bool,
    at: int | None,
) -> None:
    """Find what is wrong with the header in FILE, and say why it matters.

    With a description of the machine also memory that no row loads, loads in the crashkernel
    and CPUs without a note; a mounted tree brings its own. Exit status 0: nothing wrong, 1: something is,
    2: trouble.

    \b
    Examples:
      elfcorehdr check /proc/vmcore
      elfcorehdr check --iomem /proc/iomem --possible 0-7 elfcorehdr.bin
      elfcorehdr check --machine machine.toml --format sarif elfcorehdr.bin > results.sarif
    """
    from printer.cli.terminal import Progress
    from printer.judge.checks import check_layout
    from printer.judge.rules import Level
    from printer.judge.surroundings import Surroundings
    from printer.layout.roles import Layout

    checked: list[tuple[Layout, list[Finding]]] = []
    with Progress() as progress:
        with one_sentence():
            said = surroundings(machine, iomem, possible)

        def one(file: str) -> None:
            core = read_input(file, progress, scan=scan, at=at, notes=True)
            its_own = Surroundings() if machine or iomem else surroundings(None, None, None, file)
            layout = Layout(core)
            checked.append((layout, check_layout(layout, said | its_own)))

        troubled = each(files, one)
        if not quiet and checked:
            from printer.forms.check_views import check_pieces

            show(check_pieces(checked, fmt))
    level = Level[fail_on.upper()]
    bad = any(finding.level >= level for _, found in checked for finding in found)
    sys.exit(2 if troubled else 1 if bad else 0)
