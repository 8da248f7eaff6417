"""Headers found in memory images."""

from __future__ import annotations

import os
import struct

import pytest

from elfcorehdr.elf import Phdr
from elfcorehdr.errors import ElfFormatError
from printer import read
from tests.headers import (
    SEED,
    elf_of,
    load,
    packed,
    seed_header,
)


def written(tmp_path, data: bytes, name: str = "input") -> str:
    path = tmp_path / name
    path.write_bytes(data)
    return str(path)


def test_scan_finds_the_header_between_other_things(tmp_path):
    other = elf_of(2, 1, (Phdr(4, 0, 0x200, 0, 0, 1, 1, 4), load(0, 9)))
    image = os.urandom(5000) + other + bytes(8192) + seed_header().pack() + os.urandom(999)
    core = read(written(tmp_path, image), scan=True)
    assert (core.kind, core.phdrs) == ("image", SEED)
    assert core.offset == 5000 + len(other) + 8192
    assert core.elsewhere == ()


@pytest.mark.parametrize("before", [(4 << 20) - 30, (4 << 20) - 64, 4 << 20, (8 << 20) - 1])
def test_scan_finds_a_header_on_the_edge_of_a_chunk(tmp_path, before):
    path = tmp_path / "image"
    path.write_bytes(b"\xaa" * before + seed_header().pack())
    assert read(str(path), scan=True).offset == before


def test_scan_passes_over_the_holes_of_a_sparse_image(tmp_path):
    path = tmp_path / "ram"
    with path.open("wb") as file:
        file.seek(1 << 40)
        file.write(seed_header().pack())
    assert read(str(path), scan=True).offset == 1 << 40


def test_scan_names_further_headers_that_differ(tmp_path):
    one, two = seed_header().pack(), packed(*SEED[:12])
    image = one.ljust(4096, b"\0") + one.ljust(4096, b"\0") + two
    core = read(written(tmp_path, image), scan=True)
    assert (core.offset, core.elsewhere) == (0, (8192,))
    assert read(written(tmp_path, image), at=8192).phnum == 12


def test_scan_reads_a_pipe(pipe):
    image = bytes(70000) + seed_header().pack()
    assert read(pipe(image), scan=True).offset == 70000


def test_scan_without_a_header_says_so(tmp_path):
    with pytest.raises(ElfFormatError, match="no elfcorehdr found"):
        read(written(tmp_path, os.urandom(1 << 16)), scan=True)


def test_scan_reads_notes_of_an_image_that_has_them(tmp_path):
    header = packed(Phdr(4, 0, 0x1000, 0, 0x1000, 24, 24, 0), load(0, 0x2000))
    body = struct.pack("<III", 11, 0, 0) + b"VMCOREINFO\0\0"
    image = header.ljust(0x1000, b"\0") + body
    assert read(written(tmp_path, image), scan=True, notes=True).note_data == (body,)


def test_scan_of_an_endless_device_ends():
    with pytest.raises(ElfFormatError, match="no elfcorehdr found"):
        read("/dev/zero", scan=True)
