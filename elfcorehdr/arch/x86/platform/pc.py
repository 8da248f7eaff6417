"""pc, QEMU's machine of x86_64: memory devices and CPUs by ACPI, and virtio-mem. hw/i386/pc.c of QEMU 10."""

from __future__ import annotations

import errno

from elfcorehdr.arch.virt import Virt
from elfcorehdr.drivers.acpi.acpi_processor import AcpiProcessors
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.kexec_file import align_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.drivers.base.cpu import Cpu
    from elfcorehdr.init.main import Kernel


class Pc(Virt):
    """A PC: a hardware number is an APIC's."""

    name = "pc"
    container = "PNP0A06:04"
    """golden x86_64"""
    acpi: AcpiProcessors

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.acpi = AcpiProcessors(kernel)

    def hard_id(self, cpu: Cpu) -> int:
        """The APIC id."""
        return self.acpi.apic_id(cpu.id)

    def hotplug_base(self) -> int:
        """Above 4 GiB, on a whole GiB: pc_memory_init()."""
        return align_up(max(super().hotplug_base(), 4 << 30), 1 << 30)

    def cpu_slots(self) -> tuple[list[int], list[int]]:
        """One a possible CPU."""
        slots = list(range(len(self._kernel.cpus.possible)))
        return [slot for slot in slots if not self.acpi.occupied(slot)], slots

    def plug_cpu(self, slot: int, node: int = 0) -> list[int]:
        """The CPU of that slot. KernelError: as AcpiProcessors.plug()."""
        return [self.acpi.plug(slot, node)]

    def unplug_cpu(self, cpu: int) -> None:
        """KernelError: EPERM for the boot CPU (pc_cpu_unplug_request_cb()), else as AcpiProcessors.unplug()."""
        if not cpu:
            raise KernelError(errno.EPERM, "the boot CPU cannot be unplugged")
        self.acpi.unplug(cpu)
