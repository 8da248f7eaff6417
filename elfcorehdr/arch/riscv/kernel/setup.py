"""riscv64, load only: arch/riscv/mm/init.c, kernel/cpu-hotplug.c (v7.2). Loading is in machine_kexec_file.

Headers follow the resource tree; no event changes one (golden riscv64/A).
"""

from __future__ import annotations

from collections.abc import Iterator

from elfcorehdr import changes
from elfcorehdr.arch.base import Arch
from elfcorehdr.arch.riscv.mm import init
from elfcorehdr.elf import EM_RISCV
from elfcorehdr.kernel.crash_reserve import memory_map_of
from elfcorehdr.kernel.kexec_file import align_down
from elfcorehdr.lib.ranges import CrashMem, Range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel
    from elfcorehdr.kernel.irq.irqdesc import Interrupts
    from elfcorehdr.kernel.kexec_core import Kimage
    from elfcorehdr.kernel.kexec_file import FileArg

PAGE_OFFSET = 0xFFFFAF8000000000
"""PAGE_OFFSET_L4: four page-table levels, sv48."""
PMD_SIZE, SZ_4G = 2 << 20, 4 << 30
MODULES_LOWEST = 0xFFFFFFFF00000000
"""MODULES_LOWEST_VADDR: 2 GiB below KERNEL_LINK_ADDR."""


class Riscv64(Arch):
    """Crash ranges are the System RAM resources."""

    name = "riscv64"
    zone_names = ("DMA32", "Normal")
    uts_machine = "riscv64"
    e_machine = EM_RISCV
    prstatus_bytes = 376
    nr_cpus = 256
    has_topology_die = False
    cpu_capacity_always = True

    def fdt(self, kernel: Kernel) -> bytes:
        """That of QEMU's virt board."""
        from elfcorehdr.arch import fdt  # only who loads a kernel asks for it

        return fdt.virt(
            kernel,
            "riscv-virtio",
            {
                "compatible": fdt.text("riscv"),
                "mmu-type": fdt.text("riscv,sv48"),
                "riscv,isa": fdt.text("rv64imafdc"),
                "status": fdt.text("okay"),
            },
        )

    def va(self, kernel: Kernel, pa: int) -> int:
        """linear_mapping_pa_to_va(): from phys_ram_base, which is a multiple of 2 MiB."""
        base = kernel.machine.direct_map_base
        if not base:
            base = PAGE_OFFSET - align_down(kernel.machine.memory[0].start, PMD_SIZE)
        return (pa + base) & ((1 << 64) - 1)

    def max_physmem_bits(self, kernel: Kernel) -> int:
        """arch/riscv/include/asm/sparsemem.h"""
        return 56

    def mappable_end(self, kernel: Kernel) -> int:
        """__pa(PAGE_END), where KASAN's shadow would begin (arch/riscv/mm/init.c, include/asm/kasan.h, v7.3)."""
        first = kernel.machine.memory[0].start
        page_offset = self.va(kernel, align_down(first, PMD_SIZE))
        from elfcorehdr.arch.riscv.mm.layout import MODES  # only who plugs memory asks for it

        bits, _, levels = MODES.get(page_offset >> 32, MODES[PAGE_OFFSET >> 32])
        pgdir = 1 << (12 + 9 * (levels - 1))
        shadow = align_down(MODULES_LOWEST - (1 << (bits - 1 - 3)), pgdir)
        return min(shadow - self.va(kernel, 0) & ((1 << 64) - 1), super().mappable_end(kernel))

    def zones_of(self, kernel: Kernel, start: int, end: int) -> list[str]:
        """DMA32 below 4 GiB, then Normal."""
        return ["DMA32"] * (start < SZ_4G) + ["Normal"] * (end >= SZ_4G)

    def zone_limits(self, kernel: Kernel, zone: str) -> Range:
        """As zones_of()."""
        return Range(SZ_4G, (1 << 64) - 1) if zone == "Normal" else Range(0, SZ_4G - 1)

    def reserve_crashkernel(self, kernel: Kernel) -> None:
        """arch_reserve_crashkernel()"""
        init.arch_reserve_crashkernel(kernel)

    def log_reservation(self, kernel: Kernel) -> None:
        """As the generic one since 6.6."""
        if kernel.has(changes.RISCV64_HIGH):
            super().log_reservation(kernel)
        else:
            init.log_reservation(kernel)

    def crash_addr_low_max(self, kernel: Kernel) -> int:
        """dma32_phys_limit"""
        return init.dma32_phys_limit(kernel)

    def memory_map(self, kernel: Kernel) -> list[Range]:
        """misc_mem_init(): sparse_init() came first."""
        return [] if kernel.has(changes.SPARSE_INIT_LATE) else memory_map_of(kernel)

    def crash_ranges(self, kernel: Kernel) -> CrashMem:
        """prepare_elf_headers()"""
        from elfcorehdr.arch.riscv.kernel import machine_kexec_file

        return machine_kexec_file.crash_ranges(kernel)

    def kexec_file_probe(self, kernel: Kernel, kernel_file: FileArg) -> None:
        """The loaders in turn: the last one's answer counts."""
        from elfcorehdr.arch.riscv.kernel import machine_kexec_file

        machine_kexec_file.probe(kernel, kernel_file)

    def kexec_file_load(
        self, kernel: Kernel, image: Kimage, kernel_file: FileArg | None, initrd: FileArg | None
    ) -> None:
        """The kernel, then what belongs to it."""
        from elfcorehdr.arch.riscv.kernel import machine_kexec_file

        machine_kexec_file.load(kernel, image, kernel_file, initrd)

    def cpu_stopped(self, kernel: Kernel, cpu: int) -> None:
        """arch_cpuhp_cleanup_dead_cpu()"""
        kernel.log.info(f"CPU{cpu}: off")

    def vmalloc_kib(self, kernel: Kernel) -> int:
        """VMALLOC_SIZE, half of KERN_VIRT_SIZE, less a byte: arch/riscv/include/asm/pgtable.h (v7.3)."""
        from elfcorehdr.arch.riscv.kernel.cpu import mmu

        return (1 << {"sv57": 44, "sv48": 35}.get(mmu(kernel), 26)) - 1

    def interrupts(self, kernel: Kernel) -> Interrupts:
        """What /proc/interrupts shows."""
        from elfcorehdr.arch.riscv.kernel.irq import interrupts

        return interrupts(kernel)

    def percpu_bytes(self, kernel: Kernel) -> int:
        """golden riscv64/A, the rows of memblock."""
        return 64 << 10

    def bounce_buffers(self, kernel: Kernel) -> int:
        """mem_init(), arch/riscv/mm/init.c: 64 MiB where memory is above ZONE_DMA32, else for kmalloc alone."""
        above = kernel.memblock.end_of_dram() > init.dma32_phys_limit(kernel)
        return 64 << 20 if above else min(64 << 20, kernel.memblock.total() >> 10)

    def boot_tables(self, kernel: Kernel) -> int:
        """What golden riscv64/A has besides, of which no more is known than the size."""
        return 16 << 20

    def cpuinfo_rows(self) -> frozenset[str]:
        """As cpu.py knows them."""
        from elfcorehdr.arch.riscv.kernel.cpu import ROWS

        return ROWS

    def cpuinfo(self, kernel: Kernel) -> Iterator[str]:
        """show_cpuinfo()"""
        from elfcorehdr.arch.riscv.kernel.cpu import cpuinfo

        return cpuinfo(kernel)
