"""Drivers of virtio devices: virtio_mem alone. May import what drivers/acpi/ may."""
