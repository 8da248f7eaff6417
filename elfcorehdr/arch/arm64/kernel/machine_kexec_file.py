"""Loading on arm64: arch/arm64/kernel/{machine_kexec_file,kexec_image}.c (v7.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elfcorehdr import changes
from elfcorehdr.arch.image import image_size
from elfcorehdr.kernel.crash_core import crash_prepare_elf64_headers
from elfcorehdr.kernel.kexec_core import Kimage
from elfcorehdr.kernel.kexec_file import FileArg, KexecBuf
from elfcorehdr.lib.ranges import CrashMem, Range
from elfcorehdr.mm.memblock import NOMAP

if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

IMAGE_MAGIC = b"ARM\x64"
KERNEL_SIZE = 0x850000
"""_end - _text of the lab's kernel (golden arm64/B), where the machine names no other."""
SZ_2M, SZ_64K = 2 << 20, 64 << 10


def crash_ranges(kernel: Kernel) -> CrashMem:
    """prepare_elf_headers(): memblock's regions less the reservations."""
    kexec, continues = kernel.kexec, kernel.has(changes.EXCLUDE_CONTINUES)
    ranges = CrashMem(Range(r.start, r.end) for r in kernel.memblock if NOMAP not in r.flags)
    for cut in (kexec.crashk_res, kexec.crashk_low_res, *kexec.crashk_cma_ranges):
        if cut is not None:
            ranges.exclude(cut.start, cut.end, continues=continues)
    return ranges


def load(
    kernel: Kernel, image: Kimage, kernel_file: FileArg | None, initrd: FileArg | None
) -> None:
    """image_load(), load_other_segments(): kernel at the bottom, the header at the top, initrd, dtb."""
    given, kdump = kernel.machine.kdump.kernel, kernel.machine.kdump
    memsz = given[0].memsz if given else KERNEL_SIZE
    if kernel_file is not None:
        memsz = image_size(kernel_file, IMAGE_MAGIC)
    if not image.crash:
        return
    log = kernel.kexec.dprintk
    image.entry = at = kernel.arch.add_buffer(kernel, image, KexecBuf(memsz, memsz, SZ_2M))
    log(f"kexec_file: Loaded kernel at {at:#x} bufsz={memsz:#x} memsz={memsz:#x}")
    header = crash_prepare_elf64_headers(kernel, crash_ranges(kernel))
    size = len(header)
    buf = KexecBuf(size, size, SZ_64K, top_down=True, content=bytes(header))
    at = kernel.arch.add_buffer(kernel, image, buf)
    log(f"Loaded elf core header at {at:#x} bufsz={size:#x} memsz={buf.memsz:#x}")
    length = initrd.length if initrd else kdump.initrd
    if length:
        low = image.segments[0].range.end + 1
        at = kernel.arch.add_buffer(kernel, image, KexecBuf(length, length, buf_min=low))
        log(f"Loaded initrd at {at:#x} bufsz={length:#x} memsz={length:#x}")
    fdt = max(kdump.fdt, 8)
    at = kernel.arch.add_buffer(kernel, image, KexecBuf(fdt, fdt, SZ_2M, top_down=True))
    log(f"Loaded dtb at {at:#x} bufsz={fdt:#x} memsz={fdt:#x}")
