"""A header as JSON, JSON lines: the stable schema that docs/elfcorehdr.md describes.

Addresses and sizes are hex strings ("0x1af40000"); beside each stands the number, under the name without p_, or null
where it is above 2^53: many a JSON reader keeps numbers as doubles and would lose bits. Counts, indexes and small codes are
numbers. Fields are only ever added under the same schema word.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from elfcorehdr.elf import PT_LOAD, PT_NOTE, Phdr
from elfcorehdr.lib.record import fields_of
from printer.layout.arches import machine_name
from printer.layout.notes import Note
from printer.layout.roles import Layout, Role, picked
from printer.words import flags_text, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from printer.judge.diff import Diff, RowDiff
    from printer.judge.rules import Finding

SCHEMA = "elfcorehdr-1"
EXACT = 1 << 53
"""Numbers up to here are exact in every reader of JSON."""
_ADDRESSES = ("e_entry", "e_phoff", "e_shoff")
_FIELDS = ("p_offset", "p_vaddr", "p_paddr", "p_filesz", "p_memsz", "p_align")
_KEYS = {
    "FILE": ("file",), "INDEX": ("index",), "TYPE": ("type", "p_type"), "FLAGS": ("flags", "p_flags"),
    "END": ("p_end", "end"), "SIZE": ("p_memsz", "memsz"), "WHAT": ("what",),
} | {field[2:].upper(): (field, field[2:]) for field in _FIELDS}  # fmt: skip
"""The keys of each column of -o."""
_CHUNK = 1024

Printed = tuple[Layout, Sequence[int] | None, list[Note] | None]
"""A header, the rows to be shown (None: all), and the notes where they are asked for."""


def _number(value: int) -> int | None:
    return value if value <= EXACT else None


def ehdr_fields(layout: Layout) -> dict[str, Any]:
    """The ELF header, e_ident's parts as ei_class, ei_data, ei_version, ei_osabi, ei_abiversion."""
    fields = fields_of(layout.core.ehdr)
    return {key: hex(value) if key in _ADDRESSES else value for key, value in fields.items()}


def ehdr_dict(layout: Layout) -> dict[str, Any]:
    """ehdr_fields(), and the addresses as numbers."""
    fields = fields_of(layout.core.ehdr)
    return ehdr_fields(layout) | {key[2:]: _number(fields[key]) for key in _ADDRESSES}


def field_words(layout: Layout, name: str) -> str:
    """What a field of the ELF header means, for a table."""
    ehdr = layout.core.ehdr
    words = {
        "e_type": {4: "core", 2: "executable", 3: "shared object"}.get(ehdr.e_type, ""),
        "e_machine": machine_name(ehdr.e_machine),
        "ei_class": {1: "32-bit", 2: "64-bit"}.get(ehdr.ei_class, ""),
        "ei_data": {1: "little endian", 2: "big endian"}.get(ehdr.ei_data, ""),
        "e_phnum": ""
        if ehdr.e_phnum == len(layout.core.phdrs)
        else f"{len(layout.core.phdrs)} rows",
    }
    return words.get(name, "")


def phdr_dict(layout: Layout, row: int) -> dict[str, Any]:
    """One program header; row is its index from 0."""
    phdr = layout.core.phdrs[row]
    found: dict[str, Any] = {
        "index": row,
        "type": type_name(phdr.p_type),
        "flags": flags_text(phdr.p_flags),
        "p_type": phdr.p_type,
        "p_flags": phdr.p_flags,
    }
    found |= {field: hex(getattr(phdr, field)) for field in _FIELDS}
    found["what"] = layout.what(row)
    return found | {field[2:]: _number(getattr(phdr, field)) for field in _FIELDS}


def _row_texts(layout: Layout, rows: Sequence[int]) -> Iterator[str]:
    """phdr_dict() of each row as JSON, for memory in the kernel's half by one `%` a row."""
    phdrs = layout.core.phdrs
    roles, memory = layout.roles, Role.MEMORY
    formats: dict[tuple[int, int], str] = {}
    columns = [picked(column, rows) for column in phdrs.columns()]
    exact = max((max(c, default=0) for c in (columns[2], *columns[4:])), default=0) <= EXACT
    for row, kind, flags, offset, vaddr, paddr, filesz, memsz, align in zip(
        rows, *columns, strict=True
    ):
        if not exact or vaddr <= EXACT or roles[row] is not memory:
            yield json.dumps(phdr_dict(layout, row))
            continue
        form = formats.get((kind, flags))
        if form is None:
            form = formats[kind, flags] = _memory_format(kind, flags)
        yield form % (
            *(row, offset, vaddr, paddr, filesz, memsz, align),
            *(offset, paddr, filesz, memsz, align),
        )


def _memory_format(kind: int, flags: int) -> str:
    head = {"type": type_name(kind), "flags": flags_text(flags), "p_type": kind, "p_flags": flags}
    hexes = ", ".join(f'"{field}": "%#x"' for field in _FIELDS)
    numbers = ", ".join(f'"{f[2:]}": ' + ("null" if f == "p_vaddr" else "%d") for f in _FIELDS)
    fixed = json.dumps(head)[1:-1]
    return f'{{"index": %d, {fixed}, {hexes}, "what": "{Role.MEMORY.value}", {numbers}}}'


def _chosen(layout: Layout, rows: Sequence[int], columns: str | None) -> Iterator[str]:
    """Each row as JSON, with the keys of some columns only."""
    if columns is None:
        yield from _row_texts(layout, rows)
        return
    from printer.forms.columns import chosen

    keys = [key for name in chosen(columns) for key in _KEYS[name]]
    for row in rows:
        found = phdr_dict(layout, row) | {"file": layout.core.name}
        phdr: Phdr = layout.core.phdrs[row]
        end = phdr.p_paddr + max(phdr.p_memsz, 1) - 1
        found |= {"p_end": hex(end), "end": _number(end)}
        yield json.dumps({key: found[key] for key in keys})


def note_dict(note: Note) -> dict[str, Any]:
    """One note; registers and text only where it has them."""
    found: dict[str, Any] = {
        "index": note.row,
        "name": note.name,
        "type": note.n_type,
        "type_name": note.type_name,
        "descsz": len(note.desc),
    }
    if note.cpu is not None:
        found |= {"cpu": note.cpu, "pid": note.pid}
        found["registers"] = {name: hex(value) for name, value in note.registers}
    if note.text is not None:
        found["text"] = note.text
    return found


def head_dict(layout: Layout) -> dict[str, Any]:
    """What stands before the rows: where the header came from, the ELF header, the counts."""
    core = layout.core
    types = core.phdrs.p_type
    arch = layout.arch.name if layout.arch else machine_name(core.ehdr.e_machine)
    return {
        "schema": SCHEMA,
        "name": core.name,
        "kind": core.kind,
        "form": core.form.value,
        "live": core.live,
        "offset": hex(core.offset),
        "arch": arch,
        "ehdr": ehdr_dict(layout),
        "counts": {"total": len(types), "load": types.count(PT_LOAD), "note": types.count(PT_NOTE)},
    }


def document(
    layout: Layout, rows: Iterable[int] | None = None, notes: Iterable[Note] | None = None
) -> dict[str, Any]:
    """The whole document as Python values; rows chooses and orders the program headers.

    >>> document(Layout(read("elfcorehdr.bin")))["phdrs"][9]["memsz"]
    65536
    """
    found = head_dict(layout)
    chosen = range(layout.core.phnum) if rows is None else rows
    found["phdrs"] = [phdr_dict(layout, row) for row in chosen]
    if notes is not None:
        found["notes"] = [note_dict(note) for note in notes]
    return found


def json_pieces(inputs: Sequence[Printed], columns: str | None = None) -> Iterator[str]:
    """document() of each input as JSON text, a list where there are several; one program header to a line."""
    several = len(inputs) > 1
    yield "[\n" if several else ""
    for n, (layout, chosen, notes) in enumerate(inputs):
        rows = range(layout.core.phnum) if chosen is None else chosen
        head = json.dumps(head_dict(layout), indent=2)
        yield (",\n" if n else "") + head.removesuffix("\n}") + ',\n  "phdrs": ['
        yield from _array(_chosen(layout, rows, columns))
        if notes is not None:
            yield ',\n  "notes": ['
            yield from _array(json.dumps(note_dict(note)) for note in notes)
        yield "\n}"
    yield "\n]\n" if several else "\n"


def _array(items: Iterator[str]) -> Iterator[str]:
    comma = "\n    "
    while some := list(islice(items, _CHUNK)):
        yield comma + ",\n    ".join(some)
        comma = ",\n    "
    yield "]" if comma == "\n    " else "\n  ]"


def jsonl_pieces(inputs: Sequence[Printed], columns: str | None = None) -> Iterator[str]:
    """One object to a line: every program header, then every note; with several inputs each names its file."""
    several = len(inputs) > 1
    for layout, chosen, notes in inputs:
        rows = range(layout.core.phnum) if chosen is None else chosen
        begin = f'{{"file": {json.dumps(layout.core.name)}, ' if several else "{"
        lines = _chosen(layout, rows, columns)
        while some := list(islice(lines, _CHUNK)):
            yield "".join([begin + line[1:] + "\n" for line in some])
        for note in notes or ():
            yield begin + json.dumps(note_dict(note))[1:] + "\n"


def diff_pieces(found: Diff, *, lines: bool) -> Iterator[str]:
    """diff_dict() as JSON text, or each row that differs as a line."""
    if lines:
        yield from (json.dumps(_row_diff(found, row)) + "\n" for row in found.rows)
    else:
        yield json.dumps(diff_dict(found), indent=2) + "\n"


def diff_dict(found: Diff) -> dict[str, Any]:
    """What compare() found; a row that is in one header only has null on the other side."""
    spans = {
        name: [
            {"start": hex(r.start), "size": hex(r.size), "address": _number(r.start), "bytes": _number(r.size)}
            for r in ranges
        ]
        for name, ranges in (("removed", found.removed), ("added", found.added))
    }  # fmt: skip
    return {
        "schema": "elfcorehdr-diff-1",
        "a": found.a.core.name,
        "b": found.b.core.name,
        "same": not found,
        "sentence": found.sentence(),
        "offsets_compared": found.offsets,
        **spans,
        "fields": {name: {"a": a, "b": b} for name, a, b in found.fields},
        "rows": [_row_diff(found, row) for row in found.rows],
    }


def _row_diff(found: Diff, row: RowDiff) -> dict[str, Any]:
    return {
        "changes": [change.value for change in row.changes],
        "a": None if row.a is None else phdr_dict(found.a, row.a),
        "b": None if row.b is None else phdr_dict(found.b, row.b),
    }


def findings_dict(layout: Layout, findings: Iterable[Finding]) -> dict[str, Any]:
    """What check() found; index is null for a finding about the whole."""
    head = head_dict(layout)
    head["schema"] = "elfcorehdr-check-1"
    del head["ehdr"]
    head["findings"] = list(map(finding_dict, findings))
    return head


def finding_dict(finding: Finding) -> dict[str, Any]:
    """One finding."""
    return {
        "rule": finding.rule.id,
        "level": finding.level.word,
        "index": finding.row,
        "title": finding.rule.title,
        "message": finding.message,
        "why": finding.rule.why,
        "change": finding.rule.change,
    }
