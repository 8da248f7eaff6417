"""/sys/firmware/devicetree/base as kdump tools read it: drivers/of/base.c (v7.1)."""

from __future__ import annotations

from fsmount.tree.kobject import Subtree, singleton

base = Subtree(
    "firmware/devicetree/base",
    singleton,
    lambda kernel: kernel.arch.devicetree(kernel),
    is_visible=lambda kernel, obj: bool(kernel.arch.devicetree(kernel)),
)
GROUPS = (base,)
