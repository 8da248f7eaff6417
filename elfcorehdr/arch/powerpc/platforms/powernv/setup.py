"""powernv, bare metal under OPAL: arch/powerpc/platforms/powernv/setup.c (v7.1). No hypervisor, no hotplug by one."""

from __future__ import annotations

from elfcorehdr.arch.platform import Platform
from elfcorehdr.arch.powerpc.kernel.sysfs import Dscr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel


class Powernv(Platform):
    """Memory and CPUs are those of the boot."""

    name = "powernv"

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.dscr = Dscr()
        if kernel.machine.fadump:
            from elfcorehdr.arch.powerpc.kernel.fadump import Fadump

            self.fadump = Fadump(kernel, opal=True)
