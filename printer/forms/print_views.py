"""What `print` prints, as pieces of text: the program headers of one input or of several, in any form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from elfcorehdr.elf import ELFCLASS64, ELFDATA2LSB
from elfcorehdr.lib.record import Record
from printer.forms.colours import aside
from printer.inputs.source import Core
from printer.layout.notes import Note, notes_of
from printer.layout.roles import Layout
from printer.layout.sizes import printable

OURS = ("kernel", "raw", "pairs", "json", "jsonl")
"""Forms that are not tables."""


class Shape(Record):
    """How program headers are to be shown."""

    fmt: str = ""
    """A form of OURS or of tables.formats(); empty: the kernel's, or a table if anything below needs one."""
    columns: str | None = None
    """-o: names of columns.COLUMNS, as typed."""
    in_bytes: bool = False
    headings: bool = True
    notes: bool = False
    """Also what the notes hold."""
    header: bool = False
    """Also the ELF header."""

    @property
    def form(self) -> str:
        """The form to be used."""
        plain = self.columns is None and not self.in_bytes and self.headings
        return self.fmt or ("kernel" if plain else "table")


def print_pieces(
    inputs: Sequence[tuple[Layout, Sequence[int] | None]], shape: Shape
) -> Iterator[str]:
    """The chosen program headers of each input (None: all); several inputs are told apart."""
    form = shape.form
    several = len(inputs) > 1
    if form in ("json", "jsonl"):
        from printer.forms import as_json

        pieces = as_json.json_pieces if form == "json" else as_json.jsonl_pieces
        yield from pieces([(la, rows, _notes(la, shape)) for la, rows in inputs], shape.columns)
        return
    if form != "kernel":
        _known(form)
    in_rows = form in ("raw", "pairs", "csv", "tsv")  # one table of all, which has a column FILE
    first = True
    for layout, rows in inputs:
        if several and not in_rows:
            yield "" if first else "\n"
            yield f"File: {printable(layout.core.name)}\n\n"
        yield from _one(layout, rows, shape, form, in_rows and several, first)
        first = False


def _one(
    layout: Layout, chosen: Sequence[int] | None, shape: Shape, form: str, named: bool, first: bool
) -> Iterator[str]:
    if shape.header:
        yield from _header(layout, form)
    rows: Sequence[int] = range(layout.core.phnum) if chosen is None else chosen
    if form == "kernel":
        for piece in _kernel_pieces(layout.core, chosen):
            yield piece.decode("ascii")
    else:
        yield from _table(layout, rows, shape, form, named, first)
    notes = _notes(layout, shape)
    if notes is not None:
        yield from _note_pieces(layout, notes, "table" if form in OURS else form)


def _table(
    layout: Layout, rows: Sequence[int], shape: Shape, form: str, named: bool, first: bool
) -> Iterator[str]:
    from printer.forms import columns

    names = columns.chosen(shape.columns)
    if named and "FILE" not in names:
        names = ("FILE", *names)
    headings = shape.headings and (first or not named)

    def cells() -> Iterator[tuple[str, ...]]:
        return columns.table_rows(layout, names, rows, in_bytes=shape.in_bytes)

    if form == "raw":
        yield from columns.raw_lines(names, cells(), headings=headings)
    elif form == "pairs":
        yield from columns.pair_lines(names, cells())
    else:
        from printer.forms import tables

        heads = [columns.COLUMNS[name].heading for name in names]
        yield from tables.table(heads, cells, form, headings=headings)


def _kernel_pieces(core: Core, chosen: Sequence[int] | None) -> Iterator[bytes]:
    from printer.forms.kernel_text import render_rows, render_table

    kernels_form = (core.ehdr.ei_class, core.ehdr.ei_data) == (ELFCLASS64, ELFDATA2LSB)
    if chosen is None and kernels_form:
        return render_table(memoryview(core.table))
    return render_rows(core.phdrs, range(core.phnum) if chosen is None else chosen)


def _header(layout: Layout, form: str) -> Iterator[str]:
    """The ELF header, a field to a line."""
    from printer.forms import as_json, tables

    fields = as_json.ehdr_fields(layout).items()
    rows = [(name, str(value), as_json.field_words(layout, name)) for name, value in fields]
    yield from tables.table(
        ("Field", "Value", "Meaning"), lambda: rows, "table" if form in OURS else form
    )
    yield "\n"


def _notes(layout: Layout, shape: Shape) -> list[Note] | None:
    return notes_of(layout.core) if shape.notes else None


def _note_pieces(layout: Layout, found: list[Note], fmt: str) -> Iterator[str]:
    from printer.forms import tables

    if not found:
        aside(
            f"{printable(layout.core.name)}: no notes here: they lie in the crashed kernel's memory, "
            "or no CPU has written one"
        )
        return
    yield "\n"
    yield from tables.table(tables.NOTE_COLUMNS, lambda: tables.note_rows(layout, found), fmt)
    for note in found:
        if note.text is not None and fmt not in ("csv", "tsv", "html", "unsafehtml"):
            yield f"\n{note.name}:\n{note.text}" + "\n" * (not note.text.endswith("\n"))


def _known(form: str) -> None:
    from printer.forms import tables

    if form not in OURS:
        tables.known(form, *OURS)
