"""x86_64: arch/x86/kernel/{crash,setup}.c (v7.1; 6.1 where a change says so)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from elfcorehdr import changes
from elfcorehdr.arch.base import Arch
from elfcorehdr.arch.x86.kernel import kexec_bzimage64 as x86_64_bzimage
from elfcorehdr.drivers.acpi import AcpiProcessors
from elfcorehdr.drivers.firmware.memmap import FirmwareMap
from elfcorehdr.elf import EHDR_SIZE, EM_X86_64, PHDR_SIZE
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.crash_core import crash_prepare_elf64_headers
from elfcorehdr.kernel.crash_reserve import reserve_crashkernel
from elfcorehdr.kernel.header_cache import RangeSource, Splice, SplicedHeader, kept_header
from elfcorehdr.kernel.kexec_core import HpAction, KexecSegment, Kimage
from elfcorehdr.kernel.kexec_file import (
    KEXEC_CRASH_HOTPLUG_SUPPORT,
    KEXEC_UPDATE_ELFCOREHDR,
    FileArg,
    KexecBuf,
    Segment,
    align_up,
)
from elfcorehdr.kernel.notifier import MemoryNotify
from elfcorehdr.kernel.resource import SYSTEM_RAM
from elfcorehdr.kexec_tools import x86_64 as kexec_tools
from elfcorehdr.lib.ranges import CrashMem, Range
from elfcorehdr.machine import Machine

if TYPE_CHECKING:
    from elfcorehdr.drivers.base.cpu import Cpu
    from elfcorehdr.init.main import Kernel

PAGE_OFFSET = 0xFFFF888000000000
"""__PAGE_OFFSET_BASE_L4, arch/x86/include/asm/page_64_types.h."""
LOWEST_OF_FOUR_LEVELS = 0xFFFF800000000000
PN_XNUM = 0xFFFF
LOW_1M = Range(0, (1 << 20) - 1)
SWIOTLB_SIZE = 64 << 20
"""IO_TLB_DEFAULT_SIZE, include/linux/swiotlb.h."""
E820_NAMES = (
    "Reserved",
    "ACPI Tables",
    "ACPI Non-volatile Storage",
    "Unusable memory",
    "Persistent Memory",
    "Persistent Memory (legacy)",
    "Soft Reserved",
)
"""e820_type_to_string(), arch/x86/kernel/e820.c."""
ZONES = (("DMA", 0, 16 << 20), ("DMA32", 16 << 20, 4 << 30), ("Normal", 4 << 30, 1 << 64))
"""MAX_DMA_PFN and MAX_DMA32_PFN, arch/x86/include/asm/dma.h."""


class X8664(Arch):
    """Crash ranges come from the resource tree; an event rewrites the header of its own kernel."""

    name = "x86_64"
    uts_machine = "x86_64"
    e_machine = EM_X86_64
    prstatus_bytes = 336
    cpu0_hotpluggable = False
    nr_cpus = 8192
    config_off = frozenset()
    has_firmware_memmap = True
    cpumask_offstack = True
    cpu_modalias = "cpu:type:x86,ven0000fam0006mod0000:feature:,"
    has_cpu_modalias = True
    crash_align = 16 << 20
    boot_allocations = 16 << 20
    boot_allocations_low = 20 << 20
    memory_container = "PNP0A06:04"
    """Of QEMU's pc machine (golden x86_64)."""

    def va(self, kernel: Kernel, pa: int) -> int:
        """__va(): without KASLR and with four page-table levels unless the machine says otherwise."""
        return (pa + (kernel.machine.direct_map_base or PAGE_OFFSET)) & ((1 << 64) - 1)

    def max_physmem_bits(self, kernel: Kernel) -> int:
        """arch/x86/include/asm/sparsemem.h: 52 with five page-table levels, else 46."""
        return 52 if self.va(kernel, 0) < LOWEST_OF_FOUR_LEVELS else 46

    def zones_of(self, kernel: Kernel, start: int, end: int) -> list[str]:
        """DMA below 16 MiB, DMA32 below 4 GiB, then Normal."""
        return [name for name, lo, hi in ZONES if start < hi and end >= lo]

    def zone_limits(self, kernel: Kernel, zone: str) -> Range:
        """As zones_of()."""
        return next(Range(lo, hi - 1) for name, lo, hi in ZONES if name == zone)

    # reservation, setup.c

    def reserve_crashkernel(self, kernel: Kernel) -> None:
        """arch_reserve_crashkernel()"""
        reserve_crashkernel(kernel, cma=kernel.has(changes.CMA_CRASHKERNEL_X86))

    def generic_reservation(self, kernel: Kernel) -> bool:
        """Since 6.7."""
        return kernel.has(changes.GENERIC_RESERVATION_X86)

    def crash_low_size_default(self, kernel: Kernel) -> int:
        """arch_crash_low_size_default(): room for a swiotlb and 8 MiB, at least 256 MiB."""
        return max(SWIOTLB_SIZE + (8 << 20), 256 << 20)

    # the header, crash.c

    def crash_ranges(self, kernel: Kernel) -> CrashMem:
        """fill_up_crash_elf_data(), elf_header_exclude_ranges(): System RAM less 1 MiB and the reservations."""
        ranges = CrashMem(kernel.iomem.system_ram())
        kexec, continues = kernel.kexec, kernel.has(changes.EXCLUDE_CONTINUES)
        for cut in (LOW_1M, kexec.crashk_res, kexec.crashk_low_res, *kexec.crashk_cma_ranges):
            if cut is not None:
                ranges.exclude(cut.start, cut.end, continues=continues)
        return ranges

    def crash_ranges_source(self, kernel: Kernel) -> RangeSource:
        """The resource tree's journal."""
        kexec = kernel.kexec
        cuts = (LOW_1M, kexec.crashk_res, kexec.crashk_low_res, *kexec.crashk_cma_ranges)
        return RangeSource(kernel.iomem.edits, tuple(r for r in cuts if r is not None))

    def _max_phdrs(self, kernel: Kernel) -> int:
        """vmcoreinfo, kernel text, and as many CPUs and ranges as the configuration allows."""
        machine = kernel.machine
        return 2 + machine.nr_cpus_default + machine.crash_max_memory_ranges

    def crash_get_elfcorehdr_size(self, kernel: Kernel) -> int:
        """The program headers alone: the ELF header is not counted (golden x86_64, 917616)."""
        return self._max_phdrs(kernel) * PHDR_SIZE

    def _load_elfcorehdr(self, kernel: Kernel, image: Kimage) -> None:
        """crash_load_segments(): the header, with room for all that hotplug may bring."""
        header = crash_prepare_elf64_headers(kernel, self.crash_ranges(kernel))
        image.elf_headers_sz = len(header)
        if self.crash_hotplug(kernel):
            phdrs = self._max_phdrs(kernel)
            if phdrs < PN_XNUM:
                image.elf_headers_sz = EHDR_SIZE + phdrs * PHDR_SIZE
                image.elfcorehdr_index = len(image.segments)
            else:
                kernel.log.err(f"kexec: number of Phdrs {phdrs} exceeds max")
        buf = KexecBuf(image.elf_headers_sz, len(header), content=bytes(header))
        at = self.add_buffer(kernel, image, buf)
        image.cmdline = f"elfcorehdr={at:#x} ".encode() + image.cmdline
        text = f"kexec: Loaded ELF headers at {at:#x} bufsz={len(header):#x} memsz={buf.memsz:#x}"
        if not kernel.has(changes.FILE_DEBUG_FLAG):
            kernel.debug("crash", text)
        elif kernel.kexec_debug:
            kernel.log.info(text)

    def kexec_file_load(
        self, kernel: Kernel, image: Kimage, kernel_file: FileArg | None, initrd: FileArg | None
    ) -> None:
        """bzImage64_load(): elfcorehdr at the bottom of the reservation, the rest from its top down."""
        kernel_part = x86_64_bzimage.probe(kernel, image, kernel_file)
        if image.crash:
            self._load_elfcorehdr(kernel, image)
            x86_64_bzimage.load(kernel, image, kernel_part, initrd)

    def kexec_tools_segments(
        self,
        kernel: Kernel,
        kernel_file: FileArg | None,
        initrd: FileArg | None,
        cmdline: bytes,
        *,
        hotplug: bool,
    ) -> tuple[int, list[Segment]]:
        """Backup region and header as kexec-tools makes and places them; the rest by the kernel's rules."""
        image = Kimage(crash=True, cmdline=cmdline)
        part = x86_64_bzimage.probe(kernel, image, kernel_file)
        for content, bufsz, mem, memsz in kexec_tools.crash_segments(kernel, hotplug=hotplug):
            image.segments.append(KexecSegment(mem, memsz, bytearray(content), bufsz))
        x86_64_bzimage.load(kernel, image, part, initrd)
        segments: list[Segment] = [
            (bytes(s.content), len(s.content), s.mem, s.memsz) for s in image.segments
        ]
        return image.entry, segments

    # hotplug, crash.c

    def hotplug_base(self, kernel: Kernel) -> int:
        """Above 4 GiB, on a whole GiB: pc_memory_init(), hw/i386/pc.c of QEMU."""
        return align_up(max(kernel.boot_memory_end, 4 << 30), 1 << 30)

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
        """Build the header anew; for a CPU only while the header is still kexec-tools' own.

        One that was built here lists all possible CPUs already. A failure leaves the old one.
        """
        cpu = image.hp_action in (HpAction.ADD_CPU, HpAction.REMOVE_CPU)
        if cpu and (image.file_mode or image.elfcorehdr_updated):
            return
        try:
            header = self._hotplug_header(kernel)
        except KernelError:
            kernel.crash_hp.err("unable to create new elfcorehdr")
            return
        memsz = image.segments[image.elfcorehdr_index].memsz
        if len(header) > memsz:
            kernel.crash_hp.err(f"update elfcorehdr elfsz {len(header)} > memsz {memsz}")
            return
        kernel.crash_hp.replace(image, header)
        kernel.debug("crash", "crash hp: updated elfcorehdr")

    def _hotplug_header(self, kernel: Kernel) -> bytearray | SplicedHeader:
        """The header of all memory as it is now, from the kept one or anew. KernelError(ENOMEM)."""
        kept = kept_header(kernel)
        if kept is not None:
            return kept.header(Splice())
        return crash_prepare_elf64_headers(kernel, self.crash_ranges(kernel))

    # firmware

    def boot_firmware_map(self, machine: Machine) -> FirmwareMap:
        """The e820 table as firmware gave it: before trim_bios_range() took the first page away."""
        rows = [(m.start, m.end, SYSTEM_RAM) for m in machine.memory]
        rows += [(r.start, r.range.end, r.name) for r in machine.resources if r.name in E820_NAMES]
        rows.sort()
        if rows[0] == (0, 0xFFF, "Reserved") and rows[1][::2] == (0x1000, SYSTEM_RAM):
            rows[:2] = [(0, rows[1][1], SYSTEM_RAM)]
        firmware_map, end = FirmwareMap(), -1
        for start, last, name in rows:
            if start > end:  # what is nested is not of the table
                firmware_map.add(start, last, name)
                end = last
        return firmware_map

    # CPUs

    def core_id(self, cpu: Cpu) -> int:
        """The APIC number in its package; packages are of one size, and a node has one."""
        packages = max(len(cpu.kernel.node_ids()), 1)
        return cpu.hard_id % max(len(cpu.kernel.cpus.possible) // packages, 1)

    def die_id(self, cpu: Cpu) -> int:
        """A package has one die."""
        return cpu.package

    cluster_id = 65535
    """BAD_APICID: the L2 cache is not shared."""

    def cluster_mask(self, cpu: Cpu) -> int:
        """Those with the same L2 cache: the core's."""
        return cpu.kernel.cpus.core_mask(cpu)

    def acpi_processors(self, kernel: Kernel) -> AcpiProcessors:
        """Always: without ACPI there is no hotplug of CPUs."""
        return AcpiProcessors(kernel)

    def cpus_enabled(self, kernel: Kernel) -> Iterable[int]:
        """Those that are plugged in."""
        return kernel.cpus.present

    def cpu_started(self, kernel: Kernel, cpu: int) -> None:
        """do_boot_cpu(), then the devices that each running CPU has."""
        assert kernel.acpi is not None
        if cpu == 1 and not kernel.has(changes.SMP_BOOT_LOG):
            kernel.log.info("x86: Booting SMP configuration:")
        node, apic = kernel.cpus.node_of(cpu), kernel.acpi.apic_id(cpu)
        kernel.log.info(f"smpboot: Booting Node {node} Processor {cpu} APIC {apic:#x}")
        kernel.acpi.started(cpu)
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
        bound = kernel.acpi is not None and kernel.acpi.bound(cpu.id)
        driver = (("DRIVER", "processor"),) if bound else ()
        return (*driver, *super().cpu_uevent(kernel, cpu))
