"""The parts of an ELF core header as bytes: crash_prepare_elf64_headers() row by row, kernel/crash_core.c (v7.1).

crash_core puts them together anew, header_cache splices them into the header of the event before.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from operator import itemgetter

from elfcorehdr import changes
from elfcorehdr.elf import EHDR_SIZE, PF_R, PF_W, PF_X, PHDR, PHDR_SIZE, PT_LOAD, PT_NOTE, Ehdr
from elfcorehdr.kernel.kexec_file import align_up
from elfcorehdr.kernel.vmcore_info import vmcoreinfo_note
from elfcorehdr.lib.lanes import Lanes
from elfcorehdr.lib.ranges import Range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

ELF_CORE_HEADER_ALIGN = 4096
RWX = PF_R | PF_W | PF_X


def header_size(nr_cpus: int, nr_ranges: int) -> int:
    """Bytes of the buffer for so many CPUs and ranges.

    One program header more is always counted for the kernel's text, used or not.
    """
    phdrs = nr_cpus + 1 + nr_ranges + 1
    return align_up(EHDR_SIZE + phdrs * PHDR_SIZE, ELF_CORE_HEADER_ALIGN)


def note_cpus(kernel: Kernel) -> Sequence[int]:
    """The CPUs that get a PT_NOTE, ascending: possible ones, before 6.6 present ones."""
    if kernel.has(changes.POSSIBLE_CPUS):
        return kernel.cpus.possible
    return tuple(sorted(kernel.cpus.present))


def note_rows(kernel: Kernel) -> bytes:
    """The PT_NOTEs: one a CPU, then vmcoreinfo. flags 0, vaddr 0, paddr = offset, align 0."""
    pack, arch = PHDR.pack, kernel.arch
    size = arch.crash_note_bytes
    rows = []
    for cpu in note_cpus(kernel):
        address = arch.crash_note(kernel, cpu)
        rows.append(pack(PT_NOTE, 0, address, 0, address, size, size, 0))
    address, size = vmcoreinfo_note(kernel)
    rows.append(pack(PT_NOTE, 0, address, 0, address, size, size, 0))
    return b"".join(rows)


def fixed_rows(kernel: Kernel) -> bytes:
    """What stands before the memory: the PT_NOTEs, and a PT_LOAD of the kernel's text where it has one."""
    text = kernel.machine.kernel_text
    if not kernel.arch.need_kernel_map or text is None:
        return note_rows(kernel)
    return note_rows(kernel) + PHDR.pack(
        PT_LOAD, RWX, text.paddr, text.vaddr, text.paddr, text.size, text.size, 0
    )


def load_rows(kernel: Kernel, ranges: Sequence[Range]) -> bytes:
    """The PT_LOADs of ranges; one that wraps (ppc64's G1) gets the wrapped size."""
    at_once = (ranges[at : at + ROWS_AT_ONCE] for at in range(0, len(ranges), ROWS_AT_ONCE))
    return b"".join(_some_load_rows(kernel, some) for some in at_once)


def _some_load_rows(kernel: Kernel, ranges: Sequence[Range]) -> bytes:
    # Field by field, and each sum over all rows at once: half the time of a pack() a row (0.73 against
    # 1.47 ms for 8,192). Every direct map is linear, so va(pa) is pa + va(0).
    lanes = Lanes.of(len(ranges))
    starts, ends = (array("Q", list(map(itemgetter(n), ranges))) for n in (0, 1))
    start = lanes.packed(starts)
    size = lanes.sum(lanes.sum(lanes.packed(ends), start ^ lanes.all), lanes.each(2))
    sizes = lanes.unpacked(size)
    vas = lanes.unpacked(lanes.sum(start, lanes.each(kernel.arch.va(kernel, 0))))
    rows = _BLANK_ROW * len(ranges)
    for n, field in enumerate((starts, vas, starts, sizes, sizes), 1):
        rows[n::7] = field
    if sys.byteorder == "big":
        rows.byteswap()
    return rows.tobytes()


_BLANK_ROW = array("Q", [RWX << 32 | PT_LOAD, 0, 0, 0, 0, 0, 0])
ROWS_AT_ONCE = 2048
"""So many that nothing is allocated by the page: 128 KiB, the C library's M_MMAP_THRESHOLD."""


def ehdr_bytes(kernel: Kernel, phnum: int) -> bytes:
    """The ELF header; EI_DATA is little endian whatever the machine."""
    return Ehdr(e_machine=kernel.arch.e_machine, e_phnum=phnum).pack()
