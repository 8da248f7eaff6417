"""virt, QEMU's machine of arm64, riscv and others: memory devices by ACPI, and virtio-mem. CPUs stay.

hw/arm/virt.c, hw/riscv/virt.c of QEMU 10.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable

from elfcorehdr.arch.platform import Platform
from elfcorehdr.drivers.acpi.acpi_memhotplug import MemoryDevices
from elfcorehdr.drivers.virtio import virtio_mem
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.kexec_file import align_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel


class Virt(Platform):
    """Memory comes as dimm, or as virtio-mem grows."""

    name = "virt"
    memory_devices = ("dimm", "virtio-mem")
    container = ""
    """Name of the ACPI container that memory devices are in; empty without one."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self._devices = MemoryDevices(kernel, self.container)

    def firmware_node(self, address: int) -> str:
        """The memory device's."""
        return self._devices.firmware_node(address)

    def room(self, start: int, size: int) -> str:
        """Memory devices have a stretch of their own, behind the memory at boot."""
        base = align_up(self.hotplug_base(), self._kernel.memory.block_size)
        return f"devices' memory begins at {base:#x}" if start < base else ""

    def plug_memory(self, start: int, size: int, node: int = 0, how: str = "dimm") -> None:
        """As Platform.plug_memory(): dimm or virtio-mem."""
        if how == "dimm":
            self._devices.plug(start, size, node)
        elif how == "virtio-mem":
            virtio_mem.plug(self._kernel, start, size, node)
        else:
            raise KernelError(errno.EOPNOTSUPP, f"{self.name} has no memory device {how!r}")

    def unplug_memory(
        self, start: int, size: int, how: str = "dimm", order: Iterable[int] = ()
    ) -> None:
        """As Platform.unplug_memory()."""
        if not self._kernel.memory.blocks_of(start, size):
            raise KernelError(errno.ENODEV, "no memory there")
        if how == "virtio-mem":
            virtio_mem.unplug(self._kernel, start, size, order)
        else:
            self._devices.unplug(start, size)
