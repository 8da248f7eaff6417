"""What an architecture is: constants, and the kernel's arch_*() functions with their __weak defaults."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping

from elfcorehdr.arch.reservation import Reservation
from elfcorehdr.drivers.firmware.memmap import FirmwareMap
from elfcorehdr.errors import KernelError, suppress
from elfcorehdr.kernel.kexec_core import KexecSegment, Kimage
from elfcorehdr.kernel.kexec_file import (
    KEXEC_CRASH_HOTPLUG_SUPPORT,
    FileArg,
    KexecBuf,
    NoKernel,
    locate_mem_hole,
)
from elfcorehdr.kernel.notifier import MemoryNotify
from elfcorehdr.kernel.resource import CRASH_KERNEL, SYSTEM_RAM, Resource
from elfcorehdr.lib.ranges import CrashMem, Range
from elfcorehdr.machine import Machine
from elfcorehdr.mm.memblock import DRV_MNG, NOMAP, Memblock, Region, split_by_node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from elfcorehdr.drivers.base.cpu import Cpu
    from elfcorehdr.init.main import Kernel
    from elfcorehdr.kernel.header_cache import RangeSource
    from elfcorehdr.kernel.irq.irqdesc import Interrupts
    from elfcorehdr.machine import CacheLeaf

NOTE_HEAD = 12
"""sizeof(struct elf_note): namesz, descsz, type."""


class Arch(Reservation):
    """The defaults; one subclass an architecture, no state, shared by all kernels."""

    name = ""
    uts_machine = ""
    platforms: Mapping[str, tuple[str, str]] = {
        "virt": ("virt", "Virt"),
        "laptop": ("platform", "Hardware"),
        "server": ("platform", "Hardware"),
        "board": ("platform", "Hardware"),
    }
    """Module below arch/ and class of each platform; the first is a machine's that does not say which."""
    e_machine = 0
    prstatus_bytes = 0
    """sizeof(struct elf_prstatus)."""
    note_align = 512
    """Alignment of a CPU's note: its size rounded up to a power of two, at most a page."""
    need_kernel_map = True
    """Whether the header has a PT_LOAD for the kernel's text."""
    has_iomem_crash_row = True
    """Whether /proc/iomem shows the reservation."""
    cpu_dirs_for_possible = False
    """Whether cpuN exists for CPUs that are not present."""
    cpu0_hotpluggable = True
    """Whether cpu0 has an `online` file."""
    has_cpu_probe = False
    """CONFIG_ARCH_CPU_PROBE_RELEASE; with it, the files of cpuN that DLPAR's tools read."""
    has_memory_probe = False
    """CONFIG_ARCH_MEMORY_PROBE."""
    cpu_modalias = ""
    """What cpu/modalias reads where the machine does not say."""
    nr_cpus = 2048
    """CONFIG_NR_CPUS where the machine does not say."""
    config_off = frozenset({"UNACCEPTED_MEMORY", "X86", "PPC", "ISA_DMA_API"})
    """Options of the configuration that the architecture does not know."""
    has_firmware_memmap = False
    """CONFIG_FIRMWARE_MEMMAP: /sys/firmware/memmap."""
    has_topology_die = True
    """Whether topology/ has die_id and die_cpus."""
    has_topology_cluster = True
    """Whether topology/ has cluster_id and cluster_cpus."""
    cpumask_offstack = False
    """CONFIG_CPUMASK_OFFSTACK: a mask that was never needed is a NULL pointer."""
    smt_num_threads_dynamic = False
    """CONFIG_SMT_NUM_THREADS_DYNAMIC: whether some of a core's threads can run."""
    node_distance = 20
    """Distance of two nodes where firmware gives none: REMOTE_DISTANCE."""
    cpu_capacity_always = False
    """Whether cpuN/cpu_capacity is older than the kernels that are known here."""
    has_cpu_modalias = False
    """CONFIG_GENERIC_CPU_AUTOPROBE."""
    shrink_oopses = False
    """Whether releasing the whole reservation hits a NULL pointer (golden ppc64/D)."""

    @property
    def crash_note_bytes(self) -> int:
        """CRASH_CORE_NOTE_BYTES: two note heads, "CORE" padded, the registers."""
        return 2 * NOTE_HEAD + 8 + self.prstatus_bytes

    def va(self, kernel: Kernel, pa: int) -> int:
        """__va(): linear, pa + va(0) modulo 2^64."""
        return (pa + kernel.machine.direct_map_base) & ((1 << 64) - 1)

    nmi_sysctls: ClassVar[bool] = False
    """Whether unknown_nmi_panic, panic_on_unrecovered_nmi and panic_on_io_nmi exist: kernel/sysctl.c, x86 alone."""
    nmi_watchdog: ClassVar[int] = 1
    """kernel.nmi_watchdog at boot: whether something looks for hard lockups."""

    def zones_of(self, kernel: Kernel, start: int, end: int) -> list[str]:
        """The kernel's zones (not Movable) that start..end (included) reaches into, lowest first."""
        return ["Normal"]

    def zone_limits(self, kernel: Kernel, zone: str) -> Range:
        """The addresses that a zone can have, ends included."""
        return Range(0, (1 << 64) - 1)

    def crash_mem_align(self, kernel: Kernel) -> int:
        """KEXEC_CRASH_MEM_ALIGN, in bytes."""
        return kernel.page_size

    def cluster_id(self, cpu: Cpu) -> int:
        """topology/cluster_id."""
        return 0

    def cluster_mask(self, cpu: Cpu) -> int:
        """The running CPUs of the CPU's cluster: without more words from firmware, of its package."""
        return cpu.kernel.cpus.package_mask(cpu)

    def core_id(self, cpu: Cpu) -> int:
        """topology/core_id: the hardware number of the core's first thread."""
        return cpu.core * cpu.kernel.machine.cpus.threads

    def die_id(self, cpu: Cpu) -> int:
        """topology/die_id; -1 where firmware knows of none."""
        return -1

    def boot_firmware_map(self, machine: Machine) -> FirmwareMap:
        """The firmware's memory map at boot; empty without CONFIG_FIRMWARE_MEMMAP."""
        return FirmwareMap()

    def booted(self, kernel: Kernel) -> None:
        """What the architecture sets up last in a boot."""

    def cpu_started(self, kernel: Kernel, cpu: int) -> None:
        """What a CPU does when it starts: its log, and devices that come with it."""

    def cpu_stopped(self, kernel: Kernel, cpu: int) -> None:
        """What is seen when a CPU has stopped."""

    def cpus_enabled(self, kernel: Kernel) -> Iterable[int]:
        """cpu_enabled_mask"""
        return kernel.cpus.possible

    def cpu_hotpluggable(self, kernel: Kernel, cpu: Cpu) -> bool:
        """Whether cpuN has an `online` file."""
        return self.cpu0_hotpluggable or cpu.id != 0

    def cpu_node(self, kernel: Kernel, cpu: Cpu) -> str:
        """Name of the CPU's device-tree node below cpus/; empty without a device tree."""
        return f"cpu@{cpu.id:x}" if kernel.machine.cpus.compatible else ""

    def modalias(self, kernel: Kernel) -> str:
        """What cpu/modalias reads, where the machine does not say it."""
        return self.cpu_modalias

    def vmlinux_note(self, kernel: Kernel) -> tuple[str, int, bytes] | None:
        """The note that the architecture adds to those of vmlinux: name, type, desc."""
        return None

    def topology_die(self, kernel: Kernel) -> bool:
        """Whether topology/die_* exist: TOPOLOGY_DIE_SYSFS, include/linux/topology.h."""
        return self.has_topology_die

    def huge_page_sizes(self, kernel: Kernel) -> tuple[int, ...]:
        """The sizes of huge pages, in kB: 2 MiB and 1 GiB with 4 KiB pages (golden x86_64)."""
        return (1048576, 2048)

    def default_huge_page(self, kernel: Kernel) -> int:
        """HPAGE_SIZE in kB: a page-middle entry's."""
        return 2048

    def max_page_order(self, kernel: Kernel) -> int:
        """MAX_PAGE_ORDER: 10, with larger pages CONFIG_ARCH_FORCE_MAX_ORDER."""
        return 10

    def pageblock_bytes(self, kernel: Kernel) -> int:
        """pageblock_order, in bytes: that of a huge page."""
        return self.default_huge_page(kernel) << 10

    def thp(self, kernel: Kernel) -> bool:
        """has_transparent_hugepage()"""
        return True

    def lru_gen_caps(self, kernel: Kernel) -> int:
        """get_cap() of mm/vmscan.c: LRU_GEN_CORE, and 2 and 4 where the processor sets accessed bits."""
        return 1  # golden identity arm64: a Cortex-A72 does not

    def vmalloc_kib(self, kernel: Kernel) -> int:
        """VMALLOC_TOTAL, in kB."""
        return 0

    def direct_map(self, kernel: Kernel) -> Iterable[tuple[str, int]]:
        """arch_report_meminfo(): how much of the direct map is in pages of which size, in kB."""
        return ()

    def l1_caches(self, kernel: Kernel) -> tuple[tuple[str, int, int], ...]:
        """A core's level-1 caches: type, size and line size in bytes; () where they are not known."""
        return ()

    cache_partition = 0
    """physical_line_partition of every cache; 0 where it is not told."""
    cache_devices = True
    """Whether a cache is a device: drivers/base/cacheinfo.c."""

    def default_caches(self, kernel: Kernel) -> tuple[CacheLeaf, ...]:
        """A CPU's caches where the machine does not say them; () where they are not known."""
        return ()

    def cache_id(self, cpu: Cpu, leaf: CacheLeaf) -> int | None:
        """What numbers a cache; None where nothing does."""
        return None

    def vulnerabilities(self, kernel: Kernel) -> Mapping[str, str]:
        """What the kernel says of its processors' faults where the machine does not; the others are not there."""
        return {}

    def hotplug_smt(self, kernel: Kernel) -> bool:
        """CONFIG_HOTPLUG_SMT, in this kernel version."""
        return False

    def smt_enabled_at_boot(self, kernel: Kernel) -> int:
        """How many threads of a core a boot starts."""
        return kernel.machine.cpus.threads

    def thread_in_core(self, kernel: Kernel, n: int) -> int:
        """Which thread of its core CPU n is; the primary one is 0."""
        return n % kernel.machine.cpus.threads

    zone_names: tuple[str, ...] = ("Normal",)
    """The zones that the kernel was built with, less Movable and Device."""

    def interrupts(self, kernel: Kernel) -> Interrupts:
        """What /proc/interrupts shows."""
        raise KernelError(errno.ENOSYS, "no interrupts are known")

    def cpuinfo_rows(self) -> frozenset[str]:
        """The rows of /proc/cpuinfo that a machine may say."""
        return frozenset()

    def cpuinfo(self, kernel: Kernel) -> Iterator[str]:
        """/proc/cpuinfo, in pieces."""
        return (f"processor\t: {n}\n\n" for n in kernel.cpus.online)

    def devicetree(self, kernel: Kernel) -> Mapping[str, Any]:
        """The device tree: names to property bytes or to further nodes; empty without one."""
        return {}

    def fdt(self, kernel: Kernel) -> bytes:
        """The flattened device tree that the boot loader handed over; empty without one."""
        return b""

    # memory

    def max_physmem_bits(self, kernel: Kernel) -> int:
        """MAX_PHYSMEM_BITS: memory cannot be added beyond."""
        return 51  # arch/powerpc/include/asm/sparsemem.h

    def mappable_end(self, kernel: Kernel) -> int:
        """arch_get_mappable_range(): where memory can be added ends (not included)."""
        return 1 << self.max_physmem_bits(kernel)

    def memblock_regions(self, machine: Machine) -> Iterable[Region]:
        """memblock.memory at boot, ascending."""
        regions = [Region(m.start, m.end, m.node, m.flags) for m in machine.memory]
        known = Memblock(regions)
        regions += [  # virtio-mem's, unless it is listed or lies in what is
            Region(m.start, m.end, m.node, DRV_MNG)
            for m in machine.nested_memory
            if not known.overlaps(m.start, m.end)
        ]
        return split_by_node(regions, machine.block_nodes(), machine.memory_block_size)

    def setup_iomem(self, kernel: Kernel) -> None:
        """/proc/iomem at boot, less the reservation."""
        machine = kernel.machine
        for m in machine.system_ram or machine.memory:
            if NOMAP not in m.flags:
                kernel.iomem.insert(Resource(m.start, m.end, m.name))
        for r in machine.resources:
            self._insert(kernel, Resource(r.start, r.range.end, r.name))
        for m in machine.nested_memory:
            merge = m.name != SYSTEM_RAM
            self._insert(kernel, Resource(m.start, m.end, m.name, mergeable=merge))

    def insert_crashkernel_resources(self, kernel: Kernel) -> None:
        """The `Crash kernel` rows."""
        for r in (kernel.kexec.crashk_res, kernel.kexec.crashk_low_res):
            if r is not None and self.has_iomem_crash_row:
                self._insert(kernel, Resource(r.start, r.end, CRASH_KERNEL))

    def _insert(self, kernel: Kernel, resource: Resource) -> None:
        """insert_resource() of a row that is left out, as in the kernel, where it does not nest."""
        with suppress(KernelError):
            kernel.iomem.insert(resource, inside=True)

    def kernel_image(self, kernel: Kernel) -> Range:
        """_text to _end, in physical memory."""
        text = kernel.machine.kernel_text
        if text is None:
            return Range(0, kernel.machine.kernel_end - 1)
        return Range.sized(text.paddr, text.size)

    # the header

    def crash_note(self, kernel: Kernel, cpu: int) -> int:
        """Physical address of a CPU's crash note: pinned by the machine, or as a percpu allocation lies.

        Computed: one unit of crash_notes_step bytes a CPU, packed below the end of RAM.
        """
        pinned = kernel.machine.crash_notes.get(cpu)
        if pinned is not None:
            return pinned
        first, step = self._note_units(kernel)
        return first + kernel.cpus.index(cpu) * step

    def _note_units(self, kernel: Kernel) -> tuple[int, int]:
        """Address of the first possible CPU's note, and from each to the next, in bytes."""
        machine = kernel.machine
        step = machine.crash_notes_step or max(2 * kernel.page_size, 0x20000)
        if machine.crash_notes_first:
            return machine.crash_notes_first, step
        units = len(kernel.cpus.possible) * step
        return (kernel.memory.boot_end - units) // step * step - step, step

    def crash_note_areas(self, kernel: Kernel) -> Iterator[tuple[int, int]]:
        """The percpu memory that the crash notes lie in: start, end (not included)."""
        first, step = self._note_units(kernel)
        pinned, possible = kernel.machine.crash_notes, kernel.cpus.possible
        if len(pinned) < len(possible):
            yield first, first + len(possible) * step
        for at in pinned.values():
            yield at, at + self.crash_note_bytes

    def crash_note_cpu(self, kernel: Kernel, start: int, end: int) -> int | None:
        """The lowest possible CPU whose crash note has a byte in start..end (included), or None."""
        size, pinned, possible = (
            self.crash_note_bytes,
            kernel.machine.crash_notes,
            kernel.cpus.possible,
        )
        first, step = self._note_units(kernel)
        lowest = max(0, -((first + size - 1 - start) // step))
        highest = min(len(possible) - 1, (end - first) // step)
        found = [cpu for cpu, at in pinned.items() if at <= end and at + size > start]
        for cpu in possible[lowest : highest + 1]:
            if cpu not in pinned:
                found.append(cpu)
                break
        return min(found, default=None)

    def crash_ranges(self, kernel: Kernel) -> CrashMem:
        """The memory that a header lists, in its order."""
        raise KernelError(errno.EOPNOTSUPP, f"{self.name} has no elfcorehdr of its own")

    def crash_ranges_source(self, kernel: Kernel) -> RangeSource | None:
        """What crash_ranges() follows from, so that an event splices the header of the one before.

        None: each event builds it anew.
        """
        return None

    def crash_get_elfcorehdr_size(self, kernel: Kernel) -> int:
        """What crash_elfcorehdr_size reads, in bytes."""
        raise KernelError(errno.EOPNOTSUPP, "no crash hotplug")

    # loading

    def config_default(self, kernel: Kernel, option: str) -> bool:
        """Whether a distribution's kernel has CONFIG_<option>."""
        return option not in self.config_off

    def add_buffer(self, kernel: Kernel, image: Kimage, buf: KexecBuf) -> int:
        """kexec_add_buffer() for a crash image: place buf as the next segment, give its address.

        KernelError(EADDRNOTAVAIL) without room.
        """
        window = kernel.kexec.reserved()
        placed = [s.range for s in image.segments]
        at = locate_mem_hole(buf, window, kernel.page_size, placed)
        image.segments.append(KexecSegment(at, buf.memsz, bytearray(buf.content), buf.bufsz))
        return at

    def reserve_crashkernel(self, kernel: Kernel) -> None:
        """Reserve what crashkernel= asks for, at boot."""

    def kernel_size(self, kernel: Kernel) -> int:
        """Bytes in the file of the crash kernel that the machine describes."""
        return sum(part.filesz or part.memsz for part in kernel.machine.kdump.kernel)

    def kexec_file_probe(self, kernel: Kernel, kernel_file: FileArg) -> None:
        """The loaders' probe(): NoKernel if none of them takes this file for a kernel."""
        raise NoKernel(errno.ENOEXEC, "there is no loader here")

    def kexec_file_load(
        self, kernel: Kernel, image: Kimage, kernel_file: FileArg | None, initrd: FileArg | None
    ) -> None:
        """Place and fill the segments of an image; KernelError as kexec_file_load(2) fails."""
        raise KernelError(errno.ENOEXEC, f"{self.name} has no image loader here")

    def machine_kexec_post_load(self, kernel: Kernel, image: Kimage) -> None:
        """What the architecture learns from an image that kexec_load brought."""

    # hotplug

    def crash_hotplug(self, kernel: Kernel) -> bool:
        """CONFIG_ARCH_SUPPORTS_CRASH_HOTPLUG, in this kernel version."""
        return False

    def hotplug_flag_given(self, kernel: Kernel, flags: int) -> bool:
        """Whether the flags of kexec_load let the kernel rewrite the header."""
        return self.crash_hotplug(kernel) and bool(flags & KEXEC_CRASH_HOTPLUG_SUPPORT)

    def crash_handle_hotplug_event(
        self, kernel: Kernel, image: Kimage, notify: MemoryNotify | None
    ) -> None:
        """arch_crash_handle_hotplug_event(): bring the image up to date; image.hp_action says why."""

    def node_for_probe(self, kernel: Kernel, address: int) -> int:
        """memory_add_physaddr_to_nid(): the node of memory that is added through `probe`."""
        return kernel.nodes.for_new(address)

    def memory_added(self, kernel: Kernel, r: Range) -> None:
        """arch_add_memory(): what the architecture says about a new range."""

    def unmovable(self, kernel: Kernel, start: int, end: int) -> str | None:
        """What of the architecture's keeps start..end (included) from going offline, or None."""
        return None

    def cpu_uevent(self, kernel: Kernel, cpu: Cpu) -> tuple[tuple[str, str], ...]:
        """What stands between SUBSYSTEM and SEQNUM in a CPU's uevent: its device-tree node, its type."""
        env: list[tuple[str, str]] = []
        if node := self.cpu_node(kernel, cpu):
            env += [("OF_NAME", "cpu"), ("OF_FULLNAME", f"/cpus/{node}"), ("OF_TYPE", "cpu")]
            env.append(("OF_COMPATIBLE_0", kernel.machine.cpus.compatible))
            env.append(("OF_COMPATIBLE_N", "1"))
        if self.has_cpu_modalias:
            # Quirk: print_cpu_modalias() ends the value with a newline (golden arm64, ppc64 dumps).
            env.append(("MODALIAS", kernel.cpus.modalias + "\n"))
        return tuple(env)
