"""The direct map's page sizes: split_mem_range(), arch/x86/mm/init.c (v7.3)."""

from __future__ import annotations

from elfcorehdr.kernel.kexec_file import align_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

SIZES = (("DirectMap4k", 1 << 12), ("DirectMap2M", 1 << 21), ("DirectMap1G", 1 << 30))


def direct_map(kernel: Kernel) -> tuple[tuple[str, int], ...]:
    """kB mapped by pages of 4 KiB, 2 MiB and 1 GiB; each range by the largest that fit between its ends."""
    counts = dict.fromkeys((name for name, _ in SIZES), 0)

    def add(start: int, end: int, level: int) -> None:
        name, size = SIZES[level]
        first, last = align_up(start, size), end & -size
        if first >= last or not level:
            if level:
                add(start, end, level - 1)
            else:
                counts[name] += end - start >> 10
            return
        counts[name] += last - first >> 10
        add(start, first, level - 1)
        add(last, end, level - 1)

    for region in kernel.memblock:
        add(region.start, region.end + 1, 2)
    return tuple(counts.items())
