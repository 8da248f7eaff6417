"""VMCOREINFO against the rows: what the kernel says of itself counts, whatever all rows say."""

from __future__ import annotations

import pytest

from elfcorehdr.elf import ElfCoreHdr
from printer import Layout, check, read
from printer.layout import told
from tests.headers import IDENTITY, name

VMCORES = sorted(IDENTITY.glob("*/capture/vmcore.headers+notes.bin"))
KCORES = sorted(IDENTITY.glob("*/*/kcore.headers+notes.bin"))
ARM64 = [p for p in VMCORES if "arm64" in str(p)]


def findings(core):
    return [(f.rule.id, f.row) for f in check(core) if f.rule.id != "file-cut-off"]


def with_rows(path, tmp_path, change):
    """A copy whose loads are changed; the notes stay."""
    data = bytearray(path.read_bytes())
    header = ElfCoreHdr.unpack(data)
    rows = tuple(change(row, p) if p.p_type == 1 else p for row, p in enumerate(header.phdrs))
    packed = ElfCoreHdr(header.ehdr, rows).pack()
    data[: len(packed)] = packed
    copy = tmp_path / "vmcore"
    copy.write_bytes(data)
    return read(str(copy), notes=True)


@pytest.mark.parametrize("path", [*VMCORES, *KCORES], ids=name)
def test_captured_rows_are_where_the_kernel_says(path):
    core = read(str(path), notes=True)
    assert findings(core) == []
    layout = Layout(core)
    assert layout.told["release"] == 703
    assert layout.image_map is not None
    if "arm64" in str(path):
        assert layout.direct_map in told.direct_maps("arm64", layout.told, None)


@pytest.mark.parametrize("path", ARM64, ids=name)
@pytest.mark.parametrize("shift", [1 << 29, 1 << 30, -(1 << 36)])
def test_arm64_rows_at_another_possible_base_are_wrong_each(path, shift, tmp_path):
    image = Layout(read(str(path))).image

    def change(row, p):
        return p if row == image else p._replace(p_vaddr=(p.p_vaddr + shift) % 2**64)

    core = with_rows(path, tmp_path, change)
    rows = [row for row, p in enumerate(core.phdrs) if p.p_type == 1 and row != image]
    assert findings(core) == [("vaddr-not-direct-map", row) for row in rows]


@pytest.mark.parametrize("path", VMCORES, ids=name)
def test_image_elsewhere_than_the_kernel_says_is_wrong(path, tmp_path):
    image = Layout(read(str(path))).image
    core = with_rows(
        path,
        tmp_path,
        lambda row, p: p._replace(p_vaddr=p.p_vaddr + 0x200000) if row == image else p,
    )
    assert findings(core) == [("image-misplaced", image)]


def test_numbers_of_kernels_that_are_not_here():
    arm = {"VA_BITS": 39, "PHYS_OFFSET": 0x80000000, "release": 515}
    assert told.direct_maps("arm64", arm, None) == [0xFFFFFF8000000000 - 0x80000000]
    assert told.direct_maps("arm64", arm | {"release": 419}, None) == [
        0xFFFFFFC000000000 - 0x80000000
    ]
    lva = {"VA_BITS": 52, "PHYS_OFFSET": 0x80000000, "release": 504}
    assert told.direct_maps("arm64", lva, None) == [
        0xFFF0000000000000 - 0x80000000,
        0xFFFF000000000000 - 0x80000000,
    ]
    risc = {"PAGE_OFFSET": 0xFF60000000000000 - 2**64, "phys_ram_base": 0x80000000}
    assert told.direct_maps("riscv64", risc, 0x80200000) == [0xFF5FFFFF80000000, 0xFF5FFFFF7FE00000]
    assert told.image_map("x86_64", {"phys_base": -689963008}) == 0xFFFFFFFF80000000 + 689963008
    for arch in ("arm64", "riscv64", "x86_64", "ppc64"):
        assert told.direct_maps(arch, {}, None) == []
        assert told.image_map(arch, {}) is None
