"""The crash image that kexec-tools 2.0.32 makes on ppc64 for kexec_load: kexec/arch/ppc64/crashdump-ppc64.c.

Seen in golden ppc64/A and D: memory as of boot, RTAS last and in whole pages.
"""

from __future__ import annotations

from elfcorehdr.arch.powerpc.kexec.ranges import BACKUP_SRC_SIZE
from elfcorehdr.elf import ELFMAG, PF_R, PF_W, PF_X, PHDR, PHDR_SIZE, PT_LOAD
from elfcorehdr.kernel.kexec_core import Kimage
from elfcorehdr.kernel.kexec_file import FileArg, Segment, align_down, align_up
from elfcorehdr.kernel.phdrs import ehdr_bytes, note_rows
from elfcorehdr.lib.ranges import CrashMem, Range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel


def header(kernel: Kernel, backup: int) -> bytes:
    """The elfcorehdr of kexec-tools, trimmed to its last program header; backup is the region's address.

    Quirk: memory that was added since boot is not in it (golden ppc64/D, second load).
    """
    ranges = CrashMem(
        Range(m.start or BACKUP_SRC_SIZE, m.end)
        for m in kernel.machine.memory
        if m.end >= BACKUP_SRC_SIZE
    )
    region = kernel.kexec.crashk_res
    if region is not None:
        ranges.exclude(region.start, region.end)
    rows = [(backup, Range(0, BACKUP_SRC_SIZE - 1)), *((r.start, r) for r in ranges)]
    for firmware in (kernel.machine.rtas, kernel.machine.opal):
        if firmware is not None:
            page = kernel.page_size
            start = align_down(firmware.start, page)
            end = align_up(firmware.start + firmware.size, page)
            rows.append((start, Range(start, end - 1)))
    va, flags = kernel.arch.va, PF_R | PF_W | PF_X
    loads = b"".join(
        PHDR.pack(PT_LOAD, flags, offset, va(kernel, r.start), r.start, r.size, r.size, 0)
        for offset, r in rows
    )
    body = note_rows(kernel) + loads
    return ehdr_bytes(kernel, len(body) // PHDR_SIZE) + body


def segments(
    kernel: Kernel,
    kernel_file: FileArg | None,
    initrd: FileArg | None,
    cmdline: bytes,
    *,
    hotplug: bool,
) -> tuple[int, list[Segment]]:
    """Entry and segments: placed by the kernel's own rules (kexec-tools' are alike), the header its own. KernelError."""
    image = Kimage(crash=True, cmdline=cmdline)
    kernel.arch.kexec_file_load(kernel, image, kernel_file, initrd)
    own = header(kernel, image.backup_start)
    made: list[Segment] = []
    for s in image.segments:
        content = own if s.content[:4] == ELFMAG else bytes(s.content)
        made.append((content, len(content), s.mem, s.memsz))
    return image.entry, made
