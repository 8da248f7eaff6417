"""Machine code that makes a call that qemu-user does not know of one that it does, for each guest.

An instruction that makes a system call is replaced by a branch to such code. For a number of the guest's
table it puts number and arguments into a block on the stack and calls
reboot(KNOCK, 1, LINUX_REBOOT_CMD_RESTART2, block), which qemu-user hands to the host; for
any other it makes the call that was there. Then it goes back, with registers and flags as the kernel
leaves them. Written by the architectures' manuals; an instruction is a number, its text is beside it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from fsmount.foreign.guests import Guest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

KNOCK, RESTART2 = 0x6B64756D, 0xA1B2C3D4
"""The first and the third argument of the reboot(2) that is another call."""
BLOCK = struct.Struct("<9Q")
"""KNOCK; the block's address as the guest has it; the call's number; its arguments."""
_ROOM = 96
"""Of the stack, for a block."""
_FAR = 128
"""Bytes before a call among which its number is set."""


def calls(machine: str, text: bytes) -> Iterator[int]:
    """Offsets of the instructions that make system calls and can be replaced."""
    step, instructions, _, _ = _KINDS[machine]
    for instruction in instructions:
        at = text.find(instruction)
        while at >= 0:
            if at % step == 0:
                yield at
            at = text.find(instruction, at + 1)


def wanted(guest: Guest, text: bytes | bytearray, at: int) -> bool:
    """Whether the call at an offset is one of the table's, or of any number that a caller hands over as syscall(2) gets it.

    glibc's __syscall_cancel_arch() has the number in another register, and must stay where its signal handler looks for it.
    """
    step, _, _, number_set = _KINDS[guest.machine]
    numbers = guest.syscalls.values()
    for before in range(at - step, max(at - _FAR, 0) - 1, -step):
        number = number_set(bytes(text[before : before + 4]))
        if number is not None:
            return number < 0 or number in numbers
    return False


def redirect(guest: Guest, text: bytearray, offset: int, address: int, target: int) -> bytes | None:
    """Replace the call in text at an offset, which is at an address; the code that must be put at target.

    None where a branch does not reach that far.
    """
    _, instructions, make, _ = _KINDS[guest.machine]
    size = len(instructions[0])
    call = bytes(text[offset : offset + size])
    there = _branch(guest.machine, target - address)
    made = make(guest, call, target, address + size)
    if there is None or made is None:
        return None
    text[offset : offset + size] = there.ljust(size, b"\x90")  # x86's nop; others have one size
    return made


def _word(number: int | None) -> bytes | None:
    return None if number is None else number.to_bytes(4, "little")


def _branch(machine: str, distance: int) -> bytes | None:
    """A jump that far; None if it does not reach."""
    match machine:
        case "ppc64le":  # b
            reaches = -(1 << 25) <= distance < 1 << 25
            return _word(0x48000000 | distance & 0x3FFFFFC) if reaches else None
        case "aarch64":  # b
            reaches = -(1 << 27) <= distance < 1 << 27
            return _word(0x14000000 | distance >> 2 & 0x3FFFFFF) if reaches else None
        case "riscv64":  # jal x0
            if not -(1 << 20) <= distance < 1 << 20:
                return None
            bits = (distance >> 20 & 1) << 31 | (distance >> 1 & 0x3FF) << 21
            return _word(0x6F | bits | (distance >> 11 & 1) << 20 | (distance >> 12 & 0xFF) << 12)
        case _:  # jmp rel32
            reaches = -(1 << 31) <= distance - 5 < 1 << 31
            return b"\xe9" + (distance - 5).to_bytes(4, "little", signed=True) if reaches else None


def _assembled(machine: str, words: list[int], here: int, back: int) -> bytes | None:
    """Words as bytes; a None among them is a branch back."""
    made = b""
    for word in words:
        part = _word(word) if word >= 0 else _branch(machine, back - here - len(made))
        if part is None:
            return None
        made += part
    return made


_BACK = -1


def _ppc64le(guest: Guest, call: bytes, here: int, back: int) -> bytes | None:
    """r0 is the number, r3 to r8 are the arguments; below the stack pointer are 288 bytes for anybody."""
    original = int.from_bytes(call, "little")
    numbers = sorted(guest.syscalls.values())
    words = []
    for at, number in enumerate(numbers):
        far = 4 * (2 * (len(numbers) - at) + 1)
        words += [0x28200000 | number, 0x41820000 | far]  # cmpldi r0; beq
    words += [
        original,
        _BACK,
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
        original,
        _BACK,
    ]
    return _assembled("ppc64le", words, here, back)


def _ppc64le_number(instruction: bytes) -> int | None:
    word = int.from_bytes(instruction, "little")
    if word >> 16 == 0x3800:  # li r0
        return word & 0xFFFF
    moved = word & 0xFC1F07FF == 0x7C000378 and word >> 21 & 31 == word >> 11 & 31  # mr r0
    return -1 if moved and word >> 21 & 31 != 4 else None


def _aarch64(guest: Guest, call: bytes, here: int, back: int) -> bytes | None:
    """x8 is the number, x0 to x5 are the arguments; all but x0 stay; x16 and x17 are a linker's to change."""

    def load(register: int, value: int) -> list[int]:  # movz; movk
        low, high = value & 0xFFFF, value >> 16
        return [0xD2800000 | low << 5 | register, 0xF2A00000 | high << 5 | register]

    sp, original = 31, int.from_bytes(call, "little")
    numbers = sorted(guest.syscalls.values())
    words = []
    for at, number in enumerate(numbers):
        far = 2 * (len(numbers) - at) + 1
        words += [0xF100001F | number << 10 | 8 << 5, 0x54000000 | far << 5]  # cmp x8; b.eq
    words += [original, _BACK, 0xD1000000 | _ROOM << 10 | sp << 5 | sp]  # sub sp,sp
    words += [*load(16, KNOCK), 0x91000000 | sp << 5 | 17]  # add x17,sp,0
    for at, register in enumerate((16, 17, 8, 0, 1, 2, 3, 4, 5)):
        words.append(0xF9000000 | at << 10 | sp << 5 | register)  # str
    words += [*load(0, KNOCK), *load(1, 1), *load(2, RESTART2), 0x91000000 | sp << 5 | 3]
    words += [*load(8, guest.reboot), original]
    for at, register in ((2, 8), (4, 1), (5, 2), (6, 3)):
        words.append(0xF9400000 | at << 10 | sp << 5 | register)  # ldr
    words += [0x91000000 | _ROOM << 10 | sp << 5 | sp, _BACK]  # add sp,sp
    return _assembled("aarch64", words, here, back)


def _aarch64_number(instruction: bytes) -> int | None:
    word = int.from_bytes(instruction, "little")
    if word & 0x7FE0001F == 0x52800008:  # movz w8, movz x8
        return word >> 5 & 0xFFFF
    return -1 if word in (0x2A0003E8, 0xAA0003E8) else None  # mov w8,w0; mov x8,x0


def _riscv64(guest: Guest, call: bytes, here: int, back: int) -> bytes | None:
    """a7 is the number, a0 to a5 are the arguments; all but a0 stay; t6 holds nothing in these functions."""
    sp, t6, a0, a7 = 2, 31, 10, 17

    def addi(to: int, register: int, value: int) -> int:
        return 0x13 | to << 7 | register << 15 | (value & 0xFFF) << 20

    def store(register: int, at: int) -> int:  # sd register,at(sp)
        return 0x3023 | sp << 15 | register << 20 | (at & 0x1F) << 7 | at >> 5 << 25

    def load(register: int, value: int) -> list[int]:  # lui; addi; slli 32; srli 32
        shift = 0x13 | register << 7 | register << 15 | 32 << 20
        lui = 0x37 | register << 7 | (value + 0x800 >> 12 & 0xFFFFF) << 12
        return [lui, addi(register, register, value), shift | 1 << 12, shift | 5 << 12]

    original = int.from_bytes(call, "little")
    numbers = sorted(guest.syscalls.values())
    words = []
    for at, number in enumerate(numbers):
        far = 4 * (2 * (len(numbers) - at) + 1)
        words.append(addi(t6, a7, -number))
        words.append(0x63 | t6 << 15 | (far >> 1 & 0xF) << 8 | (far >> 5 & 0x3F) << 25)  # beqz t6
    words += [original, _BACK, addi(sp, sp, -_ROOM)]
    words += [*load(t6, KNOCK), store(t6, 0), addi(t6, sp, 0)]
    for at, register in enumerate((t6, a7, *range(a0, a0 + 6)), 1):
        words.append(store(register, 8 * at))
    words += [*load(a0, KNOCK), addi(a0 + 1, 0, 1), *load(a0 + 2, RESTART2), addi(a0 + 3, sp, 0)]
    words += [addi(a7, 0, guest.reboot), original]
    for at, register in ((2, a7), (4, a0 + 1), (5, a0 + 2), (6, a0 + 3)):
        words.append(0x3003 | register << 7 | sp << 15 | 8 * at << 20)  # ld
    return _assembled("riscv64", [*words, addi(sp, sp, _ROOM), _BACK], here, back)


def _riscv64_number(instruction: bytes) -> int | None:
    word, half = int.from_bytes(instruction, "little"), int.from_bytes(instruction[:2], "little")
    if word & 0xFFFFF == 0x893:  # li a7
        return word >> 20
    if half & 0xEF83 == 0x4881:  # c.li a7
        return half >> 2 & 31
    moved = half in (0x889A, 0x88AA) or word == 0x50893  # c.mv a7,t1, as glibc has it; mv a7,a0
    return -1 if moved else None


def _x86_64(guest: Guest, call: bytes, here: int, back: int) -> bytes | None:
    """rax is the number, rdi rsi rdx r10 r8 r9 are the arguments; rcx and r11 are lost; 128 bytes below rsp are for anybody.

    The comparison behind the instruction goes along, for there would be no room for a jump.
    """
    known = b"".join(b"\x3d" + n.to_bytes(4, "little") + b"\x74?" for n in guest.syscalls.values())
    ends = len(known) + len(call) + 5
    made = bytearray(known)
    for at in range(0, len(known), 7):  # cmp eax; je
        made[at + 6] = ends - at - 7
    made += call + (_branch("x86_64", back - here - len(known) - len(call)) or b"")
    block = -120 & 0xFF
    made += bytes((0x4C, 0x8D, 0x5C, 0x24, block))  # lea r11,[rsp-120]
    made += b"\xb9" + KNOCK.to_bytes(4, "little")  # mov ecx
    for at, store in enumerate(
        ("49894b", "4d895b", "498943", "49897b", "498973", "498953", "4d8953", "4d8943", "4d894b")
    ):  # mov [r11+8*at], rcx r11 rax rdi rsi rdx r10 r8 r9
        made += bytes.fromhex(store) + bytes((8 * at,))
    made += b"\xbf" + KNOCK.to_bytes(4, "little") + b"\xbe\x01\0\0\0"  # mov edi; mov esi
    made += b"\xba" + RESTART2.to_bytes(4, "little") + b"\x4d\x89\xda"  # mov edx; mov r10,r11
    made += b"\xb8" + guest.reboot.to_bytes(4, "little") + call[:2]  # mov eax; syscall
    for at, restore in enumerate(("488b7c24", "488b7424", "488b5424", "4c8b5424"), 3):
        made += bytes.fromhex(restore) + bytes((-120 + 8 * at & 0xFF,))  # mov rdi rsi rdx r10
    made += call[2:]
    jump = _branch("x86_64", back - here - len(made))
    return bytes(made) + jump if jump is not None else None


def _x86_64_number(instruction: bytes) -> int | None:
    return -1 if instruction[:3] == b"\x48\x89\xf8" else None  # mov rax,rdi


_KINDS: dict[
    str,
    tuple[
        int,
        tuple[bytes, ...],
        Callable[[Guest, bytes, int, int], bytes | None],
        Callable[[bytes], int | None],
    ],
] = {
    "ppc64le": (4, (b"\x02\0\0\x44", b"\x01\0\0\x44"), _ppc64le, _ppc64le_number),  # sc; scv 0
    "aarch64": (4, (b"\x01\0\0\xd4",), _aarch64, _aarch64_number),  # svc 0
    "riscv64": (2, (b"\x73\0\0\0",), _riscv64, _riscv64_number),  # ecall
    # syscall; cmp rax,-4095
    "x86_64": (1, (b"\x0f\x05\x48\x3d\x01\xf0\xff\xff",), _x86_64, _x86_64_number),
}
"""By guest: how instructions are aligned, those that make a system call, the code, and which number an
instruction sets: None for none, -1 for one that is not known here."""
