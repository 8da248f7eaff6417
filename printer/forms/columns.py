"""The columns of program headers that `print -o` chooses from, as text for tables, raw lines and pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice

from elfcorehdr.errors import ProfileError
from elfcorehdr.lib.record import NamedTuple
from printer.layout.roles import Layout, Role, picked
from printer.layout.sizes import printable, size_text
from printer.words import flags_text, type_name

CHUNK = 4096
"""Rows whose cells are kept at a time."""

_Cells = Callable[[Layout, Sequence[int]], Iterable[str]]


class Col(NamedTuple):
    """One column: its name for -o and in pairs, the heading of tables, and the cells of some rows."""

    name: str
    heading: str
    help: str
    cells: _Cells
    in_bytes: _Cells | None = None
    """What --bytes shows instead."""


def _hex(field: str) -> _Cells:
    def cells(layout: Layout, rows: Sequence[int]) -> Iterable[str]:
        return map(hex, picked(getattr(layout.core.phdrs, field), rows))

    return cells


def _flags(layout: Layout, rows: Sequence[int]) -> Iterable[str]:
    return map(lru_cache(flags_text), picked(layout.core.phdrs.p_flags, rows))


def _types(layout: Layout, rows: Sequence[int]) -> Iterable[str]:
    names = map(lru_cache(type_name), picked(layout.core.phdrs.p_type, rows))
    return (name.removeprefix("PT_") for name in names)


def _sizes(layout: Layout, rows: Sequence[int]) -> Iterable[str]:
    return map(lru_cache(size_text), picked(layout.core.phdrs.p_memsz, rows))


def _ends(layout: Layout, rows: Sequence[int]) -> Iterable[str]:
    starts, sizes = (
        picked(c, rows) for c in (layout.core.phdrs.p_paddr, layout.core.phdrs.p_memsz)
    )
    return (hex(a + n - 1) if n else "" for a, n in zip(starts, sizes, strict=True))


def _what(layout: Layout, rows: Sequence[int]) -> Iterable[str]:
    roles, memory = layout.roles, Role.MEMORY
    return (memory.value if roles[row] is memory else layout.what(row) for row in rows)


COLUMNS = {
    col.name: col
    for col in (
        Col("FILE", "File", "the input as it was named", lambda la, rows: [printable(la.core.name)] * len(rows)),
        Col("INDEX", "Index", "place in the table, from 0", lambda la, rows: map(hex, rows)),
        Col("TYPE", "Type", "LOAD, NOTE, ...", _types),
        Col("OFFSET", "Offset", "p_offset", _hex("p_offset")),
        Col("VADDR", "VirtAddr", "p_vaddr", _hex("p_vaddr")),
        Col("PADDR", "PhysAddr", "p_paddr", _hex("p_paddr")),
        Col("END", "End", "the last physical address", _ends),
        Col("FILESZ", "FileSize", "p_filesz", _hex("p_filesz")),
        Col("MEMSZ", "MemSize", "p_memsz", _hex("p_memsz")),
        Col("SIZE", "Size", "p_memsz as B, KiB, MiB, ..., or with --bytes in bytes", _sizes,
            lambda la, rows: map(str, picked(la.core.phdrs.p_memsz, rows))),
        Col("FLAGS", "Flags", "RWX", _flags),
        Col("ALIGN", "Align", "p_align", _hex("p_align")),
        Col("WHAT", "What", "what the row is for", _what),
    )
}  # fmt: skip
"""By name, in the order of a table with all of them."""
USUAL = tuple(name for name in COLUMNS if name not in ("FILE", "END"))


def chosen(text: str | None, usual: tuple[str, ...] = USUAL) -> tuple[str, ...]:
    """The columns of -o: names in any case, separated by commas; with `+` in front after the usual ones.

    ProfileError names one that there is not, and those there are.
    """
    if text is None:
        return usual
    names = [name.strip().upper() for name in text.removeprefix("+").split(",")]
    for name in names:
        if name not in COLUMNS:
            expected = ", ".join(COLUMNS)
            raise ProfileError(f"-o: {name[:60]!r} is no column, expected some of {expected}")
    return (*usual, *names) if text.startswith("+") else tuple(names)


def table_rows(
    layout: Layout, names: Sequence[str], rows: Sequence[int], *, in_bytes: bool = False
) -> Iterator[tuple[str, ...]]:
    """The cells of program headers, row by row."""
    columns = [COLUMNS[name] for name in names]
    for first in range(0, len(rows), CHUNK):
        some = rows[first : first + CHUNK]
        cells = [((in_bytes and col.in_bytes) or col.cells)(layout, some) for col in columns]
        yield from zip(*cells, strict=True)


def raw_lines(
    names: Sequence[str], rows: Iterable[Sequence[str]], *, headings: bool
) -> Iterator[str]:
    """Cells separated by single blanks, a blank inside one as \\x20, as lsmem --raw has it."""
    if headings:
        yield " ".join(names) + "\n"
    while some := list(islice(rows, CHUNK)):
        yield "".join([" ".join(map(_raw_cell, row)) + "\n" for row in some])


def _raw_cell(cell: str) -> str:
    return cell.replace("\\", "\\x5c").replace(" ", "\\x20") if cell else "-"


def pair_lines(names: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """KEY="value" of each column, which a shell can eval, as lsmem --pairs has it."""
    row = " ".join(f'{name}="%s"' for name in names) + "\n"
    while some := list(islice(rows, CHUNK)):
        yield "".join([row % tuple(map(_pair_cell, cells)) for cells in some])


def _pair_cell(cell: str) -> str:
    for char in '\\"$`':
        cell = cell.replace(char, f"\\x{ord(char):02x}")
    return cell
