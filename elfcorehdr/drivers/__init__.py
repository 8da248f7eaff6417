"""What Linux has in drivers/: base/ has memory blocks, CPUs and nodes as devices; the others plug hardware.

acpi/ and virtio/ are what a platform of arch/ uses to hand over memory and CPUs; firmware/ is its memory map.
May import kernel/, lib/ and the files directly in elfcorehdr/. Start with base/memory.py.
"""
