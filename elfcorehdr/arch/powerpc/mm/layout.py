"""ppc64's virtual memory, hash and radix: arch/powerpc/mm/{init_64.c,book3s64/}, kernel/vmcore_info.c (v7.2)."""

from __future__ import annotations

import struct
from collections.abc import Callable

from elfcorehdr import changes
from elfcorehdr.kernel.vmcoreinfo.text import VmcoreInfo
from elfcorehdr.mm.layout import Ground, Layout
from elfcorehdr.mm.pgtable import Entries, PageTables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from elfcorehdr.init.main import Kernel

PAGE_OFFSET = 0xC000000000000000
_VALID, _PTE = 1 << 63, 1 << 62
_LEAF = 0x18E
"""_PAGE_RW, _PAGE_EXEC off, accessed, dirty: as seen in a walk of a real table (golden identity, 4 KiB radix)."""
PSIZES = {0: 12, 2: 16, 6: 20, 7: 21, 10: 24, 13: 30, 14: 34}
"""MMU_PAGE_*: shift."""


def radix(kernel: Kernel) -> bool:
    """Whether the MMU works with page tables: POWER9 and later, unless disable_radix says otherwise."""
    if "disable_radix" in kernel.cmdline.split():
        return False
    name = kernel.machine.cpus.type.upper()
    return not any(old in name for old in ("POWER6", "POWER7", "POWER8"))


class PpcLayout(Layout):
    """The direct map needs no table; struct pages have radix tables or hash's list of where they lie."""

    symbols: ClassVar = (
        ("vmemmap_list", 8), ("mmu_vmemmap_psize", 4), ("mmu_psize_defs", 96 * 16), ("cur_cpu_spec", 8),
    )  # fmt: skip

    def __init__(self, kernel: Kernel, info: VmcoreInfo) -> None:
        self.radix = radix(kernel)
        self._listed = not self.radix or not kernel.has(changes.RADIX_VMEMMAP_OF_ITS_OWN)
        self.page_shift = kernel.page_size.bit_length() - 1
        super().__init__(kernel, info)
        self.link = PAGE_OFFSET
        self.root_bytes = 8 << 13
        if not self.radix:
            self.granule = kernel.page_size

    def _hash_4k(self) -> bool:
        return not self.radix and self.page_size == 4096

    def find_vmemmap(self, kernel: Kernel, info: VmcoreInfo) -> int:
        """vmemmap: H_VMEMMAP_START, RADIX_VMEMMAP_START."""
        return 0xC0003F0000000000 if self._hash_4k() else 0xC00C000000000000

    def lines(self, kernel: Kernel, info: VmcoreInfo) -> dict[str, str]:
        """arch_crash_save_vmcoreinfo()"""
        vmalloc = 0xC0003D0000000000 if self._hash_4k() else 0xC008000000000000
        return {
            "NUMBER(VMALLOC_START)": f"{vmalloc:#x}",
            "SYMBOL(vmemmap)": f"{self.vmemmap:x}",
            "NUMBER(RADIX_MMU)": str(int(self.radix)),
            "KERNELOFFSET": f"{self.text.vaddr - PAGE_OFFSET:x}",
        }

    task_struct = 0x1500  # golden identity, 7.1.13 with 64 KiB pages
    kcore_flags = 2  # ELF v2 ABI

    def kcore_regions(self, info: VmcoreInfo) -> list[tuple[int, int]]:
        """H_VMALLOC_SIZE, RADIX_VMALLOC_SIZE"""
        start = info.number("VMALLOC_START") or 0xC008000000000000
        return [(start, 1 << (40 if self._hash_4k() else 49))]

    def tables(self, ground: Ground) -> PageTables | None:
        """Radix: big-endian entries; 13, 9, 9 and 9 bits (5 with 64 KiB pages)."""
        if not self.radix:
            return None
        entries = Entries(
            lambda phys: phys | _VALID | 9,
            lambda phys, _shift: phys | _VALID | _PTE | _LEAF,
            big_endian=True,
        )
        shifts = [39, 30, 21, self.page_shift]
        mappings = self.mappings(ground, (self.page_shift, 21), (self.page_shift, 21, 30))
        return PageTables(ground.mem, ground.root, shifts, 13, entries, ground.alloc, mappings)

    def image(self, put: Callable[[str, bytes], None], ground: Ground) -> None:
        """mmu_psize_defs, and for hash (before 6.6 for radix, too) the list of struct vmemmap_backing."""
        psize = next(n for n, shift in PSIZES.items() if 1 << shift == self.granule)
        put("mmu_vmemmap_psize", struct.pack("<I", psize))
        sizes = bytearray(96 * 16)
        for index, shift in PSIZES.items():
            struct.pack_into("<I", sizes, 96 * index, shift)
        put("mmu_psize_defs", bytes(sizes))
        if not self._listed:
            put("vmemmap_list", bytes(8))
            return
        page, chunks = self.granule, ground.chunks
        total = sum(chunk.end - chunk.start for chunk in chunks) // page
        at = ground.alloc(total * 24, 64)

        def entries(first: int, last: int) -> bytes:
            made = []
            n = 0
            for chunk in chunks:
                count = (chunk.end - chunk.start) // page
                for i in range(max(first, n), min(last, n + count)):
                    after = self.va(at + 24 * (i + 1)) if i + 1 < total else 0
                    made.append(
                        struct.pack(
                            "<3Q", after, chunk.phys + (i - n) * page, chunk.start + (i - n) * page
                        )
                    )
                n += count
            return b"".join(made)

        from elfcorehdr.mm.physmem import table

        ground.mem.put(at, total * 24, table(total, 24, entries))
        put("vmemmap_list", struct.pack("<Q", self.va(at)))

    def registers(self, cpu: int, stack: int, *, crashed: bool) -> list[int]:
        """gpr 0 to 31, nip, msr, orig_gpr3, ctr, link, xer, ccr, softe, trap, dar, dsisr, result."""
        made = [0] * 48
        made[1] = stack
        made[32] = self.text.vaddr + 0x10000 + 0x100 * (not crashed)
        made[33], made[36] = 0x8000000000009033, made[32]
        made[40] = 0 if crashed else 0x100  # trap: crash_ipi_callback() of the others
        return made
