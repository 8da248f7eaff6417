"""arm64: headers follow memblock region by region; no event changes one."""

from __future__ import annotations

import pytest

from elfcorehdr import profiles
from elfcorehdr.elf import PT_LOAD, ElfCoreHdr
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.kexec_file import regular
from elfcorehdr.lib.record import replace
from elfcorehdr.machine import CrashRegion, MemoryRange

GIB = 1 << 30
ON_CRASH = 2


def booted(**changes):
    return Kernel.boot(replace(profiles.load("arm64-virt-4g"), **changes))


def loaded(**changes):
    kernel = booted(**changes)
    kernel.kexec.file_load(None, None, b"", ON_CRASH)
    return kernel


def ram(kernel):
    header = ElfCoreHdr.unpack(kernel.kexec.elfcorehdr())
    loads = [p for p in header.phdrs if p.p_type == PT_LOAD]
    return [(hex(p.p_paddr), hex(p.p_memsz)) for p in loads[1:]]


def test_a_region_that_is_not_mapped_is_not_listed_but_moves_the_linear_map():
    memory = (
        MemoryRange(64 << 20, 64 << 20, flags="NOMAP"),
        MemoryRange(GIB, 4 * GIB),
    )
    kernel = loaded(memory=memory, direct_map_base=0, blocks=())
    assert ram(kernel) == [("0x40000000", "0xb0000000"), ("0x100000000", "0x40000000")]
    header = ElfCoreHdr.unpack(kernel.kexec.elfcorehdr())
    assert header.phdrs[-1].p_vaddr == 0xFFFF000100000000  # memstart is 0


def test_regions_of_two_nodes_stay_two_rows():
    memory = (MemoryRange(GIB, GIB), MemoryRange(2 * GIB, 3 * GIB, node=1))
    assert ram(loaded(memory=memory, blocks=())) == [
        ("0x40000000", "0x40000000"),
        ("0x80000000", "0x70000000"),
        ("0x100000000", "0x40000000"),
    ]


def test_memory_of_virtio_mem_is_a_region_of_its_own_from_the_next_load_on():
    kernel = loaded()
    before = ram(kernel)
    kernel.platform.plug_memory(5 * GIB, GIB, 0, "virtio-mem")
    assert ram(kernel) == before
    kernel.kexec.file_load(None, None, b"", ON_CRASH)
    assert ram(kernel) == [*before, ("0x140000000", "0x40000000")]
    kernel.platform.unplug_memory(5 * GIB, GIB, "virtio-mem")
    assert ram(kernel)[-1] == ("0x140000000", "0x40000000")


def test_boot_memory_never_goes_offline_and_says_so():
    kernel = booted()
    with pytest.raises(KernelError, match="EPERM"):
        kernel.memory_hotplug.offline(kernel.memory.block(12))
    said = [r.text for r in kernel.log]
    assert "Boot memory [60000000 68000000] offlining attempted" in said
    assert kernel.memory.block(12).online
    kernel.platform.plug_memory(5 * GIB, 1 << 27, 0, "virtio-mem")
    assert kernel.memory_hotplug.offline(kernel.memory.block(40))


def test_the_header_lies_on_64_kib_at_the_top_and_the_kernel_on_2_mib_at_the_bottom():
    kernel = loaded(crashkernel=(CrashRegion(0xF0100000, 0x7E55000),))
    image = kernel.kexec.crash_image
    assert (hex(image.segments[0].mem), hex(image.elfcorehdr().mem)) == ("0xf0200000", "0xf7f50000")


@pytest.mark.parametrize("data", [b"", b"\x7fELF" * 100, b"x" * 56 + b"ARM\x64"])
def test_what_is_no_image_is_einval(data):
    kernel = loaded()
    with pytest.raises(KernelError, match="EINVAL"):
        kernel.kexec.file_load(regular(data), None, b"", ON_CRASH)
    assert kernel.kexec.crash_image is None


def test_without_a_pinned_reservation_the_highest_place_below_4_gib_that_is_free_is_taken():
    for parameter, expected in (
        ("256M", (0xF0000000, None)),
        ("512M,high", (0x119E00000, 0xF8000000)),
    ):
        kernel = booted(crashkernel=(), cmdline=f"crashkernel={parameter}")
        kexec = kernel.kexec
        low = kexec.crashk_low_res.start if kexec.crashk_low_res else None
        assert (kexec.crashk_res.start, low) == expected


def test_there_is_no_cpu_hotplug():
    with pytest.raises(KernelError, match="no CPU hotplug"):
        booted().platform.plug_cpu(4)
