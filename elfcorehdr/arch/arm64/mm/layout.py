"""arm64's virtual memory: arch/arm64/mm/{mmu,init}.c, include/asm/memory.h, kernel/vmcore_info.c (v7.2)."""

from __future__ import annotations

from elfcorehdr.kernel.vmcoreinfo.text import VmcoreInfo, release_of
from elfcorehdr.mm.layout import U64, Ground, Layout
from elfcorehdr.mm.pgtable import Entries, PageTables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

STEXT = 0x10000
"""_stext - _text, SEGMENT_ALIGN."""
MAX_ORDERS = {0x1000: 11, 0x4000: 12, 0x10000: 14}
"""CONFIG_ARCH_FORCE_MAX_ORDER and one, by the size of a page: arch/arm64/Kconfig."""
_TABLE, _BLOCK, _AF, _SH, _UXN = 3, 1, 1 << 10, 3 << 8, 1 << 54


class Arm64Layout(Layout):
    """36 to 52 bits of addresses, by where the direct map lies; 4, 16 or 64 KiB pages."""

    hvo = False

    def __init__(self, kernel: Kernel, info: VmcoreInfo) -> None:
        first = kernel.arch.va(kernel, next(iter(kernel.memblock)).start)
        self.va_bits = (first ^ U64).bit_length()
        """vabits_actual: PAGE_OFFSET is 2^64 less so many bits, and the direct map the lower half of what is above it."""
        self.release = release_of(kernel.release)
        self.config_bits = self._config_bits(kernel.page_size)
        """CONFIG_ARM64_VA_BITS"""
        orders = MAX_ORDERS[kernel.page_size]
        if info.length("zone.free_area") != orders:
            info.put("LENGTH(zone.free_area)", str(orders))
        if kernel.page_size == 0x10000:
            info.put("NUMBER(SECTION_SIZE_BITS)", "29")  # include/asm/sparsemem.h
        super().__init__(kernel, info)
        self.link = (info.symbol("_stext") or 0) - STEXT
        self.shifts, self.root_bits = self._levels()
        self.root_bytes = 8 << self.root_bits

    def _levels(self) -> tuple[list[int], int]:
        """What an entry of each level spans, log2, from the root down, and the bits of the root's index."""
        # With 64 KiB pages the table of fewer bits is the end of the one of 52: TTBR1_BADDR_4852_OFFSET, assembler.h.
        bits = self.config_bits if self.page_size == 0x10000 else self.va_bits
        page = self.page_size.bit_length() - 1
        shifts = [page]
        while shifts[0] + page - 3 < bits:
            shifts.insert(0, shifts[0] + page - 3)
        return shifts, bits - shifts[0]

    def _config_bits(self, page_size: int) -> int:
        """52, as distributions have it, where such a kernel falls back to what the map has; with 4 and 16 KiB pages since
        6.9 (arch/arm64/Kconfig, Debian's linux-config-6.12), with 64 KiB ever."""
        since = (5, 4) if page_size == 0x10000 else (6, 9)
        least = 47 if page_size == 0x4000 else 48
        return 52 if self.va_bits == least and self.release >= since else self.va_bits

    @property
    def _least_bits(self) -> int:
        """VA_BITS_MIN"""
        return min(
            self.config_bits, 47 if self.page_size == 0x4000 and self.config_bits > 48 else 48
        )

    @property
    def page_offset(self) -> int:
        """PAGE_OFFSET, as configured."""
        return U64 + 1 - (1 << self.config_bits)

    @property
    def phys_offset(self) -> int:
        """memstart_addr, which a 52-bit kernel on a 48-bit CPU counts from the 52-bit map's start."""
        return (self.page_offset - self.direct_base) & U64

    def _regions(self, info: VmcoreInfo) -> dict[str, int]:
        """Modules, vmalloc space and struct pages: include/asm/memory.h, include/asm/pgtable.h."""
        page_end = U64 + 1 - (1 << (self._least_bits - 1))
        width = info.size("page")
        # 6.5: the modules have 2 GiB (3e35d303ab7d).
        modules_end = page_end + ((2 << 30) if self.release >= (6, 5) else (128 << 20))
        if self.release >= (6, 8):  # 32697ff38287 and what was merged with it
            vmemmap_end = U64 + 1 - (1 << 30)
            start = vmemmap_end - (page_end - self.page_offset) // self.page_size * width
            unused = (1 << self.config_bits) - (1 << self.va_bits)
            vmalloc_end = start + unused // self.page_size * width - (8 << 20)
        else:
            shift = self.page_size.bit_length() - 1 - (width - 1).bit_length()
            start = U64 + 1 - (1 << (self.config_bits - shift))
            vmemmap_end = start + ((page_end - self.page_offset) >> shift)
            vmalloc_end = start - (256 << 20)
        return {
            "MODULES_VADDR": page_end,
            "MODULES_END": modules_end,
            "VMALLOC_START": modules_end,
            "VMALLOC_END": vmalloc_end,
            "VMEMMAP_START": start,
            "VMEMMAP_END": vmemmap_end,
        }

    def find_vmemmap(self, kernel: Kernel, info: VmcoreInfo) -> int:
        """vmemmap: VMEMMAP_START less the pages in front of memstart."""
        start = self._regions(info)["VMEMMAP_START"]
        signed = self.phys_offset - (1 << 64 if self.phys_offset >> 63 else 0)
        return (start - signed // self.page_size * info.size("page")) & U64

    def lines(self, kernel: Kernel, info: VmcoreInfo) -> dict[str, str]:
        """arch_crash_save_vmcoreinfo()"""
        regions = self._regions(info)
        return {
            **{f"NUMBER({name})": f"{value:#x}" for name, value in regions.items()},
            "NUMBER(VA_BITS)": str(self.config_bits),
            "SYMBOL(vmemmap)": f"{self.vmemmap:x}",
            "NUMBER(kimage_voffset)": f"{(self.text.vaddr - self.text.paddr) & U64:#x}",
            "NUMBER(PHYS_OFFSET)": f"{self.phys_offset:#x}",
            "NUMBER(TCR_EL1_T1SZ)": f"{64 - self.va_bits:#x}",
            "KERNELOFFSET": f"{(self.text.vaddr - regions['MODULES_END']) & U64:x}",
        }

    def kcore_base(self) -> int:
        """PAGE_OFFSET"""
        return self.page_offset

    def tables(self, ground: Ground) -> PageTables:
        """swapper_pg_dir and all below."""
        page, shifts = self.shifts[-1], self.shifts
        entries = Entries(
            lambda phys: phys | _TABLE,
            lambda phys, shift: phys | _AF | _SH | _UXN | (_TABLE if shift == page else _BLOCK),
        )
        # vmemmap_populate() uses blocks with 4 KiB pages; can_set_direct_map(), by rodata=full, which is the default, none.
        leaves = (page, shifts[-2]) if self.page_size == 0x1000 else (page,)
        mappings = self.mappings(ground, leaves, (page,))
        return PageTables(
            ground.mem, ground.root, shifts, self.root_bits, entries, ground.alloc, mappings
        )

    def registers(self, cpu: int, stack: int, *, crashed: bool) -> list[int]:
        """x0 to x30, sp, pc, pstate."""
        made = [0] * 34
        made[29], made[31] = stack + 0x10, stack
        made[30] = made[32] = self.text.vaddr + (0x25B490 if crashed else 0x12AC6F4)  # of 7.3.4
        made[33] = 0xC5 if crashed else 0x40000005
        return made
