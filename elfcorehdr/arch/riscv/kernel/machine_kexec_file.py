"""Loading on riscv64: arch/riscv/kernel/{machine_kexec_file,kexec_image,kexec_elf}.c (v7.2)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from elfcorehdr import changes
from elfcorehdr.arch.image import image_size
from elfcorehdr.elf import ELFMAG
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.crash_core import crash_prepare_elf64_headers
from elfcorehdr.kernel.kexec_core import Kimage
from elfcorehdr.kernel.kexec_file import FileArg, KexecBuf, align_up, elf_load_phdrs
from elfcorehdr.lib.ranges import CrashMem

if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

IMAGE_MAGIC = b"RSC\x05"
COMMAND_LINE_SIZE = 2048
KERNEL_MEMSZ, KERNEL_BUFSZ, PURGATORY, FDT = 0xD87000, 0xD39000, 0x20D8, 0x13FD
"""Sizes of a capture kernel's parts where the machine does not say (golden riscv64/A, step 1)."""
PMD_SIZE = 2 << 20


def crash_ranges(kernel: Kernel) -> CrashMem:
    """prepare_elf_headers(): System RAM less the reservations."""
    ranges = CrashMem(kernel.iomem.system_ram())
    kexec, continues = kernel.kexec, kernel.has(changes.EXCLUDE_CONTINUES)
    low = kexec.crashk_low_res if kernel.has(changes.LOW_EXCLUDED_RISCV64) else None
    for cut in (kexec.crashk_res, low, *kexec.crashk_cma_ranges):
        if cut is not None:
            ranges.exclude(cut.start, cut.end, continues=continues)
    return ranges


def load(
    kernel: Kernel, image: Kimage, kernel_file: FileArg | None, initrd: FileArg | None
) -> None:
    """The kernel at the bottom; the header, purgatory, initrd and device tree from the top down."""
    elf = kernel_file is not None and kernel_file.data[:4] == ELFMAG
    kdump = kernel.machine.kdump
    memsz = kdump.kernel[0].memsz if kdump.kernel else KERNEL_MEMSZ
    bufsz = (kdump.kernel[0].filesz if kdump.kernel else 0) or KERNEL_BUFSZ
    if elf and kernel_file is not None:
        loads = elf_load_phdrs(kernel_file.data)
        memsz = max(p.p_paddr + p.p_memsz for p in loads) - min(p.p_paddr for p in loads)
        memsz = bufsz = max(memsz, kernel_file.length)
    elif kernel_file is not None:
        memsz, bufsz = image_size(kernel_file, IMAGE_MAGIC), kernel_file.length
    if not image.crash:
        return
    try:
        at = kernel.arch.add_buffer(kernel, image, KexecBuf(memsz, bufsz, PMD_SIZE))
    except KernelError as error:
        if not elf:
            kernel.log.err(f"kexec_file(Image): Error add kernel image ret={-error.errno}")
        raise
    if not elf:
        memsz = align_up(memsz, kernel.page_size)
        kernel.kexec.dprintk(
            f"kexec_file(Image): Loaded kernel at {at:#x} bufsz={bufsz:#x} memsz={memsz:#x}"
        )
    load_extra_segments(kernel, image, initrd)
    if elf:
        # Golden riscv64/J: a program for user space fails after the header was placed.
        raise KernelError(errno.EADDRNOTAVAIL, "the kernel's own address is not in the region")


def load_extra_segments(kernel: Kernel, image: Kimage, initrd: FileArg | None) -> None:
    """What stands above the kernel, from the top down."""
    kdump = kernel.machine.kdump
    log = kernel.kexec.dprintk
    header = crash_prepare_elf64_headers(kernel, crash_ranges(kernel))
    size = len(header)
    at = kernel.arch.add_buffer(
        kernel, image, KexecBuf(size, size, top_down=True, content=bytes(header))
    )
    log(f"Loaded elf core header at {at:#x} bufsz={size:#x} memsz={size:#x}")
    prefix = f"elfcorehdr={at:#x} ".encode()
    if len(prefix) + len(image.cmdline) + 1 > COMMAND_LINE_SIZE:
        kernel.log.err("Appending elfcorehdr=<addr> exceeds cmdline size")
        kernel.log.err("Setting up cmdline for kdump kernel failed")
        raise KernelError(errno.EINVAL, "command line too long")
    image.cmdline = prefix + image.cmdline
    image.entry = at = kernel.arch.add_buffer(
        kernel, image, KexecBuf(PURGATORY, PURGATORY, top_down=True)
    )
    log(f"Loaded purgatory at {at:#x}")
    length = initrd.length if initrd else kdump.initrd
    if length:
        at = kernel.arch.add_buffer(kernel, image, KexecBuf(length, length, top_down=True))
        log(f"Loaded initrd at {at:#x}")
    fdt = kdump.fdt or FDT
    at = kernel.arch.add_buffer(kernel, image, KexecBuf(fdt, fdt, top_down=True))
    log(f"Loaded device tree at {at:#x}")
