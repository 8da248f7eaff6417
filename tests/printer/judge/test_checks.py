"""check: every rule, on captured headers where real kernels made the mistake."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from elfcorehdr.elf import Ehdr, ElfCoreHdr, Phdr
from elfcorehdr.lib.ranges import Range
from printer import Surroundings, check, from_bytes, read, read_iomem, read_machine
from printer.judge.rules import BY_ID, Level
from tests.headers import (
    CAPTURED,
    GOLDEN,
    NOTES,
    PPC64_A,
    PPC64_B,
    SEED,
    SEED_TEXT,
    VMCORE,
    elf_of,
    load,
    mapped,
    name,
    note,
    packed,
)

X86 = GOLDEN / "x86_64"


SEED_MACHINE = Surroundings(
    memory=(Range.sized(0, 0x400000000),),
    crashkernel=(Range.sized(0x18000000, 0x40000000),),
    rtas=(Range.sized(0x2EC70000, 0x1390000),),
    possible=8,
)


def found(core, machine=None):
    return [(f.rule.id, f.row) for f in check(core, machine)]


def of(*phdrs: Phdr, machine: Surroundings | None = None):
    return found(from_bytes(packed(*phdrs)), machine)


def with_row(row: int, phdr: Phdr):
    return (*SEED[:row], phdr, *SEED[row + 1 :])


def captured(path: Path, *, machine: bool = True):
    case = path.parent if (path.parent / "replay.json").exists() else path.parent.parent
    return found(read(str(path)), read_machine(str(case / "replay.json")) if machine else None)


def test_cover_letters_header_is_right_on_its_machine():
    assert found(read(str(SEED_TEXT)), SEED_MACHINE) == []
    assert found(read(str(SEED_TEXT))) == []


def test_the_seeds_bug_is_found():
    # p_offset of row 9 as v5.9 to v7.0 left it (cover letter; update_backup_region_phdr()).
    assert of(*with_row(9, load(0, 0x10000, 0))) == [("backup-offset-zero", 9)]
    (finding,) = check(from_bytes(packed(*with_row(9, load(0, 0x10000, 0)))))
    assert finding.level is Level.ERROR
    assert "789335cacdf3" in finding.rule.change
    assert "f53b24d1fa26" in finding.rule.change


@pytest.mark.parametrize(
    ("path", "row"),
    [
        *((PPC64_A / f"elfcorehdr-{n:02d}.bin", row) for n, row in
          ((3, 13), (7, 13), (8, 13), (12, 14), (13, 14), (14, 14), (22, 14), (23, 14))),
        *((PPC64_B / f"elfcorehdr-{n:02d}.bin", row) for n, row in ((3, 13), (8, 14), (9, 14))),
    ],
    ids=lambda p: p.parent.name[:1] + p.stem[-3:] if isinstance(p, Path) else str(p),
)  # fmt: skip
def test_captured_split_that_is_one_byte_too_long_is_found(path, row):
    assert ("size-one-byte-long", row) in captured(path, machine=False)


def test_one_byte_too_long_is_found_nowhere_else():
    hits = [
        path.parent
        for path in CAPTURED
        if "size-one-byte-long" in dict(captured(path, machine=False))
    ]
    assert {case.parent.name for case in hits} == {"ppc64"}
    # Not 6.16.12 (K), whose sizes wrap, nor 7.3 (H), which cuts exactly.
    counts = {case.name.partition("-64k")[0]: hits.count(case) for case in hits}
    assert counts == {
        "A-seed-7.2.13": 8,
        "B-seed-7.2.13-lab64k-kexec_file_load": 3,
        "D-6.12.107": 4,
        "K-7.0.13": 9,
        "U-6.19.14": 9,
    }


def test_captured_offline_block_is_missing_from_the_header():
    path = PPC64_A / "elfcorehdr-03.bin"
    machine = read_machine(str(PPC64_A / "replay.json"))
    messages = {f.rule.id: f.message for f in check(read(str(path)), machine)}
    assert messages["memory-not-loaded"] == "256 MiB at 0x280000000 is in no load"


def test_captured_removed_dimm_is_still_listed():
    # MEM_OFFLINE comes before the resource goes (x86); the machine is that of the boot.
    path = X86 / "k7.3-dimm-sequence-movable" / "elfcorehdr" / "08-dimm-del-0.bin"
    assert [rule for rule, _ in captured(path)] == ["load-not-memory", "load-not-memory"]


def test_captured_kexec_tools_header_after_a_shrink_overlaps():
    path = X86 / "k7.3-crash-size-shrink" / "elfcorehdr" / "08-load-legacy-after-shrink-2.bin"
    rules = [rule for rule, _ in captured(path, machine=False)]
    assert rules.count("overlapping-loads") == 2


def test_captured_kexec_tools_header_puts_rtas_last():
    assert captured(PPC64_A / "elfcorehdr-01.bin") == [("not-ascending", 12)]


def test_captured_kernel_6_1_lists_present_cpus_alone():
    path = X86 / "k6.1-hotplug-file" / "elfcorehdr" / "00-load-file.bin"
    assert captured(path) == [("cpu-notes-missing", None)]


CLEAN_AT_LOAD = [
    PPC64_B / "elfcorehdr-01.bin",
    *sorted(X86.glob("k7.3-*/elfcorehdr/00-load-file.bin")),
    X86 / "k6.12-hotplug-file" / "elfcorehdr" / "00-load-file.bin",
    *sorted(GOLDEN.glob("*64/*-lab-kexec_file_load/elfcorehdr-01.bin")),
]


@pytest.mark.parametrize("path", CLEAN_AT_LOAD, ids=name)
def test_header_that_a_kernel_built_at_load_is_right_on_its_machine(path):
    assert captured(path) == []


def test_copy_of_a_vmcores_headers_is_a_note_and_a_torn_dump_an_error(tmp_path):
    (finding,) = check(read(str(VMCORE), notes=True))
    assert (finding.rule.id, finding.row, finding.level) == ("file-cut-off", None, Level.NOTE)
    path = tmp_path / "vmcore"
    path.write_bytes(VMCORE.read_bytes().ljust(1 << 20, b"\0"))
    assert found(read(str(path), notes=True)) == [("file-cut-off", row) for row in (1, 2, 3)]
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    assert found(read(str(path), notes=True)) == []


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (with_row(12, load(0x58000000, 0xFFFFFFFFF0000000)), ("size-wraps", 12)),
        (with_row(12, load(0x58000000, 0x3A8000001)), ("size-one-byte-long", 12)),
        (with_row(11, load(0x2EC70000, 0x89C)), ("unaligned-size", 11)),
        (with_row(12, load(0x58000800, 0x3A7FF0000)), ("unaligned-start", 12)),
        ((*SEED, SEED[12]), ("duplicate-load", 13)),
        ((*SEED, load(0x3F0000000, 0x20000000)), ("overlapping-loads", 13)),
        ((*SEED[:11], SEED[12], SEED[11]), ("not-ascending", 12)),
        (with_row(12, SEED[12]._replace(p_vaddr=0x58000000)), ("vaddr-in-user-space", 12)),
        (with_row(12, SEED[12]._replace(p_offset=0x60000000)), ("offset-not-paddr", 12)),
        (with_row(12, SEED[12]._replace(p_filesz=0x1000)), ("filesz-not-memsz", 12)),
        (with_row(9, load(0, 0x10000, 0x60000000)), ("backup-outside-crashkernel", 9)),
        (with_row(3, SEED[2]), ("note-repeated", 3)),
        (with_row(3, note(0x18000000, 0x218)), ("note-not-loaded", 3)),
        ((*SEED[:8], *SEED[9:]), ("vmcoreinfo-missing", None)),
        (SEED[:9], ("no-load", None)),
        ((), ("header-not-sane", None)),
    ],
    ids=lambda value: value[0] if isinstance(value[:1], tuple) and value and isinstance(value[0], str) else "",
)  # fmt: skip
def test_rule_finds(rows, expected):
    assert expected in of(*rows)


@pytest.mark.parametrize(
    ("field", "value"),
    [("e_type", 3), ("ei_version", 2), ("e_version", 0), ("e_ehsize", 52)],
)
def test_field_that_the_capture_kernel_rejects_is_found(field, value):
    from elfcorehdr.lib.record import replace

    ehdr = replace(Ehdr(21), **{field: value})
    findings = check(from_bytes(ElfCoreHdr(ehdr, SEED).pack()))
    assert [f.rule.id for f in findings] == ["header-not-sane"]
    assert str(value) in findings[0].message


def test_32_bit_core_and_pages_left_out_of_a_dump_are_nothing_wrong(tmp_path):
    rows = (
        Phdr(4, 0, 0x200, 0, 0, 0, 0, 4),
        Phdr(1, 7, 0x1000, 0xC0000000, 0, 0x1000, 0x4000000, 0),
    )
    path = tmp_path / "core"
    path.write_bytes(elf_of(1, 1, rows).ljust(0x2000, b"\0"))
    assert found(read(str(path))) == []


def test_e_phnum_at_its_limit_is_found():
    rows = (SEED[0],) * 0xFFFF
    assert ("phnum-limit", None) in found(from_bytes(packed(*rows)))
    assert ("phnum-limit", None) not in found(from_bytes(packed(*rows[:-1])))


def test_powerpcs_iomem_lists_no_crashkernel_so_it_is_taken_from_the_backup_region():
    machine = Surroundings(memory=SEED_MACHINE.memory)
    assert of(*SEED, machine=machine) == []
    # with the mail's bug no row points at the backup region: the first gap is the crashkernel's place
    bug = with_row(9, load(0, 0x10000, 0))
    assert of(*bug, machine=machine) == [("backup-offset-zero", 9)]
    gone = (*bug[:12], load(0x58000000, 0x18000000), load(0x80000000, 0x380000000))
    assert of(*gone, machine=machine) == [("memory-not-loaded", None), ("backup-offset-zero", 9)]


def test_note_that_reaches_beyond_its_load_is_found():
    rows = with_row(3, note(0x400000000 - 0x100, 0x218))
    assert of(*rows) == [("note-not-loaded", 3)]


def test_load_in_the_crashkernel_is_found_but_rtas_is_not():
    machine = SEED_MACHINE
    assert of(*SEED, machine=machine) == []
    rows = (*SEED[:12], load(0x50000000, 0x3B0000000))
    assert of(*rows, machine=machine) == [("load-in-crashkernel", 12)]


def test_lone_row_inside_the_crashkernel_may_be_firmware_if_the_machine_does_not_say():
    machine = Surroundings(crashkernel=SEED_MACHINE.crashkernel)
    assert of(*SEED, machine=machine) == [("firmware-in-crashkernel", 11)]
    assert BY_ID["firmware-in-crashkernel"].level is Level.NOTE


def test_backup_region_is_checked_against_the_known_crashkernel():
    rows = with_row(9, load(0, 0x10000, 0x58000000 - 0x8000))
    assert ("backup-outside-crashkernel", 9) in of(*rows, machine=SEED_MACHINE)


def test_cpu_without_a_note_is_found_where_the_number_is_known():
    assert of(*SEED[1:], machine=Surroundings(possible=8)) == [("cpu-notes-missing", None)]
    assert of(*SEED, machine=Surroundings(possible=8)) == []


def test_core_of_a_process_is_named_as_such(tmp_path):
    rows = (
        Phdr(4, 0, 0x1000, 0, 0, 8, 8, 4),
        Phdr(1, 5, 0x2000, 0x400000, 0, 4096, 4096, 4096),
        Phdr(1, 6, 0x3000, 0x600000, 0, 4096, 4096, 4096),
    )
    path = tmp_path / "core"
    path.write_bytes(packed(*rows, machine=62))
    assert found(read(str(path))) == [("process-core", None)]


def test_damaged_note_of_a_vmcore_is_found(tmp_path):
    data = bytearray(VMCORE.read_bytes())
    data[0x1004:0x1008] = b"\xff\xff\xff\x7f"  # n_descsz of the first note
    path = tmp_path / "vmcore"
    path.write_bytes(data)
    findings = check(read(str(path), notes=True))
    assert findings[0].rule.id == "note-damaged"
    assert findings[0].message.startswith("program header 0x0: byte 0x0: n_namesz 0x5 and n_descsz")


def test_vmcore_without_vmcoreinfo_is_found(tmp_path):
    data = VMCORE.read_bytes().replace(b"VMCOREINFO\0", b"SOMETHING_\0")
    path = tmp_path / "vmcore"
    path.write_bytes(data)
    assert ("vmcoreinfo-missing", 0) in found(read(str(path), notes=True))


def test_dump_of_a_hypervisor_has_no_virtual_addresses_to_check(tmp_path):
    rows = [p._replace(p_vaddr=0, p_offset=0x1000) for p in SEED[10:]]
    path = tmp_path / "dump"
    path.write_bytes(packed(Phdr(4, 0, 0x200, 0, 0, 8, 8, 0), *rows))
    assert {rule for rule, _ in found(read(str(path)))} == {"file-cut-off"}


def test_dump_of_a_hypervisor_that_tells_the_guests_mappings_is_nothing_wrong(tmp_path):
    # dump-guest-memory -p of QEMU: each stretch of the guest's page tables, user space too.
    body = struct.pack("<III", 5, 4, 0) + b"QEMU\0\0\0\0" + bytes(4)
    rows = [
        Phdr(1, 0, 0x1000, v, p, 0x1000, 0x1000, 0) for v, p in ((0x400000, 0), (0x7F0000, 0x1000))
    ]
    path = tmp_path / "dump"
    head = packed(Phdr(4, 0, 0x200, 0, 0, len(body), len(body), 0), *rows, machine=62)
    path.write_bytes(head.ljust(0x200, b"\0") + body.ljust(0x2000, b"\0"))
    assert found(read(str(path), notes=True)) == []


def test_note_of_another_size_than_the_architectures_is_found():
    for row, size in ((3, 0x170), (0, 0x218 + 4), (7, 0x100)):
        rows = with_row(row, note(NOTES[row], size))
        assert of(*rows) == [("note-size", row)]
    # kexec-tools before Linux 3.9: MAX_NOTE_BYTES
    assert of(*(note(p.p_paddr, 1024) if row < 8 else p for row, p in enumerate(SEED))) == []


def test_more_notes_than_cpus_are_found():
    assert of(*SEED, machine=Surroundings(possible=6)) == [("cpu-notes-too-many", None)]


IMAGE_ROWS = (
    *(note(0x100000 + 0x1000 * cpu, 0x198) for cpu in range(2)),
    note(0x110000, 0x1024),
    mapped(0x200000, 0x1E00000, 0xFFFFFFFF80000000),
    mapped(0, 0x40000000, 0xFF60000000000000),
)


@pytest.mark.parametrize(
    ("image", "found_"),
    [
        ((0x200000, 0x1E00000), []),
        ((0x200000, 0x1600000), [("image-incomplete", 3)]),  # up to the end of Kernel data
        ((0x200000, 0x1DFFFFF), []),
        ((0x203000, 0x1DFD000), [("image-incomplete", 3)]),
    ],
)
def test_image_that_ends_before_its_bss_is_found(tmp_path, image, found_):
    path = tmp_path / "iomem"
    path.write_text(
        "00000000-3fffffff : System RAM\n  00200000-01ffffff : Kernel image\n"
        "    00202000-00b01fff : Kernel code\n    01400000-017fffff : Kernel rodata\n"
        "    01600000-017fffff : Kernel data\n    01a00000-01fffffe : Kernel bss\n"
    )
    start, size = image
    vaddr = 0xFFFFFFFF80000000 + start - 0x200000
    rows = (*IMAGE_ROWS[:3], mapped(start, size, vaddr), IMAGE_ROWS[4])
    core = from_bytes(packed(*rows, machine=243))
    assert found(core, read_iomem(str(path))) == found_
    assert found(core) == []


def test_two_loads_at_one_virtual_address_are_found():
    rows = (*IMAGE_ROWS[:4], IMAGE_ROWS[4], mapped(0x80000000, 0x40000000, 0xFF60000000000000))
    findings = found(from_bytes(packed(*rows, machine=243)))
    assert ("vaddr-twice", 5) in findings
    assert {row for _, row in findings} == {5}


def test_kernel_image_row_does_not_count_as_an_overlap():
    path = X86 / "k7.3-hotplug-file" / "elfcorehdr" / "00-load-file.bin"
    core = read(str(path))
    assert core.phdrs[9].p_vaddr == 0xFFFFFFFF81000000
    assert found(core) == []


@pytest.mark.parametrize("row", [10, 12])
def test_size_that_wraps_is_no_word_on_how_memory_is_mapped(row):
    wraps = SEED[row]._replace(p_memsz=2**64 - 0x1000, p_filesz=2**64 - 0x1000)
    rules = {rule for rule, _ in of(*with_row(row, wraps))}
    assert "size-wraps" in rules
    assert not rules & {"vaddr-not-direct-map", "vaddr-in-user-space", "vaddr-twice"}


def test_architecture_of_text_is_told_by_any_note_of_a_known_size():
    odd = (note(NOTES[0], 0x100), *SEED[1:])
    core = from_bytes(packed(*odd, machine=0))
    assert found(core) == [("note-size", 0)]
