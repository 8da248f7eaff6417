"""A partition: setup (the class Pseries), dlpar (requests), hotplug_memory, hotplug_cpu, firmware.

Start with dlpar.py: what is written to /sys/kernel/dlpar, and what the hypervisor asks.
"""
