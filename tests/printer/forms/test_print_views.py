"""What the commands print."""

from __future__ import annotations

from printer import Layout, notes_of, read
from printer.forms.print_views import Shape, print_pieces
from tests.headers import SEED_TEXT, VMCORE


def seed_layout() -> Layout:
    return Layout(read(str(SEED_TEXT)))


def shown(layout, fmt, rows=None, notes=False):
    return "".join(print_pieces([(layout, rows)], Shape(fmt=fmt, notes=notes)))


def test_rows_are_chosen_and_ordered_but_keep_their_index():
    text = shown(seed_layout(), "kernel", [12, 9])
    assert "  Total Program Headers: 13 (0xd)\n" in text
    assert [line.split()[0] for line in text.splitlines()[8:]] == ["0xc", "0x9"]


def test_notes_are_shown_as_a_table_and_text():
    text = shown(Layout(read(str(VMCORE), notes=True)), "kernel", notes=True)
    assert "NT_PRSTATUS" in text
    assert "\nVMCOREINFO:\nOSRELEASE=7.3.4+deb13-amd64\n" in text


def test_elfcorehdr_alone_has_no_contents_of_notes(capsys):
    layout = Layout(read(str(SEED_TEXT), notes=True))
    assert notes_of(layout.core) == []
    shown(layout, "kernel", notes=True)
    assert "they lie in the crashed kernel's memory" in capsys.readouterr().err
