"""Interrupts of QEMU's virt board: arch/riscv/kernel/smp.c show_ipi_stats() (v6.1, v7.3)."""

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
    "CPU stop (for crash dump) interrupts",
    "IRQ work interrupts",
    "Timer broadcast interrupts",
    "CPU backtrace interrupts",
    "KGDB roundup interrupts",
)


def interrupts(kernel: Kernel) -> Interrupts:
    """The timer and the serial port."""
    names = IPI if kernel.has(in_sysfs.NODE_COUNTERS_6_12) else IPI[:6]
    rows = tuple((f"IPI{i}", name) for i, name in enumerate(names))
    devices = (
        DeviceIrq(10, "RISC-V INTC", 5, "riscv-timer"),
        DeviceIrq(12, "SiFive PLIC", 10, "ttyS0"),
    )
    return Interrupts(NR_IRQS, devices, ArchRows(rows, ":", "{:>10} ", " "))
