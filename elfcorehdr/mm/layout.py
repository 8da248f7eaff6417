"""Where a kernel's virtual memory lies, and what of VMCOREINFO follows from it: one subclass an architecture.

Subclasses are in arch/*/mm; ArchDump.memory_layout() finds one, so that a kernel that does not crash imports none.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from elfcorehdr.kernel.vmcoreinfo.text import VmcoreInfo
from elfcorehdr.lib.record import NamedTuple
from elfcorehdr.machine import KernelText
from elfcorehdr.mm.pgtable import Mapping, PageTables, aligned
from elfcorehdr.mm.physmem import PhysMem
from elfcorehdr.mm.sparse import Chunk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from elfcorehdr.init.main import Kernel

U64 = (1 << 64) - 1
PRSTATUS_PID, PRSTATUS_REG = 32, 112
"""Offsets of pr_pid and pr_reg in struct elf_prstatus on 64 bits."""


class Ground(NamedTuple):
    """What page tables are made from: memory, where more of it comes from, and what is mapped."""

    mem: PhysMem
    alloc: Callable[[int, int], int]
    root: int
    """Physical address of swapper_pg_dir."""
    chunks: Sequence[Chunk]
    """The struct pages."""
    direct: Sequence[tuple[int, int]]
    """RAM, start and end (not included)."""


class Layout:
    """The defaults. kernel is asked once, when the memory is made."""

    hvo: ClassVar[bool] = True
    """CONFIG_HUGETLB_PAGE_OPTIMIZE_VMEMMAP."""
    granule = 2 << 20
    """The pages that vmemmap is mapped with, in bytes."""
    low_memory = 0
    """Below it boot allocates nothing, and nobody later: reserve_real_mode()."""
    root_bytes = 4096
    """Size of swapper_pg_dir."""
    pc: ClassVar[int] = -1
    """Which of registers() is the program counter; -1: not told."""
    symbols: ClassVar[Sequence[tuple[str, int]]] = ()
    """What the architecture has in its image besides: symbol and size in bytes."""

    def __init__(self, kernel: Kernel, info: VmcoreInfo) -> None:
        self.page_size = kernel.page_size
        text = kernel.machine.kernel_text
        if text is None:
            text = KernelText(0, kernel.arch.va(kernel, 0), kernel.machine.kernel_end)
        self.text = text
        self.direct_base = kernel.arch.va(kernel, 0)
        self.link = info.symbol("_stext") or 0
        """Where the image of the captured text begins."""
        self.vmemmap = self.find_vmemmap(kernel, info)

    def find_vmemmap(self, kernel: Kernel, info: VmcoreInfo) -> int:
        """The virtual address of page frame 0's struct page."""
        return info.symbol("vmemmap") or 0

    def va(self, phys: int) -> int:
        """__va()"""
        return (phys + self.direct_base) & U64

    def lines(self, kernel: Kernel, info: VmcoreInfo) -> dict[str, str]:
        """The lines of VMCOREINFO that the machine decides."""
        return {}

    def variables(self, kernel: Kernel) -> dict[str, int]:
        """Words of a real image that say where things are: symbol to value."""
        return {}

    def tables(self, ground: Ground) -> PageTables | None:
        """The kernel's page tables, put into memory."""
        return None

    def image(self, put: Callable[[str, bytes], None], ground: Ground) -> None:
        """What else the architecture has in its image: put(symbol, bytes)."""

    def mappings(
        self, ground: Ground, leaves: Sequence[int], direct: Sequence[int]
    ) -> list[Mapping]:
        """Image and struct pages with the leaves given, RAM with the `direct` ones; shifts, ascending."""
        made: list[Mapping] = []
        for chunk in ground.chunks:
            made += aligned(chunk.start, chunk.end, chunk.phys, leaves)
        for start, end in _joined(ground.direct, 1 << direct[0]):
            made += aligned(self.va(start), self.va(end), start, direct)
        if self.va(self.text.paddr) != self.text.vaddr:
            size = -(-self.text.size // (2 << 20)) * (2 << 20)
            made += aligned(self.text.vaddr, self.text.vaddr + size, self.text.paddr, leaves)
        return made

    # /proc/kcore

    task_struct = 0x1300
    """arch_task_struct_size of a distribution's kernel."""
    kcore_flags = 0
    """ELF_CORE_EFLAGS"""

    def kcore_base(self) -> int:
        """What an offset in /proc/kcore is counted from: PAGE_OFFSET."""
        return self.direct_base

    def kcore_offset(self, vaddr: int) -> int:
        """kc_vaddr_to_offset()"""
        return (vaddr - self.kcore_base()) & U64

    def kcore_vaddr(self, offset: int) -> int:
        """kc_offset_to_vaddr()"""
        return (offset + self.kcore_base()) & U64

    def kcore_regions(self, info: VmcoreInfo) -> list[tuple[int, int]]:
        """vmalloc space, and modules where they have their own: start and size."""
        start, end = info.number("VMALLOC_START"), info.number("VMALLOC_END")
        made = [(start, end - start)] if start is not None and end is not None else []
        start, end = info.number("MODULES_VADDR"), info.number("MODULES_END")
        return [*made, (start, end - start)] if start is not None and end is not None else made

    # what a CPU leaves behind

    def registers(self, cpu: int, stack: int, *, crashed: bool) -> list[int]:
        """The general registers, in the order of elf_gregset_t."""
        return []

    def prstatus(self, size: int, pid: int, registers: Sequence[int]) -> bytes:
        """struct elf_prstatus: pid and registers; crash_save_cpu(), kernel/crash_core.c."""
        made = bytearray(size)
        struct.pack_into("<i", made, PRSTATUS_PID, pid)
        struct.pack_into(f"<{len(registers)}Q", made, PRSTATUS_REG, *registers)
        return bytes(made)


def _joined(ranges: Sequence[tuple[int, int]], grain: int) -> list[tuple[int, int]]:
    """The ranges rounded out to the grain, those that meet as one."""
    joined: list[tuple[int, int]] = []
    for start, end in ranges:
        start, end = start // grain * grain, -(-end // grain) * grain
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
