"""The ways in which architectures map memory, by the rules of their sources: sizes of addresses that nobody here captured."""

from __future__ import annotations

import pytest

from printer import Layout, Role, check, from_bytes
from printer.layout.arches import ARCHES
from tests.headers import arm64_header, header_of

GIB = 1 << 30
RAM = [(0x40000000, 0xB0000000), (0x100000000, 0x40000000)]
IMAGE = (0x40200000, 0x1850000)
RISCV_RAM = [(0x80000000, 0x6FE00000), (0xFFE00000, 0x200000), (0x100000000, 0x40000000)]
RISCV_IMAGE = (0x80200000, 0x1E00000, 0xFFFFFFFF80000000)
X86_RAM = [(0x100000, 0x6DF00000), (0x7E000000, 0x1FE0000), (0x100000000, 16 * GIB)]


def test_register_names_fill_the_note_of_each_architecture():
    # 24 bytes of heads, 8 of name, 112 + registers + pr_fpvalid rounded up to 8 (kernel.md 2.4's
    # struct elf_prstatus, include/linux/elfcore.h).
    for arch in ARCHES:
        assert arch.note_size == 24 + 8 + 112 + 8 * len(arch.registers) + 8


def arm64_before_5_4(bits):
    """VA_START is -(1 << VA_BITS), where the image is, PAGE_OFFSET half way up (v4.19)."""
    return header_of(
        "arm64",
        RAM,
        -(1 << bits - 1) - 0x40000000,
        (IMAGE[0] + 0x80000, 0x1400000, -(1 << bits) + 0x8080000),
    )


GOOD = {
    # kimage_vaddr: MODULES_END, 128 MiB above PAGE_END up to 6.4 (256 MiB with BPF's region), then 2 GiB.
    **{
        f"arm64-va{bits}-{above:#x}": arm64_header(bits, RAM, (*IMAGE, above))
        for bits in (36, 39, 42, 47, 48)
        for above in (0x8000000, 0x10000000, 0x80000000)
    },
    "arm64-va52": arm64_header(52, RAM, (*IMAGE, 0x80000000)),
    "arm64-va52-16k-pages": arm64_header(52, RAM, (*IMAGE, 0x80000000), least=47),
    # No LVA: memstart_addr is moved so that memory is in the upper part (arm64_memblock_init()).
    "arm64-va52-without-lva": arm64_header(
        52, RAM, (*IMAGE, 0x80000000), memstart=0x40000000 + (1 << 48) - (1 << 52)
    ),
    "arm64-va48-kaslr": arm64_header(
        48, RAM, (*IMAGE, 0x233809400000), memstart=0x40000000 - 1234 * GIB
    ),
    "arm64-va39-kaslr": arm64_header(39, RAM, (*IMAGE, 0x2B1FE00000), memstart=-37 * GIB),
    "arm64-64k-pages-memstart": arm64_header(
        42, [(0x20000000, 0x80000000)], (0x20200000, 0x1850000, 0x8000000), memstart=0x20000000
    ),
    "arm64-1tib": arm64_header(
        47, [(1 << 40, 4 * GIB)], ((1 << 40) + 0x200000, 0x1850000, 0x80000000), memstart=1 << 40
    ),
    **{f"arm64-va{bits}-before-5.4": arm64_before_5_4(bits) for bits in (39, 42, 48)},
    **{
        f"riscv64-{name}": header_of("riscv64", RISCV_RAM, offset - 0x80000000, RISCV_IMAGE)
        for name, offset in (
            ("sv57", 0xFF60000000000000),
            ("sv48", 0xFFFFAF8000000000),
            ("sv39", 0xFFFFFFD600000000),
            ("sv39-6.1", 0xFFFFFFD800000000),
            ("sv39-5.15", 0xFFFFFFE000000000),
        )
    },
    # Up to 6.2 PAGE_OFFSET maps where the image was loaded (va_pa_offset, arch/riscv/mm/init.c, v6.1).
    "riscv64-sv48-6.1-below": header_of(
        "riscv64", RISCV_RAM, 0xFFFFAF8000000000 - 0x80200000, RISCV_IMAGE
    ),
    "riscv64-kaslr": header_of(
        "riscv64", RISCV_RAM, 0xFF60000000000000 - 0x80000000, (0x80200000, 0x1E00000, 0xFFFFFFFFA1200000)
    ),
    **{
        f"x86_64-{name}": header_of("x86_64", X86_RAM, base, (start, 0x3430000, 0xFFFFFFFF80000000 + at))
        for name, base, start, at in (
            ("4-levels", 0xFFFF888000000000, 0x1000000, 0x1000000),
            ("5-levels", 0xFF11000000000000, 0x1000000, 0x1000000),
            ("4-levels-kaslr", 0xFFFF8D7F80000000, 0xD800000, 0x36A00000),
            ("4-levels-kaslr-high", 0xFFFFA0DB00000000, 0x2F1C00000, 0x3A800000),
            ("5-levels-kaslr", 0xFF2C3B40C0000000, 0x4F000000, 0x20800000),
            ("4.19", 0xFFFF880000000000, 0x1000000, 0x1000000),
        )
    },
    "ppc64": header_of("ppc64", [(0, 8 * GIB), (64 << 40, GIB)], 0xC000000000000000),
    "loongarch64": header_of("loongarch64", [(0x200000, 0xEE00000), (0x90000000, 2 * GIB)], 0x9000000000000000),
    "loongarch64-image": header_of(
        "loongarch64",
        [(0x200000, 0xEE00000), (0x90000000, 2 * GIB)],
        0x9000000000000000,
        (0x200000, 0x1C00000, 0x9000000000200000),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_header_by_the_rules_of_the_kernels_source_is_right(name):
    core = from_bytes(GOOD[name])
    assert check(core) == []
    layout = Layout(core)
    apart = not name.startswith("ppc64") and name != "loongarch64"
    assert layout.roles.count(Role.KERNEL) == apart
    assert layout.roles.count(Role.MEMORY) == len(core.phdrs) - 5 - apart
    assert layout.way in layout.arch.maps


def moved(core, vaddr):
    """The header with the memory rows (not the image's) mapped where a function of the row says."""
    from elfcorehdr.elf import ElfCoreHdr

    memory = Layout(core).memory_rows
    rows = [
        p._replace(p_vaddr=vaddr(p) % 2**64) if row in memory else p
        for row, p in enumerate(core.phdrs)
    ]
    return from_bytes(ElfCoreHdr(core.ehdr, tuple(rows)).pack()), list(memory)


FAULTS = {
    "at-physical": (lambda p: p.p_paddr, "vaddr-in-user-space"),
    "at-user-addresses": (lambda p: p.p_paddr + 0x7000, "vaddr-in-user-space"),
    "at-0": (lambda p: 0, "vaddr-in-user-space"),
    "a-page-off": (lambda p: p.p_vaddr + 0x1000, "vaddr-not-direct-map"),
    "in-the-last-page": (lambda p: -0x1000, "vaddr-not-direct-map"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", GOOD)
def test_fault_of_all_rows_does_not_become_the_norm(name, fault):
    vaddr, rule = FAULTS[fault]
    bad, rows = moved(from_bytes(GOOD[name]), vaddr)
    found = [(f.rule.id, f.row) for f in check(bad)]
    assert [row for id_, row in found if id_ in (rule, "vaddr-in-user-space")] == rows
    assert {id_ for id_, _ in found} <= {rule, "vaddr-in-user-space", "vaddr-twice"}


@pytest.mark.parametrize("name", [name for name in GOOD if len(from_bytes(GOOD[name]).phdrs) > 7])
def test_fault_of_one_row_is_found_on_that_row(name):
    core = from_bytes(GOOD[name])
    last = len(core.phdrs) - 1
    for vaddr, rule in FAULTS.values():
        bad, _ = moved(core, lambda p, v=vaddr: v(p) if p == core.phdrs[last] else p.p_vaddr)
        assert {f.rule.id for f in check(bad) if f.row == last} >= {rule}
        assert {f.row for f in check(bad)} == {last}


@pytest.mark.parametrize("name", [n for n in GOOD if "loongarch" not in n and "ppc64" not in n])
def test_image_where_none_can_be_is_found(name):
    # kexec-tools on arm64: kern_vaddr_start = UINT64_MAX without _text in /proc/kallsyms.
    from elfcorehdr.elf import ElfCoreHdr

    core = from_bytes(GOOD[name])
    image = Layout(core).image
    rows = [*core.phdrs]
    for vaddr in (2**64 - 1, rows[image].p_paddr, 0):
        rows[image] = rows[image]._replace(p_vaddr=vaddr)
        bad = from_bytes(ElfCoreHdr(core.ehdr, tuple(rows)).pack())
        assert [(f.rule.id, f.row) for f in check(bad)] == [("image-misplaced", image)]
