"""What a hotplug event does to the crash image of ppc64: arch/powerpc/kexec/crash.c (v7.1, and the seed's patches).

The second patch, BACKUP_OFFSET_AT_EVENT, is in the functions that name it; the first is in file_load_64.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from elfcorehdr import changes
from elfcorehdr.arch.powerpc.kexec.ranges import (
    BACKUP_SRC_SIZE,
    MemRanges,
    get_crash_memory_ranges,
    nr_joined,
)
from elfcorehdr.elf import EHDR_SIZE, ELFMAG, P_OFFSET, P_PADDR, PHDR, PHDR_SIZE
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.crash_core import crash_prepare_elf64_headers
from elfcorehdr.kernel.header_cache import RangeSource, Splice, SplicedHeader, kept_header
from elfcorehdr.kernel.kexec_core import HpAction, Kimage
from elfcorehdr.kernel.notifier import MemoryNotify
from elfcorehdr.lib.ranges import Range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

FDT_MAGIC = b"\xd0\x0d\xfe\xed"


def arch_crash_get_elfcorehdr_size(kernel: Kernel) -> int:
    """64 + 56 * (possible CPUs + vmcoreinfo + CONFIG_CRASH_MAX_MEMORY_RANGES), without rounding."""
    phdrs = len(kernel.cpus.possible) + 1 + kernel.machine.crash_max_memory_ranges
    return EHDR_SIZE + phdrs * PHDR_SIZE


def arch_crash_handle_hotplug_event(
    kernel: Kernel, image: Kimage, notify: MemoryNotify | None
) -> None:
    """Memory: rebuild the header. A new CPU: its node in the device tree. A CPU that goes: nothing."""
    match image.hp_action:
        case HpAction.ADD_MEMORY | HpAction.REMOVE_MEMORY:
            assert notify is not None
            update_crash_elfcorehdr(kernel, image, notify)
        case HpAction.ADD_CPU:
            if not any(s.content[:4] == FDT_MAGIC for s in image.segments):
                kernel.crash_hp.err("Unable to locate FDT segment.")
        case _:
            pass


def update_crash_elfcorehdr(kernel: Kernel, image: Kimage, notify: MemoryNotify) -> None:
    """Any failure leaves the old header in place."""
    # A block that goes offline is still in memblock: it is cut out of this one list.
    block = Range(notify.start, notify.end)
    gone = block if image.hp_action is HpAction.REMOVE_MEMORY else None
    header: bytearray | SplicedHeader | None
    try:
        header = _spliced_header(kernel, image, gone)
        if header is None:
            header = rebuilt_header(kernel, image, gone)
    except KernelError:
        kernel.crash_hp.err("Failed to prepare elf header")
        return
    memsz = image.segments[image.elfcorehdr_index].memsz
    if len(header) > memsz:
        kernel.crash_hp.err(f"Updated crash elfcorehdr elfsz {len(header)} > memsz {memsz}")
        return
    kernel.crash_hp.replace(image, header)


def rebuilt_header(kernel: Kernel, image: Kimage, gone: Range | None) -> bytearray:
    """The header from memblock, less a block that goes offline."""
    ranges = get_crash_memory_ranges(kernel)
    if gone is not None:
        _cut(kernel, ranges, gone)
    header = crash_prepare_elf64_headers(kernel, ranges)
    if kernel.has(changes.BACKUP_OFFSET_AT_EVENT):
        sync_backup_region_phdr(kernel, image, header, to_kimage=False)
    return header


def _spliced_header(kernel: Kernel, image: Kimage, gone: Range | None) -> SplicedHeader | None:
    """The same bytes from the last event's header; None where it has to be built anew."""
    kept = kept_header(kernel)
    if kept is None or (gone is not None and kept.touches_pinned(gone.start, gone.end)):
        return None
    splice = Splice()
    if gone is not None:
        first, stop = kept.overlapping(gone.start, gone.end)
        around = MemRanges.of(kept.range(i) for i in range(first, stop))
        tails = _cut(kernel, around, gone)
        left = len(around) - tails
        splice = Splice(first, stop, around.ranges[:left], around.ranges[left:])
    header = kept.header(splice)
    at = kept.zero_paddr_at()
    if at is not None and kernel.has(changes.BACKUP_OFFSET_AT_EVENT):
        header.patch(at + P_OFFSET, image.backup_start.to_bytes(8, "little"))
    return header


def _cut(kernel: Kernel, ranges: MemRanges, gone: Range) -> int:
    """Take a block out; how many ranges that left at the end of the list, behind all others."""
    if kernel.has(changes.GENERIC_EXCLUDE_PPC64):
        ranges.max_nr_ranges = None
        ranges.exclude(gone.start, gone.end)
        return 0
    before = len(ranges)
    ranges.remove(gone.start, gone.size, wraps=not kernel.has(changes.SPLIT_NOT_WRAPPED))
    return max(0, len(ranges) - before)


def sync_backup_region_phdr(
    kernel: Kernel, image: Kimage, header: bytearray, *, to_kimage: bool
) -> None:
    """Of the first program header with p_paddr 0, whatever its type: p_offset and backup_start become one.

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
        kernel.kexec.dprintk(f"Backup region offset updated to {image.backup_start:#x}")
        return


def machine_kexec_post_load(kernel: Kernel, image: Kimage) -> None:
    """Learn the backup region that kexec-tools chose from the header it brought (the second patch)."""
    if not image.crash:
        return
    knows = kernel.has(changes.BACKUP_OFFSET_AT_EVENT)
    for segment in image.segments:
        if segment.content[:4] == ELFMAG:
            sync_backup_region_phdr(kernel, image, segment.content, to_kimage=True)
            image.backup_by_user = image.backup_start
            image.backup_start *= knows


def crash_ranges_source(kernel: Kernel) -> RangeSource | None:
    """memblock's journal; None while ranges.c logs them, and where firmware lies at a seam of memblock."""
    memblock, machine, kexec = kernel.memblock, kernel.machine, kernel.kexec
    put_in = [Range(0, BACKUP_SRC_SIZE - 1)]
    put_in += [f.range for f in (machine.rtas, machine.opal) if f is not None]
    if kernel.log.debugging("ranges") or not len(memblock) or memblock[0].end < BACKUP_SRC_SIZE:
        return None
    seams = memblock.seams
    for r in put_in:
        if bisect_left(seams, r.start) < bisect_right(seams, r.end + 1):
            return None
    cuts = [r for r in (kexec.crashk_res, *kexec.crashk_cma_ranges) if r is not None]
    return RangeSource(memblock.edits, (*put_in, *cuts), memblock.seams, nr_joined(memblock))
