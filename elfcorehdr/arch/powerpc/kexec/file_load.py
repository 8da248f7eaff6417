"""What loading has in common on powerpc: arch/powerpc/kexec/file_load.c (v7.1)."""

from __future__ import annotations

import errno

from elfcorehdr import changes
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.kexec_core import Kimage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

COMMAND_LINE_SIZE = 2048


def setup_kdump_cmdline(kernel: Kernel, image: Kimage, elfcorehdr: int) -> None:
    """Put elfcorehdr= in front. KernelError(EINVAL) where the address does not fit in front."""
    prefix = f"elfcorehdr={elfcorehdr:#x} ".encode()
    if len(prefix) + len(image.cmdline) + 1 > COMMAND_LINE_SIZE:
        verb = "Prepending" if kernel.has(changes.FILE_LOAD_CMDLINE_PPC64) else "Appending"
        kernel.log.err(f"{verb} elfcorehdr=<addr> exceeds cmdline size")
        kernel.log.err("kexec_elf: Setting up cmdline for kdump kernel failed")
        raise KernelError(errno.EINVAL, "command line too long")
    image.cmdline = prefix + image.cmdline
