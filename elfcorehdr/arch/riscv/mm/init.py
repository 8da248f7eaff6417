"""The reservation on riscv64: arch/riscv/mm/init.c (6.1 to 7.3)."""

from __future__ import annotations

from elfcorehdr import changes
from elfcorehdr.kernel.crash_reserve import phys_alloc_range, reserve_crashkernel, why_no_room
from elfcorehdr.kernel.crashkernel import (
    HIGH,
    Invalid,
    Parser,
    get_last_crashkernel,
    page_align,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

PMD_SIZE, SZ_4G = 2 << 20, 4 << 30


def dma32_phys_limit(kernel: Kernel) -> int:
    """Where ZONE_DMA32 ends (not included): setup_bootmem()."""
    return min(SZ_4G, kernel.memblock.end_of_dram())


def arch_reserve_crashkernel(kernel: Kernel) -> None:
    """As the generic one since 6.6; before, reserve_crashkernel() of 6.1. Invalid says why nothing is reserved."""
    if kernel.has(changes.RISCV64_HIGH):
        reserve_crashkernel(kernel, cma=kernel.has(changes.CMA_CRASHKERNEL_RISCV64))
        return
    parser = Parser(kernel)
    plain = parser.plain(kernel.memblock.total())
    if plain is None:
        if get_last_crashkernel(kernel.cmdline, HIGH) is not None:
            raise Invalid("riscv64 knows no crashkernel=...,high before 6.6")
        raise Invalid(parser.no_plain(None))
    if not plain.size:
        raise Invalid("crashkernel= asks for 0 bytes")
    size = page_align(plain.size, kernel.page_size)
    start, end = kernel.memblock[0].start, kernel.memblock.end_of_dram()
    if plain.base:
        start, end = plain.base, plain.base + size
    # Quirk: the last byte below 4 GiB is not searched.
    found = phys_alloc_range(kernel, size, PMD_SIZE, start, min(end, SZ_4G - 1))
    found = found or phys_alloc_range(kernel, size, PMD_SIZE, start, end)
    if found is None:
        kernel.log.warning(f"crashkernel: couldn't allocate {size >> 10}KB")
        kernel.kexec.nothing = why_no_room(kernel, size, PMD_SIZE, start, end)
        return
    kernel.kexec.crashk_res = found
    kernel.arch.log_reservation(kernel)


def log_reservation(kernel: Kernel) -> None:
    """As 6.1 says it."""
    r = kernel.kexec.crashk_res
    if r is not None:
        kernel.log.info(
            f"crashkernel: reserved {r.start:#018x} - {r.end + 1:#018x} ({r.size >> 20} MB)"
        )
