"""x86_64's virtual memory: arch/x86/mm/{init_64,kaslr}.c, Documentation/arch/x86/x86_64/mm.rst (v7.2)."""

from __future__ import annotations

from collections.abc import Sequence

from elfcorehdr.kernel.vmcoreinfo.text import VmcoreInfo
from elfcorehdr.mm.layout import U64, Ground, Layout
from elfcorehdr.mm.pgtable import Entries, PageTables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

START_KERNEL_MAP = 0xFFFFFFFF80000000
LINK = 0xFFFFFFFF81000000
"""_text of every kernel: START_KERNEL_MAP + CONFIG_PHYSICAL_START."""
BASES = (0xFFFF888000000000, 0xFF11000000000000)
"""Where the direct map begins without KASLR, with 4 and with 5 levels."""
FOUR = (0xFFFFC90000000000, 0xFFFFEA0000000000, 32 << 40)
FIVE = (0xFFA0000000000000, 0xFFD4000000000000, 12800 << 40)
"""VMALLOC_START, vmemmap, and the size of vmalloc space, with 4 and with 5 levels."""
_PRESENT, _RW, _ACCESSED, _DIRTY, _PSE, _GLOBAL, _NX = 1, 2, 0x20, 0x40, 0x80, 0x100, 1 << 63
GIB = 1 << 30


class X86Layout(Layout):
    """Page tables with leaves of 2 MiB, in the direct map of 1 GiB too."""

    low_memory = 1 << 20

    def __init__(self, kernel: Kernel, info: VmcoreInfo) -> None:
        self._base = kernel.arch.va(kernel, 0)
        self.five_levels = self._base >> 47 != 0x1FFFF
        super().__init__(kernel, info)
        self.link = LINK

    def _regions(self, kernel: Kernel) -> tuple[int, int]:
        """VMALLOC_START and vmemmap; where the direct map was moved, they follow it (kernel_randomize_memory())."""
        vmalloc, vmemmap, size = FIVE if self.five_levels else FOUR
        if self._base in BASES:
            return vmalloc, vmemmap
        end = kernel.memblock.end_of_dram() + (10 << 40)  # CONFIG_RANDOMIZE_MEMORY_PHYSICAL_PADDING
        vmalloc = -(-(self._base + end) // GIB) * GIB
        # A table of the top level belongs to one region alone.
        return vmalloc, -(-(vmalloc + size) // (512 * GIB)) * (512 * GIB)

    def find_vmemmap(self, kernel: Kernel, info: VmcoreInfo) -> int:
        """vmemmap_base"""
        self.vmalloc_start, vmemmap = self._regions(kernel)
        return vmemmap

    def lines(self, kernel: Kernel, info: VmcoreInfo) -> dict[str, str]:
        """arch_crash_save_vmcoreinfo(), arch/x86/kernel/vmcore_info_64.c."""
        moved = self.text.vaddr - LINK
        return {
            "NUMBER(phys_base)": str(self.text.paddr - (self.text.vaddr - START_KERNEL_MAP)),
            "NUMBER(pgtable_l5_enabled)": str(int(self.five_levels)),
            "NUMBER(MAX_PHYSMEM_BITS)": "52" if self.five_levels else "46",
            "NUMBER(VMALLOC_START)": f"{self._regions(kernel)[0]:#x}",
            "SYMBOL(vmemmap)": f"{self.vmemmap:x}",
            "KERNELOFFSET": f"{moved:x}",
        }

    pc = 16

    def variables(self, kernel: Kernel) -> dict[str, int]:
        """arch/x86/kernel/head64.c, mm/kaslr.c."""
        return {
            "phys_base": (self.text.paddr - (self.text.vaddr - START_KERNEL_MAP)) & U64,
            "page_offset_base": self._base,
            "vmalloc_base": self.vmalloc_start,
            "vmemmap_base": self.vmemmap,
        }

    task_struct = 0x2308  # golden identity, 7.3.4

    def _half(self) -> int:
        """__VIRTUAL_MASK"""
        return (1 << (56 if self.five_levels else 47)) - 1

    def kcore_offset(self, vaddr: int) -> int:
        """The address within the kernel's half."""
        return vaddr & self._half()

    def kcore_vaddr(self, offset: int) -> int:
        """The same the other way round."""
        return offset | (U64 ^ self._half())

    def kcore_regions(self, info: VmcoreInfo) -> list[tuple[int, int]]:
        """VMALLOC_START to VMALLOC_END, which is the last byte, and modules."""
        size = (FIVE if self.five_levels else FOUR)[2]
        return [(self.vmalloc_start, size - 1), (0xFFFFFFFFC0000000, 0x3F000000)]

    def tables(self, ground: Ground) -> PageTables:
        """init_top_pgt and all below."""
        entries = Entries(
            lambda phys: phys | _PRESENT | _RW | _ACCESSED | _DIRTY | 4,
            lambda phys, shift: (
                phys
                | _PRESENT
                | _RW
                | _ACCESSED
                | _DIRTY
                | _GLOBAL
                | _NX
                | (_PSE if shift > 12 else 0)
            ),
        )
        shifts = [48, 39, 30, 21, 12] if self.five_levels else [39, 30, 21, 12]
        mappings = self.mappings(ground, (12, 21), (12, 21, 30))
        return PageTables(ground.mem, ground.root, shifts, 9, entries, ground.alloc, mappings)

    def registers(self, cpu: int, stack: int, *, crashed: bool) -> Sequence[int]:  # type: ignore[override]
        """r15 to gs of struct user_regs_struct: kernel mode, in crash_setup_regs() or in the idle loop."""
        made = [0] * 27
        made[4] = stack + 0xA8 if crashed else stack  # rbp
        made[16] = self.text.vaddr + (0x4BA7BD if crashed else 0x11B8D0F)  # rip, of 7.3.4
        made[15] = 0 if crashed else U64  # orig_rax
        made[17], made[18], made[20] = 0x10, 0x46 if crashed else 0x206, 0x18  # cs, eflags, ss
        made[19] = stack
        return made
