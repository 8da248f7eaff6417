"""What print shows beside the kernel's form: tables, CSV, JSON, and the contents of notes."""

from __future__ import annotations

import csv
import io
import json
import struct

import pytest
import tabulate

from elfcorehdr.elf import EM_AARCH64, EM_PPC64, EM_X86_64, Ehdr, ElfCoreHdr, Phdr
from elfcorehdr.errors import ElfFormatError
from printer import Layout, Role, from_bytes, notes_of, read
from printer.forms import as_json, tables, views
from printer.layout.arches import ARCHES
from printer.layout.sizes import range_text, size_text
from tests.headers import GOLDEN, SEED, SEED_TEXT, VMCORE, elf_of, load, packed


def seed_layout() -> Layout:
    return Layout(read(str(SEED_TEXT)))


def shown(layout, fmt, rows=None, notes=False):
    return "".join(views.print_pieces(layout, fmt, rows, notes=notes))


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (536, "536 B"),
        (1024, "1 KiB"),
        (0x10000, "64 KiB"),
        (0x10024, "64 KiB + 36 B"),
        (0x89C, "~2.15 KiB"),
        (0x3A8000000, "14.625 GiB"),
        (0x170000001, "5.75 GiB + 1 B"),
        (0x1390000, "19.5625 MiB"),
        (1 << 60, "1 EiB"),
        (2**64 - 1, "~16 EiB"),
        (-0x10000000, "-256 MiB"),
    ],
)
def test_sizes_in_words(size, text):
    assert size_text(size) == text


def test_range_in_words():
    assert range_text(0x3E0000000, 0x10000000) == "256 MiB at 0x3e0000000"


def test_table_has_hex_and_size_side_by_side():
    lines = shown(seed_layout(), "table").splitlines()
    assert lines[0].split() == [*tables.PHDR_COLUMNS]
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


def test_rows_are_chosen_and_ordered_but_keep_their_index():
    text = shown(seed_layout(), "kernel", [12, 9])
    assert "  Total Program Headers: 13 (0xd)\n" in text
    assert [line.split()[0] for line in text.splitlines()[8:]] == ["0xc", "0x9"]


# JSON: the schema that docs/elfcorehdr.md promises


def test_json_document_of_the_cover_letters_header():
    document = json.loads(shown(seed_layout(), "json"))
    assert document.keys() == {
        *("schema", "name", "kind", "form", "offset", "arch", "ehdr", "counts", "phdrs")
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
    }


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


# What rows are for


def test_roles_of_the_cover_letters_rows():
    layout = seed_layout()
    assert layout.roles == (
        *([Role.CPU_NOTE] * 8),
        Role.VMCOREINFO,
        Role.BACKUP,
        *([Role.MEMORY] * 3),
    )
    assert layout.what(7) == "CPU 7 note"


@pytest.mark.parametrize(
    ("arch", "case"),
    [
        ("x86_64", "k7.3-hotplug-file/elfcorehdr/00-load-file.bin"),
        ("arm64", "B-7.3.4-lab-kexec_file_load/elfcorehdr-01.bin"),
        ("riscv64", "A-7.2.13-lab-kexec_file_load/elfcorehdr-01.bin"),
        ("ppc64", "B-seed-7.2.13-lab64k-kexec_file_load/elfcorehdr-01.bin"),
    ],
)
def test_captured_headers_have_cpu_notes_of_the_known_size_and_a_kernel_image(arch, case):
    layout = Layout(read(str(GOLDEN / arch / case)))
    assert layout.arch.name == arch
    machine = json.loads(next((GOLDEN / arch / case.split("/")[0]).glob("replay.json")).read_text())
    size = machine["machine"]["crash_notes_size"]
    assert layout.arch.note_size == size == layout.cpu_note_size
    assert len(layout.cpus) == len(machine["machine"]["crash_notes"])
    assert (Role.KERNEL in layout.roles) == (arch != "ppc64")
    assert layout.roles.count(Role.VMCOREINFO) == 1
    if "direct_map_base" in machine["machine"]:
        assert layout.direct_map == int(machine["machine"]["direct_map_base"], 16) % 2**64


def test_register_names_fill_the_note_of_each_architecture():
    # 24 bytes of heads, 8 of name, 112 + registers + pr_fpvalid rounded up to 8 (kernel.md 2.4's
    # struct elf_prstatus, include/linux/elfcore.h).
    for arch in ARCHES:
        assert arch.note_size == 24 + 8 + 112 + 8 * len(arch.registers) + 8


# Notes


def test_notes_of_a_real_vmcore():
    core = read(str(VMCORE), notes=True)
    status, info = notes_of(core)
    assert (status.name, status.type_name, status.cpu, status.pid) == ("CORE", "NT_PRSTATUS", 0, 1)
    registers = dict(status.registers)
    assert len(registers) == 27
    kernel = next(p for p in core.phdrs if p.p_vaddr == 0xFFFFFFFF81000000)
    assert kernel.p_vaddr <= registers["ip"] < kernel.p_vaddr + kernel.p_memsz
    assert registers["cs"] == 0x10  # __KERNEL_CS, arch/x86/include/asm/segment.h
    assert info.name == "VMCOREINFO"
    assert info.text.startswith("OSRELEASE=7.3.4+deb13-amd64\n")
    assert "\nCRASHTIME=" in info.text


def test_notes_are_shown_as_a_table_and_text():
    text = shown(Layout(read(str(VMCORE), notes=True)), "kernel", notes=True)
    assert "NT_PRSTATUS" in text
    assert "\nVMCOREINFO:\nOSRELEASE=7.3.4+deb13-amd64\n" in text


def test_elfcorehdr_alone_has_no_contents_of_notes(capsys):
    layout = Layout(read(str(SEED_TEXT), notes=True))
    assert notes_of(layout.core) == []
    shown(layout, "kernel", notes=True)
    assert "they lie in the crashed kernel's memory" in capsys.readouterr().err


def prstatus(order, pid, registers):
    desc = struct.pack(order + "iii h xx QQ iiii", 0, 0, 0, 0, 0, 0, pid, 0, 0, 0)
    desc = desc.ljust(112, b"\0") + struct.pack(f"{order}{len(registers)}Q", *registers) + bytes(8)
    return struct.pack(order + "III", 5, len(desc), 1) + b"CORE\0\0\0\0" + desc


@pytest.mark.parametrize(
    ("machine", "count", "ip"),
    [(EM_PPC64, 48, "nip"), (EM_AARCH64, 34, "pc"), (EM_X86_64, 27, "ip")],
)
@pytest.mark.parametrize("order", [1, 2])
def test_registers_are_read_in_either_byte_order(tmp_path, machine, count, ip, order):
    body = prstatus("<>"[order - 1], 4711, range(1000, 1000 + count))
    head = elf_of(2, order, (Phdr(4, 0, 0x1000, 0, 0, len(body), len(body), 4),), machine)
    path = tmp_path / "core"
    path.write_bytes(head.ljust(0x1000, b"\0") + body)
    (status,) = notes_of(read(str(path), notes=True))
    assert status.pid == 4711
    registers = dict(status.registers)
    assert registers[ip] == 1000 + {"nip": 32, "pc": 32, "ip": 16}[ip]
    assert "-" not in registers


def test_note_without_a_name_ends_the_segment(tmp_path):
    body = prstatus("<", 1, range(48)) + bytes(12) + b"\xff" * 40
    head = packed(Phdr(4, 0, 0x1000, 0, 0, len(body), len(body), 4))
    path = tmp_path / "core"
    path.write_bytes(head.ljust(0x1000, b"\0") + body)
    assert len(notes_of(read(str(path), notes=True))) == 1


@pytest.mark.parametrize(
    ("namesz", "descsz"), [(5, 4096), (4096, 0), (2**32 - 1, 2**32 - 1), (5, 2**32 - 1)]
)
def test_note_that_lies_about_its_size_is_an_error(tmp_path, namesz, descsz):
    body = struct.pack("<III", namesz, descsz, 1) + bytes(64)
    path = tmp_path / "core"
    head = packed(Phdr(4, 0, 0x1000, 0, 0, len(body), len(body), 4))
    path.write_bytes(head.ljust(0x1000, b"\0") + body)
    with pytest.raises(ElfFormatError, match=r"program header 0x0: byte 0x0: n_namesz"):
        notes_of(read(str(path), notes=True))


def test_process_core_notes_have_names_of_types(tmp_path):
    body = struct.pack("<III", 5, 4, 6) + b"CORE\0\0\0\0" + bytes(4)
    head = ElfCoreHdr(Ehdr(EM_X86_64), (Phdr(4, 0, 0x1000, 0, 0, len(body), len(body), 4),)).pack()
    path = tmp_path / "core"
    path.write_bytes(head.ljust(0x1000, b"\0") + body)
    assert [n.type_name for n in notes_of(read(str(path), notes=True))] == ["NT_AUXV"]
