"""What user space builds for kexec_load(2): kexec-tools, a file an architecture, found by its name.

Each has segments(), as below, and the header that kexec(8) of that architecture makes.
May import all of elfcorehdr/ but init/; of the kernel itself nothing imports it. Start with x86_64.py.
"""

from __future__ import annotations

import errno
from importlib import import_module

from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.kexec_file import probe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel
    from elfcorehdr.kernel.kexec_file import FileArg, Segment


def segments(
    kernel: Kernel,
    kernel_file: FileArg | None,
    initrd: FileArg | None,
    cmdline: bytes,
    *,
    hotplug: bool,
) -> tuple[int, list[Segment]]:
    """Entry and segments that kexec-tools would hand to kexec_load for a crash image. KernelError.

    hotplug is its option --hotplug. EOPNOTSUPP where its way is not known here; a file that is no
    kernel is refused as kexec_file_load's loaders refuse it.
    """
    name = f"{__name__}.{kernel.arch.name}"
    try:
        tools = import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise KernelError(
            errno.EOPNOTSUPP, f"kexec-tools' segments on {kernel.arch.name} are not known here"
        ) from None
    for file in (kernel_file, initrd):
        if file is not None:
            file.check()
    if kernel_file is not None:
        probe(kernel, kernel_file)
    made: tuple[int, list[Segment]] = tools.segments(
        kernel, kernel_file, initrd, cmdline, hotplug=hotplug
    )
    return made
