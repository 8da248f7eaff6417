"""/proc/kcore and /proc/kallsyms: fs/proc/kcore.c, kernel/kallsyms.c.

kexec(8) takes the kernel's virtual address from the headers (classic load), and refuses a file
without a readable note; makedumpfile --mem-usage and drgn read the memory.
"""

from __future__ import annotations

import errno

from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from fsmount.tree.kept import Keeps
from fsmount.tree.kobject import (
    CAP_SYSLOG,
    AttributeGroup,
    Caller,
    Declaration,
    Filesystem,
    singleton,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.fs.proc.kcore import ProcKcore

CAP_SYS_RAWIO = 17

proc = AttributeGroup("", singleton, fs=Filesystem.PROCFS)


class Kcore(Keeps):
    """An open /proc/kcore: the memory as it was when it was opened, or, with many of them open, at a later read."""

    size = 4 << 20
    """Bytes that a snapshot of 64 TiB takes (pseries-64t); others are smaller."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._kcore: ProcKcore | None = kernel.kcore()

    def read(self, size: int, offset: int, flags: int = 0) -> bytes:
        """At most size bytes at offset."""
        if self._kcore is not None:
            return self._kcore.read(offset, size)
        now = self._kernel.kcore()
        data = now.read(offset, size)
        now.close()
        return data

    def forget(self) -> None:
        """Too many are kept: each read is of the memory as it is then, as in a kernel."""
        if self._kcore is not None:
            self._kcore.close()
            self._kcore = None

    def close(self) -> None:
        """Nothing more is read."""
        super().close()
        self.forget()

    def write(self, buf: bytes, offset: int, flags: int = 0) -> int:
        """Never."""
        raise KernelError(errno.EIO)


def _size(kernel: Kernel) -> int:
    """st_size: get_kcore_size()."""
    kcore = kernel.kcore()
    kcore.close()
    return kcore.size


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
