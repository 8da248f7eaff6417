"""/proc/kcore of the captured machines: rows, offsets, notes and st_size beside those of the real kernels."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from elfcorehdr.init.main import Kernel
from tests.identity.capture import rows_of
from tests.identity.machine import machine_of

GOLDEN = Path(__file__).parent.parent / "golden/kernel/identity"
NAMES = ("kcore.headers+notes.bin", "kcore-header.bin")
HEADERS = sorted(
    path
    for name in NAMES
    for path in GOLDEN.glob(f"*/living/{name}")
    if ((path.parent / "proc/iomem").exists() and (path.parent / "tools/uname.txt").exists())
    or (path.parent / "uname").exists()
)


def phdrs(data: bytes) -> list[tuple[int, ...]]:
    """Type, flags, p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align; the note's size is told by its notes."""
    (count,) = struct.unpack_from("<H", data, 56)
    rows = [struct.unpack_from("<IIQQQQQQ", data, 64 + 56 * n) for n in range(count)]
    return [row if row[0] == 1 else (*row[:5], 0, *row[6:]) for row in rows]


def notes(data: bytes) -> Iterator[tuple[str, int, int]]:
    """Name, type and size of each; of VMCOREINFO, whose lines have tests of their own, no size."""
    row = struct.unpack_from("<IIQQQQQQ", data, 64)
    at, end = row[2], min(row[2] + row[5], len(data))
    while at + 12 <= end:
        name_size, size, kind = struct.unpack_from("<3I", data, at)
        name = data[at + 12 : at + 12 + name_size - 1].decode()
        yield name, kind, 0 if name == "VMCOREINFO" else size
        at += 12 + -(-name_size // 4) * 4 + -(-size // 4) * 4


@pytest.mark.parametrize("file", HEADERS, ids=lambda path: path.parent.parent.name)
def test_kcore_is_laid_out_as_the_real_one(file: Path) -> None:
    capture = file.parent.parent
    rows = rows_of(capture)
    real = file.read_bytes()
    kcore = Kernel.boot(machine_of(capture, rows)).kcore()
    ours = kcore.headers
    assert ours[:52] == real[:52]
    assert phdrs(ours) == phdrs(real)
    if len(real) > 4096:
        assert list(notes(ours)) == list(notes(real))
    if "size" in rows.get("/proc/kcore", {}):
        assert kcore.size == rows["/proc/kcore"]["size"]


def test_there_are_real_headers_of_three_architectures() -> None:
    assert {path.parent.parent.name.partition(".")[0] for path in HEADERS} == {
        "arm64",
        "ppc64",
        "x86_64",
    }
