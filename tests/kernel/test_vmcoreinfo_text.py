"""VMCOREINFO's text: captured ones come back, those between are derived, and testers may edit them."""

from __future__ import annotations

from pathlib import Path

import pytest

from elfcorehdr.errors import ProfileError
from elfcorehdr.kernel.vmcoreinfo import text as vmcoreinfo_text
from elfcorehdr.kernel.vmcoreinfo.text import CAPTURED, VmcoreInfo, captured, vmcoreinfo_of
from elfcorehdr.lib.record import replace
from elfcorehdr.machine import KernelText
from tests.crashed import crashed

GOLDEN = Path(__file__).parent.parent / "golden/kernel/crash"
OWN = ("OSRELEASE", "BUILD-ID", "SYMBOL(mem_section)", "CRASHTIME")
"""Lines that name the build, the time, or where memory was allocated."""


def test_every_captured_text_is_there_and_comes_back():
    for name in CAPTURED:
        arch, pages, release = name.split("-")
        info, _ = captured(arch, int(pages.removesuffix("k")) << 10, release)
        text = (Path(vmcoreinfo_text.__file__).parent / f"{name}.txt").read_text()
        assert info.text() == text


@pytest.mark.parametrize(
    ("seen", "machine", "changed"),
    [
        ("x86_64.7.3.4+deb13-amd64.pc-2g", "pc-2g", {}),
        (
            "x86_64.7.3.4+deb13-amd64.pc-2g-kaslr",
            "pc-2g",
            {
                "kernel_text": KernelText(0xD800000, 0xFFFFFFFFB6A00000, 0x3430000),
                "direct_map_base": 0xFFFF8D7F80000000,
            },
        ),
    ],
)
def test_a_crashed_machine_tells_what_the_real_one_told(seen, machine, changed):
    """With KASLR the kernel's regions move too, by how much no machine file says."""
    told = VmcoreInfo.parse((GOLDEN / seen / "vmcore.VMCOREINFO.txt").read_text())
    made = crashed(machine, **changed).memory_image.info
    moved = ("NUMBER(VMALLOC_START)", "SYMBOL(vmemmap)") if "kaslr" in seen else ()
    assert list(made.lines) == list(told.lines)
    for key in told.lines:
        if key not in (*OWN, *moved):
            assert (key, made.lines[key]) == (key, told.lines[key])


def test_hash_and_radix_differ_in_one_line():
    read = [
        VmcoreInfo.parse((GOLDEN / name / "vmcore-vmcoreinfo.txt").read_text()).lines
        for name in ("ppc64.7.1.13-64k.pseries-radix-1x4", "ppc64.7.1.13-64k.pseries-hash-2x1")
    ]
    assert {k for k in read[0] if read[0][k] != read[1][k] and k not in OWN} == {
        "NUMBER(RADIX_MMU)"
    }
    radix = crashed("pseries-16g", "7.1.13").memory_image.info
    hashed = crashed(
        "pseries-16g", "7.1.13", cmdline="crashkernel=1G disable_radix"
    ).memory_image.info
    differ = {k for k in radix.lines if radix.lines[k] != hashed.lines[k] and k not in OWN}
    assert differ == {"NUMBER(RADIX_MMU)"}


@pytest.mark.parametrize(
    ("nearest", "release"),
    [("6.1.176", "6.12.107"), ("6.12.107", "6.1.176"), ("6.12.107", "7.3.4"), ("7.3.4", "6.1.176")],
)
def test_a_release_between_gets_the_lines_that_changed(monkeypatch, nearest, release):
    """From one capture another: only sizes and places that a configuration decides may differ."""
    start = captured("x86_64", 4096, nearest)
    told, _ = captured("x86_64", 4096, release)
    monkeypatch.setattr(vmcoreinfo_text, "captured", lambda *_: start)
    made = vmcoreinfo_of("x86_64", 4096, release)
    by_config = ("SYMBOL(", "SIZE(", "OFFSET(pglist", "OFFSET(zone", "OFFSET(printk_info.dev_info")
    config = (
        "NUMBER(PG_hwpoison)",
        "NUMBER(PAGE_UNACCEPTED_MAPCOUNT_VALUE)",
        "NUMBER(VMALLOC_START)",
    )
    for key in {*made.lines, *told.lines}:
        if not key.startswith(by_config) and key not in (*OWN, *config):
            assert (key, made.lines.get(key)) == (key, told.lines.get(key))


def test_edits_take_lines_away_and_change_them():
    info = vmcoreinfo_of("x86_64", 4096, "7.3.4")
    info.edit(["-SYMBOL(prb)", "NUMBER(PG_lru)=77"])
    assert info.symbol("prb") is None
    assert info.number("PG_lru") == 77


@pytest.mark.parametrize("edit", ["-SYMBOL(nowhere)", "SYMBOL(prb)", "bad key=1", ""])
def test_an_edit_that_names_no_line_is_refused(edit):
    with pytest.raises(ProfileError, match="vmcoreinfo: "):
        vmcoreinfo_of("x86_64", 4096, "7.3.4").edit([edit])


def test_a_machine_with_another_image_has_its_symbols_in_it():
    kernel = crashed("arm64-virt-4g")
    image, text = kernel.memory_image, kernel.memory_image.layout.text
    for name in ("init_uts_ns", "prb", "swapper_pg_dir", "node_online_map"):
        at = image.info.symbol(name)
        assert text.vaddr <= at < text.vaddr + text.size
    assert replace(text) == text


@pytest.mark.parametrize(
    ("release", "flags", "buddy"),
    [
        # lru, private, swapbacked, slab, hwpoison, head mask: include/linux/page-flags.h of linux-source-6.1 and -6.12;
        # v6.6 with the flags moved for folio order ("mm: reorder"), v6.10 without PG_slab, v6.11's types of the upper half.
        ("6.5", (4, 13, 19, 9, 23, 65536), ~0x80),
        ("6.6", (5, 15, 19, 11, 23, 64), ~0x80),
        ("6.10", (5, 14, 18, None, 22, 64), ~0x80),
        ("6.11", (5, 14, 18, None, 22, 64), ~0x40000000),
        ("6.13", (5, 14, 17, None, 20, 64), -(0x10 << 24)),
        ("6.14", (5, 14, 17, None, 21, 64), -(0x10 << 24)),
    ],
)
def test_page_flags_of_releases_that_were_not_seen(release, flags, buddy):
    info = vmcoreinfo_of("x86_64", 4096, release)
    names = ("lru", "private", "swapbacked", "slab", "hwpoison", "head_mask")
    assert tuple(info.number(f"PG_{name}") for name in names) == flags
    assert info.number("PAGE_BUDDY_MAPCOUNT_VALUE") == buddy


def test_hwpoison_is_told_by_a_kernel_that_was_built_with_it():
    """7.2.13's captures of ppc64 are of a configuration without; the shipped machine's kernel has it."""
    key = "NUMBER(PG_hwpoison)"
    lines = crashed("pseries-4g").memory_image.info.lines
    assert lines[key] == "21"
    assert [*lines][[*lines].index(key) + 1] == "NUMBER(PG_head_mask)"
    without = crashed("pc-2g", config={"MEMORY_FAILURE": False}).memory_image
    assert key not in without.info.lines


def test_arm64_before_6_9_has_48_bits_with_pages_of_4_kib():
    """include/asm/{memory,pgtable}.h of linux-source-6.1: no LPA2, modules of 128 MiB, struct pages at -2^42."""
    lines = crashed("arm64-virt-4g", "6.1.176").memory_image.info.lines
    assert {key: lines[f"NUMBER({key})"] for key in ("VA_BITS", "TCR_EL1_T1SZ", "PHYS_OFFSET")} == {
        "VA_BITS": "48",
        "TCR_EL1_T1SZ": "0x10",
        "PHYS_OFFSET": "0x40000000",
    }
    for key, value in (
        ("MODULES_VADDR", 0xFFFF800000000000),
        ("MODULES_END", 0xFFFF800008000000),
        ("VMALLOC_START", 0xFFFF800008000000),
        ("VMALLOC_END", 0xFFFFFBFFF0000000),
        ("VMEMMAP_START", 0xFFFFFC0000000000),
        ("VMEMMAP_END", 0xFFFFFE0000000000),
    ):
        assert (key, lines[f"NUMBER({key})"]) == (key, f"{value:#x}")


@pytest.mark.parametrize(("page", "orders", "bits"), [(0x4000, 12, 27), (0x10000, 14, 29)])
def test_arm64_with_larger_pages_has_larger_orders_and_sections(page, orders, bits):
    """arch/arm64/Kconfig, include/asm/sparsemem.h."""
    block = 1 << bits
    info = crashed("arm64-virt-4g", page_size=page, memory_block_size=block).memory_image.info
    assert info.length("zone.free_area") == orders
    assert info.number("SECTION_SIZE_BITS") == bits


def test_architectures_told_their_own_lines_before_they_were_everybodys():
    """arch_crash_save_vmcoreinfo() of 6.1 and 6.12: linux-source's arch/{arm64,riscv}/kernel/{crash_core,vmcore_info}.c."""
    keys = list(vmcoreinfo_of("arm64", 4096, "6.1.176").lines)
    at = keys.index("NUMBER(VMALLOC_START)")
    assert keys[at - 1 : at + 2] == [
        "NUMBER(MODULES_END)",
        "NUMBER(VMALLOC_START)",
        "NUMBER(VMALLOC_END)",
    ]
    keys = list(vmcoreinfo_of("arm64", 4096, "6.12.107").lines)
    assert keys.index("NUMBER(VMALLOC_START)") == keys.index("SYMBOL(_stext)") + 1
    keys = list(vmcoreinfo_of("riscv64", 4096, "6.12.107").lines)
    assert keys[-1] == "NUMBER(va_kernel_pa_offset)"
    assert not {"NUMBER(VA_BITS)", "NUMBER(VMALLOC_START)", "NUMBER(PAGE_OFFSET)"} & {
        *vmcoreinfo_of("riscv64", 4096, "6.1.176").lines
    }


@pytest.mark.parametrize("machine", ["pseries-4g", "powernv-32g", "riscv64-virt-2g", "pc-2g"])
def test_vmalloc_space_begins_where_the_first_area_does_before_6_9(machine):
    image = crashed(machine, "6.1.176").memory_image
    assert image is not None
    head = image.phys("vmap_area_list")
    assert head is not None

    def word(at: int) -> int:
        return int.from_bytes(image.mem.read(at, 8), "little")

    area = word(head) - (image.info.offset("vmap_area.list") or 0) - image.va(0)
    told = image.layout.lines(crashed(machine), image.info)["NUMBER(VMALLOC_START)"]
    assert word(area) == int(told, 0)
    assert word(word(head) - image.va(0)) == image.info.symbol("vmap_area_list")
