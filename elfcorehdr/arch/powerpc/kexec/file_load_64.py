"""Reserving and loading on ppc64: arch/powerpc/kexec/{core,ranges,file_load_64,elf_64}.c (v7.1)."""

from __future__ import annotations

import errno
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import TYPE_CHECKING

from elfcorehdr import changes
from elfcorehdr.arch.base import Arch
from elfcorehdr.arch.powerpc.kexec.ranges import BACKUP_SRC_SIZE, MemRanges, nr_joined
from elfcorehdr.elf import EHDR_SIZE, ELFMAG, P_OFFSET, P_PADDR, PHDR, PHDR_SIZE
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel import resource as iomem
from elfcorehdr.kernel.crash_core import crash_prepare_elf64_headers
from elfcorehdr.kernel.crash_reserve import parse_crashkernel, parse_suffix, reserve_crashkernel_cma
from elfcorehdr.kernel.kexec_core import KexecSegment, Kimage
from elfcorehdr.kernel.kexec_file import (
    FileArg,
    KexecBuf,
    Segment,
    align_up,
    elf_load_phdrs,
    locate_mem_hole,
)
from elfcorehdr.lib.ranges import Range
from elfcorehdr.machine import LoadSegment

if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel
    from elfcorehdr.kernel.header_cache import RangeSource

COMMAND_LINE_SIZE = 2048
PN_MAX = 0xFFFF
FDT_MAGIC = b"\xd0\x0d\xfe\xed"
_Log = Callable[[str], None]


class Ppc64Kexec(Arch):
    """The reservation, the ranges of a header, and the parts of a crash image on ppc64."""

    # ranges, ranges.c

    def _ranges(self, kernel: Kernel) -> MemRanges:
        if not kernel.debugging("ranges"):
            return MemRanges()
        return MemRanges(lambda text: kernel.debug("ranges", f"kexec ranges: {text}"))

    def _add_firmware(self, kernel: Kernel, ranges: MemRanges) -> None:
        """add_rtas_mem_range(), add_opal_mem_range(): with the sizes of the device tree, not page rounded."""
        for firmware in (kernel.machine.rtas, kernel.machine.opal):
            if firmware is not None:
                ranges.add(firmware.start, firmware.size)

    def crash_ranges(self, kernel: Kernel) -> MemRanges:
        """get_crash_memory_ranges(): memblock region by region, less the reservation, plus firmware and backup.

        The backup range [0, 64 KiB) is an entry of its own, next to the one that follows it.
        """
        ranges = self._ranges(kernel)
        for region in kernel.memblock:
            start = region.start
            if start == 0:
                if region.end < BACKUP_SRC_SIZE:
                    continue
                start = BACKUP_SRC_SIZE
            ranges.add(start, region.end - start + 1)
            if ranges.full:
                ranges.sort(merge=True)
        if ranges.full:
            ranges.grow()
        kexec = kernel.kexec
        for cut in (kexec.crashk_res, *kexec.crashk_cma_ranges):
            if cut is not None:
                if ranges.full:
                    ranges.grow()
                ranges.exclude(cut.start, cut.end, continues=kernel.has(changes.EXCLUDE_CONTINUES))
        self._add_firmware(kernel, ranges)
        ranges.add(0, BACKUP_SRC_SIZE)
        ranges.sort()
        return ranges

    def crash_ranges_source(self, kernel: Kernel) -> RangeSource | None:
        """memblock's journal; None while ranges.c logs them, and where firmware lies at a seam of memblock."""
        memblock, machine, kexec = kernel.memblock, kernel.machine, kernel.kexec
        put_in = [Range(0, BACKUP_SRC_SIZE - 1)]
        put_in += [f.range for f in (machine.rtas, machine.opal) if f is not None]
        if kernel.debugging("ranges") or not len(memblock) or memblock[0].end < BACKUP_SRC_SIZE:
            return None
        seams = memblock.seams
        for r in put_in:
            if bisect_left(seams, r.start) < bisect_right(seams, r.end + 1):
                return None
        cuts = [r for r in (kexec.crashk_res, *kexec.crashk_cma_ranges) if r is not None]
        from elfcorehdr.kernel.header_cache import RangeSource

        return RangeSource(memblock.edits, (*put_in, *cuts), memblock.seams, nr_joined(memblock))

    def _exclude_ranges(self, kernel: Kernel) -> list[Range]:
        """get_exclude_memory_ranges(): what no segment may touch."""
        ranges = self._ranges(kernel)
        ranges.add(0, kernel.machine.kernel_end)
        self._add_firmware(kernel, ranges)
        ranges.sort(merge=True)
        return ranges.ranges

    def insert_crashkernel_resources(self, kernel: Kernel) -> None:
        """None; on 6.16 to 6.18 one that kept every System RAM row it overlaps from being there."""
        region = kernel.kexec.crashk_res
        if region is None or not kernel.has(changes.IOMEM_CRASH_ROW_PPC64):
            return
        for level, r, name in list(kernel.iomem.rows()):
            row = kernel.iomem.find(r.start, r.end, name)
            if level == 0 and r.overlaps(region.start, region.end) and row is not None:
                kernel.iomem.release(row)
        row = iomem.Resource(region.start, region.end, iomem.CRASH_KERNEL)
        kernel.iomem.insert(row)

    # sizes

    def crash_get_elfcorehdr_size(self, kernel: Kernel) -> int:
        """64 + 56 * (possible CPUs + vmcoreinfo + CONFIG_CRASH_MAX_MEMORY_RANGES), without rounding."""
        phdrs = len(kernel.cpus.possible) + 1 + kernel.machine.crash_max_memory_ranges
        return EHDR_SIZE + phdrs * PHDR_SIZE

    def _extra_elfcorehdr_size(self, kernel: Kernel, nr_ranges: int) -> int:
        """get_extra_elfcorehdr_size(): room for ranges that hotplug may bring."""
        maximum = kernel.machine.crash_max_memory_ranges
        if not self.crash_hotplug(kernel):
            return 0
        if maximum > PN_MAX:
            kernel.log.warning(f"Number of Phdrs {maximum} exceeds max")
        if nr_ranges >= maximum:
            kernel.log.warning("Configured crash mem ranges may not be enough")
            return 0
        return (maximum - nr_ranges) * PHDR_SIZE

    # reservation, core.c

    def reserve_crashkernel(self, kernel: Kernel) -> None:
        """arch_reserve_crashkernel(): base from the parameter, else from the real mode area."""
        log, machine = kernel.log, kernel.machine
        total = kernel.memblock.total()
        wanted = parse_crashkernel(kernel.cmdline, total, log.warning)
        if not wanted.size:
            return
        size = align_up(wanted.size, kernel.page_size)
        wanted_base = self._default_base(kernel) if not wanted.base else wanted.base
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

    def _rma(self, kernel: Kernel) -> int:
        """ppc64_rma_size"""
        return kernel.machine.rma_size or kernel.memblock.total()

    def _default_base(self, kernel: Kernel) -> int:
        """Half of the real mode area, but not above 512 MiB (LPAR) or 128 MiB (bare metal, old kernels)."""
        lpar = kernel.platform == "pseries" and kernel.has(changes.BASE_LPAR_512M)
        return min(self._rma(kernel) // 2, (512 if lpar else 128) << 20)

    # loading, elf_64.c and file_load_64.c

    def kexec_file_load(
        self, kernel: Kernel, image: Kimage, kernel_file: FileArg | None, initrd: FileArg | None
    ) -> None:
        """elf64_load(): kernel, purgatory, backup, elfcorehdr, initrd, device tree, in this order."""
        kdump = kernel.machine.kdump
        parts = kdump.kernel or (LoadSegment(kernel.machine.kernel_end),)
        if kernel_file is not None:
            parts = tuple(
                LoadSegment(p.p_memsz, p.p_filesz, max(p.p_align, 1), p.p_paddr)
                for p in elf_load_phdrs(kernel_file.data)
            )
        if not image.crash:
            return
        log = kernel.log.info if kernel.kexec_debug else _quiet
        size = kernel_file.length if kernel_file else sum(p.filesz or p.memsz for p in parts)
        log(f"kexec_file: kernel: {kernel.hashed_pointer(size)} kernel_size: {size:#x}")
        placer = _Placer(self, kernel, image)
        for part in parts:
            at = placer.add(
                KexecBuf(part.memsz, part.filesz or part.memsz, part.align, buf_min=part.paddr)
            )
        log(f"kexec_elf: Loaded the kernel at {image.segments[0].mem:#x}")
        at = placer.add(KexecBuf(kdump.purgatory, kdump.purgatory, top_down=True))
        image.entry = at
        log(f"kexec_elf: Loaded purgatory at {at:#x}")
        align = parts[-1].align
        zeros = bytes(BACKUP_SRC_SIZE)
        image.backup_start = placer.add(
            KexecBuf(BACKUP_SRC_SIZE, BACKUP_SRC_SIZE, align, content=zeros)
        )
        log(f"Loaded the backup region at {image.backup_start:#x}")
        at, bufsz, memsz = self._load_elfcorehdr(kernel, image, placer, align)
        log(f"Loaded elf core header at {at:#x}, bufsz={bufsz:#x} memsz={memsz:#x}")
        self._setup_cmdline(kernel, image, at)
        length = initrd.length if initrd else kdump.initrd
        if length:
            at = placer.add(KexecBuf(length, length, kernel.page_size))
            log(f"kexec_elf: Loaded initrd at {at:#x}")
        self._log_usable_memory(kernel, log)
        fdt = max(kdump.fdt, 8)
        content = FDT_MAGIC + struct.pack(">I", fdt)
        at = placer.add(KexecBuf(fdt, fdt, kernel.page_size, top_down=True, content=content))
        log(f"kexec_elf: Loaded device tree at {at:#x}")

    def kexec_tools_segments(
        self,
        kernel: Kernel,
        kernel_file: FileArg | None,
        initrd: FileArg | None,
        cmdline: bytes,
        *,
        hotplug: bool,
    ) -> tuple[int, list[Segment]]:
        """Placed by the kernel's own rules (kexec-tools' are alike); the header is kexec-tools' own."""
        image = Kimage(crash=True, cmdline=cmdline)
        self.kexec_file_load(kernel, image, kernel_file, initrd)
        from elfcorehdr.kexec_tools import ppc64 as ppc64_kexec_tools

        header = ppc64_kexec_tools.header(kernel, image.backup_start)
        segments: list[Segment] = []
        for s in image.segments:
            content = header if s.content[:4] == ELFMAG else bytes(s.content)
            segments.append((content, len(content), s.mem, s.memsz))
        return image.entry, segments

    def _load_elfcorehdr(
        self, kernel: Kernel, image: Kimage, placer: _Placer, align: int
    ) -> tuple[int, int, int]:
        """load_elfcorehdr_segment(): address, bufsz, memsz."""
        ranges = self.crash_ranges(kernel)
        header = crash_prepare_elf64_headers(kernel, ranges)
        if kernel.has(changes.BACKUP_OFFSET_AT_LOAD):
            self._sync_backup_region_phdr(kernel, image, header, to_kimage=False)
        memsz = len(header) + self._extra_elfcorehdr_size(kernel, len(ranges))
        at = placer.add(KexecBuf(memsz, len(header), align, content=bytes(header)))
        return at, len(header), align_up(memsz, kernel.page_size)

    def _setup_cmdline(self, kernel: Kernel, image: Kimage, elfcorehdr: int) -> None:
        """setup_kdump_cmdline(): KernelError(EINVAL) where the address does not fit in front."""
        prefix = f"elfcorehdr={elfcorehdr:#x} ".encode()
        if len(prefix) + len(image.cmdline) + 1 > COMMAND_LINE_SIZE:
            kernel.log.err("Appending elfcorehdr=<addr> exceeds cmdline size")
            kernel.log.err("kexec_elf: Setting up cmdline for kdump kernel failed")
            raise KernelError(errno.EINVAL, "command line too long")
        image.cmdline = prefix + image.cmdline

    def _log_usable_memory(self, kernel: Kernel, log: _Log) -> None:
        """What setup_new_fdt_ppc64() says on the way: reserved and usable ranges, memory nodes."""
        region = kernel.kexec.crashk_res
        reserved = self._ranges(kernel)
        self._add_firmware(kernel, reserved)
        usable = self._ranges(kernel)
        if region is not None:
            usable.add(0, region.end + 1)
        self._add_firmware(kernel, usable)
        for m in kernel.machine.memory:
            log(f"Memory node path: /memory@{m.start:x}")

    def machine_kexec_post_load(self, kernel: Kernel, image: Kimage) -> None:
        """Learn the backup region that kexec-tools chose from the header it brought (the second patch)."""
        if not image.crash or not kernel.has(changes.BACKUP_OFFSET_AT_EVENT):
            return
        for segment in image.segments:
            if segment.content[:4] == ELFMAG:
                self._sync_backup_region_phdr(kernel, image, segment.content, to_kimage=True)

    def _sync_backup_region_phdr(
        self, kernel: Kernel, image: Kimage, header: bytearray, *, to_kimage: bool
    ) -> None:
        """sync_backup_region_phdr(): the first program header with p_paddr 0, whatever its type.

        to_kimage takes its p_offset as the backup region; else the image's backup region is put in.
        """
        phnum = int.from_bytes(header[56:58], "little")
        end = min(len(header), EHDR_SIZE + phnum * PHDR_SIZE)
        for at in range(EHDR_SIZE, end - PHDR_SIZE + 1, PHDR_SIZE):
            if header[at + P_PADDR : at + P_PADDR + 8] != bytes(8):
                continue
            if to_kimage:
                image.backup_start = PHDR.unpack_from(header, at)[2]
                return
            offset = at + P_OFFSET
            header[offset : offset + 8] = image.backup_start.to_bytes(8, "little")
            if kernel.kexec_debug:
                kernel.log.info(f"Backup region offset updated to {image.backup_start:#x}")
            return


class _Placer:
    """kexec_add_buffer() for a crash image of ppc64."""

    def __init__(self, arch: Ppc64Kexec, kernel: Kernel, image: Kimage) -> None:
        region = kernel.kexec.crashk_res
        if region is None:
            raise KernelError(errno.EADDRNOTAVAIL, "nothing is reserved for a crash kernel")
        self._window = region
        self._page_size = kernel.page_size
        self._image = image
        rma = arch._rma(kernel)
        self._buf_max = region.end if region.end < rma else rma - 1
        self._excluded = arch._exclude_ranges(kernel)

    def add(self, buf: KexecBuf) -> int:
        """Place buf and make it the next segment; its address. KernelError(EADDRNOTAVAIL) without room."""
        buf.buf_max = min(buf.buf_max, self._buf_max)
        placed = [s.range for s in self._image.segments]
        at = locate_mem_hole(buf, self._window, self._page_size, placed, self._excluded)
        self._image.segments.append(KexecSegment(at, buf.memsz, bytearray(buf.content), buf.bufsz))
        return at


def _quiet(text: str) -> None:
    """What a load without KEXEC_FILE_DEBUG says."""
