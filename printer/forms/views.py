"""What the commands print, as pieces of text."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator

from elfcorehdr.elf import ELFCLASS64, ELFDATA2LSB
from elfcorehdr.errors import ProfileError
from printer.forms import as_json, tables
from printer.inputs.source import Core
from printer.judge.diff import Diff, row_words
from printer.judge.rules import Finding
from printer.layout.notes import Note, notes_of
from printer.layout.roles import Layout
from printer.layout.sizes import printable

MANY_FINDINGS = 20
"""Findings of one rule that are written out; the rest is counted."""
_COLOURS = {"error": 31, "warning": 33, "note": 36}


def print_pieces(
    layout: Layout, fmt: str, chosen: list[int] | None, *, notes: bool
) -> Iterator[str]:
    """The program headers chosen (None: all), and the notes, in any format."""
    rows = range(layout.core.phnum) if chosen is None else chosen
    found = notes_of(layout.core) if notes else None
    if fmt in ("json", "jsonl"):
        pieces = as_json.json_pieces if fmt == "json" else as_json.jsonl_pieces
        yield from pieces(layout, rows, found)
        return
    if fmt == "kernel":
        for piece in _kernel_pieces(layout.core, chosen):
            yield piece.decode("ascii")
    else:
        _known(fmt, "kernel", "json", "jsonl")
        yield from tables.table(tables.PHDR_COLUMNS, lambda: tables.phdr_rows(layout, rows), fmt)
    if found is not None:
        yield from _note_pieces(layout, found, "table" if fmt == "kernel" else fmt)


def _kernel_pieces(core: Core, chosen: list[int] | None) -> Iterator[bytes]:
    from printer.forms.kernel_text import render_rows, render_table

    kernels_form = (core.ehdr.ei_class, core.ehdr.ei_data) == (ELFCLASS64, ELFDATA2LSB)
    if chosen is None and kernels_form:
        return render_table(memoryview(core.table))
    return render_rows(core.phdrs, range(core.phnum) if chosen is None else chosen)


def _note_pieces(layout: Layout, found: list[Note], fmt: str) -> Iterator[str]:
    if not found:
        _aside(
            f"{printable(layout.core.name)}: no notes here: they lie in the crashed kernel's memory, "
            "or no CPU has written one"
        )
        return
    yield "\n"
    yield from tables.table(tables.NOTE_COLUMNS, lambda: tables.note_rows(layout, found), fmt)
    for note in found:
        if note.text is not None and fmt not in ("csv", "tsv", "html", "unsafehtml"):
            yield f"\n{note.name}:\n{note.text}" + "\n" * (not note.text.endswith("\n"))


def diff_pieces(found: Diff, fmt: str) -> Iterator[str]:
    """What compare() found: a sentence and its rows (text), json, or the rows in a table format."""
    if fmt == "json":
        yield json.dumps(as_json.diff_dict(found), indent=2) + "\n"
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
    known = (*ours, *tables.formats())
    if fmt not in known:
        raise ProfileError(f"--format: {fmt!r} is not a format, expected one of {', '.join(known)}")


def check_pieces(layout: Layout, found: list[Finding], fmt: str) -> Iterator[str]:
    """What check() found: text, json or sarif."""
    if fmt == "json":
        yield json.dumps(as_json.findings_dict(layout, found), indent=2) + "\n"
    elif fmt == "sarif":
        from printer.forms.as_sarif import sarif

        yield json.dumps(sarif([(layout, found)]), indent=2) + "\n"
    else:
        yield from _check_text(layout, found)


def _check_text(layout: Layout, found: list[Finding]) -> Iterator[str]:
    """Findings by row; a rule's why and change stand with its first finding."""
    told: Counter[str] = Counter()
    for finding in found:
        rule, word = finding.rule, finding.level.word
        told[rule.id] += 1
        if told[rule.id] > MANY_FINDINGS:
            continue
        where = (
            "" if finding.row is None else f" row {finding.row:#x} ({layout.what(finding.row)}):"
        )
        yield f"{coloured(word, _COLOURS[word])}:{where} {finding.message} [{rule.id}]\n"
        if told[rule.id] == 1:
            yield f"    {rule.title}: {rule.why}\n"
            yield f"    see: {rule.change}\n" if rule.change else ""
    for rule_id, count in told.items():
        if count > MANY_FINDINGS:
            yield f"... and {count - MANY_FINDINGS} more [{rule_id}]\n"
    counts = Counter(finding.level.word for finding in found)
    words = [f"{n} {word}{'s' * (n > 1)}" for word in _COLOURS if (n := counts[word])]
    yield f"{printable(layout.core.name)}: {', '.join(words) or 'nothing found'}\n"


def in_colour() -> bool:
    """Whether standard output is a terminal and NO_COLOR is not set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def coloured(text: str, code: int) -> str:
    """text in an ANSI colour where in_colour()."""
    if not in_colour():
        return text
    return f"\033[1;{code}m{text}\033[0m"


def _aside(text: str) -> None:
    sys.stderr.write(text + "\n")
