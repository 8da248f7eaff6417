"""CPUs that ACPI plugs: drivers/acpi/{acpi_processor,processor_driver,processor_thermal}.c (v7.1)."""

from __future__ import annotations

import errno

from elfcorehdr import changes
from elfcorehdr.errors import KernelError
from elfcorehdr.lib.idr import Ida

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel


class AcpiProcessors:
    """CPUs that ACPI plugs: their processor driver, APIC numbers and cooling devices."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._bound = set(kernel.machine.present_cpus)
        first = kernel.machine.cpus.boot_cpu
        # Whoever boots is CPU 0, those below it follow: topology_register_boot_apic().
        self._apic = {n: first if not n else n - (n <= first) for n in kernel.machine.present_cpus}
        self._numbers = {apic: n for n, apic in self._apic.items()}
        """cpuid_to_apicid, the other way round: before 6.9 a slot keeps the number it once got."""
        self._slots = set(self._apic.values())
        """The slots of all present CPUs."""
        self._cooling = {n: i for i, n in enumerate(kernel.machine.online_cpus)}
        self._coolers = Ida(len(self._cooling))

    def bound(self, cpu: int) -> bool:
        """Whether the processor driver is bound to the CPU's device."""
        return cpu in self._bound

    def apic_id(self, cpu: int) -> int:
        """The hardware number, that of its slot."""
        return self._apic.get(cpu, cpu)

    def occupied(self, slot: int) -> bool:
        """Whether there is a CPU in the slot."""
        return slot in self._slots

    def plug(self, slot: int, node: int) -> int:
        """acpi_processor_hotadd_init(): the CPU in a slot becomes present, not online; its number.

        Since 6.9 that is the slot's, before the next one that was never used. KernelError: EEXIST there
        already, EINVAL no such CPU is possible.
        """
        kernel, cpus = self._kernel, self._kernel.cpus
        number = slot
        if not kernel.has(changes.CPU_NUMBER_OF_TOPOLOGY):
            number = self._numbers.setdefault(slot, len(self._numbers))
        if slot in self._slots:
            raise KernelError(errno.EEXIST, f"there is a CPU in slot {slot}")
        if cpus.cpu(number) is None:
            raise KernelError(errno.EINVAL, f"no CPU is possible for slot {slot}")
        self._apic[number] = slot
        self._slots.add(slot)
        cpus.add(number, node)
        self._uevent("add", number)
        prefix = "ACPI: " if kernel.has(changes.ACPI_PROCESSOR_PREFIX) else ""
        kernel.log.info(f"{prefix}CPU{number} has been hot-added")
        self._bound.add(number)
        self._uevent("bind", number)
        return number

    def unplug(self, cpu: int) -> None:
        """acpi_processor_remove(): a CPU that runs is stopped first. KernelError: ENODEV, or as Cpus.down()."""
        cpus = self._kernel.cpus
        if cpu not in cpus.present:
            raise KernelError(errno.ENODEV, f"CPU {cpu} is not present")
        cpus.down(cpu)
        cooling = self._cooling.pop(cpu, None)
        if cooling is not None:
            self._coolers.free(cooling)
            self._cooling_uevent("remove", cooling)
        self._bound.discard(cpu)
        self._uevent("unbind", cpu)
        self._uevent("remove", cpu)
        cpus.remove(cpu)
        self._slots.discard(self._apic.pop(cpu, cpu))

    def started(self, cpu: int) -> None:
        """acpi_soft_cpu_online(): a CPU's first start makes its cooling device, under the lowest free number."""
        if cpu in self._cooling:
            return
        if not self._kernel.has(changes.SMP_BOOT_LOG):
            self._kernel.log.info(f"Will online and init hotplugged CPU: {cpu}")
        self._cooling[cpu] = number = self._coolers.alloc()
        self._cooling_uevent("add", number)

    def _uevent(self, action: str, n: int) -> None:
        cpu = self._kernel.cpus.cpu(n)
        assert cpu is not None
        self._kernel.uevents.send(action, cpu.devpath, "cpu", cpu.uevent_env())

    def _cooling_uevent(self, action: str, number: int) -> None:
        path = f"/devices/virtual/thermal/cooling_device{number}"
        self._kernel.uevents.send(action, path, "thermal")
