"""The commands of `elfcorehdr`: options in, text and exit status out. The file that knows click.

Nothing but click is imported at the top: `--help` and shell completion cost click alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from . import __version__

if TYPE_CHECKING:
    from .diff import Diff
    from .roles import Layout

_F = TypeVar("_F", bound=Callable[..., Any])

INPUT = click.Path(allow_dash=True)
SORT_KEYS = ("index", "type", "offset", "vaddr", "paddr", "filesz", "memsz")


class Trouble(click.ClickException):
    """Something is wrong with the input: one sentence, exit status 2."""

    exit_code = 2


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn what can be wrong with an input into Trouble."""
    from elfcorehdr.errors import ElfFormatError, ProfileError

    try:
        yield
    except (ElfFormatError, ProfileError) as error:
        raise Trouble(str(error)) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise Trouble(f"{where}{error.strerror or error}") from None


def run() -> None:
    """The click side of main()."""
    cli(prog_name="elfcorehdr")


def _address(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    try:
        number = int(value, 0)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 63:
        raise click.BadParameter(f"{value!r} is not an offset, expected bytes such as 0x1af50000")
    return number


def reading(command: _F) -> _F:
    """The options that say where in the input the header is."""
    command = click.option(
        "--scan", is_flag=True, help="Search a memory image or crashkernel dump for the header."
    )(command)
    return click.option(
        "--at",
        metavar="OFFSET",
        callback=_address,
        help="The header is OFFSET bytes into the input.",
    )(command)


class Examples(click.Group):
    """A group whose commands are listed in the order in which they are learnt."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return [name for name in ("print", "diff", "check", "map") if name in self.commands]


@click.group(cls=Examples, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="%(prog)s %(version)s")
def cli() -> None:
    """Show, compare and check the ELF core header that kdump works with.

    FILE is a raw elfcorehdr, /proc/vmcore or a vmcore file, an ELF core of makedumpfile -E,
    the kernel's printed text (also inside a dmesg), a directory where kdumpfs is mounted,
    or - for standard input. Of a dump only the headers are read, whatever its size.

    \b
    Examples:
      elfcorehdr print /proc/vmcore              the program headers, as the kernel prints them
      dmesg | elfcorehdr print - --format table  sizes, and what each row is for
      elfcorehdr diff before.bin after.bin       what a hotplug event changed
      elfcorehdr check --iomem /proc/iomem FILE  what is wrong with a header; exit status 1
      elfcorehdr map FILE                        physical memory as a picture
    """


def show(pieces: Iterable[str]) -> None:
    """Write text to standard output."""
    write = sys.stdout.write
    for piece in pieces:
        write(piece)
    sys.stdout.flush()


@cli.command("print")
@click.argument("file", type=INPUT)
@click.option(
    "-f",
    "--format",
    "fmt",
    default="kernel",
    metavar="FORMAT",
    help="kernel (default), table, json, jsonl, csv, markdown, html, or any of tabulate's formats.",
)
@click.option("--notes", is_flag=True, help="Show what the notes hold: registers, pid, VMCOREINFO.")
@click.option("--only", type=click.Choice(["note", "load"]), help="Only rows of this type.")
@click.option("--sort", type=click.Choice(SORT_KEYS), help="Order the rows; the index stays.")
@click.option("--reverse", is_flag=True, help="Last row first.")
@reading
def print_(
    file: str,
    fmt: str,
    notes: bool,
    only: str | None,
    sort: str | None,
    reverse: bool,
    scan: bool,
    at: int | None,
) -> None:
    """Print the program headers of FILE.

    \b
    Examples:
      elfcorehdr print /proc/vmcore
      elfcorehdr print elfcorehdr.bin --format table --only load --sort memsz
      elfcorehdr print vmcore --notes --format json | jq '.notes[] | select(.cpu).pid'
      dmesg | elfcorehdr print -
      elfcorehdr print --scan guest-ram.img
    """
    from .roles import Layout
    from .source import read

    with one_sentence():
        layout = Layout(read(file, scan=scan, at=at, notes=notes))
        if layout.core.elsewhere:
            places = ", ".join(map(hex, layout.core.elsewhere))
            click.echo(
                f"{file}: header at {layout.core.offset:#x} shown, others (--at): {places}",
                err=True,
            )
        show(_print_pieces(layout, fmt, _rows(layout, only, sort, reverse), notes=notes))


def _rows(layout: Layout, only: str | None, sort: str | None, reverse: bool) -> list[int] | None:
    """Indexes of the rows to show, in order; None for all as they are."""
    if not (only or sort or reverse):
        return None
    phdrs = layout.core.phdrs
    kind = {"note": 4, "load": 1}.get(only or "")
    rows = [i for i, phdr in enumerate(phdrs) if kind is None or phdr.p_type == kind]
    if sort and sort != "index":
        rows.sort(key=lambda i: getattr(phdrs[i], f"p_{sort}"))
    return rows[::-1] if reverse else rows


def _print_pieces(
    layout: Layout, fmt: str, chosen: list[int] | None, *, notes: bool
) -> Iterator[str]:
    rows = range(layout.core.phnum) if chosen is None else chosen
    if fmt in ("json", "jsonl"):
        from . import as_json
        from .notes import notes_of

        pieces = as_json.json_pieces if fmt == "json" else as_json.jsonl_pieces
        yield from pieces(layout, rows, notes_of(layout.core) if notes else None)
        return
    if fmt == "kernel":
        from .kernel_text import render_rows

        for piece in render_rows(layout.core.phdrs, rows):
            yield piece.decode("ascii")
    else:
        from . import tables

        _known(fmt, "kernel", "json", "jsonl")
        yield from tables.table(tables.PHDR_COLUMNS, lambda: tables.phdr_rows(layout, rows), fmt)
    if notes:
        yield from _note_pieces(layout, "table" if fmt == "kernel" else fmt)


def _note_pieces(layout: Layout, fmt: str) -> Iterator[str]:
    from . import tables
    from .notes import notes_of

    found = notes_of(layout.core)
    if not found:
        click.echo(
            f"{layout.core.name}: no notes here: they lie in the crashed kernel's memory, "
            "or no CPU has written one",
            err=True,
        )
        return
    yield "\n"
    yield from tables.table(tables.NOTE_COLUMNS, lambda: tables.note_rows(layout, found), fmt)
    for note in found:
        if note.text is not None and fmt not in ("csv", "tsv", "html", "unsafehtml"):
            yield f"\n{note.name}:\n{note.text}" + "\n" * (not note.text.endswith("\n"))


@cli.command("diff")
@click.argument("a", type=INPUT)
@click.argument("b", type=INPUT)
@click.option(
    "-f",
    "--format",
    "fmt",
    default="text",
    metavar="FORMAT",
    help="text (default: a sentence, then the rows), json, or a table format as in print.",
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
    from .diff import diff
    from .source import read

    if a == b == "-":
        raise click.UsageError("only one of A and B can be standard input")
    with one_sentence():
        found = diff(read(a, scan=scan), read(b, scan=scan))
        if not quiet:
            show(_diff_pieces(found, fmt))
    sys.exit(1 if found else 0)


def _diff_pieces(found: Diff, fmt: str) -> Iterator[str]:
    from . import tables
    from .diff import row_words

    if fmt == "json":
        import json

        from .as_json import diff_dict

        yield json.dumps(diff_dict(found), indent=2) + "\n"
        return
    _known(fmt, "text", "json")
    if fmt == "text":
        yield found.sentence() + "\n"
    if found.rows:
        yield "\n" if fmt == "text" else ""
        yield from tables.table(
            tables.DIFF_COLUMNS,
            lambda: map(row_words, found.rows),
            "table" if fmt == "text" else fmt,
        )


def _known(fmt: str, *ours: str) -> None:
    """Trouble if fmt is neither one of ours nor a table format."""
    from . import tables

    known = (*ours, *tables.formats())
    if fmt not in known:
        raise Trouble(f"--format: {fmt!r} is not a format, expected one of {', '.join(known)}")
