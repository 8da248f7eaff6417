"""riscv64: headers follow the resource tree; no event changes one."""

from __future__ import annotations

import pytest

from elfcorehdr import profiles
from elfcorehdr.elf import PT_LOAD, ElfCoreHdr
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.kexec_file import regular
from elfcorehdr.lib.record import replace
from elfcorehdr.machine import MemoryRange

GIB = 1 << 30
ON_CRASH = 2


def booted(**changes):
    return Kernel.boot(replace(profiles.load("riscv64-virt-2g"), **changes))


def loaded(**changes):
    kernel = booted(**changes)
    kernel.kexec.file_load(None, None, b"", ON_CRASH)
    return kernel


def rows(kernel):
    header = ElfCoreHdr.unpack(kernel.kexec.elfcorehdr())
    return [p for p in header.phdrs if p.p_type == PT_LOAD]


def test_two_nodes_side_by_side_are_two_rows():
    memory = (MemoryRange(2 * GIB, GIB), MemoryRange(3 * GIB, GIB, node=1))
    found = [(hex(p.p_paddr), hex(p.p_memsz)) for p in rows(loaded(memory=memory))[1:]]
    assert found == [
        ("0x80000000", "0x40000000"),
        ("0xc0000000", "0x2fe00000"),
        ("0xffe00000", "0x200000"),
    ]


def test_the_linear_map_begins_2_mib_aligned_below_memory_that_starts_later():
    memory = (MemoryRange(0x80060000, 0x7FFA0000),)
    first = rows(loaded(memory=memory, direct_map_base=0))[1]
    assert (first.p_paddr, first.p_vaddr) == (0x80060000, 0xFFFFAF8000060000)


def test_high_takes_128_mib_of_low_memory_too_and_says_both():
    memory = (MemoryRange(0x80000000, 6 * GIB),)
    kernel = booted(memory=memory, resources=(), crashkernel=(), cmdline="crashkernel=512M,high")
    said = [r.text for r in kernel.log if "reserved" in r.text]
    assert said == [
        "crashkernel low memory reserved: 0xf8000000 - 0x100000000 (128 MB)",
        "crashkernel reserved: 0x00000001dfe00000 - 0x00000001ffe00000 (512 MB)",
    ]
    kernel.kexec.file_load(None, None, b"", ON_CRASH)
    assert [hex(p.p_paddr) for p in rows(kernel)[1:]] == [
        "0x80000000",
        "0x100000000",
        "0x1ffe00000",
    ]


def test_cma_is_not_known():
    kernel = booted(crashkernel=(), cmdline="crashkernel=128M crashkernel=64M,cma")
    assert (kernel.kexec.crashk_res.size, kernel.kexec.crashk_cma_ranges) == (128 << 20, [])


def test_a_block_offline_is_listed_as_before():
    kernel = loaded()
    before = kernel.kexec.elfcorehdr()
    kernel.memory_hotplug.offline(kernel.memory.block(28))
    assert kernel.kexec.elfcorehdr() == before
    kernel.kexec.file_load(None, None, b"", ON_CRASH)
    assert kernel.kexec.elfcorehdr() == before


def test_text_is_einval_and_a_command_line_too_long_says_why():
    kernel = loaded()
    with pytest.raises(KernelError, match="EINVAL"):
        kernel.kexec.file_load(regular(b"hello\n" * 20), None, b"", ON_CRASH)
    with pytest.raises(KernelError, match="EINVAL"):
        kernel.kexec.file_load(None, None, b"x" * 2030, ON_CRASH)
    assert [r.text for r in kernel.log][-2:] == [
        "Appending elfcorehdr=<addr> exceeds cmdline size",
        "Setting up cmdline for kdump kernel failed",
    ]
    assert kernel.kexec.crash_image is None


def test_s390x_is_refused_with_a_sentence():
    from elfcorehdr.arch import arch_of
    from elfcorehdr.errors import ProfileError

    with pytest.raises(ProfileError, match="its capture kernel makes its own header"):
        arch_of("s390x")
