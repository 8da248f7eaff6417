"""The header of x86_64, and what a hotplug event does to it: arch/x86/kernel/crash.c (v7.1; 6.1 where a change says so)."""

from __future__ import annotations

from collections.abc import Iterator

from elfcorehdr import changes
from elfcorehdr.elf import EHDR_SIZE, PHDR_SIZE
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.crash_core import crash_prepare_elf64_headers
from elfcorehdr.kernel.header_cache import RangeSource, Splice, SplicedHeader, kept_header
from elfcorehdr.kernel.kexec_core import HpAction, Kimage
from elfcorehdr.kernel.kexec_file import KexecBuf
from elfcorehdr.kernel.notifier import MemoryNotify
from elfcorehdr.lib.ranges import CrashMem, Range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

PN_XNUM = 0xFFFF
LOW_1M = Range(0, (1 << 20) - 1)
E820_TYPES = (("ACPI Tables", 3), ("ACPI Non-volatile Storage", 4), ("Reserved", 2))
"""enum e820_type, arch/x86/include/asm/e820/types.h."""


def crash_ranges(kernel: Kernel) -> CrashMem:
    """fill_up_crash_elf_data(), elf_header_exclude_ranges(): System RAM less 1 MiB and the reservations."""
    ranges = CrashMem(kernel.iomem.system_ram())
    kexec, continues = kernel.kexec, kernel.has(changes.EXCLUDE_CONTINUES)
    for cut in (LOW_1M, kexec.crashk_res, kexec.crashk_low_res, *kexec.crashk_cma_ranges):
        if cut is not None:
            ranges.exclude(cut.start, cut.end, continues=continues)
    return ranges


def crash_ranges_source(kernel: Kernel) -> RangeSource:
    """The resource tree's journal."""
    kexec = kernel.kexec
    cuts = (LOW_1M, kexec.crashk_res, kexec.crashk_low_res, *kexec.crashk_cma_ranges)
    return RangeSource(kernel.iomem.edits, tuple(r for r in cuts if r is not None))


def max_phdrs(kernel: Kernel) -> int:
    """vmcoreinfo, kernel text, and as many CPUs and ranges as the configuration allows."""
    machine = kernel.machine
    return 2 + machine.nr_cpus_default + machine.crash_max_memory_ranges


def arch_crash_get_elfcorehdr_size(kernel: Kernel) -> int:
    """The program headers alone: the ELF header is not counted (golden x86_64, 917616)."""
    return max_phdrs(kernel) * PHDR_SIZE


def crash_load_segments(kernel: Kernel, image: Kimage) -> None:
    """The header, with room for all that hotplug may bring."""
    header = crash_prepare_elf64_headers(kernel, crash_ranges(kernel))
    image.elf_headers_sz = len(header)
    if kernel.arch.crash_hotplug(kernel):
        phdrs = max_phdrs(kernel)
        if phdrs < PN_XNUM:
            image.elf_headers_sz = EHDR_SIZE + phdrs * PHDR_SIZE
            image.elfcorehdr_index = len(image.segments)
        else:
            kernel.log.err(f"kexec: number of Phdrs {phdrs} exceeds max")
    buf = KexecBuf(image.elf_headers_sz, len(header), content=bytes(header))
    at = kernel.arch.add_buffer(kernel, image, buf)
    image.cmdline = f"elfcorehdr={at:#x} ".encode() + image.cmdline
    text = f"kexec: Loaded ELF headers at {at:#x} bufsz={len(header):#x} memsz={buf.memsz:#x}"
    if not kernel.has(changes.FILE_DEBUG_FLAG):
        kernel.log.debug("crash", text)
    else:
        kernel.kexec.dprintk(text)


def arch_crash_handle_hotplug_event(
    kernel: Kernel, image: Kimage, notify: MemoryNotify | None
) -> None:
    """Build the header anew; for a CPU only while the header is still kexec-tools' own.

    One that was built here lists all possible CPUs already. A failure leaves the old one.
    """
    cpu = image.hp_action in (HpAction.ADD_CPU, HpAction.REMOVE_CPU)
    if cpu and (image.file_mode or image.elfcorehdr_updated):
        return
    try:
        header = _hotplug_header(kernel)
    except KernelError:
        kernel.crash_hp.err("unable to create new elfcorehdr")
        return
    memsz = image.segments[image.elfcorehdr_index].memsz
    if len(header) > memsz:
        kernel.crash_hp.err(f"update elfcorehdr elfsz {len(header)} > memsz {memsz}")
        return
    kernel.crash_hp.replace(image, header)
    kernel.log.debug("crash", "crash hp: updated elfcorehdr")


def _hotplug_header(kernel: Kernel) -> bytearray | SplicedHeader:
    """The header of all memory as it is now, from the kept one or anew. KernelError(ENOMEM)."""
    kept = kept_header(kernel)
    if kept is not None:
        return kept.header(Splice())
    return crash_prepare_elf64_headers(kernel, crash_ranges(kernel))


def crash_setup_memmap_entries(kernel: Kernel, image: Kimage) -> Iterator[tuple[Range, int]]:
    """What the capture kernel may know of.

    RAM below 1 MiB, firmware's rows wherever they are nested, then the reservation less the header.
    """
    for r in kernel.iomem.system_ram():
        if r.start < 1 << 20:
            yield Range(r.start, min(r.end, (1 << 20) - 1)), 1
    for name, kind in E820_TYPES:
        behind = 0
        for _, r, row in kernel.iomem.rows():
            if row == name and r.start >= behind:  # walk_iomem_res_desc() goes on behind the row
                behind = r.end + 1
                yield r, kind
    kexec = kernel.kexec
    if kexec.crashk_low_res is not None:
        yield kexec.crashk_low_res, 1
    if kexec.crashk_res is not None:
        header = image.segments[0].mem
        for r in (
            Range(kexec.crashk_res.start, header - 1),
            Range(header + image.elf_headers_sz, kexec.crashk_res.end),
        ):
            if r.size >= kernel.page_size:
                yield r, 1
    for r in kexec.crashk_cma_ranges:
        yield r, 1
