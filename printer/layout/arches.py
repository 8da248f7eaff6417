"""What a reader of headers has to know of each architecture. Imports elfcorehdr.elf alone.

Sizes follow struct elf_prstatus (include/linux/elfcore.h) with the architecture's elf_gregset_t;
register names and order follow arch/*/include/uapi/asm/ptrace.h (x86_64: struct user_regs_struct).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from elfcorehdr.elf import (
    EM_AARCH64,
    EM_LOONGARCH,
    EM_PPC64,
    EM_RISCV,
    EM_S390,
    EM_X86_64,
    PT_NOTE,
    Phdr,
)


@dataclass(frozen=True, slots=True)
class Arch:
    """One architecture's facts; sizes in bytes."""

    name: str
    e_machine: int
    note_size: int
    """CRASH_CORE_NOTE_BYTES: one CPU's note, with its terminator (seen in tests/golden/kernel)."""
    registers: tuple[str, ...]
    """The elf_gregset_t, eight bytes each, in order; `-` is padding."""
    ip: str
    sp: str
    direct_map: int | None = None
    """Virtual address of physical 0 where it is one number for every machine."""
    kernel_map: tuple[int, int] | None = None
    """Where the kernel's own image is mapped, both ends included; None: in the direct map."""
    kernel_map_holds_memory: bool = False
    """Whether memory of the direct map lies in kernel_map too."""
    has_backup_region: bool = False
    """Whether purgatory copies the first 64 KiB away (powerpc)."""
    low_memory: int = 0
    """Bytes from address 0 that the kernel never lists."""


def _numbered(prefix: str, count: int, first: int = 0) -> tuple[str, ...]:
    return tuple(f"{prefix}{n}" for n in range(first, first + count))


_X86_64 = (
    "r15 r14 r13 r12 bp bx r11 r10 r9 r8 ax cx dx si di orig_ax ip cs flags sp ss "
    "fs_base gs_base ds es fs gs"
)
_PPC64 = "nip msr orig_gpr3 ctr link xer ccr softe trap dar dsisr result - - - -"

ARCHES = (
    Arch(
        "ppc64",
        EM_PPC64,
        0x218,
        (*_numbered("gpr", 32), *_PPC64.split()),
        "nip",
        "gpr1",
        direct_map=0xC000000000000000,
        has_backup_region=True,
    ),
    Arch(
        "x86_64",
        EM_X86_64,
        0x170,
        tuple(_X86_64.split()),
        "ip",
        "sp",
        kernel_map=(0xFFFFFFFF80000000, 0xFFFFFFFFFFFFFFFF),
        low_memory=1 << 20,
    ),
    Arch(
        "arm64",
        EM_AARCH64,
        0x1A8,
        (*_numbered("x", 31), "sp", "pc", "pstate"),
        "pc",
        "sp",
        kernel_map=(0xFFFF800000000000, 0xFFFFFFFFFFFFFFFF),
    ),
    Arch(
        "riscv64",
        EM_RISCV,
        0x198,
        (
            *["pc", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1"],
            *_numbered("a", 8),
            *_numbered("s", 10, 2),
            *_numbered("t", 4, 3),
        ),
        "pc",
        "sp",
        kernel_map=(0xFFFFFFFF80000000, 0xFFFFFFFFFFFFFFFF),
    ),
    Arch(
        "loongarch64",
        EM_LOONGARCH,
        0x200,
        (*_numbered("r", 32), "orig_a0", "csr_era", "csr_badv", *"-" * 10),
        "csr_era",
        "r3",
        kernel_map=(0x9000000000000000, 0x9FFFFFFFFFFFFFFF),
        kernel_map_holds_memory=True,
    ),
)
_NAMES = {EM_S390: "s390x", 3: "i386", 20: "ppc", 40: "arm", 8: "mips", 2: "sparc", 43: "sparc64"}


def arch_of(e_machine: int, phdrs: Iterable[Phdr]) -> Arch | None:
    """The architecture by e_machine; where that is 0 (the kernel's text), by the size of its notes."""
    for arch in ARCHES:
        if arch.e_machine == e_machine:
            return arch
    if e_machine:
        return None
    first = next((p for p in phdrs if p.p_type == PT_NOTE), None)
    return next((a for a in ARCHES if first and a.note_size == first.p_memsz), None)


def machine_name(e_machine: int) -> str:
    """A word for e_machine: the kernel's name of the architecture, else the number."""
    for arch in ARCHES:
        if arch.e_machine == e_machine:
            return arch.name
    return _NAMES.get(e_machine) or (f"machine {e_machine}" if e_machine else "unknown")
