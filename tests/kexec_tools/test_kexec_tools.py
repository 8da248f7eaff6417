"""The header that kexec(8) builds on x86_64 from /proc/iomem and /sys."""

from __future__ import annotations

import pytest

from elfcorehdr import profiles
from elfcorehdr.elf import ElfCoreHdr
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kexec_tools import x86_64 as kexec_tools
from elfcorehdr.lib.ranges import Range
from elfcorehdr.lib.record import replace
from elfcorehdr.machine import CrashRegion, MemoryRange


def booted(**changes):
    return Kernel.boot(replace(profiles.load("pc-2g"), **changes))


def test_low_memory_is_listed_at_its_address_with_the_backup_s_offset():
    rows = ElfCoreHdr.unpack(kexec_tools.elfcorehdr(booted(), 0x7DF61000)).phdrs
    assert [(hex(p.p_offset), hex(p.p_paddr)) for p in rows[4:]] == [
        ("0x7df61000", "0x1000"),
        ("0x100000", "0x100000"),
        ("0x7e000000", "0x7e000000"),
    ]


def test_cma_ranges_and_driver_s_memory_are_listed():
    kernel = booted(
        crashkernel=(CrashRegion(0x6E000000, 1 << 28), CrashRegion(0x40000000, 1 << 28, "cma"))
    )
    kernel.platform.plug_memory(4 << 30, 1 << 27, 0, "virtio-mem")
    assert kexec_tools.crash_memory_ranges(kernel)[1:] == [
        Range(0x100000, 0x6DFFFFFF),
        Range(0x7E000000, 0x7FFDFFFF),
        Range(4 << 30, (4 << 30) + (1 << 27) - 1),
    ]


def test_rows_inside_a_row_are_listed_again():
    kernel = booted()
    kernel.kexec.crash_shrink_memory(128 << 20)
    kernel.kexec.crash_shrink_memory(64 << 20)
    assert kexec_tools.crash_memory_ranges(kernel)[1:] == [
        Range(0x100000, 0x6DFFFFFF),
        Range(0x72000000, 0x7FFDFFFF),
        Range(0x72000000, 0x75FFFFFF),
        Range(0x76000000, 0x7DFFFFFF),
    ]


def test_only_the_last_range_that_splits_keeps_its_tail():
    ranges = [Range(0, 99), Range(10, 89)]
    kexec_tools.exclude_region(ranges, Range(40, 49))
    assert ranges == [Range(0, 39), Range(10, 39), Range(50, 89)]
    covered = [Range(10, 19)]
    kexec_tools.exclude_region(covered, Range(10, 19))
    assert covered == [Range(20, 19)]


def test_without_ram_below_640_kib_all_of_it_is_backed_up():
    kernel = booted(memory=(MemoryRange(0x100000, 0x7FEE0000),), blocks=())
    assert kexec_tools.backup_area(kernel) == Range(0, 0x9FFFF)


def test_hotplug_leaves_the_room_that_the_kernel_asks_for():
    kernel = booted()
    plain = kexec_tools.crash_segments(kernel, hotplug=False)
    room = kexec_tools.crash_segments(kernel, hotplug=True)
    assert [(hex(mem), hex(memsz)) for _, _, mem, memsz in (*plain, *room)] == [
        ("0x7df61000", "0x9f000"),
        ("0x7df5d000", "0x4000"),
        ("0x7df61000", "0x9f000"),
        ("0x7de80000", "0xe1000"),
    ]


@pytest.mark.parametrize("size", [0, 4096])
def test_a_reservation_that_is_gone_or_too_small_is_refused(size):
    kernel = booted()
    kernel.kexec.crash_shrink_memory(size)
    with pytest.raises(KernelError, match="EADDRNOTAVAIL"):
        kexec_tools.crash_segments(kernel, hotplug=False)
