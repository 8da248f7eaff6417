"""What a reader of headers has to know of each architecture. Imports elfcorehdr.elf alone.

Sizes follow struct elf_prstatus (include/linux/elfcore.h) with the architecture's elf_gregset_t;
register names and order follow arch/*/include/uapi/asm/ptrace.h (x86_64: struct user_regs_struct).
"""

from __future__ import annotations

from collections.abc import Iterable

from elfcorehdr.elf import (
    EM_AARCH64,
    EM_LOONGARCH,
    EM_PPC64,
    EM_RISCV,
    EM_S390,
    EM_X86_64,
)
from elfcorehdr.lib.record import NamedTuple

U64 = 1 << 64


class DirectMap(NamedTuple):
    """One way in which an architecture maps all of memory, and its own image apart. Both ends included."""

    name: str
    first: int
    last: int
    """Where memory can be mapped."""
    step: int
    """Physical address 0 is mapped at a multiple of so many bytes, modulo 2^64."""
    image: tuple[int, int] | None
    """Where the kernel's image is mapped a second time; None: it is mapped with all other memory."""
    from_ram: bool = False
    """Whether what `first` maps is an address of RAM (or below it)."""

    def fits(self, base: int, lowest: int, highest: int, end: int) -> bool:
        """Whether memory can be mapped so that physical 0 is at base, modulo 2^64.

        lowest..highest: the virtual addresses at which rows begin; end: behind the last physical one.
        """
        inside = self.first <= lowest and highest <= self.last
        if (
            self.from_ram
        ):  # kernels up to 6.2 begin at the image, what lies before it is mapped below
            inside = highest <= self.last and 0 <= (self.first - base) % U64 < end
        return inside and base % self.step == 0

    def holds_image(self, vaddrs: list[int]) -> bool:
        """Whether one of the addresses is where the image is mapped in this way."""
        return any(self.image[0] <= v <= self.image[1] for v in vaddrs) if self.image else False


class Arch(NamedTuple):
    """One architecture's facts; sizes in bytes."""

    name: str
    e_machine: int
    note_size: int
    """CRASH_CORE_NOTE_BYTES: one CPU's note, with its terminator (seen in tests/golden/kernel)."""
    registers: tuple[str, ...]
    """The elf_gregset_t, eight bytes each, in order; `-` is padding."""
    ip: str
    sp: str
    maps: tuple[DirectMap, ...]
    """How memory can be mapped, by kernel version, page size and configuration; the likeliest first."""
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

# x86_64: page_offset_base: 0xffff888000000000, with five levels of page tables 0xff11000000000000; with
# KASLR any multiple of a GiB (PUD_SIZE) between there and CPU_ENTRY_AREA_BASE (arch/x86/mm/kaslr.c:
# kernel_randomize_memory(), v6.1, v7.3). Before 4.20 0xffff880000000000 and 0xff10000000000000, before
# 2.6.27 0xffff810000000000. The image: __START_KERNEL_map, 1 GiB (KERNEL_IMAGE_SIZE).
_X86_64_MAPS = (
    DirectMap(
        "page_offset_base",
        0xFF10000000000000,
        0xFFFFFDFFFFFFFFFF,
        1 << 30,
        (0xFFFFFFFF80000000, 0xFFFFFFFFBFFFFFFF),
    ),
)


def _arm64(bits: int, least: int) -> DirectMap:
    """Kernels since 5.4: memory from PAGE_OFFSET to PAGE_END, vmalloc and the image above."""
    return DirectMap(
        f"{bits} bits", U64 - (1 << bits), U64 - (1 << least - 1) - 1, 1 << 29,
        (U64 - (1 << least - 1), U64 - 1),
    )  # fmt: skip


def _arm64_before_5_4(bits: int) -> DirectMap:
    """The two halves the other way round, before Linux commit 14c127c957c1 (v5.4)."""
    return DirectMap(
        f"{bits} bits, before 5.4", U64 - (1 << bits - 1), U64 - 1, 1 << 29,
        (U64 - (1 << bits), U64 - (1 << bits - 1) - 1),
    )  # fmt: skip


# arm64: PAGE_OFFSET is -(1 << VA_BITS), PAGE_END -(1 << (VA_BITS_MIN - 1)), VA_BITS 36, 39, 42, 47, 48 or 52
# (arch/arm64/Kconfig); VA_BITS_MIN of 52 is 48, with 16 KiB pages 47 (asm/memory.h, v6.12). What is
# mapped at PAGE_OFFSET, memstart_addr, is a multiple of 512 MiB with 64 KiB pages, else of 1 GiB
# (ARM64_MEMSTART_ALIGN); KASLR may move it below all memory (arch/arm64/mm/init.c, v6.12).
_ARM64_MAPS = (
    *(_arm64(bits, bits) for bits in (48, 39, 47, 42, 36)),
    *(_arm64(52, least) for least in (48, 47)),
    *(_arm64_before_5_4(bits) for bits in (48, 39, 42, 47, 36)),
)

# riscv64: PAGE_OFFSET by levels (arch/riscv/include/asm/page.h: v6.1, v6.12, v7.3; before 5.17 another
# for three). It maps phys_ram_base, up to 6.2 where the image lies, whole PMDs (arch/riscv/mm/init.c);
# KERN_VIRT_SIZE is a quarter of the address space. The image: the last 2 GiB.
_RISCV_IMAGE = (0xFFFFFFFF80000000, U64 - 1)
_RISCV_MAPS = tuple(
    DirectMap(name, base, min(base + size, _RISCV_IMAGE[0]) - 1, 1 << 21, _RISCV_IMAGE, True)
    for name, base, size in (
        ("sv57", 0xFF60000000000000, 1 << 55),
        ("sv48", 0xFFFFAF8000000000, 1 << 46),
        ("sv39", 0xFFFFFFD600000000, 1 << 37),
        ("sv39, before 6.4", 0xFFFFFFD800000000, 1 << 37),
        ("sv39, before 5.17", 0xFFFFFFE000000000, 1 << 37),
    )
)

# powerpc: PAGE_OFFSET (CONFIG_PAGE_OFFSET); the linear map is one of the eight 2^51 byte regions above it
# (arch/powerpc/include/asm/book3s/64/{hash,radix}.h). loongarch64: a window of 2^48 bytes, cached,
# CSR_DMW1_BASE, in which the kernel runs too (arch/loongarch/include/asm/addrspace.h, v6.12).
_PPC64_MAPS = (DirectMap("PAGE_OFFSET", 0xC000000000000000, 0xC007FFFFFFFFFFFF, 1 << 58, None),)
_LOONGARCH_MAPS = (DirectMap("CACHE_BASE", 0x9000000000000000, 0x9000FFFFFFFFFFFF, 1 << 60, None),)

_RISCV64 = (
    *("pc", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1"),
    *_numbered("a", 8),
    *_numbered("s", 10, 2),
    *_numbered("t", 4, 3),
)
_LOONGARCH64 = (*_numbered("r", 32), "orig_a0", "csr_era", "csr_badv", *"-" * 10)

ARCHES = (
    Arch("ppc64", EM_PPC64, 0x218, (*_numbered("gpr", 32), *_PPC64.split()), "nip", "gpr1",
         _PPC64_MAPS, has_backup_region=True),
    Arch("x86_64", EM_X86_64, 0x170, tuple(_X86_64.split()), "ip", "sp",
         _X86_64_MAPS, low_memory=1 << 20),
    Arch("arm64", EM_AARCH64, 0x1A8, (*_numbered("x", 31), "sp", "pc", "pstate"), "pc", "sp", _ARM64_MAPS),
    Arch("riscv64", EM_RISCV, 0x198, _RISCV64, "pc", "sp", _RISCV_MAPS),
    Arch("loongarch64", EM_LOONGARCH, 0x200, _LOONGARCH64, "csr_era", "r3", _LOONGARCH_MAPS),
)  # fmt: skip
_NAMES = {EM_S390: "s390x", 3: "i386", 20: "ppc", 40: "arm", 8: "mips", 2: "sparc", 43: "sparc64"}


def arch_of(e_machine: int, note_sizes: Iterable[int]) -> Arch | None:
    """The architecture by e_machine; where that is 0 (the kernel's text), by the size of its notes."""
    for arch in ARCHES:
        if arch.e_machine == e_machine:
            return arch
    if e_machine:
        return None
    sizes = {arch.note_size: arch for arch in ARCHES}
    return next((sizes[size] for size in note_sizes if size in sizes), None)


def machine_name(e_machine: int) -> str:
    """A word for e_machine: the kernel's name of the architecture, else the number."""
    for arch in ARCHES:
        if arch.e_machine == e_machine:
            return arch.name
    return _NAMES.get(e_machine) or (f"machine {e_machine}" if e_machine else "unknown")
