"""What VMCOREINFO tells of the addresses: where the kernel that wrote it has its memory and its image mapped.

arch/{arm64,riscv,x86}/kernel/vmcore_info*.c, v7.3. Imports elfcorehdr.errors.
"""

from __future__ import annotations

import re

from elfcorehdr.errors import ElfFormatError
from printer.inputs.source import Core
from printer.layout.arches import U64
from printer.layout.notes import notes_of

_NUMBER = r"^NUMBER\((\w+)\)=(-?\d+|0x[0-9a-f]+)$"
_RELEASE = r"^OSRELEASE=(\d+)\.(\d+)"
_START_KERNEL_MAP = 0xFFFFFFFF80000000


def numbers(core: Core) -> dict[str, int]:
    """The NUMBER()s of VMCOREINFO by name, and `release`, 100 * major + minor; empty without it."""
    try:
        texts = [note.text for note in notes_of(core) if note.text]
    except ElfFormatError:
        return {}
    if not texts:
        return {}
    found = {name: int(value, 0) for name, value in re.findall(_NUMBER, texts[0], re.MULTILINE)}
    if release := re.search(_RELEASE, texts[0], re.MULTILINE):
        found["release"] = 100 * int(release[1]) + int(release[2])
    return found


def direct_maps(arch: str, told: dict[str, int], image: int | None) -> list[int]:
    """Where physical 0 can be mapped with the rest of memory, modulo 2^64; empty where it is not told.

    image: the physical address of the kernel's image. Kernels differ in what they subtract, so there may be several.
    """
    if arch == "arm64" and {"VA_BITS", "PHYS_OFFSET"} <= told.keys():
        bits = told["VA_BITS"]
        if not 30 < bits < 64:
            return []
        if told.get("release", 0) < 504:  # the halves were the other way round
            return [(-(1 << bits - 1) - told["PHYS_OFFSET"]) % U64]
        # before 5.11 a kernel of 52 bits on a CPU of 48 left PHYS_OFFSET as it was
        actual = (bits, 48) if bits == 52 else (bits,)
        return [(-(1 << b) - told["PHYS_OFFSET"]) % U64 for b in actual]
    if arch == "riscv64" and {"PAGE_OFFSET", "phys_ram_base"} <= told.keys():
        starts = [told["phys_ram_base"] & -(1 << 21)]
        if image is not None:  # up to 6.2
            starts.append(image & -(1 << 21))
        return [(told["PAGE_OFFSET"] - start) % U64 for start in starts]
    return []


def image_map(arch: str, told: dict[str, int]) -> int | None:
    """Where physical 0 would be if it was mapped as the image is, modulo 2^64."""
    if arch == "arm64" and "kimage_voffset" in told:
        return told["kimage_voffset"] % U64
    if arch == "riscv64" and "va_kernel_pa_offset" in told:
        return told["va_kernel_pa_offset"] % U64
    if arch == "x86_64" and "phys_base" in told:
        return (_START_KERNEL_MAP - told["phys_base"]) % U64
    return None
