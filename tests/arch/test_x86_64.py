"""x86_64: what its headers list, when they change, and what its hotplug does."""

from __future__ import annotations

import errno
import io

import pytest
from elftools.elf.elffile import ELFFile

from elfcorehdr import kexec_tools, profiles
from elfcorehdr.drivers.base.memory import OnlineType
from elfcorehdr.elf import PT_LOAD, PT_NOTE, ElfCoreHdr
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.kexec_file import FileArg, FileKind, regular
from elfcorehdr.lib.record import replace
from elfcorehdr.machine import CpuTopology, CrashRegion, Machine, MemoryRange, Region

GIB, MIB = 1 << 30, 1 << 20
BLOCK = 128 * MIB
ON_CRASH = 2
DIRECT_MAP = 0xFFFF888000000000


def machine(name="pc-2g", **changes):
    return replace(profiles.load(name), **changes)


def booted(name="pc-2g", release="", **changes):
    return Kernel.boot(machine(name, **changes), release)


def loaded(*args, **changes):
    kernel = booted(*args, **changes)
    kernel.kexec.file_load(None, None, b"", ON_CRASH)
    return kernel


def phdrs(kernel):
    header = kernel.kexec.elfcorehdr()
    assert header is not None
    return ElfCoreHdr.unpack(header).phdrs


def ram(kernel):
    """Start and size of the PT_LOADs but the kernel's text."""
    loads = [p for p in phdrs(kernel) if p.p_type == PT_LOAD]
    return [(p.p_paddr, p.p_memsz) for p in loads if p.p_vaddr < 0xFFFFFFFF00000000]


def segment(kernel):
    return bytes(kernel.kexec.crash_image.elfcorehdr().content)


LOW = [(0x100000, 0x6DF00000), (0x7E000000, 0x1FE0000)]
"""What pc-2g lists at boot: all above 1 MiB less the reservation."""


def test_pyelftools_reads_the_header():
    kernel = loaded()
    elf = ELFFile(io.BytesIO(kernel.kexec.elfcorehdr()))
    assert (elf["e_type"], elf["e_machine"]) == ("ET_CORE", "EM_X86_64")
    types = [s["p_type"] for s in elf.iter_segments()]
    assert types == ["PT_NOTE"] * 9 + ["PT_LOAD"] * 3


def test_the_first_mebibyte_is_never_listed_and_the_text_comes_before_memory():
    rows = phdrs(loaded())
    text = rows[9]
    assert (text.p_paddr, text.p_vaddr, text.p_memsz) == (0x1000000, 0xFFFFFFFF81000000, 0x3430000)
    assert [(p.p_paddr, p.p_memsz) for p in rows[10:]] == LOW
    assert rows[10].p_vaddr == DIRECT_MAP + 0x100000


@pytest.mark.parametrize("base", [0xFF11000000000000, 0xFFFF9E1640000000])
def test_the_direct_map_is_the_machine_s_with_five_levels_or_kaslr(base):
    rows = phdrs(loaded(direct_map_base=base))
    assert rows[10].p_vaddr == base + 0x100000


def test_a_block_that_goes_offline_stays_listed_though_the_header_is_rebuilt():
    kernel = loaded()
    before, rebuilds = segment(kernel), kernel.crash_hp.rebuilds
    assert kernel.memory_hotplug.offline(kernel.memory.block(1))
    assert (segment(kernel), kernel.crash_hp.rebuilds) == (before, rebuilds + 1)


def test_a_dimm_whose_blocks_stay_offline_is_listed_with_the_next_event_of_any_block():
    kernel = loaded(auto_online_blocks="offline")
    kernel.platform.plug_memory(4 * GIB, 2 * BLOCK)
    assert ram(kernel) == LOW
    kernel.memory_hotplug.offline(kernel.memory.block(1))
    assert ram(kernel) == [*LOW, (4 * GIB, 2 * BLOCK)]


def test_a_dimm_that_was_taken_out_stays_listed_until_the_next_memory_event():
    kernel = loaded(auto_online_blocks="online_movable")
    kernel.platform.plug_memory(4 * GIB, BLOCK)
    kernel.platform.plug_memory(4 * GIB + BLOCK, BLOCK)
    kernel.platform.unplug_memory(4 * GIB, BLOCK)
    both = [*LOW, (4 * GIB, BLOCK), (4 * GIB + BLOCK, BLOCK)]
    assert ram(kernel) == both  # side by side, and yet two rows
    kernel.memory_hotplug.offline(kernel.memory.block(33))
    assert ram(kernel) == [*LOW, (4 * GIB + BLOCK, BLOCK)]


def test_virtio_mem_is_one_row_and_of_a_shrink_the_last_block_stays_listed():
    window = Region(4 * GIB, GIB, "virtio0")
    kernel = loaded(resources=(*machine().resources, window))
    kernel.platform.plug_memory(4 * GIB, 4 * BLOCK, 0, "virtio-mem")
    assert ram(kernel) == [*LOW, (4 * GIB, 4 * BLOCK)]
    kernel.platform.unplug_memory(4 * GIB + 2 * BLOCK, 2 * BLOCK, "virtio-mem")
    assert ram(kernel) == [*LOW, (4 * GIB, 3 * BLOCK)]
    nested = [r for level, r, name in kernel.iomem.rows() if name == "System RAM (virtio_mem)"]
    assert [(r.start, r.size) for r in nested] == [(4 * GIB, 2 * BLOCK)]


def test_virtio_mem_keeps_what_cannot_go_and_takes_the_rest():
    kernel = booted()
    kernel.platform.plug_memory(4 * GIB, 3 * BLOCK, 0, "virtio-mem")
    kernel.page_isolation.pinned.append(Region(4 * GIB + BLOCK, 1, "page"))
    with pytest.raises(KernelError, match="EBUSY"):
        kernel.platform.unplug_memory(4 * GIB, 3 * BLOCK, "virtio-mem")
    assert [b.id for b in kernel.memory.blocks_of(4 * GIB, 3 * BLOCK)] == [33]


def test_a_dimm_that_is_refused_is_online_again_as_a_whole():
    kernel = booted()
    kernel.platform.plug_memory(4 * GIB, 3 * BLOCK)
    kernel.page_isolation.pinned.append(Region(4 * GIB + BLOCK, 1, "page"))
    with pytest.raises(KernelError, match="EBUSY"):
        kernel.platform.unplug_memory(4 * GIB, 3 * BLOCK)
    assert [b.online for b in kernel.memory.blocks_of(4 * GIB, 3 * BLOCK)] == [True] * 3
    assert "memory memory33: Offline failed." in [r.text for r in kernel.log]


def flagged(kernel):
    entry, segments = kexec_tools.segments(kernel, None, None, b"", hotplug=True)
    kernel.kexec.load(entry, segments, 1 | 8)
    return kernel


def test_the_first_event_replaces_kexec_tools_header_and_its_backup_row():
    kernel = flagged(booted())
    before = phdrs(kernel)
    assert sum(p.p_type == PT_NOTE for p in before) == 3  # present CPUs, vmcoreinfo
    low = before[4]
    assert (low.p_paddr, low.p_offset) == (0x1000, 0x7DF61000)
    kernel.cpus.down(1)
    assert sum(p.p_type == PT_NOTE for p in phdrs(kernel)) == 9
    assert ram(kernel) == LOW


def test_cpus_leave_a_header_of_the_kernel_alone():
    kernel = loaded()
    before = segment(kernel)
    kernel.cpus.down(1)
    kernel.platform.plug_cpu(5)
    kernel.cpus.up(5)
    assert (segment(kernel), kernel.crash_hp.rebuilds) == (before, 0)


def test_old_bytes_stay_behind_a_header_that_becomes_shorter():
    """As in a guest with 68 possible CPUs: 69 notes, text and two ranges are 4096 + 16 bytes too long."""
    kernel = loaded(
        cpus=CpuTopology("0-67", "0-1"),
        crash_notes={n: 0x6C000000 + n * 0x1000 for n in range(68)},
        auto_online_blocks="online_movable",
    )
    kernel.platform.plug_memory(4 * GIB, BLOCK)
    kernel.platform.unplug_memory(4 * GIB, BLOCK)
    long = segment(kernel)
    kernel.memory_hotplug.offline(kernel.memory.block(1))
    short = kernel.kexec.elfcorehdr()
    assert (len(short) + 56, len(short)) == (64 + 73 * 56, 64 + 72 * 56)
    assert segment(kernel)[4096:] == long[4096:] != bytes(len(long) - 4096)
    assert segment(kernel)[: len(short)] == short


def test_6_1_lists_present_cpus_and_never_rewrites_a_header():
    kernel = loaded("pc-2g-6.1")
    assert sum(p.p_type == PT_NOTE for p in phdrs(kernel)) == 3
    before = segment(kernel)
    kernel.platform.plug_memory(4 * GIB, BLOCK)
    kernel.memory_hotplug.online(kernel.memory.block(32), OnlineType.ONLINE)
    kernel.cpus.down(1)
    assert (segment(kernel), kernel.kexec.crash_image.elfcorehdr().memsz) == (before, 0x1000)


def test_6_1_gives_a_slot_the_next_number_and_later_kernels_the_slot_s_own():
    old, new = booted("pc-2g-6.1"), booted()
    assert [k.platform.plug_cpu(2) for k in (old, new)] == [[2], [2]]
    old.platform.unplug_cpu(2)
    new.platform.unplug_cpu(2)
    assert [k.platform.plug_cpu(5) for k in (old, new)] == [[3], [5]]
    assert old.platform.plug_cpu(2) == [2]
    assert [r.text for r in old.log][-1] == "CPU2 has been hot-added"
    assert [r.text for r in new.log][-1] == "ACPI: CPU5 has been hot-added"


@pytest.mark.parametrize(
    ("slot", "expected"), [(0, errno.EEXIST), (8, errno.EINVAL), (1000, errno.EINVAL)]
)
def test_a_slot_that_is_taken_or_not_possible_is_refused(slot, expected):
    kernel = booted()
    with pytest.raises(KernelError) as refused:
        kernel.platform.plug_cpu(slot)
    assert refused.value.errno == expected
    assert sorted(kernel.cpus.present) == [0, 1]


def test_a_running_cpu_is_stopped_before_it_is_taken_out():
    kernel = booted()
    kernel.platform.plug_cpu(2)
    kernel.cpus.up(2)
    seen = kernel.uevents.seqnum
    kernel.platform.unplug_cpu(2)
    assert [str(e) for e in kernel.uevents.kept if e.seqnum > seen] == [
        "remove@/devices/system/machinecheck/machinecheck2",
        "offline@/devices/system/cpu/cpu2",
        "remove@/devices/virtual/thermal/cooling_device2",
        "unbind@/devices/system/cpu/cpu2",
        "remove@/devices/system/cpu/cpu2",
    ]
    with pytest.raises(KernelError, match="ENODEV"):
        kernel.platform.unplug_cpu(2)


def test_a_target_of_0_stops_a_cpu_that_its_device_still_calls_online():
    kernel = booted()
    kernel.cpus.set_target(1, online=False)
    assert (sorted(kernel.cpus.online), kernel.cpus.device_online(1)) == ([0], True)
    assert not kernel.cpus.up(1)
    with pytest.raises(KernelError, match="EBUSY"):
        kernel.cpus.down(1)
    kernel.cpus.set_target(1, online=True)
    assert sorted(kernel.cpus.online) == [0, 1]


def test_more_program_headers_than_fit_are_said_and_nothing_is_kept_for_hotplug():
    kernel = loaded(nr_cpus_default=60000)
    assert "kexec: number of Phdrs 68194 exceeds max" in [r.text for r in kernel.log]
    assert kernel.kexec.crash_image.elfcorehdr().memsz == 0x1000


def test_a_header_that_outgrew_its_segment_leaves_the_old_one():
    kernel = booted(cpus=CpuTopology("0-127", "0-1"))
    at = kernel.kexec.crashk_res.start
    old = b"\x7fELF" + bytes(60)
    kernel.kexec.load(at, [(old, len(old), at, 0x1000)], 1 | 8)
    kernel.memory_hotplug.offline(kernel.memory.block(1))
    assert [r.text for r in kernel.log][-1].startswith("crash hp: update elfcorehdr elfsz 8192 >")
    assert segment(kernel) == old


def test_shrinking_takes_the_high_region_first_and_a_smaller_low_one_becomes_the_region():
    kernel = booted("pc-numa2-6g")
    assert kernel.kexec.crash_size() == 768 * MIB
    kernel.kexec.crash_shrink_memory(300 * MIB)
    assert (kernel.kexec.crashk_res.size, kernel.kexec.crashk_low_res.size) == (44 * MIB, 256 * MIB)
    kernel.kexec.crash_shrink_memory(100 * MIB + 1)
    assert (kernel.kexec.crashk_res.start, kernel.kexec.crash_size()) == (0xAE000000, 0x6401000)
    assert kernel.kexec.crashk_low_res is None
    rows = [(r.start, r.size) for _, r, name in kernel.iomem.rows() if name == "Crash kernel"]
    assert rows == [(0xAE000000, 0x6401000)]
    kernel.kexec.crash_shrink_memory((1 << 64) - 1)  # rounding up wraps to 0
    assert kernel.kexec.crash_size() == 0
    with pytest.raises(KernelError, match="EADDRNOTAVAIL"):
        kernel.kexec.file_load(None, None, b"", ON_CRASH)


def test_6_1_knows_the_size_of_the_high_region_only():
    kernel = booted("pc-numa2-6g", "6.1")
    assert kernel.kexec.crash_size() == 512 * MIB
    kernel.kexec.crash_shrink_memory(0)
    assert kernel.kexec.crashk_low_res.size == 256 * MIB


@pytest.mark.parametrize(
    ("parameter", "texts"),
    [
        ("256M", ["Reserving 256MB of memory at 1760MB for crashkernel (System RAM: 2047MB)"]),
        ("128M@16M", ["crashkernel reservation failed - memory is in use."]),
    ],
)
def test_6_1_says_it_in_other_words(parameter, texts):
    kernel = booted("pc-2g-6.1", crashkernel=(), cmdline=f"crashkernel={parameter}")
    said = [r.text for r in kernel.log if "crashkernel" in r.text]
    assert said[1:] == texts  # behind the command line


def test_cma_ranges_are_not_listed():
    ranges = (CrashRegion(0x6E000000, 0x10000000), CrashRegion(0x40000000, 0x10000000, "cma"))
    assert ram(loaded(crashkernel=ranges)) == [
        (0x100000, 0x3FF00000),
        (0x50000000, 0x1E000000),
        (0x7E000000, 0x1FE0000),
    ]


def test_before_6_8_a_cut_over_two_ranges_stopped_in_the_first():
    memory = (MemoryRange(0x100000, 0xFF00000), MemoryRange(0x10000000, 0x10000000, node=1))
    changes = {
        "memory": memory,
        "resources": (),
        "crashkernel": (CrashRegion(0xF000000, 0x2000000),),
        "blocks": (),
        "kernel": "",
    }
    kernels = [booted(release=r, **changes) for r in ("6.1", "6.12")]
    found = [[(r.start, r.size) for r in k.arch.crash_ranges(k)] for k in kernels]
    assert found[0] == [(0x100000, 0xEF00000), (0x10000000, 0x10000000)]
    assert found[1] == [(0x100000, 0xEF00000), (0x11000000, 0xF000000)]


def test_what_is_no_bzimage_is_refused_and_the_image_before_is_gone():
    kernel = loaded()
    with pytest.raises(KernelError, match="ENOEXEC"):
        kernel.kexec.file_load(regular(b"#!/bin/sh\n" * 100), None, b"", ON_CRASH)
    assert kernel.kexec.crash_image is None


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (2046, "Appending elfcorehdr=<addr> to command line exceeds maximum allowed length"),
        (2047, "Kernel command line too long"),
    ],
)
def test_a_command_line_that_is_too_long_is_refused(length, said):
    kernel = booted()
    with pytest.raises(KernelError, match="EINVAL"):
        kernel.kexec.file_load(None, None, b"x" * length, ON_CRASH)
    assert [r.text for r in kernel.log][-1] == f"kexec-bzImage64: {said}"


def test_an_initrd_that_does_not_fit_is_refused():
    kernel = booted()
    with pytest.raises(KernelError, match="EADDRNOTAVAIL"):
        kernel.kexec.file_load(None, FileArg(FileKind.REGULAR, size=300 * MIB), b"", ON_CRASH)


def test_memory_beyond_what_can_be_addressed_is_refused():
    for base, bits in ((0, 46), (0xFF11000000000000, 52)):
        kernel = booted(direct_map_base=base)
        with pytest.raises(KernelError, match="E2BIG"):
            kernel.platform.plug_memory(1 << bits, BLOCK)
        kernel.platform.plug_memory((1 << bits) - BLOCK, BLOCK)


def test_the_firmware_s_map_has_the_first_page_and_gains_and_loses_dimms():
    kernel = booted(auto_online_blocks="offline")
    assert kernel.firmware_map.entries[0] == (0, 0x9FBFF, "System RAM")
    kernel.platform.plug_memory(4 * GIB, BLOCK)
    kernel.platform.plug_memory(5 * GIB, BLOCK)
    kernel.platform.unplug_memory(4 * GIB, BLOCK)
    kernel.platform.plug_memory(4 * GIB, BLOCK)
    assert sorted(kernel.firmware_map.entries) == [0, 1, 2, 3, 4, 5, 6, 8, 9]


def test_memory_that_a_hypervisor_adds_without_an_address_lies_above_4_gib():
    assert booted().platform.next_free_memory(GIB) == 4 * GIB
    kernel = booted("pc-numa2-6g")
    assert kernel.platform.next_free_memory(GIB) == 7 * GIB


def test_a_machine_that_says_only_its_memory_and_cpus_boots_reserves_and_loads():
    small = Machine(
        name="x",
        source="made up",
        arch="x86_64",
        memory=(MemoryRange(0x100000, GIB),),
        cpus=CpuTopology("0"),
        memory_block_size=BLOCK,
        cmdline="crashkernel=128M",
    )
    kernel = Kernel.boot(small)
    kernel.kexec.file_load(None, None, b"", ON_CRASH)
    assert [(hex(a), hex(n)) for a, n in ram(kernel)] == [
        ("0x100000", "0x35f00000"),
        ("0x3e000000", "0x2100000"),
    ]


def zones(kernel, *numbers):
    memory = kernel.memory
    return [kernel.memory_hotplug.valid_zones(memory.block(n)) for n in numbers]


def test_an_offline_block_between_movable_ones_is_movable_though_normal_lies_beyond():
    kernel = booted(auto_online_blocks="online_movable")
    kernel.platform.plug_memory(4 * GIB, 3 * BLOCK)
    kernel.platform.plug_memory(5 * GIB, BLOCK)
    kernel.memory_hotplug.offline(kernel.memory.block(40))
    kernel.memory_hotplug.online(kernel.memory.block(40), OnlineType.ONLINE_KERNEL)
    kernel.memory_hotplug.offline(kernel.memory.block(33))
    assert zones(kernel, 32, 33, 34, 40) == ["Movable", "Movable Normal", "Movable", "Normal"]


def test_the_last_block_of_dma32_comes_back_into_normal():
    """The zone shrank with it, and beyond its end everything is Normal."""
    whole = {"memory": (MemoryRange(0, 2 * GIB),), "resources": (), "blocks": ()}
    kernel = booted(**whole, crashkernel=(), cmdline="")
    last = kernel.memory.block(15)
    kernel.memory_hotplug.offline(last)
    assert zones(kernel, 14, 15) == ["DMA32", "Normal Movable"]
    kernel.memory_hotplug.online(last, OnlineType.ONLINE)
    assert zones(kernel, 15) == ["Normal"]
    inner = kernel.memory.block(2)
    kernel.memory_hotplug.offline(inner)
    assert zones(kernel, 2) == ["DMA32 Movable"]
