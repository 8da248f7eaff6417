"""The declarations: modules named after the kernel file they mirror."""
