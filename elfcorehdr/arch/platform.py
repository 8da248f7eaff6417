"""What a platform is: the firmware around a kernel, and how it hands over memory and CPUs.

One object a kernel. Where each is: Arch.platforms; this is the one that has no hotplug at all.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable

from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.kexec_file import align_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.arch.powerpc.kernel.fadump import Fadump
    from elfcorehdr.arch.powerpc.kernel.sysfs import Dscr
    from elfcorehdr.arch.powerpc.platforms.pseries.dlpar import Dlpar
    from elfcorehdr.drivers.acpi.acpi_processor import AcpiProcessors
    from elfcorehdr.drivers.base.cpu import Cpu
    from elfcorehdr.init.main import Kernel


class Platform:
    """The defaults: what a hypervisor could do is refused with EOPNOTSUPP."""

    name = ""
    dlpar: Dlpar | None = None
    """pseries: requests of the hypervisor, and /sys/kernel/dlpar."""
    fadump: Fadump | None = None
    """powerpc, where firmware has it: firmware-assisted dump."""
    dscr: Dscr | None = None
    """powerpc: a register of its CPUs that is written through sysfs."""
    acpi: AcpiProcessors | None = None
    """Where ACPI plugs CPUs: its view of them."""
    memory_devices: tuple[str, ...] = ()
    """What memory can be plugged as; empty: nothing can."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.lparcfg: dict[str, int] = {}
        """pseries: what was written to lparcfg, by row."""
        self.refusal = ""
        """Why the last request through control/ failed; empty if it did not."""

    def hard_id(self, cpu: Cpu) -> int:
        """Hardware number of a CPU, as firmware counts threads."""
        threads = self._kernel.machine.cpus.threads
        return cpu.core * threads + cpu.id % threads

    def firmware_node(self, address: int) -> str:
        """Firmware's device of the memory at an address, below /sys/devices; empty where there is none."""
        return ""

    # what a hypervisor does

    def hotplug_base(self) -> int:
        """Where a hypervisor puts the first memory that it adds: behind that of the boot."""
        return self._kernel.memory.boot_end

    def next_free_memory(self, size: int) -> int:
        """Where a hypervisor would put `size` bytes more: the first free blocks, above everything at boot."""
        block = self._kernel.memory.block_size
        start = align_up(self.hotplug_base(), block)
        while taken := next(self._kernel.memblock.overlapping(start, start + size - 1), None):
            start = align_up(taken.end + 1, block)
        return start

    def room(self, start: int, size: int) -> str:
        """Why a hypervisor has nothing to put there; empty if it has."""
        return ""

    def plug_memory(self, start: int, size: int, node: int = 0, how: str = "dimm") -> None:
        """Memory is plugged in at start, size bytes, as the device `how`, and added as the platform does it.

        KernelError: as MemoryHotplug.add(); EOPNOTSUPP for a device there is not.
        """
        raise self._no("memory")

    def unplug_memory(
        self, start: int, size: int, how: str = "dimm", order: Iterable[int] = ()
    ) -> None:
        """The memory at start is asked back. KernelError: EBUSY if a block stays, ENODEV if there is none.

        order: the blocks in the sequence that a virtio-mem driver chose; else from the top.
        """
        raise self._no("memory")

    def cpu_slots(self) -> tuple[list[int], list[int]]:
        """The slots for CPUs (ppc64: cores) that are free, and all of them. KernelError(EOPNOTSUPP) if there are none."""
        raise self._no("CPU")

    def plug_cpu(self, slot: int, node: int = 0) -> list[int]:
        """A CPU (ppc64: a core) is plugged into a slot; the numbers of the CPUs that came. KernelError."""
        raise self._no("CPU")

    def unplug_cpu(self, cpu: int) -> None:
        """CPU number `cpu` (ppc64: its whole core) is asked back. KernelError."""
        raise self._no("CPU")

    def _no(self, what: str) -> KernelError:
        return KernelError(
            errno.EOPNOTSUPP, f"{self.name} has no {what} hotplug: nothing can be plugged"
        )


class Hardware(Platform):
    """A machine of its own, laptop, server or board: without a hypervisor nothing comes or goes."""

    name = "hardware"
