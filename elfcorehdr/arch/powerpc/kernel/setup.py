"""ppc64, little endian, on pseries and powernv: arch/powerpc/kernel/{setup-common,setup_64,sysfs}.c, mm/ (v7.1).

What kexec/ defines is imported at its first use: a mount that loads nothing starts without it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping

from elfcorehdr import changes
from elfcorehdr.arch.base import Arch
from elfcorehdr.arch.powerpc.kexec import core
from elfcorehdr.changes import in_sysfs, of_cpus
from elfcorehdr.elf import EM_PPC64
from elfcorehdr.kernel.resource import CRASH_KERNEL, Resource
from elfcorehdr.lib.ranges import Range
from elfcorehdr.machine import CacheLeaf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from elfcorehdr.arch.powerpc.kexec.ranges import MemRanges
    from elfcorehdr.drivers.base.cpu import Cpu
    from elfcorehdr.init.main import Kernel
    from elfcorehdr.kernel.header_cache import RangeSource
    from elfcorehdr.kernel.irq.irqdesc import Interrupts
    from elfcorehdr.kernel.kexec_core import Kimage
    from elfcorehdr.kernel.kexec_file import FileArg
    from elfcorehdr.kernel.notifier import MemoryNotify

PAGE_OFFSET = 0xC000000000000000
PPC_FEATURE2_EBB = 32 + 28
_POWER9 = (
    *(0x01, 0x06, 0x07, 0x08, 0x0A, 0x0D, 0x0E, 0x1A, 0x1B, 0x1C, 0x1E, 0x1F),
    *(0x34, 0x35, 0x36, 0x37, 0x39, 0x3A, 0x3B, PPC_FEATURE2_EBB, 0x3D, 0x3F),
)
HWCAP = {"power9": _POWER9, "power10": (*_POWER9, 0x31, 0x32)}
"""The features of a CPU type: bits of AT_HWCAP, then of AT_HWCAP2 from 32 on (golden ppc64/A and D)."""


class Ppc64(Arch):
    """Crash ranges come from memblock, and the first 64 KiB from the backup region."""

    name = "ppc64"
    uts_machine = "ppc64le"
    platforms: Mapping[str, tuple[str, str]] = {
        "pseries": ("powerpc.platforms.pseries.setup", "Pseries"),
        "powernv": ("powerpc.platforms.powernv.setup", "Powernv"),
    }
    e_machine = EM_PPC64
    prstatus_bytes = 504
    note_align = 1024
    need_kernel_map = False
    has_iomem_crash_row = False
    cpu_dirs_for_possible = True
    has_cpu_probe = True
    has_memory_probe = True
    has_topology_cluster = False
    has_cpu_modalias = True
    shrink_oopses = True
    boot_allocations = 0
    init_bytes = 7232 << 10
    dm_crypt_keys = in_sysfs.DM_CRYPT_KEYS_PPC64

    def va(self, kernel: Kernel, pa: int) -> int:
        """__va(): the direct map is the address with the top bits set."""
        return pa | PAGE_OFFSET

    # the header and hotplug, kexec/{ranges,crash}.c

    def crash_ranges(self, kernel: Kernel) -> MemRanges:
        """get_crash_memory_ranges()"""
        from elfcorehdr.arch.powerpc.kexec import ranges

        return ranges.get_crash_memory_ranges(kernel)

    def crash_ranges_source(self, kernel: Kernel) -> RangeSource | None:
        """memblock's journal."""
        from elfcorehdr.arch.powerpc.include.asm import kexec

        return kexec.crash_ranges_source(kernel)

    def crash_get_elfcorehdr_size(self, kernel: Kernel) -> int:
        """arch_crash_get_elfcorehdr_size()"""
        from elfcorehdr.arch.powerpc.include.asm import kexec

        return kexec.arch_crash_get_elfcorehdr_size(kernel)

    def crash_hotplug(self, kernel: Kernel) -> bool:
        """CONFIG_CRASH_HOTPLUG, since 6.10."""
        return kernel.has(changes.CRASH_HOTPLUG_PPC64)

    def crash_handle_hotplug_event(
        self, kernel: Kernel, image: Kimage, notify: MemoryNotify | None
    ) -> None:
        """arch_crash_handle_hotplug_event()"""
        from elfcorehdr.arch.powerpc.include.asm import kexec

        kexec.arch_crash_handle_hotplug_event(kernel, image, notify)

    def machine_kexec_post_load(self, kernel: Kernel, image: Kimage) -> None:
        """Where kexec-tools put the backup region."""
        from elfcorehdr.arch.powerpc.include.asm import kexec

        kexec.machine_kexec_post_load(kernel, image)

    # reservation and loading, kexec/{core,elf_64,file_load_64}.c

    def reserve_crashkernel(self, kernel: Kernel) -> None:
        """arch_reserve_crashkernel()"""
        core.arch_reserve_crashkernel(kernel)

    def reserve_firmware_dump(self, kernel: Kernel) -> str:
        """fadump_reserve_mem()"""
        fadump = kernel.platform.fadump
        if fadump is None:
            if "fadump=" in kernel.cmdline:
                from elfcorehdr.arch.powerpc.kernel.fadump import asked_in_vain

                asked_in_vain(kernel)
            return ""
        return "fadump has the memory that crashkernel= asks for" if fadump.reserve() else ""

    def booted(self, kernel: Kernel) -> None:
        """setup_fadump()"""
        if kernel.platform.fadump is not None:
            kernel.platform.fadump.setup()

    def log_reservation(self, kernel: Kernel) -> None:
        """As the generic one since 6.16."""
        r = kernel.kexec.crashk_res
        if kernel.has(changes.GENERIC_RESERVATION_PPC64):
            super().log_reservation(kernel)
        elif r is not None:
            core.say_reserving(kernel, r.start, r.size)

    def crash_align(self, kernel: Kernel) -> int:
        """CRASH_ALIGN, arch/powerpc/include/asm/crash_reserve.h: a page."""
        return kernel.page_size

    def insert_crashkernel_resources(self, kernel: Kernel) -> None:
        """None; on 6.16 and 6.17 one in System RAM (golden ppc64/K-6.16.12)."""
        region = kernel.kexec.crashk_res
        if region is not None and kernel.has(changes.IOMEM_CRASH_ROW_PPC64):
            self._insert(kernel, Resource(region.start, region.end, CRASH_KERNEL))

    def kexec_file_probe(self, kernel: Kernel, kernel_file: FileArg) -> None:
        """kexec_elf_probe()"""
        from elfcorehdr.arch.image import elf_probe

        elf_probe(kernel_file, self.e_machine)

    def kexec_file_load(
        self, kernel: Kernel, image: Kimage, kernel_file: FileArg | None, initrd: FileArg | None
    ) -> None:
        """elf64_load()"""
        from elfcorehdr.arch.powerpc.include.asm import kexec

        kexec.elf64_load(kernel, image, kernel_file, initrd)

    # what else differs

    def node_for_probe(self, kernel: Kernel, address: int) -> int:
        """hot_add_scn_to_nid(): the node of an LMB that is assigned and not reserved, else the first."""
        dlpar = kernel.platform.dlpar
        if dlpar is not None:
            lmb = dlpar.lmbs.by_base(address)
            if lmb is None or not dlpar.lmbs.removable(lmb.row):
                return kernel.nodes.ids()[0]
        return kernel.nodes.for_new(address)

    def memory_added(self, kernel: Kernel, r: Range) -> None:
        """radix__create_section_mapping(): the pages that a new range is mapped with."""
        if not (r.start | r.end + 1) & (1 << 30) - 1:
            words = "1.00 GiB"
        elif not (r.start | r.end + 1) & (2 << 20) - 1:
            words = "2.00 MiB"
        else:
            return
        kernel.log.info(f"radix-mmu: Mapped {r.start:#018x}-{r.end + 1:#018x} with {words} pages")

    def unmovable(self, kernel: Kernel, start: int, end: int) -> str | None:
        """RTAS, OPAL, and what is reserved for a dump by firmware."""
        fadump = kernel.platform.fadump
        if fadump is not None and fadump.area and fadump.area.overlaps(start, end):
            return "the dump area of fadump"
        for name, firmware in (("RTAS", kernel.machine.rtas), ("OPAL", kernel.machine.opal)):
            if firmware is not None and firmware.range.overlaps(start, end):
                return name
        return None

    def cpu_uevent(self, kernel: Kernel, cpu: Cpu) -> tuple[tuple[str, str], ...]:
        """The device-tree part of a CPU's uevent (golden ppc64 dumps, cpuN/uevent).

        Quirk: a CPU that has stopped has no node, and MODALIAS ends with a newline of its own.
        """
        modalias = ("MODALIAS", kernel.cpus.modalias + "\n")
        if cpu.id in kernel.cpus.node_dropped:
            return (modalias,)
        name, node = kernel.machine.cpus.type, self.cpu_node(kernel, cpu)
        if cpu.id in kernel.cpus.node_regained:
            node = f"{name}@{self.core_id(cpu):x}"
        return (
            ("OF_NAME", name),
            ("OF_FULLNAME", f"/cpus/{node}"),
            ("OF_TYPE", "cpu"),
            ("OF_COMPATIBLE_N", "0"),
            modalias,
        )

    def cpu_node(self, kernel: Kernel, cpu: Cpu) -> str:
        """Name of the device-tree node that cpuN/of_node points to.

        Quirk: a CPU that was not present at boot has the first core's (golden ppc64/B, cpu2).
        """
        threads = kernel.machine.cpus.threads
        core = cpu.id // threads if cpu.id in kernel.cpus.present_at_boot else 0
        return f"{kernel.machine.cpus.type}@{core * threads:x}"

    def modalias(self, kernel: Kernel) -> str:
        """print_cpu_modalias(): the type, and AT_HWCAP and AT_HWCAP2 bit by bit.

        Event based branches (PPC_FEATURE2_EBB) are there once the counters' driver is.
        """
        name = kernel.machine.cpus.type.removeprefix("PowerPC,").lower().rstrip("+")
        bits = set(HWCAP.get(name, ()))
        if not kernel.config("PPC_PERF_CTRS"):
            bits.discard(PPC_FEATURE2_EBB)
        return f"cpu:type:{name}:feature:" + "".join(f",{bit:04X}" for bit in sorted(bits))

    def vmlinux_note(self, kernel: Kernel) -> tuple[str, int, bytes] | None:
        """PPC_ELFNOTE_CAPABILITIES, arch/powerpc/kernel/note.S: bit 0 is PPCCAP_ULTRAVISOR_BIT."""
        return "PowerPC", 1, struct.pack("<I", kernel.config("PPC_UV"))

    def topology_die(self, kernel: Kernel) -> bool:
        """Since some release between 6.12 and 7.2."""
        return kernel.has(in_sysfs.TOPOLOGY_DIE_PPC64)

    def l1_caches(self, kernel: Kernel) -> tuple[tuple[str, int, int], ...]:
        """32 KiB each, lines of 128 bytes: what QEMU says of POWER9 and POWER10 (systemcfg in the ppc64 dumps)."""
        return (("Data", 0x8000, 128), ("Instruction", 0x8000, 128))

    cache_devices = False

    def default_caches(self, kernel: Kernel) -> tuple[CacheLeaf, ...]:
        """Those of the core's node: cache_do_one_devnode_split() makes the data cache first (arch/powerpc/kernel/cacheinfo.c)."""
        return tuple(CacheLeaf(1, kind, size, line) for kind, size, line in self.l1_caches(kernel))

    def vulnerabilities(self, kernel: Kernel) -> Mapping[str, str]:
        """cpu_show_*()"""
        from elfcorehdr.arch.powerpc.kernel.security import vulnerabilities

        return vulnerabilities(kernel)

    smt_num_threads_dynamic = True
    config_off = frozenset({"UNACCEPTED_MEMORY", "X86"})

    def hotplug_smt(self, kernel: Kernel) -> bool:
        """Since 6.6."""
        return kernel.has(of_cpus.HOTPLUG_SMT_PPC64)

    def smt_enabled_at_boot(self, kernel: Kernel) -> int:
        """check_smt_enabled(): smt-enabled= on the command line, else the device tree's word."""
        from elfcorehdr.arch.powerpc.kernel.setup_64 import check_smt_enabled

        return check_smt_enabled(kernel.cmdline, kernel.machine)

    def max_page_order(self, kernel: Kernel) -> int:
        """ARCH_FORCE_MAX_ORDER, arch/powerpc/Kconfig: 8 with 64 KiB pages, 12 with 4 (golden identity)."""
        return 8 if kernel.page_size == 65536 else 12

    def default_huge_page(self, kernel: Kernel) -> int:
        """HPAGE_SIZE: 2 MiB with radix, 16 MiB with hash."""
        return 2048 if self.thp(kernel) else 16384

    def huge_page_sizes(self, kernel: Kernel) -> tuple[int, ...]:
        """hugetlbpage_init(), arch/powerpc/mm/hugetlbpage.c: with hash 16 MiB and 16 GiB, which QEMU has not (golden identity)."""
        if self.thp(kernel):
            return (1048576, 2048)
        from elfcorehdr.arch.powerpc.kernel.setup_common import model

        return () if "emulated by qemu" in model(kernel) else (16777216, 16384)

    def percpu_bytes(self, kernel: Kernel) -> int:
        """golden identity ppc64: 3 pages of 64 KiB, 41 of 4."""
        return 3 << 16 if kernel.page_size == 0x10000 else 41 << 12

    def boot_tables(self, kernel: Kernel) -> int:
        """Of radix a process table of 16 MiB (PRTB_SIZE_SHIFT 24); 1 MiB, of 4 KiB pages 10, as captured."""
        from elfcorehdr.arch.powerpc.kernel.setup_common import radix_enabled

        table = 16 << 20 if radix_enabled(kernel) else 0
        return table + (1 << 20 if kernel.page_size == 0x10000 else 10 << 20)

    def thp(self, kernel: Kernel) -> bool:
        """With radix: a hypervisor may not let hash have it (golden identity ppc64 hash)."""
        from elfcorehdr.arch.powerpc.kernel.setup_common import radix_enabled

        return radix_enabled(kernel)

    def vmalloc_kib(self, kernel: Kernel) -> int:
        """H_VMALLOC_SIZE, RADIX_VMALLOC_SIZE: 512 TiB; with hash and 4 KiB pages 16 (arch/powerpc, book3s/64)."""
        small = kernel.page_size == 4096 and not self.thp(kernel)
        return (16 if small else 512) << 30

    def direct_map(self, kernel: Kernel) -> Iterable[tuple[str, int]]:
        """create_physical_mapping(): with radix pages of 1 GiB where a memory block is as large, with hash of the page's."""
        total = sum(r.end - r.start + 1 for r in kernel.memblock) >> 10
        if not self.thp(kernel):
            names = ("DirectMap4k", "DirectMap64k", "DirectMap16M", "DirectMap16G")
            return [(n, total if n == "DirectMap64k" else 0) for n in names]
        largest = "DirectMap1G" if kernel.memory.block_size >= 1 << 30 else "DirectMap2M"
        names = ("DirectMap4k", "DirectMap64k", "DirectMap2M", "DirectMap1G")
        return [(n, total if n == largest else 0) for n in names]

    def interrupts(self, kernel: Kernel) -> Interrupts:
        """What /proc/interrupts shows."""
        from elfcorehdr.arch.powerpc.kernel.irq import interrupts

        return interrupts(kernel)

    def cpuinfo_rows(self) -> frozenset[str]:
        """As setup_common.py knows them."""
        from elfcorehdr.arch.powerpc.kernel.setup_common import ROWS

        return ROWS

    def cpuinfo(self, kernel: Kernel) -> Iterator[str]:
        """show_cpuinfo()"""
        from elfcorehdr.arch.powerpc.kernel.setup_common import cpuinfo

        return cpuinfo(kernel)

    def devicetree(self, kernel: Kernel) -> Mapping[str, Any]:
        """What kexec-tools, makedumpfile and drmgr read of it."""
        from elfcorehdr.arch.powerpc.kernel import prom

        return prom.devicetree(kernel)
