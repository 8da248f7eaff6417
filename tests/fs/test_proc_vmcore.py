"""/proc/vmcore as a file: every piece is a piece of the whole, and sums of u64 wrap as the kernel's do."""

from __future__ import annotations

import random

import pytest

from elfcorehdr import profiles
from elfcorehdr.elf import PT_NOTE, ElfCoreHdr
from elfcorehdr.fs.proc.vmcore import ProcVmcore
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.kexec_file import KEXEC_FILE_ON_CRASH
from elfcorehdr.mm.memory_hotplug import MemoryHotplug
from tests.crashed import crashed


def test_any_read_is_a_piece_of_the_whole():
    vmcore = crashed("pseries-4g").vmcore
    whole = vmcore.read(0, 1 << 21)
    pick = random.Random(12)
    for _ in range(300):
        at, size = pick.randrange(1 << 21), pick.randrange(1, 1 << 17)
        assert vmcore.read(at, size)[: (1 << 21) - at] == whole[at : at + size]


@pytest.mark.parametrize("machine", ["pc-2g", "pc-numa2-6g", "pseries-16g", "riscv64-virt-2g"])
def test_a_byte_of_each_load_is_that_of_memory(machine):
    kernel = crashed(machine)
    vmcore, mem = kernel.vmcore, kernel.memory_image.mem
    old = {p.p_paddr: p for p in ElfCoreHdr.unpack(vmcore.elfcorehdr).phdrs if p.p_type != PT_NOTE}
    for p in vmcore.header.phdrs[1:]:
        for at in (0, p.p_memsz // 2, p.p_memsz - 1):
            assert vmcore.read(p.p_offset + at, 1) == mem.read(old[p.p_paddr].p_offset + at, 1)


def test_at_and_behind_the_end_there_is_nothing():
    vmcore = crashed("pseries-4g").vmcore
    assert len(vmcore.read(vmcore.size - 1, 100)) == 1
    assert vmcore.read(vmcore.size, 1) == b""
    assert vmcore.read(vmcore.size + (1 << 40), 1) == b""


def test_a_size_that_wraps_at_2_to_the_64_wraps():
    """6.18.0 with blocks 30 and 40 offline: split, the rest's size is negative (SPLIT_NOT_WRAPPED)."""
    kernel = Kernel.boot(profiles.load("pseries-16g"), "6.18.0")
    kernel.kexec.file_load(None, None, b"", KEXEC_FILE_ON_CRASH)
    hotplug: MemoryHotplug = kernel.memory_hotplug
    for n in (30, 40):
        hotplug.offline(kernel.memory.block(n))
    kernel.panic.sysrq("c")
    vmcore = kernel.vmcore
    loads = vmcore.header.phdrs[1:]
    assert max(p.p_memsz for p in loads) > 1 << 63
    assert all(0 <= p.p_offset < 1 << 64 for p in loads)
    assert 0 <= vmcore.size < 1 << 64
    assert vmcore.read(loads[0].p_offset, 16) == kernel.memory_image.mem.read(0, 16)


def test_a_header_without_elf_magic_gives_no_vmcore():
    kernel = Kernel.boot(profiles.load("pseries-4g"))
    kernel.kexec.file_load(None, None, b"", KEXEC_FILE_ON_CRASH)
    kernel.kexec.crash_image.elfcorehdr().content[:4] = b"nope"
    kernel.panic.sysrq("c")
    assert kernel.vmcore is None
    assert [r.text for r in kernel.log][-1] == "Kdump: vmcore not initialized"


def test_empty_notes_are_counted():
    read = crashed("pseries-4g").memory_image.mem.read
    kernel = crashed("pseries-4g")
    made = ProcVmcore(kernel.vmcore.elfcorehdr, kernel.page_size, read)
    machine = profiles.load("pseries-4g")
    possible, online = len(machine.possible_cpus), len(machine.online_cpus)
    assert made.empty_notes == possible - online
