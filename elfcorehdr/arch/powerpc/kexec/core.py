"""The reservation of ppc64: arch/powerpc/kexec/core.c (6.1 to 7.3)."""

from __future__ import annotations

from elfcorehdr import changes
from elfcorehdr.kernel.crash_reserve import reserve_crashkernel_cma, reserve_crashkernel_generic
from elfcorehdr.kernel.crashkernel import Invalid, Parser, page_align
from elfcorehdr.kernel.kexec_file import align_up
from elfcorehdr.lib.ranges import Range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel


def arch_reserve_crashkernel(kernel: Kernel) -> None:
    """Base from the parameter, else from the real mode area. Invalid says why nothing is reserved."""
    parser = Parser(kernel)
    try:
        _reserve(kernel, parser)
    finally:
        # Quirk: kdump_cma_reserve() does not ask whether there is a reservation besides.
        if kernel.has(changes.CMA_CRASHKERNEL_PPC64):
            reserve_crashkernel_cma(kernel, parser.cma())


def _reserve(kernel: Kernel, parser: Parser) -> None:
    log, total = kernel.log, kernel.memblock.total()
    wanted = parser.plain(total)
    if wanted is None:
        raise Invalid(
            "ppc64 knows no crashkernel=...,high"
            if ",high" in kernel.cmdline
            else parser.no_plain(None)
        )
    if kernel.has(changes.GENERIC_RESERVATION):  # parse_crashkernel() of all
        parser.judged(wanted, total)
    elif wanted.size <= 1:
        one = "1 byte, which ppc64 takes for none" if wanted.size else "0 bytes"
        raise Invalid(f"crashkernel= asks for {one}")
    wanted_base = wanted.base or get_crash_base(kernel)
    base = align_up(wanted_base, kernel.page_size)
    if base != wanted_base:
        log.warning(f"Crash kernel base must be aligned to {kernel.page_size:#x}")
    if base < kernel.machine.kernel_end:
        log.warning("Crash kernel can not overlap current kernel")
        raise Invalid(f"at {base:#x} it would lie over the running kernel")
    if kernel.has(changes.GENERIC_RESERVATION_PPC64):
        reserve_crashkernel_generic(kernel, wanted.size, base, 0, high=False)
        return
    size = page_align(wanted.size, kernel.page_size)
    say_reserving(kernel, base, size)
    if not kernel.memblock.covers(base, base + size - 1):
        log.err("Failed to reserve memory for crashkernel!")
        raise Invalid(f"{base:#x} to {base + size - 1:#x} is not all memory")
    kernel.kexec.crashk_res = Range.sized(base, size)


def say_reserving(kernel: Kernel, base: int, size: int) -> None:
    """What kernels before 6.16 say before they know whether it can be had."""
    total = kernel.memblock.total()
    kernel.log.info(
        f"Reserving {size >> 20}MB of memory at {base >> 20}MB for crashkernel "
        f"(System RAM: {total >> 20}MB)"
    )


def ppc64_rma_size(kernel: Kernel) -> int:
    """The real mode area, in bytes."""
    return kernel.machine.rma_size or kernel.memblock.total()


def get_crash_base(kernel: Kernel) -> int:
    """Half of the real mode area, but not above 512 MiB (LPAR) or 128 MiB (bare metal, old kernels)."""
    lpar = kernel.platform.name == "pseries" and kernel.has(changes.BASE_LPAR_512M)
    return min(ppc64_rma_size(kernel) // 2, (512 if lpar else 128) << 20)
