"""Any input, read: files, pipes, text, trees."""

from __future__ import annotations

import gzip
import struct

import pytest

from elfcorehdr.elf import EM_PPC64, Ehdr, ElfCoreHdr, Phdr
from elfcorehdr.errors import ElfFormatError
from printer import Form, from_bytes, read
from printer.forms import kernel_text
from printer.inputs.reader import STREAM_LIMIT
from printer.inputs.source import MAX_PHDRS
from tests.headers import (
    CAPTURED,
    PPC64_A,
    SEED,
    SEED_TEXT,
    VMCORE,
    VMCORE_PPC64_GZ,
    elf_of,
    packed,
    seed_header,
    xnum,
)


def written(tmp_path, data: bytes, name: str = "input") -> str:
    path = tmp_path / name
    path.write_bytes(data)
    return str(path)


def test_raw_elfcorehdr_is_known_by_notes_that_give_their_address_twice():
    core = read(str(PPC64_A / "elfcorehdr-01.bin"))
    assert (core.kind, core.form, core.phnum) == ("file", Form.ELFCOREHDR, 13)


def test_vmcore_is_known_by_its_one_merged_note():
    core = read(str(VMCORE))
    assert (core.kind, core.form, core.phnum) == ("file", Form.CORE, 4)


@pytest.mark.parametrize("path", CAPTURED[::7], ids=lambda p: p.stem)
def test_every_captured_header_is_an_elfcorehdr(path):
    assert read(str(path)).form is Form.ELFCOREHDR


def test_kernels_text_is_read_as_the_header_it_prints():
    core = read(str(SEED_TEXT))
    assert (core.kind, core.form, core.phdrs) == ("text", Form.ELFCOREHDR, SEED)


def test_dmesg_with_time_stamps_and_prefixes_is_read(tmp_path):
    lines = SEED_TEXT.read_text().splitlines()
    log = "[    0.000000] Linux version 7.0\n" + "".join(
        f"[   99.123456] kexec_core: {line}\n" for line in lines
    )
    assert read(written(tmp_path, log.encode())).phdrs == SEED


def test_only_headers_of_a_huge_vmcore_are_read(tmp_path):
    path = tmp_path / "vmcore"
    with path.open("wb") as file:
        file.write(VMCORE.read_bytes())
        file.truncate(1 << 42)  # 4 TiB, sparse
    core = read(str(path), notes=True)
    assert core.phnum == 4
    assert core.size == 1 << 42
    assert [len(data) for data in core.note_data] == [0xE3C]


def test_vmcore_comes_through_a_pipe_that_never_ends(pipe):
    name = pipe(VMCORE.read_bytes(), forever=True)
    core = read(name, notes=True)
    assert core.phdrs == read(str(VMCORE)).phdrs
    assert len(core.note_data[0]) == 0xE3C


def test_text_comes_through_a_pipe(pipe):
    assert read(pipe(SEED_TEXT.read_bytes())).phdrs == SEED


@pytest.mark.parametrize("klass", [1, 2])
@pytest.mark.parametrize("order", [1, 2])
def test_both_classes_and_byte_orders_are_read(tmp_path, klass, order):
    phdrs = (
        Phdr(4, 0, 0x200, 0, 0x200, 0x94, 0x94, 4),
        Phdr(1, 5, 0, 0xC0000000, 0, 9, 10, 0x1000),
    )
    core = read(written(tmp_path, elf_of(klass, order, phdrs)))
    assert core.phdrs == phdrs
    assert (core.ehdr.ei_class, core.ehdr.ei_data) == (klass, order)


def test_zero_program_headers_are_read(tmp_path):
    assert read(written(tmp_path, packed())).phdrs == ()


def test_pn_xnum_is_resolved_from_a_file(tmp_path):
    assert read(written(tmp_path, xnum(0x10001))).phnum == 0x10001


def test_pn_xnum_without_a_section_is_65535_rows(tmp_path):
    data = Ehdr(62, e_phnum=0xFFFF).pack() + bytes(56) * 0xFFFF
    assert read(written(tmp_path, data)).phnum == 0xFFFF


def test_header_of_bytes_in_memory_is_the_same_as_of_the_file():
    path = PPC64_A / "elfcorehdr-01.bin"
    assert from_bytes(path.read_bytes()).phdrs == read(str(path)).phdrs


def test_mounted_tree_gives_its_raw_header(tmp_path):
    (tmp_path / "control").mkdir()
    (tmp_path / "control" / "elfcorehdr").write_bytes(seed_header().pack())
    core = read(str(tmp_path))
    assert (core.kind, core.phdrs, core.ehdr.e_machine) == ("file", SEED, EM_PPC64)


@pytest.mark.parametrize("below", ["sys/kernel/kexec", "kernel/kexec"])
def test_mounted_tree_gives_its_printed_text(tmp_path, below):
    (tmp_path / below).mkdir(parents=True)
    (tmp_path / below / "crash_elfcorehdr_print").write_bytes(SEED_TEXT.read_bytes())
    assert read(str(tmp_path)).phdrs == SEED


def test_mounted_tree_without_an_image_says_so(tmp_path):
    (tmp_path / "sys/kernel/kexec").mkdir(parents=True)
    (tmp_path / "sys/kernel/kexec/crash_elfcorehdr_print").write_bytes(b"")
    with pytest.raises(ElfFormatError, match="is empty: no kdump image is loaded"):
        read(str(tmp_path))


def test_scan_reads_a_pipe(pipe):
    image = bytes(70000) + seed_header().pack()
    assert read(pipe(image), scan=True).offset == 70000


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\x7fELF", "e_ident ends after 4 bytes"),
        (b"\x7fELF\x03\x01\x01" + bytes(60), "EI_CLASS is 3"),
        (b"\x7fELF\x02\x07\x01" + bytes(60), "EI_DATA is 7"),
        (b"\x7fELF\x02\x01\x01" + bytes(20), "ELF header ends after 27 bytes, expected 64"),
        (packed(*SEED)[:500], "13 program headers announced, but only 7 lie before the end"),
        (Ehdr(62, e_phnum=3, e_phentsize=32).pack() + bytes(200), "e_phentsize is 32"),
        (Ehdr(62, e_phnum=1, e_phoff=2**64 - 1).pack(), "0 lie before the end"),
        (Ehdr(62, e_phnum=0xFFFF, e_shoff=2**63).pack(), "section 0, which holds"),
        (b"KDUMP   " + bytes(100), "makedumpfile's compressed form"),
        (b"makedumpfile" + bytes(100), "makedumpfile's flattened form"),
        (gzip.compress(b"x" * 99), "compressed with gzip"),
        (b"\0" * 5000, "expected 7f 45 4c 46"),
        (b"hello\n", 'no line "ELF Program Header Summary:"'),
        (SEED_TEXT.read_bytes()[:900], "line 13: program header 0x4 is damaged or cut off"),
    ],
)
def test_wrong_input_is_one_sentence_that_names_file_and_place(tmp_path, data, message):
    path = written(tmp_path, data)
    with pytest.raises(ElfFormatError) as error:
        read(path)
    assert message in str(error.value)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_more_rows_than_any_kernel_writes_are_refused_before_they_are_read(tmp_path):
    ehdr = Ehdr(62, e_phnum=0xFFFF, e_phoff=128, e_shoff=64, e_shentsize=64, e_shnum=1)
    section = bytearray(64)
    struct.pack_into("<I", section, 44, 2**32 - 1)
    with pytest.raises(ElfFormatError, match=f"4294967295 .* at most {MAX_PHDRS}"):
        read(written(tmp_path, ehdr.pack() + section))


def test_table_far_inside_an_endless_pipe_is_not_waited_for(pipe):
    ehdr = Ehdr(62, e_phnum=1, e_phoff=1 << 50)
    with pytest.raises(ElfFormatError, match=f"the first {STREAM_LIMIT >> 20} MiB"):
        read(pipe(ehdr.pack(), forever=True))


def test_endless_device_is_refused_at_its_first_bytes():
    with pytest.raises(ElfFormatError, match="/dev/zero: offset 0: begins with 00 00 00 00"):
        read("/dev/zero")


def test_directory_without_a_header_is_refused(tmp_path):
    with pytest.raises(ElfFormatError, match="is a directory without control/elfcorehdr or sys/"):
        read(str(tmp_path))


def test_missing_file_is_an_os_error_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        read(str(tmp_path / "gone"))
    assert error.value.filename == str(tmp_path / "gone")


def test_notes_larger_than_any_machine_needs_are_refused(tmp_path):
    path = tmp_path / "core"
    path.write_bytes(packed(Phdr(4, 0, 4096, 0, 0, 1 << 40, 1 << 40, 4)))
    with pytest.raises(ElfFormatError, match="the notes are"):
        read(str(path), notes=True)


def test_ppc64_vmcore_reads_like_the_capture_kernel_says(tmp_path):
    core = read(written(tmp_path, gzip.decompress(VMCORE_PPC64_GZ.read_bytes())), notes=True)
    assert core.form is Form.CORE
    assert kernel_text.render(ElfCoreHdr(core.ehdr, core.phdrs).pack()).count("PT_LOAD    ") == 5
