"""Hotplug by ACPI: acpi_memhotplug (memory devices) and acpi_processor (CPUs).

May import drivers/base/, kernel/, lib/ and the files directly in elfcorehdr/. Used by platforms in arch/.
"""
