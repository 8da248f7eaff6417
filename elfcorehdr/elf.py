"""The ELF core header as bytes: Elf64_Ehdr, Elf64_Phdr, and both byte orders and classes to read.

Field names and layout are those of include/uapi/linux/elf.h (v6.18). The kernel writes only
ELFCLASS64, ELFDATA2LSB; the reader takes every combination, since captured files may be any.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from elfcorehdr.errors import ElfFormatError
from elfcorehdr.lib.record import NamedTuple, Record, replace

ELFMAG = b"\x7fELF"
ELFCLASS32, ELFCLASS64 = 1, 2
ELFDATA2LSB, ELFDATA2MSB = 1, 2
EV_CURRENT = 1
ET_CORE = 4

EM_S390, EM_PPC64, EM_X86_64, EM_AARCH64, EM_RISCV, EM_LOONGARCH = 22, 21, 62, 183, 243, 258

PT_NULL, PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE, PT_SHLIB, PT_PHDR, PT_TLS = range(8)
PT_GNU_EH_FRAME, PT_GNU_STACK, PT_GNU_RELRO = 0x6474E550, 0x6474E551, 0x6474E552
PF_X, PF_W, PF_R = 1, 2, 4
PN_XNUM = 0xFFFF

EHDR_SIZE = 64
PHDR_SIZE = 56
P_OFFSET, P_PADDR = 8, 24
"""Where these fields lie in an Elf64_Phdr."""

NT_PRSTATUS, NT_GNU_BUILD_ID = 1, 3

PHDR = struct.Struct("<IIQQQQQQ")  # the form the kernel writes
"""Elf64_Phdr, little endian: type, flags, offset, vaddr, paddr, filesz, memsz, align."""

_EHDR = {ELFCLASS32: "HHIIIIIHHHHHH", ELFCLASS64: "HHIQQQIHHHHHH"}
_PHDR = {ELFCLASS32: "IIIIIIII", ELFCLASS64: "IIQQQQQQ"}
_SHDR_INFO = {ELFCLASS32: (40, 28), ELFCLASS64: (64, 44)}  # size of Elf_Shdr, offset of sh_info
_ORDER = {ELFDATA2LSB: "<", ELFDATA2MSB: ">"}


class Phdr(NamedTuple):
    """One program header, fields in Elf64_Phdr order; addresses and sizes in bytes."""

    p_type: int
    p_flags: int
    p_offset: int
    p_vaddr: int
    p_paddr: int
    p_filesz: int
    p_memsz: int
    p_align: int


class Ehdr(Record):
    """The ELF header; what crash_prepare_elf64_headers() leaves zero is zero by default."""

    e_machine: int
    e_phnum: int = 0
    e_type: int = ET_CORE
    e_version: int = EV_CURRENT
    e_entry: int = 0
    e_phoff: int = EHDR_SIZE
    e_shoff: int = 0
    e_flags: int = 0
    e_ehsize: int = EHDR_SIZE
    e_phentsize: int = PHDR_SIZE
    e_shentsize: int = 0
    e_shnum: int = 0
    e_shstrndx: int = 0
    ei_class: int = ELFCLASS64
    ei_data: int = ELFDATA2LSB
    ei_version: int = EV_CURRENT
    ei_osabi: int = 0
    ei_abiversion: int = 0

    def pack(self) -> bytes:
        """The header's bytes (64, or 52 in 32-bit ELF), in its own class and byte order."""
        ident = ELFMAG + bytes(
            (self.ei_class, self.ei_data, self.ei_version, self.ei_osabi, self.ei_abiversion)
        ).ljust(12, b"\0")
        return ident + struct.pack(
            _ORDER[self.ei_data] + _EHDR[self.ei_class],
            self.e_type,
            self.e_machine,
            self.e_version,
            self.e_entry,
            self.e_phoff,
            self.e_shoff,
            self.e_flags,
            self.e_ehsize,
            self.e_phentsize,
            self.e_phnum,
            self.e_shentsize,
            self.e_shnum,
            self.e_shstrndx,
        )


class ElfCoreHdr(Record):
    """An ELF core header: the ELF header and its program headers, in file order."""

    ehdr: Ehdr
    phdrs: tuple[Phdr, ...]

    def pack(self) -> bytes:
        """ELF header, a gap up to e_phoff if there is one, and every program header."""
        order, klass = _ORDER[self.ehdr.ei_data], self.ehdr.ei_class
        row = struct.Struct(order + _PHDR[klass])
        ehdr = replace(self.ehdr, e_phnum=min(len(self.phdrs), PN_XNUM))
        head = ehdr.pack().ljust(ehdr.e_phoff, b"\0")
        if klass == ELFCLASS64:
            return head + b"".join(row.pack(*phdr) for phdr in self.phdrs)
        return head + b"".join(
            row.pack(p[0], p[2], p[3], p[4], p[5], p[6], p[1], p[7]) for p in self.phdrs
        )

    @classmethod
    def unpack(cls, buf: bytes | bytearray | memoryview) -> ElfCoreHdr:
        """Read a header from the start of buf; what lies behind the last program header is ignored.

        With e_phnum PN_XNUM the count is sh_info of section 0. ElfFormatError says what is wrong:
        magic, class, byte order, version, sizes of the tables, or a table that is cut off.
        """
        ehdr = unpack_ehdr(buf)
        return cls(ehdr, tuple(unpack_phdrs(buf, ehdr)))


def unpack_ehdr(buf: bytes | bytearray | memoryview) -> Ehdr:
    """Read the ELF header at the start of buf; ElfFormatError as ElfCoreHdr.unpack()."""
    ident = bytes(buf[:16])
    if ident[:4] != ELFMAG:
        raise ElfFormatError(
            f"offset 0: magic is {ident[:4].hex(' ') or 'missing'}, expected 7f 45 4c 46 (ELF)"
        )
    if len(ident) < 16:
        raise ElfFormatError(f"offset 4: e_ident ends after {len(ident)} bytes, expected 16")
    ei_class, ei_data, ei_version = ident[4], ident[5], ident[6]
    if ei_class not in _EHDR:
        raise ElfFormatError(f"offset 4: EI_CLASS is {ei_class}, expected 1 (32-bit) or 2 (64-bit)")
    if ei_data not in _ORDER:
        raise ElfFormatError(f"offset 5: EI_DATA is {ei_data}, expected 1 (little) or 2 (big)")
    form = struct.Struct(_ORDER[ei_data] + _EHDR[ei_class])
    if len(buf) < 16 + form.size:
        raise ElfFormatError(
            f"offset 16: ELF header ends after {len(buf)} bytes, expected {16 + form.size}"
        )
    (
        e_type,
        e_machine,
        e_version,
        e_entry,
        e_phoff,
        e_shoff,
        e_flags,
        e_ehsize,
        e_phentsize,
        e_phnum,
        e_shentsize,
        e_shnum,
        e_shstrndx,
    ) = form.unpack_from(buf, 16)
    return Ehdr(
        e_machine=e_machine,
        e_phnum=e_phnum,
        e_type=e_type,
        e_version=e_version,
        e_entry=e_entry,
        e_phoff=e_phoff,
        e_shoff=e_shoff,
        e_flags=e_flags,
        e_ehsize=e_ehsize,
        e_phentsize=e_phentsize,
        e_shentsize=e_shentsize,
        e_shnum=e_shnum,
        e_shstrndx=e_shstrndx,
        ei_class=ei_class,
        ei_data=ei_data,
        ei_version=ei_version,
        ei_osabi=ident[7],
        ei_abiversion=ident[8],
    )


def phdr_count(buf: bytes | bytearray | memoryview, ehdr: Ehdr) -> int:
    """Number of program headers, with the PN_XNUM escape resolved through section 0."""
    if ehdr.e_phnum != PN_XNUM or ehdr.e_shoff == 0:
        return ehdr.e_phnum
    size, at = _SHDR_INFO[ehdr.ei_class]
    if ehdr.e_shoff + size > len(buf):
        raise ElfFormatError(
            f"offset {ehdr.e_shoff:#x}: section 0, which holds the program header count, "
            f"lies beyond the end ({len(buf)} bytes)"
        )
    (count,) = struct.unpack_from(_ORDER[ehdr.ei_data] + "I", buf, ehdr.e_shoff + at)
    return int(count)


def unpack_phdrs(buf: bytes | bytearray | memoryview, ehdr: Ehdr) -> list[Phdr]:
    """Read every program header that ehdr announces; ElfFormatError if the table is cut off."""
    count = phdr_count(buf, ehdr)
    if not count:
        return []
    size = phdr_size(ehdr)
    end = ehdr.e_phoff + count * size
    if end > len(buf):
        have = max(0, len(buf) - ehdr.e_phoff) // size
        raise ElfFormatError(
            f"offset {ehdr.e_phoff:#x}: {count} program headers announced, "
            f"but only {have} lie before the end ({len(buf)} bytes)"
        )
    return unpack_phdr_table(memoryview(buf)[ehdr.e_phoff : end], ehdr)


def phdr_size(ehdr: Ehdr) -> int:
    """Bytes of one program header: 56, or 32 in 32-bit ELF; ElfFormatError if e_phentsize differs."""
    size = {ELFCLASS32: 32, ELFCLASS64: PHDR_SIZE}[ehdr.ei_class]
    if ehdr.e_phentsize != size:
        raise ElfFormatError(
            f"e_phentsize is {ehdr.e_phentsize}, expected {size} for this ELF class"
        )
    return size


def unpack_phdr_table(table: bytes | bytearray | memoryview, ehdr: Ehdr) -> list[Phdr]:
    """Read a table of whole program headers in ehdr's class and byte order."""
    rows = struct.Struct(_ORDER[ehdr.ei_data] + _PHDR[ehdr.ei_class]).iter_unpack(table)
    if ehdr.ei_class == ELFCLASS64:
        return list(map(Phdr._make, rows))
    return [Phdr(t, f, off, va, pa, fsz, msz, al) for t, off, va, pa, fsz, msz, f, al in rows]


def pack_phdrs(phdrs: Iterable[Sequence[int]]) -> bytes:
    """The bytes of Elf64 little-endian program headers, one after the other."""
    pack = PHDR.pack
    return b"".join([pack(*phdr) for phdr in phdrs])


def gnu_build_id(notes: bytes) -> str:
    """The build ID among notes, in hex; empty without one."""
    at = 0
    while at + 12 <= len(notes):
        namesz, descsz, type_ = struct.unpack_from("<3I", notes, at)
        desc = at + 12 + -(-namesz // 4) * 4
        if type_ == NT_GNU_BUILD_ID and notes[at + 12 : at + 16] == b"GNU\0":
            return notes[desc : desc + descsz].hex()
        at = desc + -(-descsz // 4) * 4
    return ""
