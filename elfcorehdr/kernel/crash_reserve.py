"""The reservation for a crash kernel, as most architectures make it: kernel/crash_reserve.c (v7.3), mm/cma.c."""

from __future__ import annotations

from elfcorehdr import changes
from elfcorehdr.kernel.crashkernel import Parser
from elfcorehdr.kernel.kexec_file import align_down, align_up
from elfcorehdr.lib.ranges import Range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from elfcorehdr.init.main import Kernel

CRASHK_CMA_RANGES_MAX = 4
SZ_4G = 4 << 30
ANYWHERE = 1 << 64


def reserve_crashkernel(kernel: Kernel, *, cma: bool) -> None:
    """arch_reserve_crashkernel() of x86_64, arm64 and riscv64 since 6.7. Invalid says why nothing is reserved.

    cma says whether the architecture asks for `,cma`; it is never enough alone, nor is `,low`.
    """
    parser, arch = Parser(kernel), kernel.arch
    low_default = arch.crash_low_size_default(kernel)
    wanted = parser.generic(kernel.memblock.total(), low_default, cma=cma)
    reserve_crashkernel_generic(kernel, wanted.size, wanted.base, wanted.low_size, high=wanted.high)
    reserve_crashkernel_cma(kernel, wanted.cma_size)


def reserve_crashkernel_generic(
    kernel: Kernel, size: int, base: int, low_size: int, *, high: bool
) -> None:
    """At base if one is given, else below the limit of low memory, else above it; high the other way.

    What lies above it needs low_size bytes below, too. Sizes and base in bytes.
    """
    log, kexec, align = kernel.log, kernel.kexec, kernel.arch.crash_align(kernel)
    low_max, high_max = (
        kernel.arch.crash_addr_low_max(kernel),
        kernel.arch.crash_addr_high_max(kernel),
    )
    start, end = (low_max, high_max) if high else (0, low_max)
    if base:
        start, end = base, base + size
    tried: list[tuple[int, int]] = []
    while (found := phys_alloc_range(kernel, size, align, start, end)) is None:
        if base:
            log.warning("crashkernel reservation failed - memory is in use.")
            kexec.nothing = why_no_room(kernel, size, align, base, end)
            return
        if (start, end) in tried:
            # Quirk: it goes round and round where all memory is low memory (7.3 and before).
            kexec.nothing = (
                f"{why_no_room(kernel, size, align, 0, high_max)}; where all memory is low memory, as here, "
                "reserve_crashkernel_generic() tries for ever: this kernel does not boot"
            )
            return
        tried.append((start, end))
        if not high and end == low_max:
            start, end = low_max, high_max
            low_size = kernel.arch.crash_low_size_default(kernel)
            continue
        if high and end == high_max and (low_max != high_max or not kernel.has(changes.HIGH_ENDS)):
            start, end = 0, low_max
            continue
        log.warning(f"cannot allocate crashkernel (size:{size:#x})")
        kexec.nothing = why_no_room(kernel, size, align, 0, high_max)
        if high and low_max == high_max:
            kexec.nothing = f"all memory is below {low_max:#x}: for ,high there is none above"
        return
    if found.start >= low_max and low_size and not reserve_crashkernel_low(kernel, low_size, found):
        return
    kexec.crashk_res = found
    kernel.arch.log_reservation(kernel)


def why_no_room(kernel: Kernel, size: int, align: int, start: int, end: int) -> str:
    """Why so many bytes have no place from start to end (not included), in words."""
    if end - start == size:
        return (
            f"{start:#x} to {end - 1:#x} is not free memory that begins on a multiple of {align:#x}"
        )
    places = [(min(b, end) - max(a, start), max(a, start)) for a, b in free_places(kernel)]
    largest, at = max(places)
    return (
        f"{size:#x} bytes fit nowhere: the largest free place has {max(largest, 0):#x}, at {at:#x}"
    )


def reserve_crashkernel_low(kernel: Kernel, size: int, high: Range) -> bool:
    """reserve_crashkernel_low(): whether it could be had."""
    low_max = kernel.arch.crash_addr_low_max(kernel)
    align = kernel.arch.crash_align(kernel)
    low = phys_alloc_range(kernel, size, align, 0, low_max, also=high)
    if low is None:
        kernel.log.err(f"cannot allocate crashkernel low memory (size:{size:#x}).")
        kernel.kexec.nothing = f"{size:#x} bytes of low memory fit nowhere below {low_max:#x}"
        return False
    kernel.kexec.crashk_low_res = low
    return True


def reserve_crashkernel_cma(kernel: Kernel, size: int) -> None:
    """Up to four areas, each request that fails is halved; size in bytes."""
    if not size:
        return
    if not kernel.config("CMA"):
        kernel.log.warning("crashkernel CMA reservation not supported")
        return
    request, reserved, ranges = align_up(size, kernel.page_size), 0, kernel.kexec.crashk_cma_ranges
    while size > reserved and len(ranges) < CRASHK_CMA_RANGES_MAX:
        found = cma_declare_contiguous(kernel, request)
        if found is None:
            if request <= kernel.page_size:
                break
            request = align_up(request // 2, kernel.page_size)
            continue
        ranges.append(found)
        reserved += request
    if size > reserved:
        kernel.log.warning(
            f"crashkernel CMA reservation failed: {size >> 20} MB requested, "
            f"{reserved >> 20} MB reserved in {len(ranges)} ranges"
        )
    else:
        kernel.log.info(f"crashkernel CMA reserved: {reserved >> 20} MB in {len(ranges)} ranges")


def cma_declare_contiguous(kernel: Kernel, size: int) -> Range | None:
    """cma_alloc_mem(), mm/cma.c: from 4 GiB up where RAM reaches that far, else the highest place."""
    align = kernel.arch.cma_align(kernel)
    size = align_up(size, align)
    found = None
    if kernel.memblock.end_of_dram() >= SZ_4G + size:
        found = phys_alloc_range(kernel, size, align, SZ_4G, ANYWHERE, bottom_up=True)
    return found or phys_alloc_range(kernel, size, align, 0, ANYWHERE)


# memblock, when the reservation is made


def phys_alloc_range(
    kernel: Kernel,
    size: int,
    align: int,
    start: int,
    end: int,
    *,
    bottom_up: bool = False,
    also: Range | None = None,
    joined: bool = False,
) -> Range | None:
    """memblock_phys_alloc_range(): free RAM in start..end (end not included), the highest place unless bottom_up.

    `also` is taken besides what boot took. Nothing is marked as taken. joined: before nodes are
    known, so that regions that touch are one.
    """
    start = max(start, kernel.page_size)
    places = free_places(kernel, also)
    if joined:
        places = _joined(places)
    free = [(max(at, start), min(stop, end)) for at, stop in places]
    for at, stop in free if bottom_up else reversed(free):
        place = align_up(at, align) if bottom_up else align_down(max(stop - size, 0), align)
        if at <= place and place + size <= stop:
            return Range.sized(place, size)
    return None


def free_places(kernel: Kernel, also: Range | None = None) -> list[tuple[int, int]]:
    """Free memory, region by region, ends not included; never what firmware maps, nor a driver's."""
    taken = sorted([*_taken(kernel), *([also] if also else [])])
    free: list[tuple[int, int]] = []
    for region in kernel.memblock:
        if not region.allocatable:
            continue
        at, stop = region.start, region.end + 1
        for r in taken:
            if r.start < stop and r.end >= at:
                free.append((at, r.start))
                at = r.end + 1
        free.append((at, stop))
    return [(at, stop) for at, stop in free if at < stop] or [(0, 0)]


def _joined(places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Places that touch, as one."""
    joined: list[tuple[int, int]] = []
    for at, stop in places:
        if joined and joined[-1][1] == at:
            at = joined.pop()[0]
        joined.append((at, stop))
    return joined


def _taken(kernel: Kernel) -> list[Range]:
    """memblock.reserved when the reservation is made, as far as it can be known."""
    machine, kexec = kernel.machine, kernel.kexec
    return [
        kernel.arch.kernel_image(kernel),
        *kernel.arch.reserved_at_boot(kernel),
        *(r for r in (kexec.crashk_res, kexec.crashk_low_res) if r),
        *kexec.crashk_cma_ranges,
        *(p.range for p in machine.pinned),
    ]


def reserved_rows(kernel: Kernel) -> list[tuple[str, Range]]:
    """The rows in memory that /proc/iomem calls reserved or the kernel's: what memblock.reserved came to be."""
    rows = kernel.machine.resources
    named = (r for r in rows if r.name.lower() == "reserved" or r.name.startswith("Kernel "))
    return [(r.name, r.range) for r in named if kernel.memblock.overlaps(r.start, r.range.end)]


def memory_map_of(kernel: Kernel) -> list[Range]:
    """The memory map of each node at the end of its RAM: 64 bytes a page (struct page), whole pages of 2 MiB."""
    ranges = []
    for node in kernel.memblock.nodes():
        span = kernel.memblock.node_span(node)
        if span is not None:
            pages = kernel.memblock.node_bytes(node) // kernel.page_size
            size = align_up(pages * 64, 2 << 20)
            end = align_down(span.end + 1, 2 << 20) - (2 << 20)
            ranges.append(Range(max(end - size, span.start), end - 1))
    return ranges


def ends_of_ram(kernel: Kernel, size: int, low_size: int) -> Iterator[Range]:
    """What early boot took from the end of RAM, and from that below 4 GiB: bytes each, upper bounds that were seen."""
    low = [r.end + 1 for r in kernel.memblock if r.end < SZ_4G]
    ends = [(kernel.memblock.end_of_dram(), size)]
    if low:
        ends.append((low[-1], low_size))
    for end, taken in ends:
        if taken:
            yield Range(end - taken, end - 1)
