"""The firmware's memory map of x86: arch/x86/kernel/e820.c (v7.1)."""

from __future__ import annotations

from elfcorehdr.drivers.firmware.memmap import FirmwareMap
from elfcorehdr.kernel.resource import SYSTEM_RAM
from elfcorehdr.machine import Machine

E820_NAMES = (
    "Reserved",
    "ACPI Tables",
    "ACPI Non-volatile Storage",
    "Unusable memory",
    "Persistent Memory",
    "Persistent Memory (legacy)",
    "Soft Reserved",
)
"""e820_type_to_string(), arch/x86/kernel/e820.c."""


def e820__register_firmware_map(machine: Machine) -> FirmwareMap:
    """The e820 table as firmware gave it: before trim_bios_range() took the first page away."""
    rows = [(m.start, m.end, SYSTEM_RAM) for m in machine.memory]
    rows += [(r.start, r.range.end, r.name) for r in machine.resources if r.name in E820_NAMES]
    rows.sort()
    # A capture kernel is told what the old kernel's iomem says (crash_setup_memmap_entries()), the first page apart.
    told = "elfcorehdr=" in machine.cmdline
    if not told and rows[0] == (0, 0xFFF, "Reserved") and rows[1][::2] == (0x1000, SYSTEM_RAM):
        rows[:2] = [(0, rows[1][1], SYSTEM_RAM)]
    firmware_map, end = FirmwareMap(), -1
    for start, last, name in rows:
        if start > end:  # what is nested is not of the table
            firmware_map.add(start, last, name)
            end = last
    return firmware_map
