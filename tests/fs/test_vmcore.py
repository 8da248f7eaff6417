"""/proc/vmcore's header, made from an elfcorehdr, against those of real capture kernels."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest

from elfcorehdr.elf import ElfCoreHdr
from elfcorehdr.errors import ElfFormatError
from elfcorehdr.fs.proc.vmcore import note_size, vmcore

GOLDEN = Path(__file__).parents[1] / "golden/kernel"
X86_64 = GOLDEN / "x86_64/k7.3-1g-1cpu-crash"
PPC64 = GOLDEN / "ppc64/B-seed-7.2.13-lab64k-kexec_file_load"


def header_of(data: bytes) -> ElfCoreHdr:
    return ElfCoreHdr.unpack(data)


def test_a_real_x86_64_one_is_computed_with_the_file_s_size():
    made = vmcore((X86_64 / "elfcorehdr/00-load-file.bin").read_bytes(), 0xE3C, 4096)
    captured = (X86_64 / "vmcore-header.bin").read_bytes()
    assert made.header.pack()[:288] == captured[:288]
    assert (made.size, note_size(captured[0x1000:])) == (858857472, 0xE3C)


def test_a_real_ppc64_one_with_64_kib_pages_is_computed():
    captured = gzip.decompress((PPC64 / "crash/vmcore-first-128K.bin.gz").read_bytes())
    saved = note_size(captured[0x10000:])
    made = vmcore((PPC64 / "elfcorehdr-18.bin").read_bytes(), saved, 0x10000)
    assert (saved, made.size) == (0x13C0, 16643194880)
    assert made.header.pack()[: 64 + 6 * 56] == captured[: 64 + 6 * 56]


def test_parts_of_pages_keep_their_place_in_the_page():
    elfcorehdr = header_of((PPC64 / "elfcorehdr-18.bin").read_bytes())
    odd = elfcorehdr.phdrs[-1]._replace(p_offset=0x12345, p_memsz=0x10)
    changed = ElfCoreHdr(elfcorehdr.ehdr, (*elfcorehdr.phdrs[:-1], odd))
    made = vmcore(changed.pack(), 0, 4096)
    assert made.header.phdrs[-1].p_offset % 4096 == 0x345


def note(name: bytes, size: int) -> bytes:
    padded = name + bytes(-len(name) % 4)
    return struct.pack("<III", len(name), size, 1) + padded + bytes(size + -size % 4)


def test_notes_end_at_an_empty_name_or_where_one_reaches_beyond():
    one, two = note(b"CORE\0", 336), note(b"X\0", 5)
    assert note_size(one + two + bytes(100)) == len(one) + len(two)
    assert note_size(one + two[:-1]) == len(one)
    assert (note_size(bytes(400)), note_size(b"")) == (0, 0)


def test_a_header_without_notes_makes_no_vmcore():
    elfcorehdr = header_of((X86_64 / "elfcorehdr/00-load-file.bin").read_bytes())
    loads = tuple(p for p in elfcorehdr.phdrs if p.p_type == 1)
    from elfcorehdr.lib.record import replace

    bare = ElfCoreHdr(replace(elfcorehdr.ehdr, e_phnum=len(loads)), loads)
    with pytest.raises(ElfFormatError, match="has no PT_NOTE"):
        vmcore(bare.pack(), 0, 4096)
