"""The reservation on x86_64: arch/x86/kernel/setup.c (6.1 to 7.3)."""

from __future__ import annotations

from elfcorehdr import changes
from elfcorehdr.kernel.crash_reserve import phys_alloc_range, reserve_crashkernel, why_no_room
from elfcorehdr.kernel.crashkernel import HIGH, LOW, Invalid, Parser, Wanted
from elfcorehdr.lib.ranges import Range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

CRASH_ALIGN, SZ_1M = 16 << 20, 1 << 20
CRASH_ADDR_LOW_MAX, CRASH_ADDR_HIGH_MAX = 4 << 30, 64 << 40


def arch_reserve_crashkernel(kernel: Kernel) -> None:
    """As the generic one since 6.7; before, reserve_crashkernel() of 6.1. Invalid says why nothing is reserved."""
    if kernel.has(changes.GENERIC_RESERVATION):
        reserve_crashkernel(kernel, cma=kernel.has(changes.CMA_CRASHKERNEL))
        return
    log, kexec, total = kernel.log, kernel.kexec, kernel.memblock.total()
    wanted = _parse(kernel, total)
    size, base, high = wanted.size, wanted.base, wanted.high
    if base:
        found = phys_alloc_range(kernel, size, SZ_1M, base, base + size)
        if found is None:
            log.info("crashkernel reservation failed - memory is in use.")
            kexec.nothing = why_no_room(kernel, size, SZ_1M, base, base + size)
            return
    else:
        found = None
        for end in (CRASH_ADDR_HIGH_MAX,) if high else (CRASH_ADDR_LOW_MAX, CRASH_ADDR_HIGH_MAX):
            found = found or phys_alloc_range(kernel, size, CRASH_ALIGN, CRASH_ALIGN, end)
        if found is None:
            log.info("crashkernel reservation failed - No suitable area found.")
            kexec.nothing = why_no_room(kernel, size, CRASH_ALIGN, 0, CRASH_ADDR_HIGH_MAX)
            return
    if found.start >= CRASH_ADDR_LOW_MAX and not _reserve_low(kernel, found):
        return
    kexec.crashk_res = found
    kernel.arch.log_reservation(kernel)


def log_reservation(kernel: Kernel) -> None:
    """As 6.1 says it, of low memory, then of the rest."""
    low, high, total = (
        kernel.kexec.crashk_low_res,
        kernel.kexec.crashk_res,
        kernel.memblock.total(),
    )
    if low is not None:
        limit = min(total, CRASH_ADDR_LOW_MAX)
        kernel.log.info(
            f"Reserving {low.size >> 20}MB of low memory at {low.start >> 20}MB for crashkernel "
            f"(low RAM limit: {limit >> 20}MB)"
        )
    if high is not None:
        kernel.log.info(
            f"Reserving {high.size >> 20}MB of memory at {high.start >> 20}MB for crashkernel "
            f"(System RAM: {total >> 20}MB)"
        )


def _parse(kernel: Kernel, total: int) -> Wanted:
    """A plain form, else `,high`; whatever is wrong with the first is no reason not to look for the second."""
    parser = Parser(kernel)
    why = None
    try:
        plain = parser.plain(total)
        if plain is not None and plain.size:
            return plain
    except Invalid as invalid:
        plain, why = None, invalid
    size = parser.suffix(HIGH)
    if size:
        return Wanted(size, high=True)
    if plain is not None:
        why = Invalid("crashkernel= asks for 0 bytes")
    raise why or Invalid(parser.no_plain(size))


def _reserve_low(kernel: Kernel, high: Range) -> bool:
    """reserve_crashkernel_low(): `,low`, where it is missing or wrong the default, with 0 none."""
    log = kernel.log
    try:
        size = Parser(kernel).suffix(LOW)
    except Invalid:
        size = None
    if size == 0:
        return True
    size = size or kernel.arch.crash_low_size_default(kernel)
    low = phys_alloc_range(kernel, size, CRASH_ALIGN, 0, CRASH_ADDR_LOW_MAX, also=high)
    if low is None:
        log.err(f"Cannot reserve {size >> 20}MB crashkernel low memory, please try smaller size.")
        kernel.kexec.nothing = f"{size:#x} bytes of low memory fit nowhere below 4G"
        return False
    kernel.kexec.crashk_low_res = low
    return True
