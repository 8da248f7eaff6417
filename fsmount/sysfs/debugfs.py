"""/sys/kernel/debug/memblock/memory: mm/memblock.c (v7.1). What the ELF core header of ppc64 is made of."""

from __future__ import annotations

from elfcorehdr.init.main import Kernel
from fsmount.tree.kobject import AttributeGroup, Declaration, singleton

memblock = AttributeGroup("kernel/debug/memblock", singleton)


@memblock.bin_show(name="memory", size=0)
def memblock_debug_show(kernel: Kernel) -> bytes:
    """The regions of memory: number, first and last byte, node, flags."""
    return "".join(
        f"{i:4}: {r.start:#018x}..{r.end:#018x} {r.node:4} {r.flags or 'NONE'}\n"
        for i, r in enumerate(kernel.memblock)
    ).encode()


GROUPS: tuple[Declaration, ...] = (memblock,)
