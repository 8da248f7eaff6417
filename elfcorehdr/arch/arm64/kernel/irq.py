"""Interrupts of QEMU's virt board: arch/arm64/kernel/smp.c arch_show_interrupts() (v6.1, v6.12, v7.3; golden identity arm64)."""

from __future__ import annotations

from elfcorehdr.changes import in_sysfs
from elfcorehdr.kernel.irq.irqdesc import ArchRows, DeviceIrq, Interrupts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

NR_IRQS = 64
IPI = (
    "Rescheduling interrupts",
    "Function call interrupts",
    "CPU stop interrupts",
    "CPU stop NMIs",
    "Timer broadcast interrupts",
    "IRQ work interrupts",
    "CPU backtrace interrupts",
    "KGDB roundup interrupts",
)
IPI_6_1 = (*IPI[:3], "CPU stop (for crash dump) interrupts", *IPI[4:6], "CPU wake-up interrupts")


def interrupts(kernel: Kernel) -> Interrupts:
    """The board's without PCI."""
    names = IPI if kernel.has(in_sysfs.NODE_COUNTERS_6_12) else IPI_6_1
    rows = tuple((f"IPI{i}", name) for i, name in enumerate(names))
    new = kernel.has(in_sysfs.IRQ_SHOW_7_2)
    arch = ArchRows(rows, ": " if new else ":", "{:>10} ", " " if new else " " * 6, totals=("Err",))
    devices = (
        DeviceIrq(11, "GICv3", 27, "arch_timer", level=True),
        DeviceIrq(13, "GICv3", 33, "uart-pl011", level=True),
        DeviceIrq(15, "GICv3", 34, "rtc-pl031", level=True),
        DeviceIrq(16, "GICv3", 23, "arm-pmu", level=True),
    )
    return Interrupts(NR_IRQS, devices, arch)
