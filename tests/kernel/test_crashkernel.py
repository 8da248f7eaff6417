"""crashkernel= as each kernel reads it, and where the reservation lands."""

from __future__ import annotations

import pytest

from elfcorehdr import profiles
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.crashkernel import get_last_crashkernel, memparse
from elfcorehdr.lib.record import replace
from elfcorehdr.machine import Machine, Region
from elfcorehdr.machine.reader import from_toml

G = 1 << 30
M = 1 << 20
LPAR = replace(profiles.load("pseries-16g"), rtas=None)
ARM = profiles.load("arm64-virt-4g")
RISCV = profiles.load("riscv64-virt-2g")
PC = profiles.load("pc-2g")
NUMA = profiles.load("pc-numa2-6g")


def booted(machine: Machine, cmdline: str, kernel: str = "7.3") -> Kernel:
    return Kernel.boot(replace(machine, cmdline=cmdline, crashkernel=(), kernel=""), kernel)


def reserved(kernel: Kernel) -> tuple[tuple[int, int] | None, ...]:
    """Start and size of the reservation, of low memory, of each CMA area."""
    kexec = kernel.kexec
    regions = (kexec.crashk_res, kexec.crashk_low_res, *kexec.crashk_cma_ranges)
    return tuple(r and (r.start, r.size) for r in regions)


def said(kernel: Kernel) -> list[str]:
    return list(kernel.kexec.reserve_said)


@pytest.mark.parametrize(
    ("cmdline", "size", "base", "log"),
    [
        ("crashkernel=1G", G, 384 * M, None),
        ("a crashkernel=256M@64M b", 256 * M, 64 * M, None),
        ("crashkernel=1G crashkernel=512M", 512 * M, 384 * M, None),
        ("crashkernel=1G crashkernel=256M,low", G, 384 * M, None),
        ("crashkernel=2G-8G:256M,8G-:1G", G, 384 * M, None),
        ("crashkernel=2G-16G:256M,16G-:512M@1G", 512 * M, G, None),
        ("crashkernel=256M@1Gx", 256 * M, G, None),
        ("crashkernel=256M@x", 256 * M, 384 * M, None),
        ("xcrashkernel=256M", 256 * M, 384 * M, None),
        ("crashkernel=crashkernel=256M", 256 * M, 384 * M, None),
        ("crashkernel=0x10000000", 256 * M, 384 * M, None),
        ("crashkernel=32G-:1G", 0, 0, "crashkernel size resulted in zero bytes"),
        ("crashkernel=64G", 0, 0, None),
        ("crashkernel=16E", 0, 0, None),
        ("crashkernel=0", 0, 0, None),
        ("crashkernel=", 0, 0, "crashkernel: memory value expected"),
        ("crashkernel=x", 0, 0, "crashkernel: memory value expected"),
        ("crashkernel=1Gx", 0, 0, "crashkernel: unrecognized char: x"),
        ("crashkernel=8G-4G:1G", 0, 0, "crashkernel: end <= start"),
        ("crashkernel=1G:1G", 0, 0, "crashkernel: '-' expected"),
        ("crashkernel=1G-2G", 0, 0, "crashkernel: unrecognized char: -"),
        ("crashkernel=1G-x:1G", 0, 0, "crashkernel: Memory value expected"),
        ("crashkernel=1G-64G:32G", 0, 0, "crashkernel: invalid size"),
        ("crashkernel=1G-:1G@x", 0, 0, "crashkernel: Memory value expected after '@'"),
        ("crashkernel=1G@16M", 0, 0, "Crash kernel can not overlap current kernel"),
        ("crashkernel=1G@15872M", 0, 0, "crashkernel reservation failed - memory is in use."),
    ],
)
def test_the_last_plain_form_wins_and_mistakes_are_logged_as_the_kernel_does(
    cmdline: str, size: int, base: int, log: str | None
) -> None:
    kernel = booted(LPAR, cmdline)
    assert reserved(kernel)[0] == ((base, size) if size else None)
    if log is not None:
        assert said(kernel) == [log]
    assert bool(kernel.kexec.nothing) is not bool(size)


def test_nothing_is_reserved_says_why() -> None:
    for cmdline, why in (
        ("quiet", "there is no crashkernel= on the command line"),
        ("crashkernel=256M,low", "reserve nothing here without a size of their own kind"),
        ("crashkernel=256M,high", "ppc64 knows no crashkernel=...,high"),
        ("crashkernel=x", "crashkernel=x is no size: crashkernel: memory value expected"),
        ("crashkernel=17G", "are not less than the 0x400000000 of memory"),
        ("crashkernel=64G-:1G", "no range of crashkernel= holds 0x400000000 bytes"),
        ("crashkernel=1G@15872M", "is not free memory that begins on a multiple of 0x10000"),
    ):
        assert why in booted(LPAR, cmdline).kexec.nothing


def test_ram_is_rounded_up_to_128m_before_ranges_are_compared() -> None:
    machine = replace(PC, memory=PC.memory)
    assert reserved(booted(machine, "crashkernel=2G-:256M"))[0] is not None


@pytest.mark.parametrize(
    ("kernel", "text"),
    [
        ("6.1", "Memory value expected after '@'"),
        ("6.12", "crahskernel: Memory value expected after '@'"),
        ("6.16", "crashkernel: Memory value expected after '@'"),
    ],
)
def test_a_kernel_s_spelling_is_its_own(kernel: str, text: str) -> None:
    assert text in said(booted(LPAR, "crashkernel=1G-:1G@x", kernel))


def test_what_does_not_fit_on_ppc64_takes_two_lines_before_6_16() -> None:
    assert said(booted(LPAR, "crashkernel=16G", "6.1")) == [
        "Reserving 16384MB of memory at 384MB for crashkernel (System RAM: 16384MB)",
        "Failed to reserve memory for crashkernel!",
    ]
    assert said(booted(LPAR, "crashkernel=16G", "6.12")) == []


@pytest.mark.parametrize("kernel", ["6.1", "6.12", "6.17", "7.3"])
def test_high_needs_low_memory_on_x86_64(kernel: str) -> None:
    high, low = reserved(booted(NUMA, "crashkernel=512M,high", kernel))
    assert high is not None
    assert high[0] >= 4 * G
    assert low is not None
    assert low[1] == 256 * M
    assert low[0] + low[1] <= 4 * G
    high, low = reserved(booted(NUMA, "crashkernel=512M,high crashkernel=0,low", kernel))
    assert high is not None
    assert low is None


def test_x86_64_says_what_it_reserved_in_the_words_of_its_kernel() -> None:
    assert said(booted(PC, "crashkernel=256M", "6.1")) == [
        "Reserving 256MB of memory at 1760MB for crashkernel (System RAM: 2047MB)"
    ]
    assert said(booted(PC, "crashkernel=4G", "6.1")) == [
        "crashkernel reservation failed - No suitable area found."
    ]
    assert said(booted(PC, "crashkernel=256M@0x40000001", "6.1")) == [
        "crashkernel reservation failed - memory is in use."
    ]
    assert said(booted(PC, "crashkernel=256M", "6.7")) == [
        "crashkernel reserved: 0x000000006e000000 - 0x000000007e000000 (256 MB)"
    ]


def test_6_1_looks_for_high_when_the_plain_form_is_wrong() -> None:
    cmdline = "crashkernel=x crashkernel=512M,high"
    assert reserved(booted(NUMA, cmdline, "6.1"))[0] is not None
    assert reserved(booted(NUMA, cmdline, "6.12"))[0] is None


def test_cma_is_a_wrong_plain_form_before_6_17_and_needs_config_cma() -> None:
    cmdline = "crashkernel=256M crashkernel=64M,cma"
    assert said(booted(PC, cmdline, "6.12")) == ["crashkernel: unrecognized char: ,"]
    assert said(booted(PC, cmdline, "6.17"))[-1] == "crashkernel CMA reservation not supported"
    kernel = booted(PC, cmdline, "7.2")
    assert said(kernel)[-1] == "crashkernel CMA reserved: 64 MB in 1 ranges"
    assert len(reserved(kernel)) == 3
    assert len(reserved(booted(replace(PC, config={"CMA": False}), cmdline, "7.2"))) == 2


@pytest.mark.parametrize(("machine", "since"), [(ARM, "7.3"), (RISCV, "7.3"), (LPAR, "6.19")])
def test_cma_came_to_each_architecture_at_its_time(machine: Machine, since: str) -> None:
    cmdline = "crashkernel=256M crashkernel=64M,cma"
    assert len(reserved(booted(machine, cmdline, since))) == 3
    before = {"7.3": "7.2", "6.19": "6.18"}[since]
    assert len(reserved(booted(machine, cmdline, before))) == 2
    assert reserved(booted(machine, cmdline, before))[0] is not None


def test_cma_alone_is_had_on_ppc64_though_it_is_not_elsewhere() -> None:
    assert len(reserved(booted(LPAR, "crashkernel=64M,cma", "7.3"))) == 3
    assert len(reserved(booted(PC, "crashkernel=64M,cma", "7.3"))) == 2


def test_a_block_with_crashkernel_cma_does_not_go_offline() -> None:
    kernel = booted(LPAR, "crashkernel=256M crashkernel=64M,cma", "7.3")
    (area,) = kernel.kexec.crashk_cma_ranges
    assert kernel.page_isolation.unmovable(area.start, area.end) == "the crash kernel's CMA"


@pytest.mark.parametrize("kernel", ["6.1", "6.2", "6.12", "7.0", "7.3"])
@pytest.mark.parametrize("machine", [ARM, RISCV, PC, NUMA], ids=lambda m: m.name)
@pytest.mark.parametrize(
    "words", ["256M", "256M,high", "128M@0x70000000", "1G-8G:192M,8G-:512M", "512M", "96M,high"]
)
def test_a_reservation_lies_on_free_memory_with_a_row(
    machine: Machine, kernel: str, words: str
) -> None:
    made = booted(machine, f"crashkernel={words}", kernel)
    regions = [r for r in (made.kexec.crashk_res, made.kexec.crashk_low_res) if r]
    assert bool(regions) is not bool(made.kexec.nothing)
    taken = [r for r in machine.resources if r.name.lower() == "reserved" or "Kernel" in r.name]
    rows = [r for level, r, name in made.iomem.rows() if level == 1 and name == "Crash kernel"]
    for region in regions:
        assert any(m.start <= region.start and region.end <= m.end for m in machine.memory)
        assert [t for t in taken if t.range.overlaps(region.start, region.end)] == []
        assert region in rows
        assert region.start % (1 << 20) == 0


def test_arm64_6_1_does_not_fall_back_above_4g_and_later_kernels_do() -> None:
    machine = replace(ARM, resources=(), pinned=(Region(1 * G + 256 * M, 2 * G + 700 * M),))
    assert said(booted(machine, "crashkernel=512M", "6.1")) == [
        "cannot allocate crashkernel (size:0x20000000)"
    ]
    assert reserved(booted(machine, "crashkernel=512M", "6.2"))[0][0] >= 4 * G
    high, low = reserved(booted(ARM, "crashkernel=256M,high", "6.1"))
    assert high is not None
    assert low is None
    assert reserved(booted(ARM, "crashkernel=256M,high", "6.12"))[1] is not None


def test_riscv64_6_1_knows_no_high_and_later_kernels_want_memory_above() -> None:
    old = booted(RISCV, "crashkernel=256M,high", "6.1")
    assert reserved(old)[0] is None
    assert "riscv64 knows no crashkernel=...,high before 6.6" in old.kexec.nothing
    assert said(booted(RISCV, "crashkernel=256M", "6.1"))[0].startswith("crashkernel: reserved 0x")
    assert said(booted(RISCV, "crashkernel=1900M", "6.1")) == [
        "crashkernel: couldn't allocate 1945600KB"
    ]
    # All memory is low memory: 6.6 to 6.11 go back to it, 6.12 does not.
    assert reserved(booted(RISCV, "crashkernel=256M,high", "6.7"))[0] is not None
    new = booted(RISCV, "crashkernel=256M,high", "7.2")
    assert said(new) == ["cannot allocate crashkernel (size:0x10000000)"]
    assert "for ,high there is none above" in new.kexec.nothing


def test_a_plain_size_that_fits_nowhere_keeps_riscv64_from_booting() -> None:
    kernel = booted(RISCV, "crashkernel=1900M", "7.2")
    assert reserved(kernel)[0] is None
    assert "this kernel does not boot" in kernel.kexec.nothing


ABOVE = """
name = "arm64-16k-1tib"
source = "this test"
arch = "arm64"
platform = "laptop"
page_size = "16K"
memory = [
    { start = 0x10000000000, size = 0x3e8000000 },
    { start = 0x103f8000000, size = 0x8000000 },
]
[cpus]
possible = "0-7"
"""


@pytest.mark.parametrize("kernel", ["6.1", "6.17.12", "7.3"])
def test_arm64_whose_memory_begins_above_4g_has_zone_dma_everywhere(kernel: str) -> None:
    machine = from_toml(ABOVE, "x.toml")
    made = booted(machine, "crashkernel=256M", kernel)
    assert reserved(made) == ((0x103E8000000 - 256 * M, 256 * M), None)
    zones = {made.memory_hotplug.valid_zones(b) for b in map(made.memory.block, (8192, 8300)) if b}
    assert zones == {"DMA"}


def test_a_pinned_reservation_holds_for_its_own_inputs_alone() -> None:
    moved = replace(PC, crashkernel=(replace(PC.crashkernel[0], start=0x40000000),))
    assert reserved(Kernel.boot(moved))[0] == (0x40000000, 256 * M)
    for machine, kernel in (
        (replace(moved, cmdline="crashkernel=128M"), ""),
        (replace(moved, cmdline="crashkernel=256M crashkernel=0,low"), ""),
        (moved, "6.12"),
    ):
        assert reserved(Kernel.boot(machine, kernel))[0][0] != 0x40000000
    assert reserved(Kernel.boot(replace(moved, cmdline="quiet")))[0] is None
    assert reserved(Kernel.boot(replace(moved, cmdline="quiet crashkernel=256M")))[0] is not None


def test_notes_of_a_capture_give_way_to_a_reservation_it_was_not_captured_with() -> None:
    kernel = booted(PC, "crashkernel=1G@768M")
    region = kernel.kexec.crashk_res
    assert region is not None
    assert not region.overlaps(*[kernel.arch.crash_note(kernel, 0)] * 2)


def test_the_last_one_with_a_suffix_is_found() -> None:
    cmdline = "crashkernel=512M,high crashkernel=128M,low crashkernel=64M,high x"
    assert get_last_crashkernel(cmdline, ",high") == "64M,high x"
    assert get_last_crashkernel(cmdline, known=(",high", ",low")) is None


@pytest.mark.parametrize(
    ("text", "value", "rest"),
    [
        ("0x10k", 0x4000, ""),
        ("010", 8, ""),
        ("08", 0, "8"),
        ("0xg", 0, "xg"),
        ("5T-", 5 << 40, "-"),
        ("z", 0, "z"),
        ("G", 0, "G"),
        ("16E", (1 << 64) - 1, ""),
    ],
)
def test_numbers_are_read_with_their_units(text: str, value: int, rest: str) -> None:
    assert memparse(text) == (value, rest)


def test_numbers_wrapped_and_units_alone_were_zero_before_7_2() -> None:
    assert memparse("16E", saturates=False) == (0, "")
    assert memparse("G", saturates=False) == (0, "")
