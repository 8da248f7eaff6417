"""A C library for the run, of the guest's own: its system calls reach the emulated kernel, its page size is the machine's.

qemu-user answers the calls that it does not know with ENOSYS by itself: nobody outside hears of them. So
in a copy of the library, which lies over the one of the tree, the instruction that makes the call in
syscall(2)'s function (and in the wrappers of such calls) branches to code behind the library's own. That code (code.py) makes a reboot(2) of the calls of the guest's table, which the
supervisor answers as what they are. The caller is the thread itself, whatever was forked before.

As for the page size: qemu-user emulates with the host's pages, and rightly says so in AT_PAGESZ
(linux-user/elfload.c): a dynamic linker or a malloc() with a larger number would take what mmap(2)
gives for aligned to it, and what lies behind a file's end for readable. But who asks getpagesize()
or sysconf() asks about the machine: kexec(8) lays out segments by it. So that one function is replaced.

Programs that bring their own copy of these functions (static ones) are changed when they start (tracer.py).
"""

from __future__ import annotations

import os
import struct

from elfcorehdr.lib.record import Record
from fsmount.foreign import code
from fsmount.foreign.guests import Guest, elf_machine

HOST_PAGE = os.sysconf("SC_PAGE_SIZE")
_FUNCTIONS = (
    b"syscall",
    b"klogctl",
    b"init_module",
    b"finit_module",
    b"delete_module",
    b"kexec_load",
    b"kexec_file_load",
)
_GETPAGESIZE = b"getpagesize"
_EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
_PHDR = struct.Struct("<IIQQQQQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_STT_FUNC = 2
_PT_LOAD, _PT_DYNAMIC, _PT_NOTE = 1, 2, 4
_DT_STRTAB, _DT_SYMTAB, _DT_STRSZ = 5, 6, 10
_ALIGN = 1 << 16
"""The largest page there is."""
MOST_BYTES = 1 << 24
"""A C library is no longer than this."""


class _Segment(Record):
    type_: int
    flags: int
    offset: int
    vaddr: int
    paddr: int
    filesz: int
    memsz: int
    align: int

    def packed(self) -> bytes:
        return _PHDR.pack(
            self.type_, self.flags, self.offset, self.vaddr, self.paddr, self.filesz, self.memsz,
            self.align,
        )  # fmt: skip


def places(guest: Guest) -> tuple[str, ...]:
    """Where distributions have a C library for a guest, from the root on."""
    triplet = {"ppc64le": "powerpc64le"}.get(guest.machine, guest.machine)
    directories = (f"lib/{triplet}-linux-gnu", "lib64", "lib64/lp64d", "lib")
    glibc = (f"{top}{at}/libc.so.6" for at in directories for top in ("usr/", ""))
    musl = (f"{top}lib/ld-musl-{triplet}.so.1" for top in ("", "usr/"))
    return (*glibc, *musl)


def adapted(data: bytes, guest: Guest, page_size: int) -> bytes | None:
    """The library's bytes for the run; None if it is not made as one knows them, and stays as it is."""
    if elf_machine(data) != guest.elf or len(data) > MOST_BYTES:
        return None
    try:
        return _adapted(bytearray(data), guest, page_size)
    except (struct.error, IndexError, OverflowError):
        return None


def _adapted(data: bytearray, guest: Guest, page_size: int) -> bytes | None:
    header = list(_EHDR.unpack_from(data))
    phoff, phnum = header[5], header[10]
    segments = [_Segment(*_PHDR.unpack_from(data, phoff + n * _PHDR.size)) for n in range(phnum)]
    loads = [at for at, segment in enumerate(segments) if segment.type_ == _PT_LOAD]
    notes = [at for at, segment in enumerate(segments) if segment.type_ == _PT_NOTE]
    functions = _functions(data, segments)
    if not loads or not notes or b"syscall" not in functions:
        return None
    # A segment of our own takes a note's row: notes are for those who look at files.
    vaddr = _up(segments[loads[-1]].vaddr + segments[loads[-1]].memsz)
    offset = _up(len(data))
    made = b""
    for name in _FUNCTIONS:
        value, size, _ = functions.get(name, (0, 0, 0))
        start = _offset(segments, value) if size else 0
        for at in code.calls(guest.machine, bytes(data[start : start + size])):
            more = code.redirect(guest, data, start + at, value + at, vaddr + len(made))
            if more is None:
                return None
            made += more
    if not made:
        return None
    if page_size != HOST_PAGE and _GETPAGESIZE in functions:
        _replace_getpagesize(data, segments, functions[_GETPAGESIZE], guest.machine, page_size)
    ours = _Segment(_PT_LOAD, 5, offset, vaddr, vaddr, len(made), len(made), _ALIGN)
    segments.insert(loads[-1] + 1, ours)
    segments.remove(segments[notes[0] + (notes[0] > loads[-1])])
    data[phoff : phoff + phnum * _PHDR.size] = b"".join(segment.packed() for segment in segments)
    return bytes(data.ljust(offset, b"\0")) + made


def _up(number: int) -> int:
    return (number + _ALIGN - 1) & ~(_ALIGN - 1)


def _offset(segments: list[_Segment], vaddr: int) -> int:
    """Where in the file an address is. IndexError."""
    for segment in segments:
        if segment.type_ == _PT_LOAD and 0 <= vaddr - segment.vaddr < segment.filesz:
            return vaddr - segment.vaddr + segment.offset
    raise IndexError


def _functions(data: bytearray, segments: list[_Segment]) -> dict[bytes, tuple[int, int, int]]:
    """Value, size and st_other of the functions that matter, of the dynamic symbols."""
    tags: dict[int, int] = {}
    for segment in segments:
        if segment.type_ == _PT_DYNAMIC:
            end = segment.offset + segment.filesz // 16 * 16
            tags = dict(struct.iter_unpack("<QQ", data[segment.offset : end]))
    if not tags.keys() >= {_DT_SYMTAB, _DT_STRTAB, _DT_STRSZ}:
        return {}
    table = _offset(segments, tags[_DT_SYMTAB])
    strings = _offset(segments, tags[_DT_STRTAB])
    names = bytes(data[strings : strings + tags[_DT_STRSZ]])
    found = {}
    end = table + max(strings - table, 0) // _SYMBOL.size * _SYMBOL.size
    for at, info, other, _, value, size in _SYMBOL.iter_unpack(data[table:end]):
        name = names[at : names.find(b"\0", at)]  # may be the end of a longer one
        if info & 0xF == _STT_FUNC and (name in _FUNCTIONS or name == _GETPAGESIZE):
            found[name] = value, size, other
    return found


def _replace_getpagesize(
    data: bytearray,
    segments: list[_Segment],
    function: tuple[int, int, int],
    machine: str,
    size: int,
) -> None:
    value, room, other = function
    high, low = size >> 16, size & 0xFFFF
    match machine:
        case (
            "ppc64le"
        ):  # lis or li r3; blr. Behind the global entry point, which makes r2 for others' calls.
            value += 1 << (other >> 5) if other >> 5 > 1 else 0
            words = (0x3C600000 | high if high else 0x38600000 | low, 0x4E800020, 0)
        case "aarch64":  # bti c; movz x0; ret
            load = 0xD2A00000 | high << 5 if high else 0xD2800000 | low << 5
            words = (0xD503245F, load, 0xD65F03C0)
        case _:  # all its machines have 4 KiB pages
            return
    if room >= 16:
        struct.pack_into(f"<{len(words)}I", data, _offset(segments, value), *words)
