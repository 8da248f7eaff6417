"""x86_64: arch/x86/kernel/{setup,smpboot}.c (v7.1; 6.1 where a change says so).

What crash.c and kexec-bzimage64.c have is imported at its first use: a mount that loads nothing starts without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from elfcorehdr import changes
from elfcorehdr.arch.base import Arch
from elfcorehdr.arch.x86.kernel import e820, reserve
from elfcorehdr.changes import in_sysfs, of_cpus
from elfcorehdr.drivers.firmware.memmap import FirmwareMap
from elfcorehdr.elf import EM_X86_64
from elfcorehdr.kernel.kexec_core import Kimage
from elfcorehdr.kernel.kexec_file import (
    KEXEC_CRASH_HOTPLUG_SUPPORT,
    KEXEC_UPDATE_ELFCOREHDR,
    FileArg,
    align_up,
)
from elfcorehdr.kernel.notifier import MemoryNotify
from elfcorehdr.lib.ranges import CrashMem, Range
from elfcorehdr.machine import Machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.drivers.base.cpu import Cpu
    from elfcorehdr.init.main import Kernel
    from elfcorehdr.kernel.header_cache import RangeSource
    from elfcorehdr.kernel.irq.irqdesc import Interrupts
    from elfcorehdr.machine import CacheLeaf

PAGE_OFFSET = 0xFFFF888000000000
"""__PAGE_OFFSET_BASE_L4, arch/x86/include/asm/page_64_types.h."""
LOWEST_OF_FOUR_LEVELS = 0xFFFF800000000000
SWIOTLB_SIZE = 64 << 20
"""IO_TLB_DEFAULT_SIZE, include/linux/swiotlb.h."""
ZONES = (("DMA", 0, 16 << 20), ("DMA32", 16 << 20, 4 << 30), ("Normal", 4 << 30, 1 << 64))
"""MAX_DMA_PFN and MAX_DMA32_PFN, arch/x86/include/asm/dma.h."""


def swiotlb_size_or_default(cmdline: str) -> int:
    """The bounce buffers of the capture kernel, in bytes: swiotlb= in slots of 2 KiB, kernel/dma/swiotlb.c."""
    size = SWIOTLB_SIZE
    for word in cmdline.split():
        slots = word.removeprefix("swiotlb=").split(",")[0]
        if word.startswith("swiotlb=") and slots.isdecimal() and len(slots) < 10:
            size = align_up(int(slots), 128) << 11
    return size


def cores_per_package(kernel: Kernel) -> int:
    """As the machine says, else one package a node."""
    topology = kernel.machine.cpus
    packages = max(len(kernel.nodes.ids()), 1)
    each = len(kernel.cpus.possible) // topology.threads // packages
    return topology.cores_per_package or max(each, 1)


class X8664(Arch):
    """Crash ranges come from the resource tree; an event rewrites the header of its own kernel."""

    name = "x86_64"
    uts_machine = "x86_64"
    e_machine = EM_X86_64
    prstatus_bytes = 336
    cpu0_hotpluggable = False
    nr_cpus = 8192
    config_off = frozenset({"PPC"})
    has_firmware_memmap = True
    zone_names = ("DMA", "DMA32", "Normal")
    cpumask_offstack = True
    cpu_modalias = "cpu:type:x86,ven0000fam0006mod0000:feature:,"
    has_cpu_modalias = True
    boot_allocations = 16 << 20
    boot_allocations_low = 20 << 20
    init_bytes = 4664 << 10
    dm_crypt_keys = in_sysfs.DM_CRYPT_KEYS_X86
    platforms: Mapping[str, tuple[str, str]] = {"pc": ("x86.platform.pc", "Pc")}

    def va(self, kernel: Kernel, pa: int) -> int:
        """__va(): without KASLR and with four page-table levels unless the machine says otherwise."""
        return (pa + (kernel.machine.direct_map_base or PAGE_OFFSET)) & ((1 << 64) - 1)

    def max_physmem_bits(self, kernel: Kernel) -> int:
        """arch/x86/include/asm/sparsemem.h: 52 with five page-table levels, else 46."""
        return 52 if self.va(kernel, 0) < LOWEST_OF_FOUR_LEVELS else 46

    nmi_sysctls = True
    nmi_watchdog = 0  # QEMU without a PMU (golden identity x86_64)

    def zones_of(self, kernel: Kernel, start: int, end: int) -> list[str]:
        """DMA below 16 MiB, DMA32 below 4 GiB, then Normal."""
        return [name for name, lo, hi in ZONES if start < hi and end >= lo]

    def zone_limits(self, kernel: Kernel, zone: str) -> Range:
        """As zones_of()."""
        return next(Range(lo, hi - 1) for name, lo, hi in ZONES if name == zone)

    # reservation, setup.c

    def reserve_crashkernel(self, kernel: Kernel) -> None:
        """arch_reserve_crashkernel()"""
        reserve.arch_reserve_crashkernel(kernel)

    def config_default(self, kernel: Kernel, option: str) -> bool:
        """CMA came late."""
        if option == "CMA":
            return kernel.has(changes.CMA_CONFIG_X86)
        return super().config_default(kernel, option)

    def crash_align(self, kernel: Kernel) -> int:
        """16 MiB."""
        return reserve.CRASH_ALIGN

    def log_reservation(self, kernel: Kernel) -> None:
        """As the generic one since 6.7."""
        if kernel.has(changes.GENERIC_RESERVATION):
            super().log_reservation(kernel)
        else:
            reserve.log_reservation(kernel)

    def crash_addr_high_max(self, kernel: Kernel) -> int:
        """64 TiB: what a capture kernel with four page-table levels reaches."""
        return reserve.CRASH_ADDR_HIGH_MAX

    def crash_low_size_default(self, kernel: Kernel) -> int:
        """arch_crash_low_size_default(): room for a swiotlb and 8 MiB, at least 256 MiB."""
        return max(swiotlb_size_or_default(kernel.cmdline) + (8 << 20), 256 << 20)

    # the header and hotplug, crash.c

    def crash_ranges(self, kernel: Kernel) -> CrashMem:
        """fill_up_crash_elf_data(), elf_header_exclude_ranges()"""
        from elfcorehdr.arch.x86.kernel import crash

        return crash.crash_ranges(kernel)

    def crash_ranges_source(self, kernel: Kernel) -> RangeSource:
        """The resource tree's journal."""
        from elfcorehdr.arch.x86.kernel import crash

        return crash.crash_ranges_source(kernel)

    def crash_get_elfcorehdr_size(self, kernel: Kernel) -> int:
        """arch_crash_get_elfcorehdr_size()"""
        from elfcorehdr.arch.x86.kernel import crash

        return crash.arch_crash_get_elfcorehdr_size(kernel)

    def crash_hotplug(self, kernel: Kernel) -> bool:
        """CONFIG_CRASH_HOTPLUG, since 6.6."""
        return kernel.has(changes.CRASH_HOTPLUG_X86)

    def hotplug_flag_given(self, kernel: Kernel, flags: int) -> bool:
        """arch_crash_hotplug_support(): either flag will do."""
        either = KEXEC_UPDATE_ELFCOREHDR | KEXEC_CRASH_HOTPLUG_SUPPORT
        return self.crash_hotplug(kernel) and bool(flags & either)

    def crash_handle_hotplug_event(
        self, kernel: Kernel, image: Kimage, notify: MemoryNotify | None
    ) -> None:
        """arch_crash_handle_hotplug_event()"""
        from elfcorehdr.arch.x86.kernel import crash

        crash.arch_crash_handle_hotplug_event(kernel, image, notify)

    # loading, kexec-bzimage64.c

    def kernel_size(self, kernel: Kernel) -> int:
        """The part for protected mode, and the one for real mode in front."""
        from elfcorehdr.arch.x86.kernel import kexec_bzimage64 as bzimage

        part = bzimage.described(kernel)
        return part.bufsz + part.setup

    def kexec_file_probe(self, kernel: Kernel, kernel_file: FileArg) -> None:
        """bzImage64_probe()"""
        from elfcorehdr.arch.x86.kernel import kexec_bzimage64 as bzimage

        bzimage.probe(kernel_file)

    def kexec_file_load(
        self, kernel: Kernel, image: Kimage, kernel_file: FileArg | None, initrd: FileArg | None
    ) -> None:
        """bzImage64_load()"""
        from elfcorehdr.arch.x86.kernel import crash
        from elfcorehdr.arch.x86.kernel import kexec_bzimage64 as bzimage

        part = bzimage.kernel_part(kernel, image, kernel_file)
        if image.crash:
            crash.crash_load_segments(kernel, image)
            bzimage.load(kernel, image, part, initrd)

    # firmware

    def boot_firmware_map(self, machine: Machine) -> FirmwareMap:
        """e820__register_firmware_map()"""
        return e820.e820__register_firmware_map(machine)

    # CPUs

    def core_id(self, cpu: Cpu) -> int:
        """The core's number in its package: the APIC number's bits above the threads'. Packages are of one size."""
        return cpu.hard_id // cpu.kernel.machine.cpus.threads % cores_per_package(cpu.kernel)

    def die_id(self, cpu: Cpu) -> int:
        """A package has one die."""
        return cpu.package

    def cluster_id(self, cpu: Cpu) -> int:
        """l2c_id: on Intel's the lowest APIC number of those that share the L2 cache, else BAD_APICID.

        arch/x86/kernel/cpu/cacheinfo.c (v7.3; golden identity x86_64).
        """
        from elfcorehdr.arch.x86.kernel.proc import vendor

        if vendor(cpu.kernel.machine) != "GenuineIntel":
            return 65535
        threads = cpu.kernel.machine.cpus.threads
        return cpu.hard_id & -(1 << (threads - 1).bit_length())

    def cluster_mask(self, cpu: Cpu) -> int:
        """Those with the same L2 cache: the core's."""
        return cpu.kernel.cpus.core_mask(cpu)

    cache_partition = 1

    def default_caches(self, kernel: Kernel) -> tuple[CacheLeaf, ...]:
        """QEMU's, by who the CPU says it is."""
        from elfcorehdr.arch.x86.kernel.cacheinfo import default_caches

        return default_caches(kernel)

    def cache_id(self, cpu: Cpu, leaf: CacheLeaf) -> int | None:
        """get_cache_id()"""
        from elfcorehdr.arch.x86.kernel.cacheinfo import cache_id

        return cache_id(cpu, leaf)

    def vulnerabilities(self, kernel: Kernel) -> Mapping[str, str]:
        """cpu_show_common()"""
        from elfcorehdr.arch.x86.kernel.bugs import vulnerabilities

        return vulnerabilities(kernel)

    def cpus_enabled(self, kernel: Kernel) -> Iterable[int]:
        """Those that are plugged in."""
        return kernel.cpus.present

    def cpu_started(self, kernel: Kernel, cpu: int) -> None:
        """do_boot_cpu(), then the devices that each running CPU has."""
        acpi = kernel.platform.acpi
        assert acpi is not None
        if cpu == 1 and not kernel.has(changes.SMP_BOOT_LOG):
            kernel.log.info("x86: Booting SMP configuration:")
        node, apic = kernel.cpus.node_of(cpu), acpi.apic_id(cpu)
        kernel.log.info(f"smpboot: Booting Node {node} Processor {cpu} APIC {apic:#x}")
        acpi.started(cpu)
        self._machinecheck(kernel, "add", cpu)

    def cpu_stopped(self, kernel: Kernel, cpu: int) -> None:
        """native_cpu_die()"""
        kernel.log.info(f"smpboot: CPU {cpu} is now offline")
        self._machinecheck(kernel, "remove", cpu)

    def _machinecheck(self, kernel: Kernel, action: str, cpu: int) -> None:
        """mce_device_create(), mce_device_remove(), arch/x86/kernel/cpu/mce/core.c."""
        path = f"/devices/system/machinecheck/machinecheck{cpu}"
        kernel.uevents.send(action, path, "machinecheck")

    def cpu_uevent(self, kernel: Kernel, cpu: Cpu) -> tuple[tuple[str, str], ...]:
        """The ACPI processor driver, once bound, and the feature list (golden x86_64, cpuN/uevent)."""
        acpi = kernel.platform.acpi
        bound = acpi is not None and acpi.bound(cpu.id)
        driver = (("DRIVER", "processor"),) if bound else ()
        return (*driver, *super().cpu_uevent(kernel, cpu))

    def hotplug_smt(self, kernel: Kernel) -> bool:
        """Always."""
        return True

    def cpu_hotpluggable(self, kernel: Kernel, cpu: Cpu) -> bool:
        """arch_register_cpu(): cpu0 before 6.5 on Intel's with cpu0_hotplug, arch/x86/kernel/topology.c (v6.1)."""
        if cpu.id:
            return True
        if kernel.has(of_cpus.NO_CPU0_HOTPLUG) or "cpu0_hotplug" not in kernel.cmdline.split():
            return False
        from elfcorehdr.arch.x86.kernel.proc import vendor

        return vendor(kernel.machine) == "GenuineIntel"

    def vmalloc_kib(self, kernel: Kernel) -> int:
        """VMALLOC_SIZE_TB_L4, _L5, arch/x86/include/asm/pgtable_64_types.h: 32 or 12800 TiB less a byte."""
        return (12800 if self.va(kernel, 0) < LOWEST_OF_FOUR_LEVELS else 32) * (1 << 30) - 1

    def direct_map(self, kernel: Kernel) -> Iterable[tuple[str, int]]:
        """As large as each range's ends allow: split_mem_range(), arch/x86/mm/init.c."""
        from elfcorehdr.arch.x86.mm.init import direct_map

        return direct_map(kernel)

    def interrupts(self, kernel: Kernel) -> Interrupts:
        """What /proc/interrupts shows."""
        from elfcorehdr.arch.x86.kernel.irq import interrupts

        return interrupts(kernel)

    def lru_gen_caps(self, kernel: Kernel) -> int:
        """Accessed bits at every level: golden identity x86_64."""
        return 7

    def percpu_bytes(self, kernel: Kernel) -> int:
        """golden identity x86_64: 63 pages."""
        return 63 << 12

    def bounce_buffers(self, kernel: Kernel) -> int:
        """pci_swiotlb_detect(): 64 MiB where memory is or can be above 4 GiB (max_possible_pfn, from ACPI's SRAT).

        Whether it can be no key says: where CPUs can be plugged, or there are nodes, there is an SRAT (golden x86_64).
        """
        cpus = kernel.machine.cpus
        slots = cpus.present not in ("", cpus.possible) or len(kernel.memblock.nodes()) > 1
        return 64 << 20 if slots or kernel.memblock.end_of_dram() > 4 << 30 else 0

    def boot_tables(self, kernel: Kernel) -> int:
        """As captured: the first MiB, page tables, node data."""
        return 4608 << 10

    def cpuinfo_rows(self) -> frozenset[str]:
        """As proc.py knows them."""
        from elfcorehdr.arch.x86.kernel.proc import ROWS

        return ROWS

    def cpuinfo(self, kernel: Kernel) -> Iterator[str]:
        """show_cpuinfo()"""
        from elfcorehdr.arch.x86.kernel.proc import cpuinfo

        return cpuinfo(kernel)
