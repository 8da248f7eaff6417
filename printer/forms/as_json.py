"""A header as JSON, JSON lines: the stable schema that docs/elfcorehdr.md describes.

Addresses and sizes are hex strings ("0x1af40000"), since many a JSON reader keeps numbers as
doubles and loses bits above 2^53; counts, indexes and small codes are numbers. Fields are only
ever added under the same schema word.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from elfcorehdr.lib.record import fields_of
from printer.judge.diff import Diff
from printer.judge.rules import Finding
from printer.layout.arches import machine_name
from printer.layout.notes import Note
from printer.layout.roles import Layout
from printer.words import flags_text, type_name

SCHEMA = "elfcorehdr-1"
_ADDRESSES = {"e_entry", "e_phoff", "e_shoff"}


def ehdr_dict(layout: Layout) -> dict[str, Any]:
    """The ELF header, e_ident's parts as ei_class, ei_data, ei_version, ei_osabi, ei_abiversion."""
    fields = fields_of(layout.core.ehdr)
    return {key: hex(value) if key in _ADDRESSES else value for key, value in fields.items()}


def phdr_dict(layout: Layout, row: int) -> dict[str, Any]:
    """One program header; row is its index from 0."""
    phdr = layout.core.phdrs[row]
    return {
        "index": row,
        "type": type_name(phdr.p_type),
        "flags": flags_text(phdr.p_flags),
        "p_type": phdr.p_type,
        "p_flags": phdr.p_flags,
        "p_offset": hex(phdr.p_offset),
        "p_vaddr": hex(phdr.p_vaddr),
        "p_paddr": hex(phdr.p_paddr),
        "p_filesz": hex(phdr.p_filesz),
        "p_memsz": hex(phdr.p_memsz),
        "p_align": hex(phdr.p_align),
        "what": layout.what(row),
    }


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
    kinds = [phdr.p_type for phdr in core.phdrs]
    arch = layout.arch.name if layout.arch else machine_name(core.ehdr.e_machine)
    return {
        "schema": SCHEMA,
        "name": core.name,
        "kind": core.kind,
        "form": core.form.value,
        "offset": hex(core.offset),
        "arch": arch,
        "ehdr": ehdr_dict(layout),
        "counts": {"total": len(kinds), "load": kinds.count(1), "note": kinds.count(4)},
    }


def document(
    layout: Layout, rows: Iterable[int] | None = None, notes: Iterable[Note] | None = None
) -> dict[str, Any]:
    """The whole document as Python values; rows chooses and orders the program headers."""
    found = head_dict(layout)
    chosen = range(layout.core.phnum) if rows is None else rows
    found["phdrs"] = [phdr_dict(layout, row) for row in chosen]
    if notes is not None:
        found["notes"] = [note_dict(note) for note in notes]
    return found


def json_pieces(
    layout: Layout, rows: Iterable[int], notes: Iterable[Note] | None = None
) -> Iterator[str]:
    """document() as JSON text, a row at a time: one program header, and one note, to a line."""
    head = json.dumps(head_dict(layout), indent=2)
    yield head.removesuffix("\n}") + ',\n  "phdrs": ['
    yield from _array(phdr_dict(layout, row) for row in rows)
    if notes is not None:
        yield ',\n  "notes": ['
        yield from _array(map(note_dict, notes))
    yield "\n}\n"


def _array(items: Iterable[dict[str, Any]]) -> Iterator[str]:
    comma = "\n    "
    for item in items:
        yield comma + json.dumps(item)
        comma = ",\n    "
    yield "]" if comma == "\n    " else "\n  ]"


def jsonl_pieces(
    layout: Layout, rows: Iterable[int], notes: Iterable[Note] | None = None
) -> Iterator[str]:
    """One object to a line: every program header, then every note."""
    for row in rows:
        yield json.dumps(phdr_dict(layout, row)) + "\n"
    for note in notes or ():
        yield json.dumps(note_dict(note)) + "\n"


def diff_dict(found: Diff) -> dict[str, Any]:
    """What compare() found; a row that is in one header only has null on the other side."""
    return {
        "schema": "elfcorehdr-diff-1",
        "a": found.a.core.name,
        "b": found.b.core.name,
        "same": not found,
        "sentence": found.sentence(),
        "offsets_compared": found.offsets,
        "removed": [{"start": hex(r.start), "size": hex(r.size)} for r in found.removed],
        "added": [{"start": hex(r.start), "size": hex(r.size)} for r in found.added],
        "fields": {name: {"a": a, "b": b} for name, a, b in found.fields},
        "rows": [
            {
                "changes": [change.value for change in row.changes],
                "a": None if row.a is None else phdr_dict(found.a, row.a),
                "b": None if row.b is None else phdr_dict(found.b, row.b),
            }
            for row in found.rows
        ],
    }


def findings_dict(layout: Layout, findings: Iterable[Finding]) -> dict[str, Any]:
    """What check() found; index is null for a finding about the whole."""
    head = head_dict(layout)
    head["schema"] = "elfcorehdr-check-1"
    del head["ehdr"]
    head["findings"] = [
        {
            "rule": finding.rule.id,
            "level": finding.level.word,
            "index": finding.row,
            "title": finding.rule.title,
            "message": finding.message,
            "why": finding.rule.why,
            "change": finding.rule.change,
        }
        for finding in findings
    ]
    return head
