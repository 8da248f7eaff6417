"""What boot keeps of memory, so that the page allocator never has it: memblock.reserved when mem_init() is over.

Kernel image, memory map (mm/sparse-vmemmap.c), hash tables (mm/mm_init.c alloc_large_system_hash()), per-CPU areas,
log buffer, bounce buffers; v7.3. The reservation for a crash kernel, which can shrink, is not in it.
Where they lie is plausible, how large they are was compared with golden identity and the memblock dumps. Imports .boot_alloc.
"""

from __future__ import annotations

from collections.abc import Iterable

from elfcorehdr.kernel.crashkernel import memparse
from elfcorehdr.lib.ranges import Range
from elfcorehdr.mm.boot_alloc import BootAlloc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

STRUCT_PAGE = 64
ADAPT_SCALE_BASE = 64 << 30
"""Memory above which a hash table grows by half as much: mm/mm_init.c."""
LOG_BUF = 1 << 17
"""1 << CONFIG_LOG_BUF_SHIFT: the static buffer, part of the image."""
LOG_BUF_MAX = 1 << 31
_LEAST = 1 << 16


def boot_reserved(kernel: Kernel) -> list[Range]:
    """Ranges, ends included, none over another."""
    arch = kernel.arch
    regions = [r for r in arch.memblock_regions(kernel.machine) if r.allocatable]
    ram = [(r.start, r.end + 1) for r in regions]
    image = kernel_image(kernel)
    fixed = [image, kernel.kexec.crashk_res, kernel.kexec.crashk_low_res]
    taken = [(r.start, r.end + 1) for r in fixed if r is not None]
    given: list[tuple[int, int]] = []

    def take(places: Iterable[tuple[int, int]], size: int) -> None:
        alloc = BootAlloc(places, (*taken, *given))
        _take(alloc, size, kernel.page_size)
        given.extend(alloc.given)

    for node in sorted({r.node for r in regions}):
        own = [(r.start, r.end + 1) for r in regions if r.node == node]
        take(own, sum(end - start for start, end in own) // kernel.page_size * STRUCT_PAGE)
    below = [(start, min(end, 4 << 30)) for start, end in ram if start < 4 << 30]
    take(below or ram, arch.bounce_buffers(kernel))
    for size in (
        log_buffer(kernel),
        0 if arch.hashes_in_vmalloc(kernel) else hash_tables(kernel),
        len(kernel.machine.possible_cpus) * arch.percpu_bytes(kernel),
        arch.boot_tables(kernel),
    ):
        take(ram, size)
    return [image, *(Range(start, end - 1) for start, end in given)]


def _take(alloc: BootAlloc, size: int, align: int) -> None:
    """So many bytes, in pieces where there is no place for the whole; no more than there is room for."""
    size = -(-size // align) * align
    if not size:
        return
    try:
        alloc.alloc(size, align)
    except MemoryError:
        if size > max(align, _LEAST):
            half = size // 2 // align * align
            _take(alloc, half, align)
            _take(alloc, size - half, align)


def kernel_image(kernel: Kernel) -> Range:
    """Text, data and bss; what is __init, and the gaps, are freed."""
    image = kernel.arch.kernel_image(kernel)
    names = ("Kernel code", "Kernel rodata", "Kernel data", "Kernel bss")
    parts = [r.size for r in kernel.machine.resources if r.name in names]
    size = sum(parts) if parts else image.size - kernel.arch.init_bytes
    return Range.sized(image.start, min(max(size, kernel.page_size), image.size))


def hash_tables(kernel: Kernel) -> int:
    """dentry and inode cache: a pointer for each 8 and 16 KiB of memory, in powers of two."""
    memory = kernel.memblock.total()
    scale, adapt = 0, ADAPT_SCALE_BASE
    while adapt < memory:
        scale, adapt = scale + 1, adapt << 2
    return sum(
        min(8 << ((memory >> shift + scale) - 1).bit_length(), memory >> 4) for shift in (13, 14)
    )


def log_buffer(kernel: Kernel) -> int:
    """setup_log_buf(): text, descriptors and infos of log_buf_len=, where that is more than the static buffer."""
    asked = 0
    for word in kernel.cmdline.split():
        if word.startswith("log_buf_len="):
            asked = memparse(word.partition("=")[2])[0]
    size = 1 << (min(asked, LOG_BUF_MAX) - 1).bit_length() if asked else 0
    extra = (len(kernel.machine.possible_cpus) - 1) * 4096  # log_buf_add_cpu()
    if size <= LOG_BUF and extra > LOG_BUF // 2:
        size = 1 << (extra + LOG_BUF - 1).bit_length()
    # A descriptor of 24 bytes and an info of 112 for each 32 bytes of text.
    return size + size // 32 * (24 + 112) if size > LOG_BUF else 0
