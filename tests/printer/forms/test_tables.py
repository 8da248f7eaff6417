"""Tables: what tabulate makes, streamed."""

from __future__ import annotations

import csv
import io

import pytest
import tabulate

from printer import Layout, from_bytes, read
from printer.forms import tables
from printer.forms.columns import COLUMNS, USUAL
from printer.forms.print_views import Shape, print_pieces
from tests.headers import SEED, SEED_TEXT, load, packed


def seed_layout() -> Layout:
    return Layout(read(str(SEED_TEXT)))


def shown(layout, fmt, rows=None, notes=False):
    return "".join(print_pieces([(layout, rows)], Shape(fmt=fmt, notes=notes)))


def test_table_has_hex_and_size_side_by_side():
    lines = shown(seed_layout(), "table").splitlines()
    assert lines[0].split() == [COLUMNS[name].heading for name in USUAL]
    assert lines[2 + 12].split() == [
        *("0xc", "LOAD", "0x58000000", "0xc000000058000000", "0x58000000"),
        *("0x3a8000000", "0x3a8000000", "14.625", "GiB", "RWX", "0x0", "memory"),
    ]
    assert lines[2 + 9].endswith("memory, read from backup at 0x1af40000")


@pytest.mark.parametrize("fmt", ["simple", "github", "html", "latex", "grid", "fancy_grid", "rst"])
def test_streamed_table_is_what_tabulate_makes(fmt):
    columns = ("Index", "Size", "What")
    rows = [(hex(i), f"{i * 37} KiB", f"CPU {i} note" if i % 3 else "memory") for i in range(120)]
    ours = "".join(tables.table(columns, lambda: rows, fmt))
    theirs = tabulate.tabulate(
        rows,
        columns,
        tablefmt=fmt,
        colalign=["left", "right", "left"],
        disable_numparse=True,
    )
    assert [line.rstrip() for line in ours.splitlines()] == [
        line.rstrip() for line in theirs.splitlines()
    ]


def test_tabulate_never_sees_rows_by_the_hundred(monkeypatch):
    seen = []
    whole = tabulate.tabulate
    monkeypatch.setattr(
        tabulate, "tabulate", lambda rows, *a, **k: seen.append(len(rows)) or whole(rows, *a, **k)
    )
    header = from_bytes(packed(*[load(i << 28, 1 << 28) for i in range(3000)]))
    text = shown(Layout(header), "table")
    assert text.count("\n") == 3002
    assert seen == [3]


@pytest.mark.parametrize("fmt", tables.formats())
def test_every_table_format_shows_every_row(fmt):
    for count in (1, 3, 70):
        rows = [load((i + 1) << 28, 1 << 28) for i in range(count)]
        text = shown(Layout(from_bytes(packed(*rows))), fmt)
        for row in rows:
            assert f"{row.p_vaddr:#x}" in text


def test_csv_is_read_back_by_the_csv_module():
    rows = list(csv.DictReader(io.StringIO(shown(seed_layout(), "csv"))))
    assert [int(row["PhysAddr"], 16) for row in rows] == [p.p_paddr for p in SEED]
    assert [int(row["MemSize"], 16) for row in rows] == [p.p_memsz for p in SEED]
