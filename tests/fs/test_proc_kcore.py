"""/proc/kcore of living kernels, beside the headers of real ones."""

from __future__ import annotations

import struct

import pytest

from elfcorehdr import profiles
from elfcorehdr.init.main import Kernel

NOWHERE = (1 << 64) - 1
PC_2G = (  # golden identity x86_64 7.3.4 pc-2g, living/kcore.headers.txt: p_offset, p_vaddr, p_paddr, p_filesz
    (0x7FFF81004000, 0xFFFFFFFF81000000, 0x1000000, 0x3430000),
    (0x490000004000, 0xFFFFC90000000000, NOWHERE, 0x1FFFFFFFFFFF),
    (0x7FFFC0004000, 0xFFFFFFFFC0000000, NOWHERE, 0x3F000000),
    (0x88000005000, 0xFFFF888000001000, 0x1000, 0x9E000),
    (0x6A0000004000, 0xFFFFEA0000000000, NOWHERE, 0x3000),
    (0x88000104000, 0xFFFF888000100000, 0x100000, 0x7FEE0000),
    (0x6A0000008000, 0xFFFFEA0000004000, NOWHERE, 0x1FFC000),
)
POWER9_4K = (  # ppc64 7.2.13-4k, living/kcore-header.txt: two nodes here, one there
    (0x8000000003000, 0xC008000000000000, NOWHERE, 0x2000000000000),
    (0x3000, 0xC000000000000000, 0, 0x100000000),
    (0xC000000003000, 0xC00C000000000000, NOWHERE, 0x4000000),
)


def loads(headers: bytes) -> list[tuple[int, int, int, int]]:
    (count,) = struct.unpack_from("<H", headers, 56)
    rows = [struct.unpack_from("<IIQQQQQQ", headers, 64 + 56 * n) for n in range(count)]
    return [(r[2], r[3], r[4], r[5]) for r in rows if r[0] == 1]


def test_headers_and_size_of_a_pc_are_those_of_the_real_one():
    kcore = Kernel.boot(profiles.load("pc-2g")).kcore()
    assert tuple(loads(kcore.headers)) == PC_2G
    assert kcore.size == 140737471594496


def test_headers_of_ppc64_begin_as_those_of_the_real_one():
    kcore = Kernel.boot(profiles.load("pseries-numa2")).kcore()
    assert tuple(loads(kcore.headers)[:3]) == POWER9_4K
    assert struct.unpack_from("<I", kcore.headers, 48) == (2,)  # e_flags: ELF v2 ABI


@pytest.mark.parametrize(
    "machine", ["pc-2g", "pseries-4g", "pseries-numa2", "arm64-virt-4g", "riscv64-virt-2g"]
)
def test_memory_is_read_at_the_offset_of_its_address(machine):
    kernel = Kernel.boot(profiles.load(machine))
    kcore = kernel.kcore()
    image = kcore._image
    ram = [row for row in loads(kcore.headers) if row[2] != NOWHERE]
    for offset, _, paddr, size in ram:
        for at in (0, size // 3, size - 16):
            assert kcore.read(offset + at, 16) == image.mem.read(paddr + at, 16)
    uts = image.info.symbol("init_uts_ns")
    assert kcore.read(image.layout.kcore_offset(uts) + kcore._behind, 5) == b"Linux"
    pages = [row for row in loads(kcore.headers) if row[1] == image.layout.vmemmap]
    for offset, *_ in pages:
        assert kcore.read(offset, 64) == image.vmemmap_bytes(image.layout.vmemmap, 64)


def test_living_kernel_has_no_registers_in_its_notes():
    kernel = Kernel.boot(profiles.load("pc-2g"))
    mem = kernel.kcore()._image.mem
    assert not any(mem.read(kernel.arch.crash_note(kernel, 0), 368))
