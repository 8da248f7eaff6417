"""The reservation on arm64: arch/arm64/mm/init.c (6.1 to 7.3)."""

from __future__ import annotations

from elfcorehdr import changes
from elfcorehdr.kernel.crash_reserve import (
    phys_alloc_range,
    reserve_crashkernel,
    reserve_crashkernel_generic,
    reserve_crashkernel_low,
    why_no_room,
)
from elfcorehdr.kernel.crashkernel import HIGH, LOW, Invalid, Parser, page_align

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

SZ_2M, SZ_4G = 2 << 20, 4 << 30
CRASH_ALIGN = SZ_2M
"""What the boot protocol asks for."""


def arm64_dma_phys_limit(kernel: Kernel) -> int:
    """Where ZONE_DMA ends (not included): 4 GiB, or the end of RAM if that lies below or all RAM above.

    Without a narrower dma-ranges of firmware. dma_limits_init(), max_zone_phys().
    """
    end = kernel.memblock.end_of_dram()
    return end if kernel.memblock[0].start >= SZ_4G else min(SZ_4G, end)


def arch_reserve_crashkernel(kernel: Kernel) -> None:
    """As the generic one since 6.2; before, reserve_crashkernel() of 6.1. Invalid says why nothing is reserved."""
    if kernel.has(changes.GENERIC_RESERVATION):
        reserve_crashkernel(kernel, cma=kernel.has(changes.CMA_CRASHKERNEL_ARM64))
        return
    size, base, low, high = _parse(kernel)
    size = page_align(size, kernel.page_size)
    if kernel.has(changes.ARM64_FALLS_BACK):
        reserve_crashkernel_generic(kernel, size, base, low, high=high)
        return
    end = base + size if base else 1 << kernel.arch.max_physmem_bits(kernel)
    if not base and not high:
        end = arm64_dma_phys_limit(kernel)
    found = phys_alloc_range(kernel, size, CRASH_ALIGN, base, end)
    if found is None:
        kernel.log.warning(f"cannot allocate crashkernel (size:{size:#x})")
        kernel.kexec.nothing = why_no_room(kernel, size, CRASH_ALIGN, base, end)
        return
    needs_low = found.start >= arm64_dma_phys_limit(kernel) and low
    if needs_low and not reserve_crashkernel_low(kernel, low, found):
        return
    kernel.kexec.crashk_res = found
    kernel.arch.log_reservation(kernel)


def _parse(kernel: Kernel) -> tuple[int, int, int, bool]:
    """Size, base, low size and whether `,high`, as before 6.7; without `,low` none, since 6.2 128 MiB."""
    parser = Parser(kernel)
    plain = parser.plain(kernel.memblock.total())
    if plain is not None:
        if not plain.size:
            raise Invalid("crashkernel= asks for 0 bytes")
        return plain.size, plain.base, 0, False
    size = parser.suffix(HIGH)
    if not size:
        raise Invalid(parser.no_plain(size))
    low = parser.suffix(LOW)
    if low is None:
        default = kernel.arch.crash_low_size_default(kernel)
        low = default if kernel.has(changes.ARM64_FALLS_BACK) else 0
    return size, 0, low, True
