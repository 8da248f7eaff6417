"""pseries, a partition under PowerVM or KVM: arch/powerpc/platforms/pseries/{setup,ras}.c (v7.1).

The hypervisor's hotplug events are DLPAR requests.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable

from elfcorehdr.arch.platform import Platform
from elfcorehdr.arch.powerpc.kernel.sysfs import Dscr
from elfcorehdr.arch.powerpc.platforms.pseries.dlpar import (
    Action,
    Dlpar,
    IdType,
    Request,
    Resource,
)
from elfcorehdr.arch.powerpc.platforms.pseries.hotplug_cpu import DRC_CPU
from elfcorehdr.errors import KernelError
from elfcorehdr.machine.sizes import size_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel


class Pseries(Platform):
    """Memory comes by runs of LMBs, CPUs by cores."""

    name = "pseries"
    memory_devices = ("lmb", "dimm")
    dlpar: Dlpar

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.dscr = Dscr()
        self.dlpar = Dlpar(kernel)
        if kernel.machine.fadump:
            from elfcorehdr.arch.powerpc.kernel.fadump import Fadump

            self.fadump = Fadump(kernel)

    def next_free_memory(self, size: int) -> int:
        """The first run of free LMBs of that size above the memory at boot, else what is behind it."""
        lmbs, block = self.dlpar.lmbs, self._kernel.memory.block_size
        start, base, found = super().next_free_memory(size), 0, 0
        for row in lmbs.rows(0):
            lmb = lmbs.lmb(row)
            if not lmb.drc or lmb.base < self.hotplug_base():
                continue
            if not found or lmb.base != base + found:
                base, found = lmb.base, 0
            found += block
            if found >= size:
                return base
        return start

    def room(self, start: int, size: int) -> str:
        """LMBs with a DRC index, neither assigned nor reserved."""
        lmbs, block = self.dlpar.lmbs, self._kernel.memory.block_size
        free = sum(1 for row in lmbs.rows(0) if lmbs.lmb(row).drc)
        left = f"{free} of {len(lmbs)} LMBs of {size_text(block)} are free"
        if free * block < size:
            return f"no room for {size_text(size)}: {left}"
        for at in range(start, start + size, block):
            lmb = lmbs.by_base(at)
            if lmb is None or not lmb.drc or not lmbs.free(lmb.row):
                return f"no LMB at {at:#x} can be added: {left}"
        return ""

    def plug_memory(self, start: int, size: int, node: int = 0, how: str = "dimm") -> None:
        """The hypervisor's event is a DLPAR request for a run of LMBs, whatever the device is called."""
        self._kernel.nodes.hotplugged.put(start, start + size - 1, node)
        self._request(Action.ADD, start, size)

    def unplug_memory(
        self, start: int, size: int, how: str = "dimm", order: Iterable[int] = ()
    ) -> None:
        """As plug_memory()."""
        self._request(Action.REMOVE, start, size)

    def _request(self, action: Action, start: int, size: int) -> None:
        lmb, count = self.dlpar.lmbs.by_base(start), size // self._kernel.memory.block_size
        if lmb is None or not lmb.drc:
            raise KernelError(errno.EINVAL, f"no LMB with a DRC index begins at {start:#x}")
        self.dlpar.handle(Request(Resource.MEMORY, action, IdType.INDEXED_COUNT, count, lmb.drc))

    def cpu_slots(self) -> tuple[list[int], list[int]]:
        """One a core."""
        cpus = self._kernel.cpus
        slots = list(range(len(cpus.possible) // self._kernel.machine.cpus.threads))
        return [slot for slot in slots if not cpus.threads_of_core(slot)], slots

    def plug_cpu(self, slot: int, node: int = 0) -> list[int]:
        """A core: a DLPAR request for its DRC index."""
        return self.dlpar.cpu.add(DRC_CPU + slot * self._kernel.machine.cpus.threads)

    def unplug_cpu(self, cpu: int) -> None:
        """The core that the CPU is a thread of."""
        threads = self._kernel.machine.cpus.threads
        self.dlpar.cpu.remove(DRC_CPU + self._kernel.cpus.core_of(cpu) * threads)
