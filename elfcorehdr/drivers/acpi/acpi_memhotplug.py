"""Hotplug as ACPI firmware does it: drivers/acpi/{acpi_memhotplug,acpi_processor,processor_driver,scan}.c (v7.1).

Imports .changes, .errors, .memory, .ranges.
"""

from __future__ import annotations

import errno
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from elfcorehdr import changes
from elfcorehdr.drivers.base.memory import MemoryBlock, OnlineType
from elfcorehdr.errors import KernelError
from elfcorehdr.lib.range_map import RangeMap
from elfcorehdr.lib.ranges import Range

if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel


def plug_dimm(kernel: Kernel, start: int, size: int, node: int) -> None:
    """acpi_memory_enable_device(): one resource and its blocks; then the device's container is online.

    start and size in bytes. KernelError: as Memory.add().
    """
    kernel.memory.add(start, size, node)
    kernel.dimms.add(Range.sized(start, size))
    container = kernel.arch.memory_container
    if container and kernel.has(changes.CONTAINER_ONLINE):
        kernel.uevents.send("online", f"/devices/system/container/{container}", "container")


def unplug_dimm(kernel: Kernel, start: int, size: int) -> None:
    """acpi_scan_hot_remove(): take every block offline, then the range away.

    KernelError(EBUSY) if a block stays, also at a second attempt; those that went are online again then.
    """
    blocks = kernel.memory.blocks_of(start, size)
    offlined: list[MemoryBlock] = []
    refused = _try_offline(kernel, blocks, offlined, stop=False)
    if refused is not None:
        refused = _try_offline(kernel, blocks, offlined, stop=True)
    if refused is not None:
        kernel.log.warning(f"memory memory{refused.id}: Offline failed.")
        for block in blocks:
            if block in offlined:
                kernel.memory.online(block, OnlineType.ONLINE)
        raise KernelError(errno.EBUSY, f"memory{refused.id} does not go offline")
    kernel.memory.remove(start, size)
    kernel.dimms.remove(Range.sized(start, size))


def _try_offline(
    kernel: Kernel, blocks: list[MemoryBlock], offlined: list[MemoryBlock], *, stop: bool
) -> MemoryBlock | None:
    """acpi_bus_offline(): one pass; the last block that stays online, or with `stop` the first."""
    refused = None
    for block in blocks:
        try:
            if kernel.memory.offline(block):
                offlined.append(block)
        except KernelError:
            refused = block
            if stop:
                break
    return refused


def dimm_instance(kernel: Kernel, address: int) -> int | None:
    """Which PNP0C80 device the memory at an address is on; None for what no such device brought."""
    return kernel.dimms.at(address)


class Lowest:
    """Numbers that are handed out, always the lowest free one: an ida of lib/idr.c."""

    def __init__(self, taken: int = 0) -> None:
        self._next = taken
        self._free: list[int] = []

    def take(self) -> int:
        """A number that is taken from now on."""
        if self._free:
            return heappop(self._free)
        self._next += 1
        return self._next - 1

    def give_back(self, number: int) -> None:
        """The number is free again."""
        heappush(self._free, number)


class Dimms:
    """The memory devices that ACPI plugged in, by instance number."""

    def __init__(self) -> None:
        self._numbers: dict[Range, int] = {}
        self._at = RangeMap()
        self._lowest = Lowest()

    def add(self, r: Range) -> None:
        """A device of the lowest free number, over a range of memory."""
        self._numbers[r] = number = self._lowest.take()
        self._at.put(r.start, r.end, number)

    def remove(self, r: Range) -> None:
        """Take out the device of exactly this range, if there is one."""
        number = self._numbers.pop(r, None)
        if number is not None:
            self._lowest.give_back(number)
            self._at.put(r.start, r.end, None)

    def at(self, address: int) -> int | None:
        """The number of the device at an address, or None."""
        return self._at.get(address)


class AcpiProcessors:
    """CPUs that ACPI plugs: their processor driver, APIC numbers and cooling devices."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._bound = set(kernel.machine.present_cpus)
        self._apic = {n: n for n in kernel.machine.present_cpus}
        self._numbers = dict(self._apic)
        """cpuid_to_apicid, the other way round: before 6.9 a slot keeps the number it once got."""
        self._slots = set(self._apic.values())
        """The slots of all present CPUs."""
        self._cooling = {n: i for i, n in enumerate(kernel.machine.online_cpus)}
        self._coolers = Lowest(len(self._cooling))

    def bound(self, cpu: int) -> bool:
        """Whether the processor driver is bound to the CPU's device."""
        return cpu in self._bound

    def apic_id(self, cpu: int) -> int:
        """The hardware number, that of its slot."""
        return self._apic.get(cpu, cpu)

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
            self._coolers.give_back(cooling)
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
        self._cooling[cpu] = number = self._coolers.take()
        self._cooling_uevent("add", number)

    def _uevent(self, action: str, n: int) -> None:
        cpu = self._kernel.cpus.cpu(n)
        assert cpu is not None
        self._kernel.uevents.send(action, cpu.devpath, "cpu", cpu.uevent_env())

    def _cooling_uevent(self, action: str, number: int) -> None:
        path = f"/devices/virtual/thermal/cooling_device{number}"
        self._kernel.uevents.send(action, path, "thermal")
