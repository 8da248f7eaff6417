"""/proc/kcore and /proc/kallsyms: fs/proc/kcore.c, kernel/kallsyms.c.

kexec(8) takes the kernel's virtual address from the headers (classic load), and refuses a file
without a readable note; makedumpfile --mem-usage and drgn read the memory.
"""

from __future__ import annotations

import errno

from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from fsmount.tree.kobject import (
    CAP_SYSLOG,
    AttributeGroup,
    Caller,
    Declaration,
    Filesystem,
    singleton,
)

CAP_SYS_RAWIO = 17

proc = AttributeGroup("", singleton, fs=Filesystem.PROCFS)


class Kcore:
    """An open /proc/kcore: the memory as it was when it was opened."""

    def __init__(self, kernel: Kernel) -> None:
        self._kcore = kernel.kcore()

    def read(self, size: int, offset: int, flags: int = 0) -> bytes:
        """At most size bytes at offset."""
        return self._kcore.read(offset, size)

    def write(self, buf: bytes, offset: int, flags: int = 0) -> int:
        """Never."""
        raise KernelError(errno.EIO)


def _size(kernel: Kernel) -> int:
    """st_size: get_kcore_size()."""
    return kernel.kcore().size


@proc.open(name="kcore", mode=0o400, size=_size)
def kcore_open(kernel: Kernel, caller: Caller, flags: int) -> Kcore:
    """The kernel's memory as an ELF core. EPERM without CAP_SYS_RAWIO."""
    if not caller.capable(CAP_SYS_RAWIO):
        raise KernelError(errno.EPERM)
    return Kcore(kernel)


@proc.show
def kallsyms_show(kernel: Kernel, caller: Caller) -> str:
    """Where the kernel's image begins and ends; every address is 0 without CAP_SYSLOG."""
    text = kernel.machine.kernel_text
    if text is None:
        return ""
    shown = caller.capable(CAP_SYSLOG)
    rows = (
        ("T", "_text", text.vaddr),
        ("T", "_stext", text.vaddr),
        ("B", "_end", text.vaddr + text.size),
    )
    return "".join(f"{addr if shown else 0:016x} {kind} {name}\n" for kind, name, addr in rows)


GROUPS: tuple[Declaration, ...] = (proc,)
