"""Page tables, walked as a memory management unit walks them, on every architecture."""

from __future__ import annotations

import itertools

import pytest

from elfcorehdr import profiles
from elfcorehdr.lib.record import replace
from tests.crashed import crashed


def walk(mem, root: int, va: int, shifts: list[int], bits: int, decode, order="little"):
    """The physical address of va, or None; decode(entry) is (present, leaf, address)."""
    at = root
    for level, shift in enumerate(shifts):
        index = va >> shift & ((1 << (bits if not level else shifts[level - 1] - shift)) - 1)
        entry = int.from_bytes(mem.read(at + 8 * index, 8), order)
        present, leaf, address = decode(entry)
        if not present:
            return None
        if leaf or shift == shifts[-1]:
            return (address & ~((1 << shift) - 1)) + (va & ((1 << shift) - 1))
        at = address
    return None


def x86(entry):
    return entry & 1, entry & 0x80, entry & 0x000FFFFFFFFFF000


def radix(entry):
    return (
        entry >> 63,
        entry >> 62 & 1,
        entry & 0x01FFFFFFFFFFF000 if entry >> 62 & 1 else entry & 0x0FFFFFFFFFFFFF00,
    )


def arm64(entry):
    return entry & 1, entry & 3 == 1, entry & 0x0000FFFFFFFFF000


def riscv(entry):
    return entry & 1, entry & 0xE, (entry >> 10 & (1 << 44) - 1) << 12


FIVE = {"direct_map_base": 0xFF11000000000000}
CASES = {
    "x86_64": ("pc-2g", {}, [39, 30, 21, 12], 9, x86, "little"),
    "x86_64, 5 levels": ("pc-2g", FIVE, [48, 39, 30, 21, 12], 9, x86, "little"),
    "ppc64, 64 KiB": ("pseries-4g", {}, [39, 30, 21, 16], 13, radix, "big"),
    "ppc64, 4 KiB": ("pseries-numa2", {}, [39, 30, 21, 12], 13, radix, "big"),
    "arm64": ("arm64-virt-4g", {}, [39, 30, 21, 12], 9, arm64, "little"),
    "riscv64": ("riscv64-virt-2g", {}, [39, 30, 21, 12], 9, riscv, "little"),
}


@pytest.mark.parametrize("case", CASES)
def test_struct_pages_image_and_ram_are_found_by_a_walk(case):
    machine, changed, shifts, bits, decode, order = CASES[case]
    image = crashed(machine, **changed).memory_image
    mem, layout, root = image.mem, image.layout, image.phys("swapper_pg_dir")

    def found(va):
        return walk(mem, root, va, shifts, bits, decode, order)

    ram = profiles.load(machine).memory[-1].start + (64 << 20)
    assert found(layout.va(ram)) == ram
    assert found(layout.va(ram + 0x12345)) == ram + 0x12345
    uts = image.info.symbol("init_uts_ns")
    assert mem.read(found(uts), 5) == b"Linux"
    size = image.info.size("page")
    for pfn in (ram // image.page_size, ram // image.page_size + 777):
        at = found(layout.vmemmap + pfn * size)
        assert at is not None
        assert mem.read(at, size) == image.pages.pages(image.use, pfn, pfn + 1)
    assert found(layout.vmemmap + (1 << 37)) is None


def test_hash_has_a_list_of_where_struct_pages_lie():
    image = crashed("pseries-4g", cmdline="crashkernel=512M disable_radix").memory_image
    read, va0 = image.mem.read, image.layout.va(0)
    at = int.from_bytes(read(image.phys("vmemmap_list"), 8), "little")
    seen = {}
    while at:
        after, phys, virt = (int.from_bytes(read(at - va0 + 8 * n, 8), "little") for n in range(3))
        seen[virt] = phys
        at = after
    size, pfn = image.info.size("page"), 0x1234
    va = image.layout.vmemmap + pfn * size
    start = va & ~0xFFFF
    got = read(seen[start] + va - start, size)
    assert got == image.pages.pages(image.use, pfn, pfn + 1)


def test_nothing_is_allocated_twice_or_outside_memory():
    for name in ("pc-numa2-6g", "pseries-16g", "pseries-64t", "riscv64-virt-2g"):
        machine = profiles.load(name)
        image = crashed(name).memory_image
        areas = sorted(image._alloc.given)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(areas))
        for start, end in areas:
            assert any(m.start <= start and end - 1 <= m.end for m in machine.memory)
    assert replace(machine) == machine
