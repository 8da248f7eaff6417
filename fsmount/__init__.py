"""The mounted tree: sysfs, proc and dev of the emulated kernel."""
