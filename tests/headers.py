"""Headers for the printer's tests: the captured ones, the cover letter's, and a writer for odd ones."""

from __future__ import annotations

import struct
from pathlib import Path

from elfcorehdr.elf import EM_PPC64, Ehdr, ElfCoreHdr, Phdr

GOLDEN = Path(__file__).parent / "golden" / "kernel"
SEED_TEXT = GOLDEN / "seed" / "crash_elfcorehdr_print.txt"
PPC64_A = GOLDEN / "ppc64" / "A-seed-7.2.13-64k-kexec_load"
PPC64_B = GOLDEN / "ppc64" / "B-seed-7.2.13-lab64k-kexec_file_load"
X86_CRASH = GOLDEN / "x86_64" / "k7.3-1g-1cpu-crash"
VMCORE = X86_CRASH / "vmcore-header.bin"
VMCORE_PPC64_GZ = PPC64_B / "crash" / "vmcore-first-128K.bin.gz"
DIRECT = 0xC000000000000000

CAPTURED = sorted(
    path
    for path in GOLDEN.rglob("*.bin")
    if path != VMCORE
    and "stale-tail" not in path.name
    and "identity" not in path.relative_to(GOLDEN).parts
)
IDENTITY = GOLDEN / "identity"
"""Headers of /proc/kcore and /proc/vmcore of living and of capture kernels, with their /proc/iomem."""
OURS = GOLDEN.parent / "ours" / "printer"


def name(path: Path) -> str:
    """A test id: architecture, case, file."""
    return "/".join(path.relative_to(GOLDEN).parts)


NOTES = (0x3FD966400, 0x3FD996400, 0x3FD9C6400, 0x3FD9F6400)
NOTES += (0x3FDA26400, 0x3FDA56400, 0x3FDA86400, 0x3FDAB6400)


def load(start: int, size: int, offset: int | None = None) -> Phdr:
    """A PT_LOAD as powerpc's kernel writes it."""
    return Phdr(1, 7, start if offset is None else offset, DIRECT | start, start, size, size, 0)


def note(start: int, size: int) -> Phdr:
    """A PT_NOTE as the kernel writes it."""
    return Phdr(4, 0, start, 0, start, size, size, 0)


SEED = (
    *(note(address, 0x218) for address in NOTES),
    note(0xA2C0000, 0x10024),
    load(0, 0x10000, 0x1AF40000),
    load(0x10000, 0x17FF0000),
    load(0x2EC70000, 0x1390000),
    load(0x58000000, 0x3A8000000),
)
"""The cover letter's machine, written out as the kernel packed it (kernel/crash_core.c)."""


def packed(*phdrs: Phdr, machine: int = EM_PPC64) -> bytes:
    """The bytes of a header with these rows."""
    return ElfCoreHdr(Ehdr(machine), phdrs).pack()


def seed_header() -> ElfCoreHdr:
    """The cover letter's header."""
    return ElfCoreHdr(Ehdr(EM_PPC64, e_phnum=13), SEED)


def elf_of(klass: int, order: int, phdrs: tuple[Phdr, ...], machine: int = 20) -> bytes:
    """A core header of either class and byte order."""
    ehsize, phentsize = {1: (52, 32), 2: (64, 56)}[klass]
    ehdr = Ehdr(
        machine,
        ei_class=klass,
        ei_data=order,
        e_phoff=ehsize,
        e_ehsize=ehsize,
        e_phentsize=phentsize,
    )
    return ElfCoreHdr(ehdr, phdrs).pack()


def xnum(rows: int) -> bytes:
    """A header with PN_XNUM and its count in section 0, and as many empty rows."""
    ehdr = Ehdr(62, e_phnum=0xFFFF, e_phoff=128, e_shoff=64, e_shentsize=64, e_shnum=1)
    section = bytearray(64)
    struct.pack_into("<I", section, 44, rows)
    return ehdr.pack() + section + bytes(56) * rows


# Headers as kernels of other configurations write them: by the rules of their sources, not from a capture.

EM = {"ppc64": 21, "x86_64": 62, "arm64": 183, "riscv64": 243, "loongarch64": 258}
NOTE_SIZES = {
    "ppc64": 0x218,
    "x86_64": 0x170,
    "arm64": 0x1A8,
    "riscv64": 0x198,
    "loongarch64": 0x200,
}
"""CRASH_CORE_NOTE_BYTES with each architecture's struct elf_prstatus."""


def mapped(start: int, size: int, vaddr: int) -> Phdr:
    """A PT_LOAD of memory from start, mapped at vaddr modulo 2^64."""
    return Phdr(1, 7, start, vaddr % 2**64, start, size, size, 0)


def header_of(
    arch: str,
    memory: list[tuple[int, int]],
    base: int,
    image: tuple[int, int, int] | None = None,
    cpus: int = 4,
) -> bytes:
    """What crash_prepare_elf64_headers() writes: notes, image (start, size, vaddr), then memory (start, size).

    base: where physical 0 is mapped, modulo 2^64.
    """
    start, size = memory[-1]
    top = start + size
    notes = [note(top - 0x10000 * (cpu + 1), NOTE_SIZES[arch]) for cpu in range(cpus)]
    rows = [*notes, note(top - 0x400000, 0x1024)]
    if image:
        rows.append(mapped(*image))
    rows += [mapped(a, n, a + base) for a, n in memory]
    return packed(*rows, machine=EM[arch])


def arm64_header(bits: int, memory, image, memstart: int = 0x40000000, least: int = 0) -> bytes:
    """PAGE_OFFSET = -(1 << VA_BITS) maps memstart_addr (arch/arm64/include/asm/memory.h, v6.12).

    image: start, size, bytes above PAGE_END; least: VA_BITS_MIN, where it is not VA_BITS or 48.
    """
    page_end = -(1 << (least or min(bits, 48)) - 1)
    start, size, above = image
    return header_of("arm64", memory, -(1 << bits) - memstart, (start, size, page_end + above))
