"""DLPAR of CPUs: arch/powerpc/platforms/pseries/hotplug-cpu.c (v7.1)."""

from __future__ import annotations

import errno

from elfcorehdr.arch.powerpc.platforms.pseries.firmware import Firmware
from elfcorehdr.errors import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

DRC_CPU = 0x10000000
"""DRC index of the first core; another's is that much more as its first thread's number (golden identity ppc64)."""
CPU = "pseries-hotplug-cpu: "


class HotplugCpu:
    """Adding and removing cores, each with all its threads."""

    def __init__(self, kernel: Kernel, firmware: Firmware) -> None:
        self._kernel = kernel
        self._firmware = firmware

    def _core_of_drc(self, drc: int) -> int | None:
        """The core of a DRC index that this machine can have, or None."""
        threads = self._kernel.machine.cpus.threads
        thread = drc - DRC_CPU
        possible = 0 <= thread < len(self._kernel.cpus.possible)
        return thread // threads if possible and not thread % threads else None

    def add(self, drc: int) -> list[int]:
        """dlpar_cpu_add(): one core with all its threads, online at once; their numbers. EINVAL."""
        kernel = self._kernel
        kernel.log.debug("hotplug-cpu", f"{CPU}Attempting to add CPU, drc index: {drc:x}")
        core = self._core_of_drc(drc)
        if core is not None and kernel.cpus.threads_of_core(core):
            kernel.log.warning(f"{CPU}CPU with drc index {drc:x} already exists")
            raise KernelError(errno.EINVAL, "there already")
        if core is None:
            kernel.log.warning(f"{CPU}Cannot find CPU (drc index {drc:x}) to add.")
            raise KernelError(errno.EINVAL, "no such core")
        if self._firmware.refuses:
            kernel.log.warning(
                f"{CPU}Failed to acquire DRC, rc: {-errno.EINVAL}, drc index: {drc:x}"
            )
            raise KernelError(errno.EINVAL, "the hypervisor refuses")
        ids = kernel.cpus.plug(core, kernel.machine.cpus.threads)
        for n in ids:
            if kernel.smt.dlpar_starts(n):
                kernel.cpus.up(n)
        name = kernel.machine.cpus.type
        kernel.log.debug("hotplug-cpu", f"{CPU}Successfully added CPU {name}, drc index: {drc:x}")
        return ids

    def release(self, path: str) -> None:
        """dlpar_cpu_release(): remove the core with this device-tree path. EINVAL if there is none."""
        unit = path.rpartition("@")[2]
        try:
            thread = int(unit, 16)
        except ValueError:
            thread = -1
        threads = self._kernel.machine.cpus.threads
        core = thread // threads
        known = path == f"/cpus/{self._kernel.machine.cpus.type}@{thread:x}"
        if not known or thread % threads or not self._kernel.cpus.threads_of_core(core):
            raise KernelError(errno.EINVAL, "no such node")
        self.remove(DRC_CPU + thread)

    def remove(self, drc: int) -> None:
        """dlpar_cpu_remove_by_index(): ENODEV if there is no such core, EINVAL if it does not stop."""
        kernel, name = self._kernel, self._kernel.machine.cpus.type
        core = self._core_of_drc(drc)
        ids = kernel.cpus.threads_of_core(core) if core is not None else []
        if not ids:
            kernel.log.warning(f"{CPU}Cannot find CPU (drc index {drc:x}) to remove")
            raise KernelError(errno.ENODEV, "no such core")
        kernel.log.debug("hotplug-cpu", f"{CPU}Attempting to remove CPU {name}, drc index: {drc:x}")
        try:
            for n in ids:
                kernel.cpus.down(n)
        except KernelError as error:
            kernel.log.warning(f"{CPU}Failed to offline CPU {name}, rc: {-error.errno}")
            raise KernelError(errno.EINVAL, "a thread does not stop") from None
        kernel.cpus.unplug(ids)
        kernel.log.debug("hotplug-cpu", f"{CPU}Successfully removed CPU, drc index: {drc:x}")
