"""What is different between two headers: row by row, in memory, and in a sentence.

Rows are matched by what they describe (type and physical start, then what overlaps), not by
their index, so a block taken out of the middle shows as one change. Imports elfcorehdr.ranges.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from functools import cached_property
from itertools import repeat
from operator import add, and_

from elfcorehdr.elf import PT_LOAD, PT_NOTE, Phdr
from elfcorehdr.lib.ranges import Range
from elfcorehdr.lib.record import NamedTuple
from printer.inputs.phdrs import Phdrs
from printer.inputs.source import Core
from printer.judge.matching import match, out_of_order
from printer.layout.roles import BACKUP_SRC_SIZE, Layout, Role, picked
from printer.layout.sizes import range_text, size_text
from printer.layout.spans import U64, Spans
from printer.words import flags_text, type_name

_NAMED = 3  # of many ranges or rows the sentence names the first


class Change(Enum):
    """What happened to a row from A to B; a row may have several.

    >>> [row.changes for row in compare(read("before.bin"), read("after.bin")).rows]
    [(<Change.SHRANK: 'shrank'>,), (<Change.APPEARED: 'appeared'>,)]
    """

    APPEARED = "appeared"
    GONE = "gone"
    GREW = "grew"
    SHRANK = "shrank"
    MOVED = "moved"
    OFFSET = "changed offset"
    OTHER = "changed"
    REORDERED = "changed place"


class RowDiff(NamedTuple):
    """One row that differs; a or b is None where the row is in one header only."""

    changes: tuple[Change, ...]
    a: int | None
    b: int | None
    phdr_a: Phdr | None
    phdr_b: Phdr | None

    def fields(self) -> list[tuple[str, int, int]]:
        """(field, value in A, value in B) of each field that differs."""
        if not (self.phdr_a and self.phdr_b):
            return []
        triples = zip(Phdr._fields, self.phdr_a, self.phdr_b, strict=True)
        return [(name, a, b) for name, a, b in triples if a != b]


class Diff:
    """A comparison of two headers; it is false if they are the same.

    >>> found = compare(read("before.bin"), read("after.bin"))
    >>> bool(found), found.removed
    (True, (Range(start=10737418240, end=11005853695),))
    """

    def __init__(
        self,
        a: Layout,
        b: Layout,
        rows: tuple[RowDiff, ...],
        fields: tuple[tuple[str, int, int], ...],
        offsets: bool,
    ) -> None:
        """As the attributes say."""
        self.a = a
        self.b = b
        self.rows = rows
        self.fields = fields
        """Fields of the ELF header that differ: name, value in A, value in B."""
        self.offsets = offsets
        """Whether p_offset was compared: not where it means an address in one and a place in the other."""

    def __repr__(self) -> str:
        return f"<Diff of {self.a.core.name} and {self.b.core.name}: {len(self.rows)} rows>"

    def __bool__(self) -> bool:
        return bool(self.rows or self.fields)

    @cached_property
    def _loaded(self) -> tuple[Spans, Spans]:
        """The physical memory that either loads."""
        return _loaded(self.a), _loaded(self.b)

    @cached_property
    def twice(self) -> int:
        """Bytes that B loads more than once, less those of A; each further row counts."""
        loaded = self._loaded
        return _sum_of_loads(self.b) - loaded[1].size - _sum_of_loads(self.a) + loaded[0].size

    @cached_property
    def removed(self) -> tuple[Range, ...]:
        """Memory that A loads and B does not, ends included, ascending."""
        return tuple(self._loaded[0] - self._loaded[1])

    @cached_property
    def added(self) -> tuple[Range, ...]:
        """Memory that B loads and A does not, ends included, ascending."""
        return tuple(self._loaded[1] - self._loaded[0])

    def sentence(self) -> str:
        """The whole of it in one sentence, without a full stop."""
        return "; ".join(_clauses(self)) if self else "same"


def compare(a: Core, b: Core) -> Diff:
    """Compare two headers; either may be of any form and byte order.

    >>> compare(read("before.bin"), read("after.bin")).sentence()
    '256 MiB at 0x280000000 removed; 1 B at 0x400000000 added; a size is one byte too long'
    """
    offsets = a.form is b.form
    rows = tuple(_rows(a.phdrs, b.phdrs, offsets=offsets))
    names = ("e_type", "e_machine", "e_flags", "e_entry", "ei_class", "ei_data", "ei_osabi")
    fields = tuple(
        (name, getattr(a.ehdr, name), getattr(b.ehdr, name))
        for name in names
        if getattr(a.ehdr, name) != getattr(b.ehdr, name)
        and not (name == "e_machine" and 0 in (a.ehdr.e_machine, b.ehdr.e_machine))
    )
    return Diff(Layout(a), Layout(b), rows, fields, offsets)


def _rows(a: Phdrs, b: Phdrs, *, offsets: bool) -> Iterator[RowDiff]:
    same, pairs, only_a, only_b = match(a, b)
    found = [
        RowDiff(changes, i, j, a[i], b[j])
        for i, j in pairs
        if (changes := _changes(a[i], b[j], offsets=offsets))
    ]
    changed = {(row.a, row.b) for row in found}
    found += [
        RowDiff((Change.REORDERED,), i, j, a[i], b[j])
        for i, j in out_of_order(sorted([*same, *pairs]))
        if (i, j) not in changed
    ]
    found += [RowDiff((Change.GONE,), i, None, a[i], None) for i in only_a]
    found += [RowDiff((Change.APPEARED,), None, j, None, b[j]) for j in only_b]
    found.sort(key=lambda r: (r.a if r.a is not None else r.b or 0, r.b if r.b is not None else -1))
    yield from found


def _changes(a: Phdr, b: Phdr, *, offsets: bool) -> tuple[Change, ...]:
    found: list[Change] = []
    if a.p_memsz != b.p_memsz:
        found.append(Change.GREW if b.p_memsz > a.p_memsz else Change.SHRANK)
    elif a.p_filesz != b.p_filesz:
        found.append(Change.OTHER)
    if a.p_paddr != b.p_paddr and a.p_memsz == b.p_memsz:
        found.append(Change.MOVED)
    by_itself = (b.p_offset - a.p_offset) != (b.p_paddr - a.p_paddr)
    if offsets and a.p_offset != b.p_offset and by_itself:
        found.append(Change.OFFSET)
    same_map = (a.p_vaddr - a.p_paddr) % U64 == (b.p_vaddr - b.p_paddr) % U64
    if a.p_type == PT_LOAD and not same_map:
        found.append(Change.OTHER)
    if (a.p_flags, a.p_align) != (b.p_flags, b.p_align) or (
        a.p_type != PT_LOAD and a.p_vaddr != b.p_vaddr
    ):
        found.append(Change.OTHER)
    return tuple(dict.fromkeys(found))


def _clauses(d: Diff) -> Iterator[str]:
    for word, spans in (("removed", d.removed), ("added", d.added)):
        if spans:
            shown = ", ".join(range_text(span.start, span.size) for span in spans[:_NAMED])
            rest = spans[_NAMED:]
            more = f" and {len(rest)} more ranges ({size_text(sum(s.size for s in rest))})"
            yield f"{shown}{more if rest else ''} {word}"
    twice = d.twice
    if twice:
        yield f"{size_text(abs(twice))} {'loaded' if twice > 0 else 'no longer loaded'} twice"
    elsewhere = [row for row in d.rows if Change.OFFSET in row.changes]
    for row in elsewhere[:_NAMED]:
        yield _offset_clause(d, row)
    if elsewhere[_NAMED:]:
        yield f"{len(elsewhere) - _NAMED} more rows changed offset"
    yield from _note_clauses(d)
    odd_a, odd_b = _odd_sizes(d.a), _odd_sizes(d.b)
    for what, before, after in zip(
        ("wraps past 2^64", "is one byte too long"), odd_a, odd_b, strict=True
    ):
        if before != after:
            yield f"a size {what}" if after else f"no size {what} any more"
    moved = sum(Change.REORDERED in row.changes for row in d.rows)
    if moved:
        yield f"{moved} {'row' if moved == 1 else 'rows'} at another place in the order"
    others = sum(
        Change.OTHER in row.changes or (Change.MOVED in row.changes and not _is_note(row))
        for row in d.rows
    )
    if others:
        yield f"{others} {'row' if others == 1 else 'rows'} moved, or with other fields changed"
    if not twice and _same_memory_other_rows(d):
        yield "the same memory in other rows"
    for name, a, b in d.fields:
        yield f"{name} {a:#x} became {b:#x}"


def _loaded(layout: Layout) -> Spans:
    """The physical memory of all loads, the kernel's image too."""
    phdrs = layout.core.phdrs
    rows = phdrs.rows_of(PT_LOAD)
    return Spans.sized(picked(phdrs.p_paddr, rows), picked(phdrs.p_memsz, rows))


def _sum_of_loads(layout: Layout) -> int:
    """Bytes of all loads, the kernel's image too; a size that wraps ends at the last address."""
    phdrs = layout.core.phdrs
    rows = phdrs.rows_of(PT_LOAD)
    starts, sizes = picked(phdrs.p_paddr, rows), picked(phdrs.p_memsz, rows)
    if max(map(add, starts, sizes), default=0) <= U64:
        return sum(sizes)
    return sum(map(min, sizes, (U64 - start for start in starts)))


def _is_note(row: RowDiff) -> bool:
    return bool(row.phdr_a and row.phdr_a.p_type == PT_NOTE)


def _odd_sizes(layout: Layout) -> tuple[bool, bool]:
    phdrs = layout.core.phdrs
    rows = phdrs.rows_of(PT_LOAD)
    starts, sizes = picked(phdrs.p_paddr, rows), picked(phdrs.p_memsz, rows)
    wraps = max(map(add, starts, sizes), default=0) > U64
    return wraps, 1 in map(and_, sizes, repeat(0xFFF))


def _same_memory_other_rows(d: Diff) -> bool:
    loads = [r for r in d.rows if (r.phdr_a or r.phdr_b or Phdr(*[0] * 8)).p_type == PT_LOAD]
    sized = {Change.APPEARED, Change.GONE, Change.GREW, Change.SHRANK}
    return not d.added and not d.removed and any(sized & set(row.changes) for row in loads)


def _offset_clause(d: Diff, row: RowDiff) -> str:
    assert row.phdr_a is not None
    assert row.phdr_b is not None
    a, b = row.phdr_a, row.phdr_b
    where = f"{size_text(b.p_memsz)} at {b.p_paddr:#x}"
    if b.p_paddr == 0 and b.p_memsz == BACKUP_SRC_SIZE:
        where = "first 64 KiB"
    assert row.a is not None
    assert row.b is not None
    if d.a.roles[row.a] is Role.BACKUP and d.b.roles[row.b] is not Role.BACKUP:
        return f"{where} no longer point at the backup region ({a.p_offset:#x})"
    if d.a.roles[row.a] is not Role.BACKUP and d.b.roles[row.b] is Role.BACKUP:
        return f"{where} now point at the backup region ({b.p_offset:#x})"
    return f"{where}: offset {a.p_offset:#x} became {b.p_offset:#x}"


def _note_clauses(d: Diff) -> Iterator[str]:
    def count(change: Change) -> int:
        return sum(
            change in row.changes and (row.phdr_a or row.phdr_b or (0,))[0] == PT_NOTE
            for row in d.rows
        )

    for change, word in (
        (Change.APPEARED, "appeared"),
        (Change.GONE, "gone"),
        (Change.MOVED, "moved"),
        (Change.GREW, "grew"),
        (Change.SHRANK, "shrank"),
    ):
        if n := count(change):
            yield f"{n} {'note' if n == 1 else 'notes'} {word}"


def row_words(row: RowDiff) -> tuple[str, str, str, str, str, str]:
    """A row for a table: index in A, index in B, type, physical start, change, and what of it."""
    phdr = row.phdr_b or row.phdr_a
    assert phdr is not None
    details = []
    if row.changes[0] in (Change.APPEARED, Change.GONE):
        details.append(f"{size_text(phdr.p_memsz)}, offset {phdr.p_offset:#x}")
    for name, a, b in row.fields():
        if name in ("p_filesz",) and row.phdr_b and row.phdr_b.p_filesz == row.phdr_b.p_memsz:
            continue
        text = f"{name} {a:#x} -> {b:#x}"
        if name == "p_memsz":
            text += f" ({'+' if b > a else '-'}{size_text(abs(b - a))})"
        if name == "p_flags":
            text = f"{name} {flags_text(a)} -> {flags_text(b)}"
        details.append(text)
    index = ["" if n is None else hex(n) for n in (row.a, row.b)]
    words = " and ".join(change.value for change in row.changes)
    kind = type_name(phdr.p_type).removeprefix("PT_")
    return index[0], index[1], kind, hex(phdr.p_paddr), words, ", ".join(details)
