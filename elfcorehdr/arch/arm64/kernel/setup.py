"""arm64, load only: arch/arm64/mm/{init,mmu}.c, kernel/psci.c (v7.1). Loading is in machine_kexec_file.

Headers follow memblock; no event changes one (golden arm64/B).
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping

from elfcorehdr import changes
from elfcorehdr.arch.arm64.mm import init
from elfcorehdr.arch.base import Arch
from elfcorehdr.changes import in_sysfs, of_cpus
from elfcorehdr.elf import EM_AARCH64
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.crash_reserve import memory_map_of
from elfcorehdr.kernel.kexec_file import align_down
from elfcorehdr.kernel.notifier import MemAction, MemoryNotify
from elfcorehdr.lib.ranges import CrashMem, Range
from elfcorehdr.machine import CacheLeaf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel
    from elfcorehdr.kernel.irq.irqdesc import Interrupts
    from elfcorehdr.kernel.kexec_core import Kimage
    from elfcorehdr.kernel.kexec_file import FileArg

PAGE_OFFSET = 0xFFFF000000000000
"""With 48 bits of virtual addresses."""
MEMSTART_ALIGN = 1 << 30
SZ_4G = 4 << 30


class Arm64(Arch):
    """Crash ranges are memblock's regions, one by one, less those that are not mapped."""

    name = "arm64"
    config_off = frozenset(
        {"UNACCEPTED_MEMORY", "X86", "PPC", "ISA_DMA_API", "HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD"}
    )
    zone_names = ("DMA", "DMA32", "Normal")
    dm_crypt_keys = in_sysfs.DM_CRYPT_KEYS_ARM64
    uts_machine = "aarch64"
    e_machine = EM_AARCH64
    prstatus_bytes = 392
    nr_cpus = 512
    has_topology_die = False
    cpu_capacity_always = True
    cpumask_offstack = True
    cpu_modalias = "cpu:type:aarch64:feature:,"
    has_cpu_modalias = True

    def fdt(self, kernel: Kernel) -> bytes:
        """That of QEMU's virt board."""
        from elfcorehdr.arch import fdt  # only who loads a kernel asks for it

        return fdt.virt(
            kernel,
            "linux,dummy-virt",
            {"compatible": fdt.text("arm,armv8"), "enable-method": fdt.text("psci")},
        )

    def va(self, kernel: Kernel, pa: int) -> int:
        """__phys_to_virt(): the linear map begins with RAM, rounded down to 1 GiB; NOMAP counts."""
        base = kernel.machine.direct_map_base
        if not base:
            first = min(m.start for m in kernel.machine.memory)
            base = PAGE_OFFSET - align_down(first, MEMSTART_ALIGN)
        return (pa + base) & ((1 << 64) - 1)

    def max_physmem_bits(self, kernel: Kernel) -> int:
        """CONFIG_ARM64_PA_BITS"""
        return 48

    def mappable_end(self, kernel: Kernel) -> int:
        """__pa(PAGE_END): half of the kernel's addresses, of 48 bits (arch/arm64/mm/mmu.c, v7.3)."""
        end = (PAGE_OFFSET + (1 << 47) - self.va(kernel, 0)) & ((1 << 64) - 1)
        return min(end, super().mappable_end(kernel))

    def zones_of(self, kernel: Kernel, start: int, end: int) -> list[str]:
        """DMA below 4 GiB (where all RAM is above, everywhere), then Normal (golden arm64/B)."""
        limit = self.zone_limits(kernel, "DMA").end
        return ["DMA"] * (start <= limit) + ["Normal"] * (end > limit)

    def zone_limits(self, kernel: Kernel, zone: str) -> Range:
        """As zones_of()."""
        if kernel.machine.memory[0].start >= SZ_4G:
            return Range(0, (1 << 64) - 1)
        return Range(SZ_4G, (1 << 64) - 1) if zone == "Normal" else Range(0, SZ_4G - 1)

    def huge_page_sizes(self, kernel: Kernel) -> tuple[int, ...]:
        """arm64_hugetlb_cma_order() and hugetlbpage_init(), arch/arm64/mm/hugetlbpage.c: with contiguous entries."""
        if kernel.page_size == 4096:
            return (1048576, 32768, 2048, 64)
        return (1048576, 32768, 2048) if kernel.page_size == 16384 else (16777216, 524288, 2048)

    def reserve_crashkernel(self, kernel: Kernel) -> None:
        """arch_reserve_crashkernel()"""
        init.arch_reserve_crashkernel(kernel)

    def crash_addr_low_max(self, kernel: Kernel) -> int:
        """arm64_dma_phys_limit"""
        return init.arm64_dma_phys_limit(kernel)

    def crash_addr_high_max(self, kernel: Kernel) -> int:
        """PHYS_MASK + 1"""
        return 1 << self.max_physmem_bits(kernel)

    def cma_align(self, kernel: Kernel) -> int:
        """A huge page of the page tables' last level but one."""
        return {4096: 2 << 20, 16384: 32 << 20}.get(kernel.page_size, 512 << 20)

    def memory_map(self, kernel: Kernel) -> list[Range]:
        """bootmem_init(): sparse_init() came first."""
        return [] if kernel.has(changes.SPARSE_INIT_LATE) else memory_map_of(kernel)

    def crash_ranges(self, kernel: Kernel) -> CrashMem:
        """prepare_elf_headers()"""
        from elfcorehdr.arch.arm64.kernel import machine_kexec_file

        return machine_kexec_file.crash_ranges(kernel)

    def kexec_file_probe(self, kernel: Kernel, kernel_file: FileArg) -> None:
        """image_probe()"""
        from elfcorehdr.arch.arm64.kernel import machine_kexec_file

        machine_kexec_file.probe(kernel_file)

    def kexec_file_load(
        self, kernel: Kernel, image: Kimage, kernel_file: FileArg | None, initrd: FileArg | None
    ) -> None:
        """The kernel, then what belongs to it."""
        from elfcorehdr.arch.arm64.kernel import machine_kexec_file

        machine_kexec_file.load(kernel, image, kernel_file, initrd)

    def booted(self, kernel: Kernel) -> None:
        """prevent_bootmem_remove_init(), arch/arm64/mm/mmu.c: what was there at boot stays online."""
        boot = list(kernel.memblock)

        def notifier(action: MemAction, notify: MemoryNotify) -> None:
            if action is MemAction.GOING_OFFLINE and any(
                r.start <= notify.start <= r.end for r in boot
            ):
                kernel.log.warning(
                    f"Boot memory [{notify.start:x} {notify.end + 1:x}] offlining attempted"
                )
                raise KernelError(errno.EPERM, "boot memory")

        kernel.memory_chain.register(notifier)

    def cpu_stopped(self, kernel: Kernel, cpu: int) -> None:
        """cpu_psci_cpu_kill()"""
        kernel.log.info(f"psci: CPU{cpu} killed (polled 0 ms)")

    def hotplug_smt(self, kernel: Kernel) -> bool:
        """Since some release between 6.12 and 7.2."""
        return kernel.has(of_cpus.HOTPLUG_SMT_ARM64)

    def max_page_order(self, kernel: Kernel) -> int:
        """11 with 16 KiB pages, 13 with 64 KiB, arch/arm64/Kconfig."""
        return {16384: 11, 65536: 13}.get(kernel.page_size, 10)

    def default_huge_page(self, kernel: Kernel) -> int:
        """PMD_SIZE: 2 MiB, 32 MiB or 512 MiB by the page's size."""
        return {4096: 2048, 16384: 32768}.get(kernel.page_size, 524288)

    def vmalloc_kib(self, kernel: Kernel) -> int:
        """VMALLOC_END - VMALLOC_START with 48 bits and 4 KiB pages (golden identity arm64, 7.3.4)."""
        return 135288315904

    def interrupts(self, kernel: Kernel) -> Interrupts:
        """What /proc/interrupts shows."""
        from elfcorehdr.arch.arm64.kernel.irq import interrupts

        return interrupts(kernel)

    def default_caches(self, kernel: Kernel) -> tuple[CacheLeaf, ...]:
        """What CLIDR_EL1 says: QEMU's has no sizes, which Linux takes from the device tree alone (golden identity arm64)."""
        return (
            CacheLeaf(1, "Data"),
            CacheLeaf(1, "Instruction"),
            CacheLeaf(2, "Unified", cores=0),
        )

    def vulnerabilities(self, kernel: Kernel) -> Mapping[str, str]:
        """arch/arm64/kernel/proton-pack.c: QEMU's `max`, whose firmware offers no workaround (golden identity arm64)."""
        return {
            "spec_store_bypass": "Vulnerable",
            "spectre_v1": "Mitigation: __user pointer sanitization",
            "spectre_v2": "Vulnerable",
        }

    def bounce_buffers(self, kernel: Kernel) -> int:
        """arch_mm_preinit(), arch/arm64/mm/init.c: 64 MiB where memory is above ZONE_DMA, else for kmalloc alone."""
        total = kernel.memblock.total()
        above = kernel.memblock.end_of_dram() > init.arm64_dma_phys_limit(kernel)
        return 64 << 20 if above else min(64 << 20, total >> 10)

    def boot_tables(self, kernel: Kernel) -> int:
        """The linear map is of pages (rodata=full), 8 bytes each; 2 MiB more, as captured."""
        return kernel.memblock.total() // kernel.page_size * 8 + (2 << 20)

    def cpuinfo_rows(self) -> frozenset[str]:
        """As cpuinfo.py knows them."""
        from elfcorehdr.arch.arm64.kernel.cpuinfo import ROWS

        return ROWS

    def cpuinfo(self, kernel: Kernel) -> Iterator[str]:
        """show_cpuinfo()"""
        from elfcorehdr.arch.arm64.kernel.cpuinfo import cpuinfo

        return cpuinfo(kernel)
