"""`elfcorehdr print`: options in, program headers out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from printer.cli.shared import INPUT, each, formats, one_sentence, read_input, reading, show

if TYPE_CHECKING:
    from printer.inputs.source import Core
    from printer.layout.roles import Layout

SORT_KEYS = ("index", "type", "offset", "vaddr", "paddr", "filesz", "memsz")


def _columns(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    """Shell completion of --output: the column that is being typed."""
    from printer.forms.columns import COLUMNS

    done, comma, name = begun.rpartition(",")
    return [done + comma + known for known in COLUMNS if known.startswith(name.upper())]


@click.command("print", context_settings={"help_option_names": ["--help"]})
@click.argument("files", type=INPUT, nargs=-1, required=True, metavar="FILE...")
@click.option(
    "-f",
    "--format",
    "fmt",
    default="",
    metavar="FORMAT",
    help="kernel (default), table, raw, pairs, json, jsonl, csv, markdown, html, or any of tabulate's formats.",
    shell_complete=formats("kernel", "raw", "pairs", "json", "jsonl"),
)
@click.option(
    "-o",
    "--output",
    "columns",
    metavar="COLUMN,...",
    help="These columns, in this order; with + in front after the usual ones. INDEX, TYPE, OFFSET, VADDR, "
    "PADDR, END, FILESZ, MEMSZ, SIZE, FLAGS, ALIGN, WHAT, FILE.",
    shell_complete=_columns,
)
@click.option("-n", "--noheadings", is_flag=True, help="No heading.")
@click.option("-b", "--bytes", "in_bytes", is_flag=True, help="Sizes in bytes.")
@click.option("-r", "--raw", is_flag=True, help="Blanks between the columns, as lsmem -r.")
@click.option("-P", "--pairs", is_flag=True, help='KEY="value" pairs, as lsmem -P.')
@click.option("-h", "--file-header", "header", is_flag=True, help="Show the ELF header, too.")
@click.option("--notes", is_flag=True, help="Show what the notes hold: registers, pid, VMCOREINFO.")
@click.option("--only", type=click.Choice(["note", "load"]), help="Only rows of this type.")
@click.option("--sort", type=click.Choice(SORT_KEYS), help="Order the rows; the index stays.")
@click.option("--reverse", is_flag=True, help="Last row first.")
@click.option("--strict", is_flag=True, help="A table that is cut off is trouble: exit status 2.")
@reading
@click.pass_obj
def print_(
    begin: bytes | None,
    files: tuple[str, ...],
    fmt: str,
    columns: str | None,
    noheadings: bool,
    in_bytes: bool,
    raw: bool,
    pairs: bool,
    header: bool,
    notes: bool,
    only: str | None,
    sort: str | None,
    reverse: bool,
    strict: bool,
    scan: bool,
    at: int | None,
) -> None:
    """Print the program headers of FILE.

    Of a table that is cut off, at a page of sysfs or by a full disk, the whole rows are printed, and a
    line on standard error says so.

    \b
    Examples:
      elfcorehdr print /proc/vmcore
      elfcorehdr print elfcorehdr.bin --format table --only load --sort memsz
      elfcorehdr print -bn -o INDEX,PADDR,SIZE elfcorehdr.bin
      elfcorehdr print vmcore --notes --format json | jq '.notes[] | select(.cpu).pid'
      dmesg | elfcorehdr print -
      elfcorehdr print --scan guest-ram.img
    """
    from printer.cli.terminal import Progress
    from printer.forms.print_views import Shape, print_pieces
    from printer.layout.roles import Layout

    if sum((raw, pairs, bool(fmt))) > 1:
        raise click.UsageError("only one of --format, --raw and --pairs can be given")
    shape = Shape(
        fmt=fmt or ("raw" if raw else "pairs" if pairs else ""),
        columns=columns,
        in_bytes=in_bytes,
        headings=not noheadings,
        notes=notes,
        header=header,
    )
    inputs: list[tuple[Layout, Sequence[int] | None]] = []
    with Progress() as progress:

        def one(file: str) -> None:
            how = {"scan": scan, "at": at, "notes": notes, "torn": not strict}
            core = read_input(file, progress, begin=begin or b"", **how)
            _tell(core)
            layout = Layout(core)
            inputs.append((layout, _rows(layout, only, sort, reverse)))

        troubled = each(files, one)
        with one_sentence():
            show(print_pieces(inputs, shape))
    sys.exit(2 if troubled else 0)


def _tell(core: Core) -> None:
    """On standard error: other headers that a scan found, rows that are missing."""
    from printer.layout.sizes import printable

    name = printable(core.name)
    if core.elsewhere:
        places = ", ".join(map(hex, core.elsewhere))
        text = f"{name}: header at {core.offset:#x} shown, others (--at): {places}"
        click.echo(text, err=True)
    if core.phnum < core.announced:
        text = f"{name}: is cut off: {core.phnum} of {core.announced} program headers are whole"
        click.echo(text, err=True)


def _rows(layout: Layout, only: str | None, sort: str | None, reverse: bool) -> list[int] | None:
    """Indexes of the rows to show, in order; None for all as they are."""
    if not (only or sort or reverse):
        return None
    phdrs = layout.core.phdrs
    kind = {"note": 4, "load": 1}.get(only or "")
    rows = list(range(len(phdrs)) if kind is None else phdrs.rows_of(kind))
    if sort and sort != "index":
        rows.sort(key=getattr(phdrs, f"p_{sort}").__getitem__)
    return rows[::-1] if reverse else rows
