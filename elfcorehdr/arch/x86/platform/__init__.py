"""What a PC's firmware does: pc, by ACPI."""
