"""riscv64's virtual memory: arch/riscv/mm/init.c, include/asm/pgtable.h, kernel/vmcore_info.c (v7.2)."""

from __future__ import annotations

from elfcorehdr.kernel.vmcoreinfo.text import VmcoreInfo, release_of
from elfcorehdr.mm.layout import U64, Ground, Layout
from elfcorehdr.mm.pgtable import Entries, PageTables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

MODES = {
    0xFFFFFFD6: (39, 8, 3),
    0xFFFFFFD8: (39, 8, 3),
    0xFFFFAF80: (48, 9, 4),
    0xFF600000: (57, 10, 5),
}
"""The upper half of PAGE_OFFSET: VA bits, satp's mode, levels; the second is 6.1's."""
LINK_ADDR = 0xFFFFFFFF80000000
_V, _R, _W, _X, _G, _A, _D = 1, 2, 4, 8, 32, 64, 128


class RiscvLayout(Layout):
    """sv39, sv48 or sv57, by where the direct map begins."""

    def __init__(self, kernel: Kernel, info: VmcoreInfo) -> None:
        self.release = release_of(kernel.release)
        ram = next(iter(kernel.memblock)).start // (2 << 20) * (2 << 20)
        self.ram_base = ram
        self.page_offset = kernel.arch.va(kernel, ram)
        self.va_bits, self.mode, self.levels = MODES.get(self.page_offset >> 32, (48, 9, 4))
        # VMALLOC_SIZE is a quarter of what the kernel's half of the top level spans.
        pgdir = 12 + 9 * (self.levels - 1)
        vmalloc = (256 << pgdir) >> 2
        self.vmalloc_start = self.page_offset - vmalloc
        self.vmemmap_start = self.vmalloc_start - (1 << (self.va_bits - 12 - 1 + 6))
        super().__init__(kernel, info)

    def find_vmemmap(self, kernel: Kernel, info: VmcoreInfo) -> int:
        """vmemmap, less the pages in front of RAM."""
        return self.vmemmap_start - (self.ram_base >> 12) * info.size("page")

    def lines(self, kernel: Kernel, info: VmcoreInfo) -> dict[str, str]:
        """arch_crash_save_vmcoreinfo()"""
        kaslr = self.text.vaddr - self.link
        image = self.text.paddr - (self.text.vaddr - LINK_ADDR - kaslr)
        modules_vaddr = (self.text.vaddr + self.text.size - (2 << 30)) // 4096 * 4096
        root = self.text.paddr + (info.symbol("swapper_pg_dir") or 0) - self.text.vaddr
        return {
            "NUMBER(VMALLOC_START)": f"{self.vmalloc_start:#x}",
            "SYMBOL(vmemmap)": f"{self.vmemmap:x}",
            "NUMBER(phys_ram_base)": str(self.ram_base),
            "NUMBER(PAGE_OFFSET)": f"{self.page_offset:#x}",
            "NUMBER(VMALLOC_END)": f"{self.page_offset:#x}",
            "NUMBER(VA_BITS)": str(self.va_bits),
            "NUMBER(VMEMMAP_START)": f"{self.vmemmap_start:#x}",
            "NUMBER(VMEMMAP_END)": f"{self.vmalloc_start:#x}",
            "NUMBER(MODULES_VADDR)": f"{modules_vaddr:#x}",
            "NUMBER(va_kernel_pa_offset)": f"{(LINK_ADDR + kaslr - image) & U64:#x}",
            "KERNELOFFSET": f"{kaslr:x}",
            "NUMBER(satp)": f"{self.mode << 60 | root >> 12:#x}",
        }

    def kcore_base(self) -> int:
        """PAGE_OFFSET"""
        return self.page_offset

    def tables(self, ground: Ground) -> PageTables:
        """swapper_pg_dir and all below."""
        entries = Entries(
            lambda phys: phys >> 12 << 10 | _V,
            lambda phys, _shift: phys >> 12 << 10 | _V | _R | _W | _X | _G | _A | _D,
        )
        shifts = [12 + 9 * n for n in range(self.levels - 1, -1, -1)]
        # ff172d4818ad (v6.8): "riscv: Use hugepage mappings for vmemmap".
        leaves = (12, 21) if self.release >= (6, 8) else (12,)
        mappings = self.mappings(ground, leaves, (12, 21, 30))
        return PageTables(ground.mem, ground.root, shifts, 9, entries, ground.alloc, mappings)

    def registers(self, cpu: int, stack: int, *, crashed: bool) -> list[int]:
        """epc, then x1 to x31: struct user_regs_struct."""
        made = [0] * 32
        made[0] = self.text.vaddr + 0x1000 + 0x40 * cpu
        made[1] = made[0]
        made[2] = stack
        return made
