"""A C library for the run, of the guest's own: its system calls reach the emulated kernel, its page size is the machine's.

qemu-user answers the calls that it does not know with ENOSYS by itself: nobody outside hears of them. So
in a copy of the library, which lies over the one of the tree, the instruction that makes the call in
syscall(2)'s function (and in the wrappers of such calls) branches to code behind the library's own. For a
number of the guest's table that code puts number and arguments into a block on the stack and makes a call
which qemu-user does hand to the host: reboot(KNOCK, 1, LINUX_REBOOT_CMD_RESTART2, block). The
supervisor answers every reboot(2) of a run, and this one as the call that is in the block. The
caller is the thread itself, whatever was forked or started before; registers and flags are as the
kernel leaves them.

As for the page size: qemu-user emulates with the host's pages, and rightly says so in AT_PAGESZ
(linux-user/elfload.c): a dynamic linker or a malloc() with a larger number would take what mmap(2)
gives for aligned to it, and what lies behind a file's end for readable. But who asks getpagesize()
or sysconf() asks about the machine: kexec(8) lays out segments by it. So that one function is replaced.

Programs that bring their own copy of these functions (static ones) are traced instead (tracer.py).
"""

from __future__ import annotations

import os
import struct

from elfcorehdr.lib.record import Record
from fsmount.foreign.guests import Guest, elf_machine

HOST_PAGE = os.sysconf("SC_PAGE_SIZE")
KNOCK, RESTART2 = 0x6B64756D, 0xA1B2C3D4
"""The first and the third argument of the reboot(2) that is another call."""
BLOCK = struct.Struct("<9Q")
"""KNOCK; the block's address as the guest has it; the call's number; its arguments."""
_ROOM = 96
"""Of the stack, for a block."""
_FUNCTIONS = (b"syscall", b"init_module", b"finit_module", b"kexec_load", b"kexec_file_load")
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
    if elf_machine(data) != guest.elf or guest.machine not in _CODE or len(data) > MOST_BYTES:
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
    stub, step, call_instructions = _CODE[guest.machine]
    code = b""
    for name in _FUNCTIONS:
        value, size, _ = functions.get(name, (0, 0, 0))
        start = _offset(segments, value) if size else 0
        for at in range(start, start + size - 3, step):
            instruction = int.from_bytes(data[at : at + 4], "little")
            if instruction not in call_instructions:
                continue
            site, target = value + at - start, vaddr + len(code)
            branch = _branch(guest.machine, target - site)
            words = stub(guest, instruction, target, site + 4)
            if branch is None or words is None:
                return None
            struct.pack_into("<I", data, at, branch)
            code += struct.pack(f"<{len(words)}I", *words)
    if not code:
        return None
    if page_size != HOST_PAGE and _GETPAGESIZE in functions:
        _replace_getpagesize(data, segments, functions[_GETPAGESIZE], guest.machine, page_size)
    ours = _Segment(_PT_LOAD, 5, offset, vaddr, vaddr, len(code), len(code), _ALIGN)
    segments.insert(loads[-1] + 1, ours)
    segments.remove(segments[notes[0] + (notes[0] > loads[-1])])
    data[phoff : phoff + phnum * _PHDR.size] = b"".join(segment.packed() for segment in segments)
    return bytes(data.ljust(offset, b"\0")) + code


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


# The code: what the branch at a call leads to. An instruction is a number.


def _branch(machine: str, distance: int) -> int | None:
    """A jump that far; None if it does not reach."""
    match machine:
        case "ppc64le":
            return 0x48000000 | distance & 0x3FFFFFC if -(1 << 25) <= distance < 1 << 25 else None
        case "aarch64":
            reaches = -(1 << 27) <= distance < 1 << 27
            return 0x14000000 | distance >> 2 & 0x3FFFFFF if reaches else None
        case _:
            if not -(1 << 20) <= distance < 1 << 20:
                return None
            bits = (distance >> 20 & 1) << 31 | (distance >> 1 & 0x3FF) << 21
            return 0x6F | bits | (distance >> 11 & 1) << 20 | (distance >> 12 & 0xFF) << 12


def _ppc64le(guest: Guest, call: int, here: int, back: int) -> list[int] | None:
    """r0 is the number, r3 to r8 are the arguments; below the stack pointer are 288 bytes for anybody."""
    numbers = sorted(guest.syscalls.values())
    words = []
    for at, number in enumerate(numbers):
        words += [
            0x28200000 | number,
            0x41820000 | 4 * (2 * (len(numbers) - at) + 1),
        ]  # cmpldi r0; beq
    words.append(call)
    words.append(_branch("ppc64le", back - here - 4 * len(words)) or 0)
    words += [
        0x38000000 | 10 << 21 | 1 << 16 | -_ROOM & 0xFFFF,  # addi r10,r1,-_ROOM
        0x3C000000 | 9 << 21 | KNOCK >> 16,  # lis r9
        0x60000000 | 9 << 21 | 9 << 16 | KNOCK & 0xFFFF,  # ori r9,r9
    ]
    for at, register in enumerate((9, 10, 0, 3, 4, 5, 6, 7, 8)):
        words.append(0xF8000000 | register << 21 | 10 << 16 | 8 * at)  # std
    words += [
        0x7C000378 | 9 << 21 | 3 << 16 | 9 << 11,  # mr r3,r9
        0x38800001,  # li r4,1
        0x38A00000,  # li r5,0
        0x64000000 | 5 << 21 | 5 << 16 | RESTART2 >> 16,  # oris r5,r5
        0x60000000 | 5 << 21 | 5 << 16 | RESTART2 & 0xFFFF,  # ori r5,r5
        0x7C000378 | 10 << 21 | 6 << 16 | 10 << 11,  # mr r6,r10
        0x38000000 | guest.reboot,  # li r0
        call,
    ]
    words.append(_branch("ppc64le", back - here - 4 * len(words)) or 0)
    return words


def _aarch64(guest: Guest, call: int, here: int, back: int) -> list[int] | None:
    """x8 is the number, x0 to x5 are the arguments; all but x0 stay; x16 and x17 are a linker's to change."""
    numbers = sorted(guest.syscalls.values())
    words = []
    for at, number in enumerate(numbers):
        far = 2 * (len(numbers) - at) + 1
        words += [0xF100001F | number << 10 | 8 << 5, 0x54000000 | far << 5]  # cmp x8; b.eq
    words.append(call)
    words.append(_branch("aarch64", back - here - 4 * len(words)) or 0)

    def load(register: int, value: int) -> list[int]:  # movz; movk
        return [
            0xD2800000 | (value & 0xFFFF) << 5 | register,
            0xF2A00000 | value >> 16 << 5 | register,
        ]

    sp = 31
    words += [0xD1000000 | _ROOM << 10 | sp << 5 | sp]  # sub sp,sp
    words += [*load(16, KNOCK), 0x91000000 | sp << 5 | 17]  # add x17,sp,0
    for at, register in enumerate((16, 17, 8, 0, 1, 2, 3, 4, 5)):
        words.append(0xF9000000 | at << 10 | sp << 5 | register)  # str
    words += [*load(0, KNOCK), *load(1, 1), *load(2, RESTART2), 0x91000000 | sp << 5 | 3]
    words += [*load(8, guest.reboot), call]
    for at, register in ((2, 8), (4, 1), (5, 2), (6, 3)):
        words.append(0xF9400000 | at << 10 | sp << 5 | register)  # ldr
    words.append(0x91000000 | _ROOM << 10 | sp << 5 | sp)  # add sp,sp
    words.append(_branch("aarch64", back - here - 4 * len(words)) or 0)
    return words


def _riscv64(guest: Guest, call: int, here: int, back: int) -> list[int] | None:
    """a7 is the number, a0 to a5 are the arguments; all but a0 stay; t6 holds nothing in these functions."""
    sp, t6, a0, a7 = 2, 31, 10, 17

    def addi(to: int, register: int, value: int) -> int:
        return 0x13 | to << 7 | register << 15 | (value & 0xFFF) << 20

    def store(register: int, at: int) -> int:  # sd register,at(sp)
        return 0x3023 | sp << 15 | register << 20 | (at & 0x1F) << 7 | at >> 5 << 25

    def load(register: int, value: int) -> list[int]:  # lui; addi; slli 32; srli 32
        shift = 0x13 | register << 7 | register << 15 | 32 << 20
        upper = (value + 0x800) >> 12 & 0xFFFFF
        lui = 0x37 | register << 7 | upper << 12
        return [lui, addi(register, register, value), shift | 1 << 12, shift | 5 << 12]

    numbers = sorted(guest.syscalls.values())
    words = []
    for at, number in enumerate(numbers):
        far = 4 * (2 * (len(numbers) - at) + 1)
        words.append(addi(t6, a7, -number))
        words.append(0x63 | t6 << 15 | (far >> 1 & 0xF) << 8 | (far >> 5 & 0x3F) << 25)  # beqz t6
    ends = _branch("riscv64", back - here - 4 * (len(words) + 1))
    words += [call, ends or 0, addi(sp, sp, -_ROOM)]
    words += [*load(t6, KNOCK), store(t6, 0), addi(t6, sp, 0)]
    for at, register in enumerate((t6, a7, *range(a0, a0 + 6)), 1):
        words.append(store(register, 8 * at))
    words += [*load(a0, KNOCK), addi(a0 + 1, 0, 1), *load(a0 + 2, RESTART2), addi(a0 + 3, sp, 0)]
    words += [addi(a7, 0, guest.reboot), call]
    for at, register in ((2, a7), (4, a0 + 1), (5, a0 + 2), (6, a0 + 3)):
        words.append(0x3003 | register << 7 | sp << 15 | 8 * at << 20)  # ld
    words.append(addi(sp, sp, _ROOM))
    ends_too = _branch("riscv64", back - here - 4 * len(words))
    words.append(ends_too or 0)
    return words if ends and ends_too else None


_CODE = {
    "ppc64le": (_ppc64le, 4, (0x44000002, 0x44000001)),  # sc, scv 0
    "aarch64": (_aarch64, 4, (0xD4000001,)),  # svc 0
    "riscv64": (_riscv64, 2, (0x00000073,)),  # ecall
}
"""By guest: the code, how instructions are aligned, and those that make a system call."""
