"""/sys/firmware/devicetree/base and /sys/firmware/fdt as kdump tools read it: drivers/of/base.c (v7.1)."""

from __future__ import annotations

from elfcorehdr.init.main import Kernel
from fsmount.tree.kobject import AttributeGroup, Subtree, singleton

base = Subtree(
    "firmware/devicetree/base",
    singleton,
    lambda kernel: kernel.arch.devicetree(kernel),
    is_visible=lambda kernel, obj: bool(kernel.arch.devicetree(kernel)),
)
firmware = AttributeGroup("firmware", singleton)


@firmware.bin_show(mode=0o400, is_visible=lambda kernel, obj: bool(kernel.arch.fdt(kernel)))
def fdt_show(kernel: Kernel) -> bytes:
    """The flattened device tree that the boot loader handed over: drivers/of/fdt.c, of_fdt_raw_init()."""
    return kernel.arch.fdt(kernel)


GROUPS = (base, firmware)
