"""What `diff` prints, as pieces of text."""

from __future__ import annotations

from collections.abc import Iterator

from printer.judge.diff import Diff, row_words

COLUMNS = ("A", "B", "Type", "PhysAddr", "Change", "Details")


def diff_pieces(found: Diff, fmt: str) -> Iterator[str]:
    """What compare() found: a sentence and its rows (text), json, jsonl, or the rows in a table format."""
    if fmt in ("json", "jsonl"):
        from printer.forms import as_json

        yield from as_json.diff_pieces(found, lines=fmt == "jsonl")
        return
    if fmt == "text":
        yield found.sentence() + "\n"
        if not found.rows:
            return
        yield "\n"
    from printer.forms import tables

    tables.known(fmt, "text", "json", "jsonl")
    if found.rows:
        form = "table" if fmt == "text" else fmt
        yield from tables.table(COLUMNS, lambda: map(row_words, found.rows), form)
