"""The reservation of ppc64: arch/powerpc/kexec/core.c (v7.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elfcorehdr import changes
from elfcorehdr.kernel.crash_reserve import parse_crashkernel, parse_suffix, reserve_crashkernel_cma
from elfcorehdr.kernel.kexec_file import align_up
from elfcorehdr.lib.ranges import Range

if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel


def arch_reserve_crashkernel(kernel: Kernel) -> None:
    """Base from the parameter, else from the real mode area."""
    log, machine = kernel.log, kernel.machine
    total = kernel.memblock.total()
    wanted = parse_crashkernel(kernel.cmdline, total, log.warning)
    if not wanted.size:
        return
    size = align_up(wanted.size, kernel.page_size)
    wanted_base = get_crash_base(kernel) if not wanted.base else wanted.base
    base = align_up(wanted_base, kernel.page_size)
    if base != wanted_base:
        log.warning(f"Crash kernel base must be aligned to {kernel.page_size:#x}")
    if base < machine.kernel_end:
        log.warning("Crash kernel can not overlap current kernel")
        return
    end = base + size - 1
    if not kernel.memblock.covers(base, end):
        generic = kernel.has(changes.GENERIC_RESERVATION_PPC64)
        log.warning(
            "crashkernel reservation failed - memory is in use."
            if generic
            else "Failed to reserve memory for crashkernel!"
        )
        return
    if kernel.has(changes.GENERIC_RESERVATION_PPC64):
        log.info(f"crashkernel reserved: {base:#018x} - {end + 1:#018x} ({size >> 20} MB)")
    else:
        log.info(
            f"Reserving {size >> 20}MB of memory at {base >> 20}MB for crashkernel "
            f"(System RAM: {total >> 20}MB)"
        )
    kernel.kexec.crashk_res = Range(base, end)
    if kernel.has(changes.CMA_CRASHKERNEL_PPC64):
        size = parse_suffix(kernel.cmdline, ",cma", log.warning) or 0
        reserve_crashkernel_cma(kernel, size)


def ppc64_rma_size(kernel: Kernel) -> int:
    """The real mode area, in bytes."""
    return kernel.machine.rma_size or kernel.memblock.total()


def get_crash_base(kernel: Kernel) -> int:
    """Half of the real mode area, but not above 512 MiB (LPAR) or 128 MiB (bare metal, old kernels)."""
    lpar = kernel.platform.name == "pseries" and kernel.has(changes.BASE_LPAR_512M)
    return min(ppc64_rma_size(kernel) // 2, (512 if lpar else 128) << 20)
