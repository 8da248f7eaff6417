"""Interrupts of a PC: arch/x86/kernel/irq.c, arch/x86/kernel/apic/vector.c (v6.1, v6.12, v7.3; golden identity x86_64)."""

from __future__ import annotations

from elfcorehdr.changes import in_sysfs
from elfcorehdr.kernel.irq.irqdesc import ArchRows, DeviceIrq, Interrupts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

GSI_TOP, LEGACY = 24, 16
"""One IO-APIC of 24 pins, and the interrupts of the two 8259s."""
_HEAD = (("NMI", "Non-maskable interrupts"), ("LOC", "Local timer interrupts"))
_PMI = (("PMI", "Performance monitoring interrupts"), ("IWI", "IRQ work interrupts"))
_IPI = (
    ("RES", "Rescheduling interrupts"),
    ("CAL", "Function call interrupts"),
    ("TLB", "TLB shootdowns"),
    ("TRM", "Thermal event interrupts"),
    ("THR", "Threshold APIC interrupts"),
)
_DFR = (("DFR", "Deferred Error APIC interrupts"),)
_MCE = (("MCE", "Machine check exceptions"), ("MCP", "Machine check polls"))
_KVM = (
    ("PIN", "Posted-interrupt notification event"),
    ("NPI", "Nested posted-interrupt event"),
    ("PIW", "Posted-interrupt wakeup event"),
)
_SPU, _RTR = (("SPU", "Spurious interrupts"),), (("RTR", "APIC ICR read retries"),)
_VPMI = (("VPMI", "Perf Guest Mediated PMI"),)


def nr_irqs(kernel: Kernel) -> int:
    """arch_probe_nr_irqs()"""
    cpus = kernel.cpus.nr_cpu_ids
    return min(GSI_TOP + LEGACY + 8 * cpus + GSI_TOP * 16, 256 * cpus)


def arch_rows(kernel: Kernel) -> ArchRows:
    """arch_show_interrupts(); since 7.2 what the processor has not got is left out, and so are errors that were not."""
    from elfcorehdr.arch.x86.kernel.proc import vendor

    if kernel.has(in_sysfs.IRQ_SHOW_7_2):
        deferred = _DFR if vendor(kernel.machine) == "AuthenticAMD" else ()
        return ArchRows((*_HEAD, *_PMI, *_IPI, *deferred, *_MCE, *_KVM, *_VPMI), shows_level=False)
    rows = (*_HEAD, *_SPU, *_PMI, *_RTR, *_IPI, *_DFR, *_MCE)
    tail = "  " if kernel.has(in_sysfs.IRQ_SHOW_6_14) else "   "
    return ArchRows(rows, tail=tail, totals=("ERR", "MIS"), behind=_KVM, shows_level=False)


def interrupts(kernel: Kernel) -> Interrupts:
    """The devices of QEMU's pc without PCI."""
    serial = (
        (DeviceIrq(4, "IO-APIC", 4, "ttyS0", "edge"),) if "console=ttyS0" in kernel.cmdline else ()
    )
    devices = (
        DeviceIrq(0, "IO-APIC", 2, "timer", "edge"),
        DeviceIrq(1, "IO-APIC", 1, "i8042", "edge"),
        *serial,
        DeviceIrq(8, "IO-APIC", 8, "rtc0", "edge"),
        DeviceIrq(9, "IO-APIC", 9, "acpi", "fasteoi"),
        DeviceIrq(12, "IO-APIC", 12, "i8042", "edge"),
    )
    return Interrupts(nr_irqs(kernel), devices, arch_rows(kernel))
