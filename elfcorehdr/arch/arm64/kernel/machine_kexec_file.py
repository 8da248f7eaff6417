"""Loading on arm64: arch/arm64/kernel/{machine_kexec_file,kexec_image}.c (v7.1)."""

from __future__ import annotations

import errno

from elfcorehdr import changes
from elfcorehdr.arch.image import image_head
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.crash_core import crash_prepare_elf64_headers
from elfcorehdr.kernel.kexec_core import Kimage
from elfcorehdr.kernel.kexec_file import FileArg, KexecBuf, NoKernel
from elfcorehdr.lib.ranges import CrashMem, Range
from elfcorehdr.mm.memblock import NOMAP

TYPE_CHECKING = False
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


def probe(kernel_file: FileArg) -> None:
    """image_probe(): NoKernel(EINVAL) for what is no Image."""
    if image_head(kernel_file).magic != IMAGE_MAGIC:
        raise NoKernel(errno.EINVAL, "no Image")


def load(
    kernel: Kernel, image: Kimage, kernel_file: FileArg | None, initrd: FileArg | None
) -> None:
    """image_load(): the kernel at the lowest place above which there is room for the rest."""
    given = kernel.machine.kdump.kernel
    memsz = bufsz = given[0].memsz if given else KERNEL_SIZE
    text_offset = 0
    if kernel_file is not None:
        head = image_head(kernel_file)
        if not head.image_size:
            raise KernelError(errno.EINVAL, "a kernel image that does not say its size")
        memsz, bufsz, text_offset = head.image_size, kernel_file.length, head.text_offset
    if not image.crash:
        return
    buf_min = 0
    while True:
        buf = KexecBuf(max(memsz + text_offset, bufsz), bufsz, SZ_2M, buf_min=buf_min)
        try:
            at = kernel.arch.add_buffer(kernel, image, buf)
        except KernelError:
            kernel.log.err("kexec_file(Image): Could not find any suitable kernel location!")
            raise
        try:
            load_other_segments(kernel, image, initrd)
            break
        except KernelError:
            buf_min = at + buf.memsz
            image.segments.clear()
    segment = image.segments[0]
    segment.mem += text_offset
    segment.memsz -= text_offset
    image.entry = at = segment.mem
    kernel.kexec.dprintk(
        f"kexec_file(Image): Loaded kernel at {at:#x} bufsz={bufsz:#x} memsz={segment.memsz:#x}"
    )


def load_other_segments(kernel: Kernel, image: Kimage, initrd: FileArg | None) -> None:
    """The header at the top, the initrd above the kernel, the device tree."""
    kdump, log = kernel.machine.kdump, kernel.kexec.dprintk
    header = crash_prepare_elf64_headers(kernel, crash_ranges(kernel))
    size = len(header)
    buf = KexecBuf(size, size, SZ_64K, top_down=True, content=bytes(header))
    at = kernel.arch.add_buffer(kernel, image, buf)
    log(f"kexec_file: Loaded elf core header at {at:#x} bufsz={size:#x} memsz={buf.memsz:#x}")
    kernel.dm_crypt_keys.crash_load()
    length = initrd.length if initrd else kdump.initrd
    if length:
        low = image.segments[0].range.end + 1
        at = kernel.arch.add_buffer(kernel, image, KexecBuf(length, length, buf_min=low))
        log(f"kexec_file: Loaded initrd at {at:#x} bufsz={length:#x} memsz={length:#x}")
    fdt = max(kdump.fdt, 8)
    at = kernel.arch.add_buffer(kernel, image, KexecBuf(fdt, fdt, SZ_2M, top_down=True))
    log(f"kexec_file: Loaded dtb at {at:#x} bufsz={fdt:#x} memsz={fdt:#x}")
