"""The parts of a crash image of ppc64: arch/powerpc/kexec/file_load_64.c (v7.1, and the seed's patches).

The first patch, BACKUP_OFFSET_AT_LOAD, is in load_elfcorehdr_segment(); the second is in crash.
"""

from __future__ import annotations

from collections.abc import Callable

from elfcorehdr import changes
from elfcorehdr.arch.powerpc.kexec.core import ppc64_rma_size
from elfcorehdr.arch.powerpc.kexec.crash import sync_backup_region_phdr
from elfcorehdr.arch.powerpc.kexec.ranges import (
    BACKUP_SRC_SIZE,
    get_crash_memory_ranges,
    get_exclude_memory_ranges,
    get_reserved_memory_ranges,
    get_usable_memory_ranges,
)
from elfcorehdr.elf import PHDR_SIZE
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.crash_core import crash_prepare_elf64_headers
from elfcorehdr.kernel.kexec_core import KexecSegment, Kimage
from elfcorehdr.kernel.kexec_file import KexecBuf, align_up, locate_mem_hole, or_say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

PN_MAX = 0xFFFF


class Placer:
    """kexec_add_buffer() for a crash image of ppc64."""

    def __init__(self, kernel: Kernel, image: Kimage) -> None:
        region = kernel.kexec.reserved()
        self._log = kernel.log
        self._window = region
        self._page_size = kernel.page_size
        self._image = image
        rma = ppc64_rma_size(kernel)
        self._buf_max = region.end if region.end < rma else rma - 1
        self._excluded = get_exclude_memory_ranges(kernel)
        self._inclusive = kernel.has(changes.EXCLUDED_INCLUSIVE)

    def add(self, buf: KexecBuf) -> int:
        """Place buf and make it the next segment; its address. KernelError(EADDRNOTAVAIL) without room."""
        buf.buf_max = min(buf.buf_max, self._buf_max)
        placed = [s.range for s in self._image.segments]
        try:
            at = locate_mem_hole(
                buf,
                self._window,
                self._page_size,
                placed,
                self._excluded,
                inclusive=self._inclusive,
            )
        except KernelError:
            if not self._inclusive:
                self._log.err(f"Failed to locate memory buffer of size {buf.memsz}")
            raise
        self._image.segments.append(KexecSegment(at, buf.memsz, bytearray(buf.content), buf.bufsz))
        return at


def load_backup_segment(image: Kimage, placer: Placer, align: int) -> int:
    """Where purgatory will copy the first 64 KiB to."""
    zeros = bytes(BACKUP_SRC_SIZE)
    buf = KexecBuf(BACKUP_SRC_SIZE, BACKUP_SRC_SIZE, align, content=zeros)
    image.backup_start = placer.add(buf)
    return image.backup_start


def load_crashdump_segments_ppc64(
    kernel: Kernel, image: Kimage, placer: Placer, align: int, log: Callable[[str], None]
) -> int:
    """The backup region, then the header, whose address it gives."""
    with or_say(kernel, "Failed to load backup segment"):
        backup = load_backup_segment(image, placer, align)
    log(f"Loaded the backup region at {backup:#x}")
    with or_say(kernel, "Failed to load elfcorehdr segment"):
        at, bufsz, memsz = load_elfcorehdr_segment(kernel, image, placer, align)
    log(f"Loaded elf core header at {at:#x}, bufsz={bufsz:#x} memsz={memsz:#x}")
    return at


def kdump_extra_elfcorehdr_size(kernel: Kernel, nr_ranges: int) -> int:
    """Room for ranges that hotplug may bring."""
    maximum = kernel.machine.crash_max_memory_ranges
    if not kernel.arch.crash_hotplug(kernel):
        return 0
    if maximum > PN_MAX:
        kernel.log.warning(f"Number of Phdrs {maximum} exceeds max")
    if nr_ranges >= maximum:
        kernel.log.warning("Configured crash mem ranges may not be enough")
        return 0
    return (maximum - nr_ranges) * PHDR_SIZE


def load_elfcorehdr_segment(
    kernel: Kernel, image: Kimage, placer: Placer, align: int
) -> tuple[int, int, int]:
    """Address, bufsz, memsz."""
    ranges = get_crash_memory_ranges(kernel)
    header = crash_prepare_elf64_headers(kernel, ranges)
    if kernel.has(changes.BACKUP_OFFSET_AT_LOAD):
        sync_backup_region_phdr(kernel, image, header, to_kimage=False)
    memsz = len(header) + kdump_extra_elfcorehdr_size(kernel, len(ranges))
    at = placer.add(KexecBuf(memsz, len(header), align, content=bytes(header)))
    return at, len(header), align_up(memsz, kernel.page_size)


def setup_new_fdt_ppc64(kernel: Kernel, log: Callable[[str], None]) -> None:
    """What is said on the way: reserved and usable ranges, memory nodes."""
    get_reserved_memory_ranges(kernel)
    get_usable_memory_ranges(kernel)
    for m in kernel.machine.memory:
        log(f"Memory node path: /memory@{m.start:x}")
