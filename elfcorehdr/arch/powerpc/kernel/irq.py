"""Interrupts of ppc64: arch/powerpc/kernel/irq.c arch_show_interrupts() (v7.2; golden identity ppc64)."""

from __future__ import annotations

from elfcorehdr.arch.powerpc.kernel.setup_common import HASH_ONLY, core_type
from elfcorehdr.changes import in_sysfs
from elfcorehdr.kernel.irq.irqdesc import ArchRows, DeviceIrq, Interrupts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

NR_IRQS = 512
HEAD = (
    ("LOC", "Local timer interrupts for timer event device"),
    ("BCT", "Broadcast timer interrupts for timer event device"),
    ("LOC", "Local timer interrupts for others"),
    ("SPU", "Spurious interrupts"),
    ("PMI", "Performance monitoring interrupts"),
    ("MCE", "Machine check exceptions"),
)
HMI = (("HMI", "Hypervisor Maintenance Interrupts"),)
TAIL = (
    ("NMI", "System Reset interrupts"),
    ("WDG", "Watchdog soft-NMI interrupts"),
    ("DBL", "Doorbell interrupts"),
)


def interrupts(kernel: Kernel) -> Interrupts:
    """Of a partition its IPIs, RAS events and console, under XIVE (POWER9 and later) or XICS; of bare metal none."""
    pseries = kernel.platform.name == "pseries"
    xics = core_type(kernel) in HASH_ONLY
    devices: tuple[DeviceIrq, ...] = ()
    if pseries:
        source = "XICS" if xics else "XIVE-IRQ"
        devices = (
            DeviceIrq(
                16, "XICS" if xics else "XIVE-IPI", 2 if xics else 0, "IPI" if xics else "IPI-0"
            ),
            DeviceIrq(17, source, 4096, "RAS_EPOW"),
            DeviceIrq(19, source, 4592, "hvc_console"),
            DeviceIrq(21, source, 4097, "RAS_HOTPLUG"),
        )
    tail = "  " if kernel.has(in_sysfs.IRQ_SHOW_6_14) else "   "
    rows = ArchRows((*HEAD, *(() if pseries else HMI), *TAIL), tail=tail)
    return Interrupts(NR_IRQS, devices, rows)
