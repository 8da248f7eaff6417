"""Loading on riscv64: arch/riscv/kernel/{machine_kexec_file,kexec_image,kexec_elf}.c (v7.2)."""

from __future__ import annotations

import errno

from elfcorehdr import changes
from elfcorehdr.arch.image import RISCV_HEADER_VERSION, elf_loads, elf_probe, image_head
from elfcorehdr.elf import ELFMAG, Phdr
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.crash_core import crash_prepare_elf64_headers
from elfcorehdr.kernel.kexec_core import KexecSegment, Kimage
from elfcorehdr.kernel.kexec_file import (
    FileArg,
    KexecBuf,
    NoKernel,
    align_up,
    locate_mem_hole,
    or_say,
)
from elfcorehdr.lib.ranges import CrashMem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

IMAGE_MAGIC = b"RSC\x05"
"""magic2, in an Image of header version 0.2 or newer."""
COMMAND_LINE_SIZE = 2048
KERNEL_MEMSZ, KERNEL_BUFSZ, PURGATORY, FDT = 0xD87000, 0xD39000, 0x20D8, 0x13FD
"""Sizes of a capture kernel's parts where the machine does not say (golden riscv64/A, step 1)."""
PMD_SIZE = 2 << 20
FLAG_BE = 1
U64 = (1 << 64) - 1


def crash_ranges(kernel: Kernel) -> CrashMem:
    """prepare_elf_headers(): System RAM less the reservations."""
    ranges = CrashMem(kernel.iomem.system_ram())
    kexec, continues = kernel.kexec, kernel.has(changes.EXCLUDE_CONTINUES)
    low = kexec.crashk_low_res if kernel.has(changes.LOW_EXCLUDED_RISCV64) else None
    for cut in (kexec.crashk_res, low, *kexec.crashk_cma_ranges):
        if cut is not None:
            ranges.exclude(cut.start, cut.end, continues=continues)
    return ranges


def probe(kernel: Kernel, kernel_file: FileArg) -> None:
    """kexec_elf_probe(), then image_probe() where there is one. NoKernel(ENOEXEC, EINVAL)."""
    try:
        elf_probe(kernel_file, kernel.arch.e_machine)
    except NoKernel as error:
        if not kernel.has(changes.IMAGE_LOADER_RISCV64):
            raise
        head = image_head(kernel_file)
        if head.version >= RISCV_HEADER_VERSION and head.magic != IMAGE_MAGIC:
            raise NoKernel(errno.EINVAL, "no Image, and no ELF", error.line) from None


def load(
    kernel: Kernel, image: Kimage, kernel_file: FileArg | None, initrd: FileArg | None
) -> None:
    """The kernel at the bottom; the header, purgatory, initrd and device tree from the top down."""
    if kernel_file is not None and kernel_file.data[:4] == ELFMAG:
        loads = elf_loads(kernel_file)
        if image.crash:
            _place_elf(kernel, image, loads, kernel_file.length)
            load_extra_segments(kernel, image, initrd)
        return
    kdump = kernel.machine.kdump
    memsz = kdump.kernel[0].memsz if kdump.kernel else KERNEL_MEMSZ
    bufsz = (kdump.kernel[0].filesz if kdump.kernel else 0) or KERNEL_BUFSZ
    align = PMD_SIZE
    if kernel_file is not None:
        head = image_head(kernel_file)
        if not head.image_size or head.flags & FLAG_BE:
            raise KernelError(errno.EINVAL, "no kernel image: no size, or big endian")
        memsz, bufsz, align = head.image_size, kernel_file.length, head.text_offset
    if not image.crash:
        return
    is_image = kernel.has(changes.IMAGE_LOADER_RISCV64)
    try:
        at = kernel.arch.add_buffer(kernel, image, KexecBuf(max(memsz, bufsz), bufsz, align))
    except KernelError as error:
        if is_image:
            kernel.log.err(f"kexec_file(Image): Error add kernel image ret={-error.errno}")
        raise
    if is_image:
        memsz = align_up(memsz, kernel.page_size)
        kernel.log.info(
            f"kexec_file(Image): Loaded kernel at {at:#x} bufsz={bufsz:#x} memsz={memsz:#x}"
        )
    load_extra_segments(kernel, image, initrd)


def _place_elf(kernel: Kernel, image: Kimage, loads: list[Phdr], length: int) -> None:
    """elf_find_pbase(), riscv_kexec_elf_load(): one hole for the whole; the segments lie as the file has them."""
    page, lowest = kernel.page_size, min((p.p_paddr for p in loads), default=U64)
    buf = KexecBuf(align_up(length, page), 0, PMD_SIZE, buf_min=lowest)
    base = locate_mem_hole(buf, kernel.kexec.reserved(), page, ())
    for p in loads:
        size = align_up(p.p_memsz, page)
        at = p.p_paddr - lowest + base & U64
        image.segments.append(KexecSegment(at, size, bytearray(), min(p.p_filesz, p.p_memsz)))


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
    buf = KexecBuf(PURGATORY, PURGATORY, top_down=True)
    with or_say(kernel, "Error loading purgatory ret={ret}"):
        image.entry = at = kernel.arch.add_buffer(kernel, image, buf)
    log(f"Loaded purgatory at {at:#x}")
    length = initrd.length if initrd else kdump.initrd
    if length:
        at = kernel.arch.add_buffer(kernel, image, KexecBuf(length, length, top_down=True))
        log(f"Loaded initrd at {at:#x}")
    fdt = kdump.fdt or FDT
    with or_say(kernel, "Error add DTB kbuf ret={ret}"):
        at = kernel.arch.add_buffer(kernel, image, KexecBuf(fdt, fdt, top_down=True))
    log(f"Loaded device tree at {at:#x}")
