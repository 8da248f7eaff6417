"""Memory devices that ACPI plugs, PNP0C80: drivers/acpi/{acpi_memhotplug,scan,container}.c (v7.1)."""

from __future__ import annotations

import errno

from elfcorehdr import changes
from elfcorehdr.drivers.base.memory import OnlineType
from elfcorehdr.errors import KernelError
from elfcorehdr.lib.idr import Ida
from elfcorehdr.lib.range_map import RangeMap
from elfcorehdr.lib.ranges import Range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.drivers.base.memory import MemoryBlock
    from elfcorehdr.init.main import Kernel


class MemoryDevices:
    """The memory devices that were plugged in, by instance number, in the container of that name, if any."""

    def __init__(self, kernel: Kernel, container: str) -> None:
        self._kernel = kernel
        self._container = container
        self._numbers: dict[Range, int] = {}
        self._at = RangeMap()
        self._free = Ida()

    def firmware_node(self, address: int) -> str:
        """The device of the memory at an address, below /sys/devices; empty for what no such device brought."""
        number = self._at.get(address)
        if not self._container or number is None:
            return ""
        return f"LNXSYSTM:00/LNXSYBUS:00/{self._container}/PNP0C80:{number:02x}"

    def plug(self, start: int, size: int, node: int) -> None:
        """acpi_memory_enable_device(): one resource and its blocks; then the device's container is online.

        start and size in bytes. KernelError: as MemoryHotplug.add().
        """
        kernel = self._kernel
        kernel.memory_hotplug.add(start, size, node)
        self._numbers[Range.sized(start, size)] = number = self._free.alloc()
        self._at.put(start, start + size - 1, number)
        if self._container and kernel.has(changes.CONTAINER_ONLINE):
            path = f"/devices/system/container/{self._container}"
            kernel.uevents.send("online", path, "container")

    def unplug(self, start: int, size: int) -> None:
        """acpi_scan_hot_remove(): take every block offline, then the range away.

        KernelError(EBUSY) if a block stays, also at a second attempt; those that went are online again then.
        """
        hotplug, blocks = self._kernel.memory_hotplug, self._kernel.memory.blocks_of(start, size)
        offlined: list[MemoryBlock] = []
        refused = self._try_offline(blocks, offlined, stop=False)
        if refused is not None:
            refused = self._try_offline(blocks, offlined, stop=True)
        if refused is not None:
            self._kernel.log.warning(f"memory memory{refused.id}: Offline failed.")
            for block in blocks:
                if block in offlined:
                    hotplug.online(block, OnlineType.ONLINE)
            raise KernelError(errno.EBUSY, f"memory{refused.id} does not go offline")
        hotplug.remove(start, size)
        number = self._numbers.pop(Range.sized(start, size), None)
        if number is not None:
            self._free.free(number)
            self._at.put(start, start + size - 1, None)

    def _try_offline(
        self, blocks: list[MemoryBlock], offlined: list[MemoryBlock], *, stop: bool
    ) -> MemoryBlock | None:
        """acpi_bus_offline(): one pass; the last block that stays online, or with `stop` the first."""
        refused = None
        for block in blocks:
            try:
                if self._kernel.memory_hotplug.offline(block):
                    offlined.append(block)
            except KernelError:
                refused = block
                if stop:
                    break
        return refused
