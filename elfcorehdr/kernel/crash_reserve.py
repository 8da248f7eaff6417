"""crashkernel= on the command line, and the generic reservation: kernel/crash_reserve.c (v7.1)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from elfcorehdr.kernel.kexec_file import align_down, align_up
from elfcorehdr.lib.ranges import Range
from elfcorehdr.lib.record import Record

if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

SUFFIXES = (",high", ",low", ",cma")
_UNITS = {"k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60}
ROUND_UP = 128 << 20
"""The range form compares with RAM rounded up to this."""


class CrashkernelParameter(Record):
    """What the command line asks for, in bytes; base None: anywhere. size 0: nothing usable."""

    size: int = 0
    base: int | None = None


def memparse(text: str) -> tuple[int, str]:
    """memparse(): a number (0x, 0 octal, decimal) with an optional unit K..E, and what follows it.

    What is not a number is 0 with all of text left.
    """
    match = re.match(r"(0[xX][0-9a-fA-F]+|0[0-7]*|[0-9]+)", text)
    if not match:
        return 0, text
    digits = match.group()
    base = 16 if digits[:2].lower() == "0x" else 8 if len(digits) > 1 and digits[0] == "0" else 10
    value, rest = int(digits, base), text[match.end() :]
    if rest and rest[0].lower() in _UNITS:
        return value << _UNITS[rest[0].lower()], rest[1:]
    return value, rest


def last_crashkernel(cmdline: str, suffix: str = "") -> str | None:
    """get_last_crashkernel(): the value of the last crashkernel= with this suffix (none: with no suffix)."""
    found = None
    for match in re.finditer(r"crashkernel=(\S*)", cmdline):
        value = match.group(1)
        if value.endswith(suffix) if suffix else not value.endswith(SUFFIXES):
            found = value
    return found


def parse_crashkernel(
    cmdline: str, system_ram: int, warn: Callable[[str], None]
) -> CrashkernelParameter:
    """The plain form `size[@base]` or `s1-[e1]:size1[,...][@base]`; the last one on the line wins.

    system_ram in bytes; warn gets the kernel's messages. size 0: absent, wrong, or not smaller
    than RAM. Mirrors parse_crashkernel(), kernel/crash_reserve.c.
    """
    value = last_crashkernel(cmdline)
    if value is None:
        return CrashkernelParameter()
    parameter = (_parse_mem if ":" in value else _parse_simple)(value, system_ram, warn)
    if not 0 < parameter.size < system_ram:
        return CrashkernelParameter()
    return parameter


def parse_suffix(cmdline: str, suffix: str, warn: Callable[[str], None]) -> int | None:
    """The size of `size,high`, `size,low` or `size,cma`; None if there is none or it is wrong."""
    value = last_crashkernel(cmdline, suffix)
    if value is None:
        return None
    size, rest = memparse(value)
    if rest == value:
        warn("crashkernel: memory value expected")
        return None
    if rest != suffix:
        warn(f"crashkernel: unrecognized char: {rest[0]}")
        return None
    return size


def _parse_simple(value: str, ram: int, warn: Callable[[str], None]) -> CrashkernelParameter:
    """parse_crashkernel_simple()"""
    size, rest = memparse(value)
    if rest == value:
        warn("crashkernel: memory value expected")
        return CrashkernelParameter()
    if rest.startswith("@"):
        base, rest = memparse(rest[1:])
        return CrashkernelParameter(size, base) if not rest else CrashkernelParameter()
    if rest:
        warn(f"crashkernel: unrecognized char: {rest[0]}")
        return CrashkernelParameter()
    return CrashkernelParameter(size)


def _parse_mem(value: str, ram: int, warn: Callable[[str], None]) -> CrashkernelParameter:
    """parse_crashkernel_mem(): the first range that holds RAM, rounded up to 128 MiB."""
    ram = (ram + ROUND_UP - 1) // ROUND_UP * ROUND_UP
    rest, size = value, 0
    while True:
        before = rest
        start, rest = memparse(rest)
        if rest == before:
            warn("crashkernel: Memory value expected")
            return CrashkernelParameter()
        if not rest.startswith("-"):
            warn("crashkernel: '-' expected")
            return CrashkernelParameter()
        rest = rest[1:]
        end = 1 << 64
        if not rest.startswith(":"):
            before = rest
            end, rest = memparse(rest)
            if rest == before:
                warn("crashkernel: Memory value expected")
                return CrashkernelParameter()
            if end <= start:
                warn("crashkernel: end <= start")
                return CrashkernelParameter()
        if not rest.startswith(":"):
            warn("crashkernel: ':' expected")
            return CrashkernelParameter()
        before = rest = rest[1:]
        size, rest = memparse(rest)
        if rest == before:
            warn("crashkernel: Memory value expected")
            return CrashkernelParameter()
        if size >= ram:
            warn("crashkernel: invalid size")
            return CrashkernelParameter()
        if start <= ram < end:
            break
        size = 0
        if not rest.startswith(","):
            break
        rest = rest[1:]
    if not size:
        warn("crashkernel size resulted in zero bytes")
        return CrashkernelParameter()
    _, at, base = rest.partition("@")
    if not at:
        return CrashkernelParameter(size)
    number, left = memparse(base)
    if left == base:
        warn("crahskernel: Memory value expected after '@'")  # Quirk: spelt so in the kernel
        return CrashkernelParameter()
    return CrashkernelParameter(size, number)


# the reservation

CRASH_ADDR_HIGH_MAX = 1 << 64
CMA_RANGES_MAX = 4
SZ_4G = 4 << 30


def reserve_crashkernel(kernel: Kernel, *, cma: bool) -> None:
    """arch_reserve_crashkernel() of an architecture with the generic reservation.

    cma says whether `,cma` is known; it is never enough alone, nor is `,low`.
    """
    warn, ram = kernel.log.warning, kernel.memblock.total()
    high, low_size, base = False, 0, None
    if last_crashkernel(kernel.cmdline) is not None:
        plain = parse_crashkernel(kernel.cmdline, ram, warn)
        size, base = plain.size, plain.base
    else:
        high = True
        size = parse_suffix(kernel.cmdline, ",high", warn) or 0
        if size and last_crashkernel(kernel.cmdline, ",low") is None:
            low_size = kernel.arch.crash_low_size_default(kernel)
        elif size:
            low = parse_suffix(kernel.cmdline, ",low", warn)
            size, low_size = (0, 0) if low is None else (size, low)
    if not 0 < size < ram:
        return
    reserve_crashkernel_generic(kernel, size, base or 0, low_size, high=high)
    if cma:
        reserve_crashkernel_cma(kernel, parse_suffix(kernel.cmdline, ",cma", warn) or 0)


def reserve_crashkernel_generic(
    kernel: Kernel, size: int, base: int, low_size: int, *, high: bool
) -> None:
    """reserve_crashkernel_generic(): at base if one is given, else below 4 GiB, else above; high the other way.

    What lies above 4 GiB needs low_size bytes below, too. Sizes and base in bytes.
    """
    log, align = kernel.log, kernel.arch.crash_align
    low_max = kernel.arch.crash_addr_low_max(kernel)
    areas = [(0, low_max), (low_max, CRASH_ADDR_HIGH_MAX)]
    if base:
        areas = [(base, base + size)]
    elif high:
        areas.reverse()
    found = None
    for number, (start, end) in enumerate(areas):
        found = phys_alloc_range(kernel, size, align, start, end)
        if found is not None:
            if number and not high:
                low_size = kernel.arch.crash_low_size_default(kernel)
            break
    if found is None:
        log.warning(
            "crashkernel reservation failed - memory is in use."
            if base
            else f"cannot allocate crashkernel (size:{size:#x})"
        )
        return
    if found.start >= low_max and low_size and not _reserve_low(kernel, low_size, found):
        return
    kernel.kexec.crashk_res = found
    if kernel.arch.generic_reservation(kernel):
        log.info(
            f"crashkernel reserved: {found.start:#018x} - {found.end + 1:#018x} ({size >> 20} MB)"
        )
    else:
        log.info(
            f"Reserving {size >> 20}MB of memory at {found.start >> 20}MB for crashkernel "
            f"(System RAM: {kernel.memblock.total() >> 20}MB)"
        )


def _reserve_low(kernel: Kernel, size: int, high: Range) -> bool:
    """reserve_crashkernel_low(): whether it could be had."""
    low_max = kernel.arch.crash_addr_low_max(kernel)
    low = phys_alloc_range(kernel, size, kernel.arch.crash_align, 0, low_max, also=high)
    generic = kernel.arch.generic_reservation(kernel)
    if low is None:
        kernel.log.err(
            f"cannot allocate crashkernel low memory (size:{size:#x})."
            if generic
            else f"Cannot reserve {size >> 20}MB crashkernel low memory, please try smaller size."
        )
        return False
    kernel.kexec.crashk_low_res = low
    if generic:
        kernel.log.info(
            f"crashkernel low memory reserved: {low.start:#010x} - {low.end + 1:#010x} ({size >> 20} MB)"
        )
    else:
        kernel.log.info(
            f"Reserving {size >> 20}MB of low memory at {low.start >> 20}MB for crashkernel "
            f"(low RAM limit: {low_max >> 20}MB)"
        )
    return True


def reserve_crashkernel_cma(kernel: Kernel, size: int) -> None:
    """reserve_crashkernel_cma(): up to four areas, each request that fails is halved; size in bytes."""
    if not size:
        return
    request, reserved, ranges = align_up(size, kernel.page_size), 0, kernel.kexec.crashk_cma_ranges
    while size > reserved and len(ranges) < CMA_RANGES_MAX:
        found = cma_declare_contiguous(kernel, request)
        if found is None:
            if request <= kernel.page_size:
                break
            request = align_up(request // 2, kernel.page_size)
            continue
        ranges.append(found)
        reserved += request
    if size > reserved:
        kernel.log.warning(
            f"crashkernel CMA reservation failed: {size >> 20} MB requested, "
            f"{reserved >> 20} MB reserved in {len(ranges)} ranges"
        )
    else:
        kernel.log.info(f"crashkernel CMA reserved: {reserved >> 20} MB in {len(ranges)} ranges")


def cma_declare_contiguous(kernel: Kernel, size: int) -> Range | None:
    """cma_declare_contiguous(), mm/cma.c: from 4 GiB up where RAM reaches that far, else the highest place."""
    align = kernel.arch.cma_align
    size = align_up(size, align)
    found = None
    if kernel.memblock.end_of_dram() >= SZ_4G + size:
        found = phys_alloc_range(kernel, size, align, SZ_4G, CRASH_ADDR_HIGH_MAX, bottom_up=True)
    return found or phys_alloc_range(kernel, size, align, 0, CRASH_ADDR_HIGH_MAX)


def phys_alloc_range(
    kernel: Kernel,
    size: int,
    align: int,
    start: int,
    end: int,
    *,
    bottom_up: bool = False,
    also: Range | None = None,
) -> Range | None:
    """memblock_phys_alloc_range(): free RAM in start..end (end not included), the highest place unless bottom_up.

    `also` is taken besides what boot took. Nothing is marked as taken.
    """
    taken = [*_taken(kernel), *([also] if also else [])]
    start = max(start, kernel.page_size)
    free: list[tuple[int, int]] = []
    for region in kernel.memblock:
        at, stop = max(region.start, start), min(region.end + 1, end)
        for r in sorted(taken):
            if r.start < stop and r.end >= at:
                free.append((at, r.start))
                at = r.end + 1
        free.append((at, stop))
    for at, stop in free if bottom_up else reversed(free):
        place = align_up(at, align) if bottom_up else align_down(max(stop - size, 0), align)
        if at <= place and place + size <= stop:
            return Range.sized(place, size)
    return None


def _taken(kernel: Kernel) -> list[Range]:
    """memblock.reserved when the reservation is made, as far as it can be known."""
    arch, kexec = kernel.arch, kernel.kexec
    low = [r.end + 1 for r in kernel.memblock if r.end < SZ_4G]
    ends = [(kernel.memblock.end_of_dram(), arch.boot_allocations)]
    if low:
        ends.append((low[-1], arch.boot_allocations_low))
    return [
        arch.kernel_image(kernel),
        *(Range(end - size, end - 1) for end, size in ends if size),
        *(r for r in (kexec.crashk_res, kexec.crashk_low_res) if r),
        *kexec.crashk_cma_ranges,
    ]
