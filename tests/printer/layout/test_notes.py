"""The contents of PT_NOTEs."""

from __future__ import annotations

import struct

import pytest

from elfcorehdr.elf import EM_AARCH64, EM_PPC64, EM_X86_64, Ehdr, ElfCoreHdr, Phdr
from elfcorehdr.errors import ElfFormatError
from printer import notes_of, read
from tests.headers import VMCORE, elf_of, packed


def test_notes_of_a_real_vmcore():
    core = read(str(VMCORE), notes=True)
    status, info = notes_of(core)
    assert (status.name, status.type_name, status.cpu, status.pid) == ("CORE", "NT_PRSTATUS", 0, 1)
    registers = dict(status.registers)
    assert len(registers) == 27
    kernel = next(p for p in core.phdrs if p.p_vaddr == 0xFFFFFFFF81000000)
    assert kernel.p_vaddr <= registers["ip"] < kernel.p_vaddr + kernel.p_memsz
    assert registers["cs"] == 0x10  # __KERNEL_CS, arch/x86/include/asm/segment.h
    assert info.name == "VMCOREINFO"
    assert info.text.startswith("OSRELEASE=7.3.4+deb13-amd64\n")
    assert "\nCRASHTIME=" in info.text


def prstatus(order, pid, registers):
    desc = struct.pack(order + "iii h xx QQ iiii", 0, 0, 0, 0, 0, 0, pid, 0, 0, 0)
    desc = desc.ljust(112, b"\0") + struct.pack(f"{order}{len(registers)}Q", *registers) + bytes(8)
    return struct.pack(order + "III", 5, len(desc), 1) + b"CORE\0\0\0\0" + desc


@pytest.mark.parametrize(
    ("machine", "count", "ip"),
    [(EM_PPC64, 48, "nip"), (EM_AARCH64, 34, "pc"), (EM_X86_64, 27, "ip")],
)
@pytest.mark.parametrize("order", [1, 2])
def test_registers_are_read_in_either_byte_order(tmp_path, machine, count, ip, order):
    body = prstatus("<>"[order - 1], 4711, range(1000, 1000 + count))
    head = elf_of(2, order, (Phdr(4, 0, 0x1000, 0, 0, len(body), len(body), 4),), machine)
    path = tmp_path / "core"
    path.write_bytes(head.ljust(0x1000, b"\0") + body)
    (status,) = notes_of(read(str(path), notes=True))
    assert status.pid == 4711
    registers = dict(status.registers)
    assert registers[ip] == 1000 + {"nip": 32, "pc": 32, "ip": 16}[ip]
    assert "-" not in registers


def test_note_without_a_name_ends_the_segment(tmp_path):
    body = prstatus("<", 1, range(48)) + bytes(12) + b"\xff" * 40
    head = packed(Phdr(4, 0, 0x1000, 0, 0, len(body), len(body), 4))
    path = tmp_path / "core"
    path.write_bytes(head.ljust(0x1000, b"\0") + body)
    assert len(notes_of(read(str(path), notes=True))) == 1


@pytest.mark.parametrize(
    ("namesz", "descsz"), [(5, 4096), (4096, 0), (2**32 - 1, 2**32 - 1), (5, 2**32 - 1)]
)
def test_note_that_lies_about_its_size_is_an_error(tmp_path, namesz, descsz):
    body = struct.pack("<III", namesz, descsz, 1) + bytes(64)
    path = tmp_path / "core"
    head = packed(Phdr(4, 0, 0x1000, 0, 0, len(body), len(body), 4))
    path.write_bytes(head.ljust(0x1000, b"\0") + body)
    with pytest.raises(ElfFormatError, match=r"program header 0x0: byte 0x0: n_namesz"):
        notes_of(read(str(path), notes=True))


def test_process_core_notes_have_names_of_types(tmp_path):
    body = struct.pack("<III", 5, 4, 6) + b"CORE\0\0\0\0" + bytes(4)
    head = ElfCoreHdr(Ehdr(EM_X86_64), (Phdr(4, 0, 0x1000, 0, 0, len(body), len(body), 4),)).pack()
    path = tmp_path / "core"
    path.write_bytes(head.ljust(0x1000, b"\0") + body)
    assert [n.type_name for n in notes_of(read(str(path), notes=True))] == ["NT_AUXV"]
