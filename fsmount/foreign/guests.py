"""What can run where: each guest's ELF header, its names, and its system calls, as one table."""

from __future__ import annotations

from elfcorehdr.lib.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Guest(Record):
    """A 64-bit little-endian architecture that qemu-user emulates.

    Registers are gdb's numbers (features/ of binutils-gdb): each has 8 bytes, but for ppc's cr.
    """

    machine: str
    """uname(2)'s word, and the emulator's file name behind `qemu-`."""
    debian: str
    """Debian's word."""
    elf: int
    """e_machine"""
    syscalls: Mapping[str, int]
    """Numbers of the calls that qemu-user does not know, and that the emulated kernel answers."""
    number: int
    """The register that holds a call's number."""
    arguments: tuple[int, ...]
    """Those of its arguments."""
    result: int
    """That of its result."""
    reboot: int
    """The number of reboot(2), which qemu-user does know (code.py)."""
    mmap: int
    """That of mmap(2)."""
    stack: int
    """The stack pointer."""
    pc: int
    """The program counter."""
    cr: int | None = None
    """powerpc's condition register: bit SO of field 0 says that r3 is an errno."""


_GENERIC = {
    "kexec_load": 104,
    "init_module": 105,
    "delete_module": 106,
    "syslog": 116,
    "finit_module": 273,
    "kexec_file_load": 294,
}
"""include/uapi/asm-generic/unistd.h"""

GUESTS = (
    # arch/powerpc/kernel/syscalls/syscall.tbl
    Guest("ppc64le", "ppc64el", 21, {
        "syslog": 103, "init_module": 128, "delete_module": 129, "rtas": 255, "kexec_load": 268, "finit_module": 353,
        "kexec_file_load": 382,
    }, 0, (3, 4, 5, 6, 7, 8), 3, 88, 90, 1, 64, 66),
    Guest("aarch64", "arm64", 183, _GENERIC, 8, (0, 1, 2, 3, 4, 5), 0, 142, 222, 31, 32),
    Guest("riscv64", "riscv64", 243, _GENERIC, 17, (10, 11, 12, 13, 14, 15), 10, 142, 222, 2, 32),
    # arch/x86/entry/syscalls/syscall_64.tbl
    Guest("x86_64", "amd64", 62, {
        "syslog": 103, "init_module": 175, "delete_module": 176, "kexec_load": 246, "finit_module": 313, "kexec_file_load": 320,
    }, 0, (5, 4, 3, 10, 8, 9), 0, 169, 9, 7, 16),
)  # fmt: skip
"""uname, reboot, sysinfo are not here: qemu-user turns them into the host's calls, which the
supervisor answers. It does syslog, too, but takes the buffer's address for its length. What is missing in a guest's table stays ENOSYS."""

ELF_HEADER = 20
"""How much of a file elf_machine() looks at."""


def elf_machine(header: bytes) -> int | None:
    """e_machine of a 64-bit little-endian ELF program or library; None for anything else."""
    if len(header) < ELF_HEADER or header[:6] != b"\x7fELF\x02\x01":
        return None
    kind = int.from_bytes(header[16:18], "little")
    return int.from_bytes(header[18:20], "little") if kind in (2, 3) else None


def guest(elf: int) -> Guest | None:
    """The guest with that e_machine."""
    return next((found for found in GUESTS if found.elf == elf), None)


def magic(which: Guest, *, dynamic: bool = False) -> tuple[bytes, bytes]:
    """What binfmt_misc looks at, and the bits that count: ET_EXEC and ET_DYN of any OS ABI.

    dynamic: those alone whose program headers begin with PT_PHDR and PT_INTERP, as linkers write them.
    """
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00" + which.elf.to_bytes(2, "little")
    mask = b"\xff" * 7 + b"\x00" * 9 + b"\xfe\xff\xff\xff"
    if dynamic:
        for at, number in (
            (32, 64),
            (64, 6),
            (120, 3),
        ):  # e_phoff, then the types of rows of 56 bytes
            head = head.ljust(at, b"\0") + number.to_bytes(4, "little")
            mask = mask.ljust(at, b"\0") + b"\xff" * 4
    return head, mask
