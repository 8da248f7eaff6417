"""/proc/vmcore of a capture kernel: fs/proc/vmcore.c (v7.1). There is none on a kernel that booted otherwise."""

from __future__ import annotations

import errno

from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from fsmount.tree.kobject import AttributeGroup, Caller, Declaration, Filesystem, singleton

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.fs.proc.vmcore import ProcVmcore

proc = AttributeGroup("", singleton, fs=Filesystem.PROCFS)


class Vmcore:
    """An open /proc/vmcore. What it says never changes, so the host may keep what it has read."""

    cached = True

    def __init__(self, kernel: Kernel, vmcore: ProcVmcore) -> None:
        self._kernel, self._vmcore = kernel, vmcore

    def read(self, size: int, offset: int, flags: int = 0) -> bytes:
        """At most size bytes at offset. KernelError(EIO) once its memory was released: proc_reg_read() of a file that is gone."""
        if self._kernel.vmcore is not self._vmcore:
            raise KernelError(errno.EIO)
        return self._vmcore.read(offset, size)

    def write(self, buf: bytes, offset: int, flags: int = 0) -> int:
        """Never: proc_reg_write() without a method."""
        raise KernelError(errno.EIO)


@proc.open(
    name="vmcore",
    mode=0o400,
    size=lambda kernel: kernel.vmcore.size,
    is_visible=lambda kernel, obj: kernel.vmcore is not None,
)
def vmcore_open(kernel: Kernel, caller: Caller, flags: int) -> Vmcore:
    """The memory of the kernel that crashed, as an ELF core."""
    if kernel.vmcore is None:
        raise KernelError(errno.ENOENT)
    return Vmcore(kernel, kernel.vmcore)


GROUPS: tuple[Declaration, ...] = (proc,)
