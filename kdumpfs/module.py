"""What a module for `--module FILE.py` needs: groups of attributes, and the kernel that they show.

    from kdumpfs.module import AttributeGroup, Kernel, singleton

    proposal = AttributeGroup("kernel/kexec", singleton)

    @proposal.show
    def crash_rebuilds_show(kernel: Kernel) -> str:
        \"""How often the header was written anew since boot.\"""
        return f"{kernel.crash_hp.rebuilds}\\n"

A function's name is the file's, as `__ATTR_RO(crash_rebuilds)` has it, and its docstring is the file's ABI entry.

| you want | write |
|---|---|
| a file that can be written | `@proposal.store def crash_rebuilds_store(kernel, buf)`: buf is the text of one write |
| to refuse | `raise OSError(errno.EBUSY)`: an errno, for show and store |
| one file for each memory block | `AttributeGroup("devices/system/memory/memory*", memory_blocks)`: show gets a MemoryBlock |
| for each CPU, for each node | `AttributeGroup("devices/system/cpu/cpu*", cpus)`, `("devices/system/node/node*", nodes)` |
| for each of your own objects | `indexed(lambda kernel: [...])` is a set of them |
| raw bytes | `@proposal.bin_show() def header_show(kernel) -> bytes` |
| debugfs, procfs | `AttributeGroup("kdump", singleton, fs=Filesystem.DEBUGFS)`: no page limit; show may be a generator |
| to know who asks | one more argument: a `Caller` |
| a file that is not always there | `is_visible=lambda kernel, obj: ...`; `kernel.names_changed()` when it comes or goes |
| variables | `state = State(hits=0)`: kept by `kdumpfs reload` |
| to be called at boot | `def init(kernel)`; `def exit(kernel)` before a reload |
| to be called by events | `@on_memory`, `@on_cpu`, `@on_kexec` |

`ProgramHeaders(kernel.kexec.elfcorehdr() or b"")` is the loaded ELF core header, row by row. `print()` goes to the kernel log. docs/proposing.md goes through all of it.
"""

from __future__ import annotations

from elfcorehdr.drivers.base.cpu import Cpu
from elfcorehdr.drivers.base.memory import MemoryBlock
from elfcorehdr.elf import Phdr
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.notifier import MemAction, MemoryNotify
from fsmount.sysfs.cpu import cpus
from fsmount.sysfs.memory import blocks as memory_blocks
from fsmount.sysfs.node import Node, nodes
from fsmount.tree.hooks import State, indexed, on_cpu, on_kexec, on_memory
from fsmount.tree.kobject import (
    AttributeGroup,
    Caller,
    File,
    Filesystem,
    Kset,
    Link,
    Subtree,
    singleton,
)
from kdumpfs.header import ProgramHeaders, flags_text, type_text

__all__ = [
    "AttributeGroup",
    "Caller",
    "Cpu",
    "File",
    "Filesystem",
    "Kernel",
    "KernelError",
    "Kset",
    "Link",
    "MemAction",
    "MemoryBlock",
    "MemoryNotify",
    "Node",
    "Phdr",
    "ProgramHeaders",
    "State",
    "Subtree",
    "cpus",
    "flags_text",
    "indexed",
    "memory_blocks",
    "nodes",
    "on_cpu",
    "on_kexec",
    "on_memory",
    "singleton",
    "type_text",
]
