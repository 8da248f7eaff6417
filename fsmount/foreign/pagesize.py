"""The machine's page size for a guest's program, where it is not the host's.

qemu-user emulates with the host's pages, and rightly says so in AT_PAGESZ (linux-user/elfload.c): a
dynamic linker or a malloc() with a larger number would take what mmap(2) gives for aligned to it,
and what lies behind a file's end for readable. But who asks getpagesize() or sysconf() asks about
the machine: kexec(8) lays out segments by it. So that one function of the C library is replaced in
the program's memory when the libraries are in place: at the first prlimit64(2), which
__libc_early_init() makes after all relocations and before any code of the program.
"""

from __future__ import annotations

import os
import struct

from elfcorehdr.lib.record import Record

HOST = os.sysconf("SC_PAGE_SIZE")
_SYMBOL = struct.Struct("<IBBHQQ")
_PHDR = struct.Struct("<IIQQQQQQ")
_PT_DYNAMIC, _DT_STRTAB, _DT_SYMTAB, _DT_STRSZ = 2, 5, 6, 10
_NAME = b"getpagesize\0"
_ALIGN, _MOST_TEXT = 1 << 16, 1 << 24
"""Libraries are aligned to the largest page there is; a C library's text is no longer than this."""
_MOST_SYMBOLS, _MOST_STRINGS = 1 << 14, 1 << 20


class Code(Record):
    """A function that returns a number: instructions, and how far behind the symbol they go."""

    words: tuple[int, ...]
    local_entry: bool = False
    """Behind powerpc's global entry point, which makes r2 for calls from other modules."""


def code(machine: str, size: int) -> Code | None:
    """getpagesize() for a guest. None where all machines of an architecture have 4 KiB pages."""
    high, low = size >> 16, size & 0xFFFF
    match machine:
        case "ppc64le":  # lis or li r3; blr
            load = 0x3C600000 | high if high else 0x38600000 | low
            return Code((load, 0x4E800020), local_entry=True)
        case "aarch64":  # bti c; movz x0; ret
            load = 0xD2A00000 | high << 5 if high else 0xD2800000 | low << 5
            return Code((0xD503245F, load, 0xD65F03C0))
    return None


_known: dict[bytes, tuple[int, int] | None] = {}
"""By a C library's first bytes, which have its build ID: where the function is, and st_other."""


def replace_getpagesize(pid: int, pc: int, made: Code) -> None:
    """Replace it in a process that is stopped in its C library. OSError if that cannot be done.

    The instructions that qemu-user has made of the old ones are gone: it forgets all at each stop.
    """
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        fd = memory.fileno()
        base = _base(fd, pc)
        if base is None:
            return
        head = os.pread(fd, 1024, base)
        if head not in _known:
            _known[head] = _find(fd, base, head)
        found = _known[head]
        if found is None:
            return
        value, other = found
        at = base + value
        if made.local_entry and other >> 5 > 1:
            at += 1 << (other >> 5)  # PPC64_LOCAL_ENTRY_OFFSET()
        os.pwrite(fd, struct.pack(f"<{len(made.words)}I", *made.words), at)


def _base(fd: int, pc: int) -> int | None:
    """Where the ELF file begins whose code pc is in."""
    top = pc & ~(_ALIGN - 1)
    for at in range(top, max(top - _MOST_TEXT, 0), -_ALIGN):
        if os.pread(fd, 4, at) == b"\x7fELF":
            return at
    return None


def _find(fd: int, base: int, head: bytes) -> tuple[int, int] | None:
    """The value and st_other of the dynamic symbol, if it has room for three instructions."""
    phoff, phnum = struct.unpack_from("<Q", head, 32)[0], struct.unpack_from("<H", head, 56)[0]
    tags: dict[int, int] = {}
    for at in range(min(phnum, 64)):
        row = os.pread(fd, _PHDR.size, base + phoff + at * _PHDR.size)
        type_, _, _, vaddr, _, _, memsz, _ = _PHDR.unpack(row)
        if type_ == _PT_DYNAMIC:
            data = os.pread(fd, min(memsz, 4096) & ~15, base + vaddr)
            tags = dict(struct.iter_unpack("<QQ", data))
    if not tags.keys() >= {_DT_SYMTAB, _DT_STRTAB, _DT_STRSZ}:
        return None
    table, strings = (
        at if at >= base else at + base for at in (tags[_DT_SYMTAB], tags[_DT_STRTAB])
    )
    count = (strings - table) // _SYMBOL.size
    if not 0 < count <= _MOST_SYMBOLS:
        return None
    names = os.pread(fd, min(tags[_DT_STRSZ], _MOST_STRINGS), strings)
    for name, _, other, _, value, size in _SYMBOL.iter_unpack(
        os.pread(fd, count * _SYMBOL.size, table)
    ):
        if size >= 12 and names.startswith(_NAME, name):
            return value, other
    return None
