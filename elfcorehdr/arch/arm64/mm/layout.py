"""arm64's virtual memory: arch/arm64/mm/{mmu,init}.c, include/asm/memory.h, kernel/vmcore_info.c (v7.2)."""

from __future__ import annotations

from elfcorehdr.kernel.vmcoreinfo.text import VmcoreInfo
from elfcorehdr.mm.layout import U64, Ground, Layout
from elfcorehdr.mm.pgtable import Entries, PageTables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

KIMAGE_VADDR = 0xFFFF800080000000
STEXT = 0x10000
"""_stext - _text, SEGMENT_ALIGN."""
_TABLE, _BLOCK, _AF, _SH, _UXN = 3, 1, 1 << 10, 3 << 8, 1 << 54


class Arm64Layout(Layout):
    """48 or 52 bits of addresses, 4 or 16 KiB pages."""

    hvo = False

    def __init__(self, kernel: Kernel, info: VmcoreInfo) -> None:
        self.bits52 = (kernel.arch.va(kernel, 0) >> 48) & 0xFFFF <= 0xFFF0
        self.config52 = info.number("VA_BITS") == 52
        super().__init__(kernel, info)
        self.link = (info.symbol("_stext") or 0) - STEXT

    @property
    def phys_offset(self) -> int:
        """memstart_addr, which a 52-bit kernel on a 48-bit CPU counts from the 52-bit map's start."""
        config = 0xFFF0 if self.config52 else 0xFFFF
        return ((config << 48) - self.direct_base) & U64

    def find_vmemmap(self, kernel: Kernel, info: VmcoreInfo) -> int:
        """vmemmap: VMEMMAP_START less the pages in front of memstart."""
        start = info.number("VMEMMAP_START") or 0
        signed = self.phys_offset - (1 << 64 if self.phys_offset >> 63 else 0)
        shift = self.page_size.bit_length() - 1
        return (start - (signed >> shift) * info.size("page")) & U64

    def lines(self, kernel: Kernel, info: VmcoreInfo) -> dict[str, str]:
        """arch_crash_save_vmcoreinfo()"""
        return {
            "SYMBOL(vmemmap)": f"{self.vmemmap:x}",
            "NUMBER(kimage_voffset)": f"{(self.text.vaddr - self.text.paddr) & U64:#x}",
            "NUMBER(PHYS_OFFSET)": f"{self.phys_offset:#x}",
            "NUMBER(TCR_EL1_T1SZ)": "0xc" if self.bits52 else "0x10",
            "KERNELOFFSET": f"{self.text.vaddr - KIMAGE_VADDR:x}",
        }

    def kcore_base(self) -> int:
        """PAGE_OFFSET as configured, 52 bits where the CPU has 48."""
        return 0xFFF0 << 48 if self.config52 else 0xFFFF << 48

    def tables(self, ground: Ground) -> PageTables:
        """swapper_pg_dir and all below."""
        entries = Entries(
            lambda phys: phys | _TABLE,
            lambda phys, shift: (
                phys | _AF | _SH | _UXN | (_TABLE if shift == shifts[-1] else _BLOCK)
            ),
        )
        page = self.page_size.bit_length() - 1
        step = page - 3
        shifts = [page]
        while shifts[0] + step < (52 if self.bits52 else 48):
            shifts.insert(0, shifts[0] + step)
        block = page + step
        root_bits = min(step, (52 if self.bits52 else 48) - shifts[0])
        mappings = self.mappings(ground, (page, block), (page, block))
        return PageTables(
            ground.mem, ground.root, shifts, root_bits, entries, ground.alloc, mappings
        )

    def registers(self, cpu: int, stack: int, *, crashed: bool) -> list[int]:
        """x0 to x30, sp, pc, pstate."""
        made = [0] * 34
        made[29], made[31] = stack + 0x10, stack
        made[30] = made[32] = self.text.vaddr + (0x25B490 if crashed else 0x12AC6F4)  # of 7.3.4
        made[33] = 0xC5 if crashed else 0x40000005
        return made
