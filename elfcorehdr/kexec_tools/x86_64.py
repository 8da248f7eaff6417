"""The ELF core header that kexec(8) builds for kexec_load on x86_64, and where it puts it.

Mirrors kexec/arch/i386/crashdump-x86.c and kexec/crashdump-elf.c of kexec-tools 2.0.32. All that it
knows it reads from /proc/iomem and /sys, so CMA ranges and the low 1 MiB stay in.
"""

from __future__ import annotations

import errno

from elfcorehdr.arch.x86.kernel import kexec_bzimage64 as bzimage
from elfcorehdr.elf import PF_R, PF_W, PF_X, PHDR, PHDR_SIZE, PT_LOAD, PT_NOTE
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.kexec_core import KexecSegment, Kimage
from elfcorehdr.kernel.kexec_file import FileArg, Segment, align_down, align_up
from elfcorehdr.kernel.phdrs import ehdr_bytes, load_rows
from elfcorehdr.kernel.resource import CRASH_KERNEL, SYSTEM_RAM
from elfcorehdr.kernel.vmcore_info import vmcoreinfo_note
from elfcorehdr.lib.ranges import Range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

CRASH_MAX_MEMORY_RANGES = 32768
BACKUP_SRC = Range(0, 0x9FFFF)
"""What is backed up where /proc/iomem has no RAM below 640 KiB."""
BACKUP_ALIGN = 1024
ELF_CORE_HEADER_ALIGN = 4096
LEAST_MEMSZ = 16 << 10
"""The header is given at least this much room."""
KERN_VADDR_ALIGN = 1 << 20
RWX = PF_R | PF_W | PF_X


def reserved(kernel: Kernel) -> list[Range]:
    """is_crashkernel_mem_reserved(): the `Crash kernel` rows, lowest first.

    KernelError(EADDRNOTAVAIL) if there is none: kexec(8) gives up before it makes a system call.
    """
    rows = [r for _, r, name in kernel.iomem.rows() if name == CRASH_KERNEL and r.start != r.end]
    if not rows:
        why = f": {kernel.kexec.nothing}" if kernel.kexec.nothing else ""
        raise KernelError(errno.EADDRNOTAVAIL, f"Memory for crashkernel is not reserved{why}")
    return rows


def crash_memory_ranges(kernel: Kernel) -> list[Range]:
    """get_crash_memory_ranges(): every row that begins with System RAM, nested ones too, less the reservations."""
    rows = [r for _, r, name in kernel.iomem.rows() if name.startswith(SYSTEM_RAM)]
    ranges = rows[:CRASH_MAX_MEMORY_RANGES]
    for crash in reserved(kernel):
        exclude_region(ranges, crash)
    return ranges


def exclude_region(ranges: list[Range], cut: Range) -> None:
    """exclude_region(): made for one reservation inside one range.

    Quirk: where several ranges overlap the cut, as nested rows do, each is shortened by itself and
    only the last one that splits keeps its tail; a range that the cut covers is left inside out.
    """
    tail: tuple[int, Range] | None = None
    for i, r in enumerate(ranges):
        if not (cut.start < r.end and cut.end > r.start):
            continue
        if cut.start != r.start and cut.end != r.end:
            ranges[i] = Range(r.start, cut.start - 1)
            tail = i + 1, Range(cut.end + 1, r.end)
        elif cut.start != r.start:
            ranges[i] = Range(r.start, cut.start - 1)
        else:
            ranges[i] = Range(cut.end + 1, r.end)
    if tail is not None:
        ranges.insert(*tail)


def backup_area(kernel: Kernel) -> Range:
    """get_backup_area(): the first RAM that ends below 640 KiB; purgatory copies it away."""
    for _, r, name in kernel.iomem.rows():
        if name == SYSTEM_RAM and r.end <= 0xA0000:
            return r
    return BACKUP_SRC


def elfcorehdr(kernel: Kernel, backup_start: int) -> bytes:
    """crash_create_elf64_headers(): one PT_NOTE a CPU with a directory, vmcoreinfo, the kernel, the ranges.

    backup_start is where the low memory will have been copied to. Padded to whole 4 KiB.
    """
    arch, pack = kernel.arch, PHDR.pack
    rows = []
    notes = [(arch.crash_note(kernel, n), arch.crash_note_bytes) for n in kernel.cpus.with_device()]
    for address, size in (*notes, vmcoreinfo_note(kernel)):
        rows.append(pack(PT_NOTE, 0, address, 0, address, size, size, 0))
    text = kernel.machine.kernel_text
    if text is not None:
        vaddr = align_down(text.vaddr, KERN_VADDR_ALIGN)
        size = align_up(text.vaddr + text.size - vaddr, kernel.page_size)
        rows.append(pack(PT_LOAD, RWX, text.paddr, vaddr, text.paddr, size, size, 0))
    low = backup_area(kernel)
    for r in crash_memory_ranges(kernel):
        row = bytearray(load_rows(kernel, [r]))
        if r == low:
            row[8:16] = backup_start.to_bytes(8, "little")
        rows.append(bytes(row))
    body = b"".join(rows)
    header = ehdr_bytes(kernel, len(body) // PHDR_SIZE) + body
    return header.ljust(align_up(len(header), ELF_CORE_HEADER_ALIGN), b"\0")


def crash_segments(kernel: Kernel, *, hotplug: bool) -> list[Segment]:
    """load_crashdump_segments(): the backup region at the top of the reservation, the header below it.

    The higher reservation if there are two. hotplug leaves as much room as the kernel asks for.
    KernelError(EADDRNOTAVAIL) without a reservation, or if that is too small.
    """
    region, low = reserved(kernel)[-1], backup_area(kernel)
    size = (low.size + BACKUP_ALIGN) // BACKUP_ALIGN * BACKUP_ALIGN
    backup = align_down(region.end + 1 - size, kernel.page_size)
    header = elfcorehdr(kernel, backup)
    memsz = max(len(header), LEAST_MEMSZ)
    if hotplug and kernel.arch.crash_hotplug(kernel):
        memsz = max(memsz, kernel.arch.crash_get_elfcorehdr_size(kernel))
    memsz = align_up(memsz, kernel.page_size)
    at = align_down(backup - memsz, kernel.page_size)
    if at < region.start:
        raise KernelError(errno.EADDRNOTAVAIL, "the reservation is too small")
    size = align_up(size, kernel.page_size)
    return [(b"", 0, backup, size), (header, len(header), at, memsz)]


def segments(
    kernel: Kernel,
    kernel_file: FileArg | None,
    initrd: FileArg | None,
    cmdline: bytes,
    *,
    hotplug: bool,
) -> tuple[int, list[Segment]]:
    """Entry and segments: backup region and header as kexec-tools places them, the rest by the kernel's rules."""
    image = Kimage(crash=True, cmdline=cmdline)
    part = bzimage.kernel_part(kernel, image, kernel_file)
    for content, bufsz, mem, memsz in crash_segments(kernel, hotplug=hotplug):
        image.segments.append(KexecSegment(mem, memsz, bytearray(content), bufsz))
    bzimage.load(kernel, image, part, initrd)
    return image.entry, [(bytes(s.content), len(s.content), s.mem, s.memsz) for s in image.segments]
