"""What interrupts a machine has: include/linux/irqdesc.h. How /proc/interrupts shows them is procfs's.

No interrupt ever comes: the lines are the kernel's, the counts are 0.
"""

from __future__ import annotations

from elfcorehdr.lib.record import Record


class DeviceIrq(Record):
    """An interrupt with a handler: struct irq_desc."""

    irq: int
    chip: str
    hwirq: int
    action: str
    """Who asked for it."""
    flow: str = ""
    """desc->name: edge, fasteoi."""
    level: bool = False


class ArchRows(Record):
    """arch_show_interrupts(): rows a CPU, and how they are spaced."""

    rows: tuple[tuple[str, str], ...]
    """Label and text."""
    colon: str = ":"
    cell: str = " {:>10}"
    """A CPU's count."""
    tail: str = "  "
    """What stands in front of the text."""
    totals: tuple[str, ...] = ()
    """Rows with one count for all CPUs, behind the others."""
    behind: tuple[tuple[str, str], ...] = ()
    """Rows a CPU behind those."""
    shows_level: bool = True
    """CONFIG_GENERIC_IRQ_SHOW_LEVEL"""


class Interrupts(Record):
    """All of a machine's."""

    nr_irqs: int
    devices: tuple[DeviceIrq, ...]
    arch: ArchRows
