"""JSON and JSON lines."""

from __future__ import annotations

import json

import pytest

from elfcorehdr.elf import Phdr
from printer import (
    Layout,
    check,
    from_bytes,
    notes_of,
    read,
)
from printer.forms import as_json
from printer.forms.print_views import Shape, print_pieces
from tests.headers import (
    CAPTURED,
    SEED,
    SEED_TEXT,
    VMCORE,
    load,
    name,
    packed,
)


def seed_layout() -> Layout:
    return Layout(read(str(SEED_TEXT)))


def shown(layout, fmt, rows=None, notes=False):
    return "".join(print_pieces([(layout, rows)], Shape(fmt=fmt, notes=notes)))


def test_json_document_of_the_cover_letters_header():
    document = json.loads(shown(seed_layout(), "json"))
    assert document.keys() == {
        *("schema", "name", "kind", "form", "live", "offset", "arch", "ehdr", "counts", "phdrs")
    }
    assert document["schema"] == "elfcorehdr-1"
    assert (document["kind"], document["form"], document["arch"]) == ("text", "elfcorehdr", "ppc64")
    assert document["counts"] == {"total": 13, "load": 4, "note": 9}
    assert document["phdrs"][9] == {
        "index": 9,
        "type": "PT_LOAD",
        "flags": "RWX",
        "p_type": 1,
        "p_flags": 7,
        "p_offset": "0x1af40000",
        "p_vaddr": "0xc000000000000000",
        "p_paddr": "0x0",
        "p_filesz": "0x10000",
        "p_memsz": "0x10000",
        "p_align": "0x0",
        "what": "memory, read from backup at 0x1af40000",
        "offset": 0x1AF40000,
        "vaddr": None,
        "paddr": 0,
        "filesz": 0x10000,
        "memsz": 0x10000,
        "align": 0,
    }


def test_numbers_stand_where_every_reader_of_json_keeps_them_exact():
    rows = (*SEED[:12], load(1 << 53, 0x1000), load(2**53 + 0x1000, 0x1000))
    document = json.loads(shown(Layout(from_bytes(packed(*rows))), "json"))
    assert [row["paddr"] for row in document["phdrs"][12:]] == [1 << 53, None]
    assert [int(row["p_paddr"], 16) for row in document["phdrs"]] == [p.p_paddr for p in rows]
    numbers = [row["memsz"] for row in document["phdrs"]]
    assert numbers == [p.p_memsz for p in rows]


@pytest.mark.parametrize("path", [*CAPTURED[::25], VMCORE], ids=name)
def test_fast_rows_are_the_documents(path):
    layout = Layout(read(str(path)))
    assert json.loads(shown(layout, "json")) == json.loads(json.dumps(as_json.document(layout)))


def test_json_text_and_python_document_are_the_same():
    for path in (SEED_TEXT, VMCORE):
        layout = Layout(read(str(path), notes=True))
        assert json.loads(shown(layout, "json", notes=True)) == as_json.document(
            layout, notes=notes_of(layout.core)
        )


def test_jsonl_has_a_row_to_a_line():
    lines = shown(seed_layout(), "jsonl").splitlines()
    assert [json.loads(line)["index"] for line in lines] == list(range(13))


def test_json_without_rows_is_json():
    document = json.loads(shown(Layout(from_bytes(packed())), "json", notes=True))
    assert (document["phdrs"], document["notes"]) == ([], [])


def test_names_that_need_escapes_survive_json(tmp_path):
    path = tmp_path / 'odd "name"\n\udcff'
    path.write_bytes(packed(*SEED))
    assert json.loads(shown(Layout(read(str(path))), "json"))["name"] == str(path)


def with_row(row: int, phdr: Phdr):
    return (*SEED[:row], phdr, *SEED[row + 1 :])


def test_findings_as_json():
    core = from_bytes(packed(*with_row(9, load(0, 0x10000, 0))), "hdr")
    document = as_json.findings_dict(Layout(core), check(core))
    assert document["schema"] == "elfcorehdr-check-1"
    (finding,) = json.loads(json.dumps(document))["findings"]
    assert (finding["rule"], finding["level"], finding["index"]) == (
        "backup-offset-zero",
        "error",
        9,
    )
