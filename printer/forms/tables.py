"""Tables for people: tabulate for tens of rows, the same table streamed for thousands.

tabulate is known to this file alone and imported when a table is made: its import costs more than
the printer, and a row through it costs 140 times one `%` (it sniffs every cell for numbers).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from elfcorehdr.errors import ProfileError
from printer.layout.notes import Note
from printer.layout.roles import Layout

MANY = 50
"""From this many rows on tabulate sees a sample only."""

NAMES = {"table": "simple", "markdown": "github"}
"""Our words for tabulate's formats; its own are taken as well."""
RIGHT = {"Size"}

Row = Sequence[str]


def formats() -> list[str]:
    """Every format name that table() takes."""
    import tabulate

    return [*NAMES, "csv", *tabulate.tabulate_formats]


def known(fmt: str, *ours: str) -> None:
    """ProfileError if fmt is neither one of ours nor a table format."""
    every = (*ours, *formats())
    if fmt not in every:
        raise ProfileError(
            f"--format: {fmt[:60]!r} is not a format, expected one of {', '.join(every)}"
        )


NOTE_COLUMNS = ("Index", "Name", "Type", "Bytes", "CPU", "PID", "Registers", "IP", "SP")


def note_rows(layout: Layout, notes: Iterable[Note]) -> Iterator[Row]:
    """The cells of notes; what a note has not got is empty."""
    arch = layout.arch
    for note in notes:
        registers = dict(note.registers)
        shown = (
            [hex(registers[r]) if r in registers else "" for r in (arch.ip, arch.sp)]
            if arch
            else ["", ""]
        )
        yield (
            hex(note.row),
            note.name,
            note.type_name,
            str(len(note.desc)),
            "" if note.cpu is None else str(note.cpu),
            "" if note.pid is None else str(note.pid),
            str(len(registers) or ""),
            *shown,
        )


def table(
    columns: Row, make_rows: Callable[[], Iterable[Row]], fmt: str, *, headings: bool = True
) -> Iterator[str]:
    """The table as pieces of text, newlines included, in one of formats().

    make_rows is called once, and again if there are many rows: the first pass measures, so that
    columns are as wide as their widest cell and no more than one row is kept. ValueError if there
    is no such format.
    """
    if fmt == "csv":
        yield from _csv(columns if headings else None, make_rows())
        return
    from tabulate import tabulate, tabulate_formats

    name = NAMES.get(fmt, fmt)
    if name not in tabulate_formats:
        raise ValueError(f"no such format: {fmt}")
    if not headings and name == "simple":
        name = "plain"  # without the rules around what is not there
    align = ["right" if column in RIGHT else "left" for column in columns]
    few = list(islice(make_rows(), MANY + 1))
    heads = columns if headings else ()
    if len(few) > MANY:
        yield from _streamed(heads, make_rows, name, align)
        return
    colalign = align if few else None
    if few or headings:
        yield tabulate(few, heads, tablefmt=name, colalign=colalign, disable_numparse=True) + "\n"


def _csv(columns: Row | None, rows: Iterable[Row]) -> Iterator[str]:
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if columns:
        writer.writerow(columns)
    while some := list(islice(rows, 1 << 10)):
        writer.writerows(some)
        yield out.getvalue()
        out.seek(0)
        out.truncate()
    yield out.getvalue()


def _streamed(
    columns: Row, make_rows: Callable[[], Iterable[Row]], name: str, align: list[str]
) -> Iterator[str]:
    """What tabulate would make of the rows, from what it makes of three of placeholders.

    Each cell of the sample is a run, as wide as its column, of a character that stands for the
    column; the lines of the middle row are the pattern of every row but the last.
    """
    from tabulate import tabulate

    widths = [len(column) for column in columns] or [0] * len(align)
    measured = iter(make_rows())
    while some := list(islice(measured, 1 << 12)):
        longest = (max(map(len, cells)) for cells in zip(*some, strict=True))
        widths = list(map(max, widths, longest))
    marks = [[chr(0xE000 + 32 * row + i) * w for i, w in enumerate(widths)] for row in range(3)]
    text = tabulate(marks, columns, tablefmt=name, colalign=align, disable_numparse=True) + "\n"
    lines = [text.rfind("\n", 0, text.index(row[0])) + 1 for row in marks]
    end = text.index("\n", text.index(marks[2][-1])) + 1
    middle, final = (
        re.sub("([\ue000-\ue09f])\\1*", "%s", pattern.replace("%", "%%"))
        for pattern in (text[lines[1] : lines[2]], text[lines[2] : end])
    )
    pads = "\0".join(f"%{'-' * (a == 'left')}{w}s" for w, a in zip(widths, align, strict=True))
    yield text[: lines[0]]
    latex = name.startswith("latex")

    def padded(row: Row) -> tuple[str, ...]:
        line = pads % tuple(row)
        return tuple((line.replace("_", "\\_") if latex else line).split("\0"))

    last: Row | None = None
    rows = iter(make_rows())
    while some := list(islice(rows, 1 << 10)):
        done = [*([last] if last else ()), *some[:-1]]
        yield "".join([(middle % padded(row)).rstrip() + "\n" for row in done])
        last = some[-1]
    if last:
        yield (final % padded(last)).rstrip() + "\n"
    yield text[end:]
