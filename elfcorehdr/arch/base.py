"""What an architecture is: constants, and the kernel's arch_*() functions with their __weak defaults.

Imports elfcorehdr modules below kernel.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from elfcorehdr.errors import KernelError
from elfcorehdr.header_cache import RangeSource
from elfcorehdr.kexec_core import Kimage
from elfcorehdr.kexec_file import KEXEC_CRASH_HOTPLUG_SUPPORT, FileArg, Segment
from elfcorehdr.notifier import MemoryNotify
from elfcorehdr.ranges import CrashMem, Range

if TYPE_CHECKING:
    from elfcorehdr.cpu import Cpu
    from elfcorehdr.kernel import Kernel

NOTE_HEAD = 12
"""sizeof(struct elf_note): namesz, descsz, type."""


class Arch:
    """The defaults; one subclass an architecture, no state, shared by all kernels."""

    name = ""
    uts_machine = ""
    e_machine = 0
    prstatus_bytes = 0
    """sizeof(struct elf_prstatus)."""
    note_align = 512
    """Alignment of a CPU's note: its size rounded up to a power of two, at most a page."""
    need_kernel_map = True
    """Whether the header has a PT_LOAD for the kernel's text."""
    has_iomem_crash_row = True
    """Whether /proc/iomem shows the reservation."""
    kernel_rows_in_iomem = True
    """Whether /proc/iomem shows the kernel's text and data."""
    cpu_dirs_for_possible = False
    """Whether cpuN exists for CPUs that are not present."""
    cpu0_hotpluggable = True
    """Whether cpu0 has an `online` file."""
    has_memory_probe = False
    """CONFIG_ARCH_MEMORY_PROBE."""
    has_cpu_modalias = False
    """CONFIG_GENERIC_CPU_AUTOPROBE."""
    shrink_oopses = False
    """Whether releasing the whole reservation hits a NULL pointer (golden ppc64/D)."""

    @property
    def crash_note_bytes(self) -> int:
        """CRASH_CORE_NOTE_BYTES: two note heads, "CORE" padded, the registers."""
        return 2 * NOTE_HEAD + 8 + self.prstatus_bytes

    def vmcoreinfo_bytes(self, kernel: Kernel) -> int:
        """VMCOREINFO_NOTE_SIZE: two note heads, "VMCOREINFO" padded, one page."""
        return 2 * NOTE_HEAD + 12 + kernel.page_size

    def va(self, kernel: Kernel, pa: int) -> int:
        """__va()"""
        return (pa + kernel.machine.direct_map_base) & ((1 << 64) - 1)

    def vas(self, kernel: Kernel, pas: Sequence[int]) -> list[int]:
        """__va() of each address, for headers with tens of thousands of them."""
        return [self.va(kernel, pa) for pa in pas]

    def zones_of(self, kernel: Kernel, start: int, end: int) -> list[str]:
        """The kernel's zones (not Movable) that start..end (included) reaches into, lowest first."""
        return ["Normal"]

    def crash_mem_align(self, kernel: Kernel) -> int:
        """KEXEC_CRASH_MEM_ALIGN, in bytes."""
        return kernel.page_size

    die_id = -1
    """topology/die_id."""

    def cpus_enabled(self, kernel: Kernel) -> Iterable[int]:
        """cpu_enabled_mask"""
        return kernel.cpus.possible

    def cpu_hotpluggable(self, kernel: Kernel, cpu: Cpu) -> bool:
        """Whether cpuN has an `online` file."""
        return self.cpu0_hotpluggable or cpu.id != 0

    def cpu_node(self, kernel: Kernel, cpu: Cpu) -> str:
        """Name of the CPU's device-tree node below cpus/; empty without a device tree."""
        return ""

    def cpuinfo(self, kernel: Kernel) -> str:
        """/proc/cpuinfo"""
        return "".join(f"processor\t: {n}\n\n" for n in sorted(kernel.cpus.online))

    def devicetree(self, kernel: Kernel) -> Mapping[str, Any]:
        """The device tree: names to property bytes or to further nodes; empty without one."""
        return {}

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
        return (kernel.boot_memory_end - units) // step * step - step, step

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

    def reserve_crashkernel(self, kernel: Kernel) -> None:
        """Reserve what crashkernel= asks for, at boot."""

    def kexec_file_load(
        self, kernel: Kernel, image: Kimage, kernel_file: FileArg | None, initrd: FileArg | None
    ) -> None:
        """Place and fill the segments of an image; KernelError as kexec_file_load(2) fails."""
        raise KernelError(errno.ENOEXEC, f"{self.name} has no image loader here")

    def kexec_tools_segments(
        self, kernel: Kernel, kernel_file: FileArg | None, initrd: FileArg | None, cmdline: bytes
    ) -> tuple[int, list[Segment]]:
        """Entry and segments that kexec-tools would hand to kexec_load for a crash image. KernelError."""
        raise KernelError(
            errno.EOPNOTSUPP, f"kexec-tools' segments on {self.name} are not known here"
        )

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
        return kernel.node_for_new(address)

    def plug_memory(self, kernel: Kernel, start: int, size: int, node: int, how: str) -> None:
        """The hypervisor plugs in memory: `how` is dimm, virtio-mem or lmb. KernelError."""
        raise KernelError(errno.EOPNOTSUPP, f"{self.name} has no memory hotplug here")

    def unplug_memory(self, kernel: Kernel, start: int, size: int, how: str) -> None:
        """The hypervisor asks memory back. KernelError if it does not get it."""
        raise KernelError(errno.EOPNOTSUPP, f"{self.name} has no memory hotplug here")

    def plug_cpu(self, kernel: Kernel, slot: int, node: int) -> list[int]:
        """The hypervisor plugs in a CPU or core; the CPUs that came. KernelError."""
        raise KernelError(errno.EOPNOTSUPP, f"{self.name} has no CPU hotplug here")

    def unplug_cpu(self, kernel: Kernel, cpu: int) -> None:
        """The hypervisor asks a CPU or its core back. KernelError."""
        raise KernelError(errno.EOPNOTSUPP, f"{self.name} has no CPU hotplug here")

    def memory_added(self, kernel: Kernel, r: Range) -> None:
        """arch_add_memory(): what the architecture says about a new range."""

    def unmovable(self, kernel: Kernel, start: int, end: int) -> str | None:
        """What of the architecture's keeps start..end (included) from going offline, or None."""
        return None

    def cpu_uevent(self, kernel: Kernel, cpu: Cpu) -> tuple[tuple[str, str], ...]:
        """What stands between SUBSYSTEM and SEQNUM in a CPU's uevent."""
        return ()
