"""What a module for `--module FILE.py` needs: groups of attributes, and the kernel that they show.

from kdumpfs.module import AttributeGroup, Kernel, singleton

proposal = AttributeGroup("kernel/kexec", singleton)

@proposal.show
def crash_rebuilds_show(kernel: Kernel) -> str:
    \"\"\"How often the header was written anew since boot.\"\"\"
    return f"{kernel.crash_hp.rebuilds}\\n"
"""

from __future__ import annotations

from elfcorehdr.drivers.base.cpu import Cpu
from elfcorehdr.drivers.base.memory import MemoryBlock
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from fsmount.tree.kobject import AttributeGroup, Caller, Filesystem, Link, singleton

__all__ = [
    "AttributeGroup",
    "Caller",
    "Cpu",
    "Filesystem",
    "Kernel",
    "KernelError",
    "Link",
    "MemoryBlock",
    "singleton",
]
