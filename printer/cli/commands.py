"""The commands of `elfcorehdr`: options in, text and exit status out. The file that knows click.

Nothing but click is imported at the top: `--help` and shell completion cost click alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from printer.cli.terminal import help_width, leave
from printer.version import __version__

if TYPE_CHECKING:
    from printer.judge.surroundings import Surroundings
    from printer.layout.roles import Layout

_F = TypeVar("_F", bound=Callable[..., Any])

INPUT = click.Path(allow_dash=True)
SORT_KEYS = ("index", "type", "offset", "vaddr", "paddr", "filesz", "memsz")


class Trouble(click.ClickException):
    """Something is wrong with the input: one sentence, exit status 2."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        from printer.layout.sizes import printable

        super().__init__(printable(message))


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


def run(begin: bytes = b"") -> None:
    """The click side of main(); begin is what `print -` has read of standard input before."""
    for stream in (sys.stdout, sys.stderr):  # a name may be no UTF-8, a terminal not know a glyph
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        cli(prog_name="elfcorehdr", terminal_width=help_width(), obj=begin)
    except SystemExit as end:
        leave(end)


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


def _formats(*ours: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Shell completion of --format."""

    def complete(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
        from printer.forms.tables import formats

        return [name for name in (*ours, *formats()) if name.startswith(begun)]

    return complete


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


class InOrder(click.Group):
    """A group whose commands are listed in the order in which they are learnt."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return [name for name in ("print", "diff", "check", "map") if name in self.commands]


@click.group(cls=InOrder, context_settings={"help_option_names": ["-h", "--help"]})
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
        try:
            write(piece)
        except OSError as error:
            _stop_writing(error)
    try:
        sys.stdout.flush()
    except OSError as error:
        _stop_writing(error)


def _stop_writing(error: OSError) -> NoReturn:
    """Standard output is closed or full: nothing more goes there, not even at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        sys.exit(1)
    raise Trouble(f"standard output: {error.strerror}") from None


@cli.command("print")
@click.argument("file", type=INPUT)
@click.option(
    "-f",
    "--format",
    "fmt",
    default="kernel",
    metavar="FORMAT",
    help="kernel (default), table, json, jsonl, csv, markdown, html, or any of tabulate's formats.",
    shell_complete=_formats("kernel", "json", "jsonl"),
)
@click.option("--notes", is_flag=True, help="Show what the notes hold: registers, pid, VMCOREINFO.")
@click.option("--only", type=click.Choice(["note", "load"]), help="Only rows of this type.")
@click.option("--sort", type=click.Choice(SORT_KEYS), help="Order the rows; the index stays.")
@click.option("--reverse", is_flag=True, help="Last row first.")
@reading
@click.pass_obj
def print_(
    begin: bytes | None,
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
    from printer.forms import views
    from printer.inputs.source import read
    from printer.layout.roles import Layout
    from printer.layout.sizes import printable

    with one_sentence():
        layout = Layout(read(file, scan=scan, at=at, notes=notes, begin=begin or b""))
        if layout.core.elsewhere:
            places = ", ".join(map(hex, layout.core.elsewhere))
            click.echo(
                f"{printable(file)}: header at {layout.core.offset:#x} shown, others (--at): {places}",
                err=True,
            )
        show(views.print_pieces(layout, fmt, _rows(layout, only, sort, reverse), notes=notes))


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
    shell_complete=_formats("text", "json"),
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
    from printer.forms import views
    from printer.inputs.source import read
    from printer.judge.diff import compare

    if a == b == "-":
        raise click.UsageError("only one of A and B can be standard input")
    with one_sentence():
        found = compare(read(a, scan=scan), read(b, scan=scan))
        if not quiet:
            show(views.diff_pieces(found, fmt))
    sys.exit(1 if found else 0)


def around(command: _F) -> _F:
    """The options that describe the machine around a header."""
    command = click.option(
        "--iomem", type=INPUT, metavar="FILE", help="RAM and crashkernel from a /proc/iomem."
    )(command)
    return click.option(
        "--machine",
        type=INPUT,
        metavar="FILE",
        help="RAM, crashkernel, RTAS and CPUs from a kdumpfs machine (TOML) or captured case (JSON).",
    )(command)


def _surroundings(
    machine: str | None, iomem: str | None, possible: str | None = None
) -> Surroundings:
    from printer.judge.surroundings import Surroundings, count_cpus, read_iomem, read_machine

    found = Surroundings(possible=count_cpus("--possible", possible) if possible else None)
    if iomem:
        found |= read_iomem(iomem)
    if machine:
        found |= read_machine(machine)
    return found


@cli.command("check")
@click.argument("file", type=INPUT)
@click.option("-f", "--format", "fmt", type=click.Choice(["text", "json", "sarif"]), default="text")
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
    file: str,
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
    and CPUs without a note. Exit status 0: nothing wrong, 1: something is, 2: trouble.

    \b
    Examples:
      elfcorehdr check /proc/vmcore
      elfcorehdr check --iomem /proc/iomem --possible 0-7 elfcorehdr.bin
      elfcorehdr check --machine machine.toml --format sarif elfcorehdr.bin > results.sarif
    """
    from printer.forms import views
    from printer.inputs.source import read
    from printer.judge.checks import check
    from printer.judge.rules import Level
    from printer.layout.roles import Layout

    with one_sentence():
        core = read(file, scan=scan, at=at, notes=True)
        found = check(core, _surroundings(machine, iomem, possible))
        if not quiet:
            show(views.check_pieces(Layout(core), found, fmt))
    level = Level[fail_on.upper()]
    sys.exit(1 if any(finding.level >= level for finding in found) else 0)


@cli.command("map")
@click.argument("file", type=INPUT)
@click.argument("after", type=INPUT, required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Draw an svg, png or pdf, by the name's ending (needs matplotlib: kdumpfs[plot]).",
)
@click.option("--width", type=click.IntRange(20, 1000), help="Columns (default: the terminal's).")
@click.option("--ascii", "plain", is_flag=True, help="Draw with ASCII alone.")
@around
@reading
def map_(
    file: str,
    after: str | None,
    output: str | None,
    width: int | None,
    plain: bool,
    machine: str | None,
    iomem: str | None,
    scan: bool,
    at: int | None,
) -> None:
    """Draw the physical memory of a header, or of two on one scale.

    \b
    Examples:
      elfcorehdr map elfcorehdr.bin
      elfcorehdr map before.bin after.bin --iomem /proc/iomem
      elfcorehdr map /proc/vmcore -o memory.svg
    """
    import shutil

    from printer.forms import views
    from printer.inputs.source import read
    from printer.layout.roles import Layout
    from printer.pictures.memmap import draw, picture

    if file == after == "-":
        raise click.UsageError("only one of FILE and AFTER can be standard input")
    with one_sentence():
        names = [file] if after is None else [file, after]
        layouts = [Layout(read(name, scan=scan, at=at)) for name in names]
        found = picture(layouts, _surroundings(machine, iomem))
        if output:
            from printer.pictures.plot import save

            save(found, output)
            return
        encoding = sys.stdout.encoding or "ascii"
        lines = draw(
            found,
            width or shutil.get_terminal_size().columns,
            colour=views.in_colour(),
            unicode=not plain and encoding.lower().startswith("utf"),
        )
        show(line + "\n" for line in lines)
