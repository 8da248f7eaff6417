"""Loading a bzImage as a crash kernel: arch/x86/kernel/kexec-bzimage64.c (v7.1).

All but the header's place is seen in the log of a debugged load alone.
"""

from __future__ import annotations

import errno
import struct

from elfcorehdr.arch.x86.kernel.crash import crash_setup_memmap_entries
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.kexec_core import Kimage
from elfcorehdr.kernel.kexec_file import FileArg, KexecBuf, NoKernel, align_up, or_say
from elfcorehdr.lib.record import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

CMDLINE_SIZE = 2047
"""cmdline_size of the setup header: COMMAND_LINE_SIZE - 1."""
MAX_ELFCOREHDR_STR_LEN = 30
HEADER_END = 0x268
"""Behind init_size in the setup header: Documentation/arch/x86/boot.rst."""
LOADED_HIGH, XLF_KERNEL_64, XLF_CAN_BE_LOADED_ABOVE_4G = 1, 1, 2
BOOT_PARAMS, SETUP_DATA = 0x1000, 0xA0
"""struct boot_params, and the setup_data of EFI and of the random seed behind the command line."""
MIN_PURGATORY = 0x3000


class KernelPart(NamedTuple):
    """The protected-mode kernel: memsz is init_size of the setup header, align its kernel_alignment."""

    memsz: int = 0x3E4E000
    bufsz: int = 0xDD07C0
    align: int = 2 << 20
    setup: int = 0x5000


DEFAULT = KernelPart()
"""Of 7.3.4 (golden x86_64/k7.3-hotplug-file, step 0), where the machine names no other."""
PURGATORY_BUFSZ, PURGATORY_MEMSZ = 0x4000, 0x5000
"""golden x86_64/k7.3-hotplug-file, step 0, segment 1."""


def described(kernel: Kernel) -> KernelPart:
    """The crash kernel that the machine describes."""
    if not kernel.machine.kdump.kernel:
        return DEFAULT
    given = kernel.machine.kdump.kernel[0]
    return KernelPart(given.memsz, given.filesz or given.memsz, given.align, given.setup)


def probe(kernel_file: FileArg) -> None:
    """bzImage64_probe(): NoKernel(ENOEXEC) for what is no 64-bit bzImage, and the log says why."""
    data = kernel_file.data.ljust(HEADER_END, b"\0")
    version, loadflags, xloadflags = (
        int.from_bytes(data[at : at + size], "little")
        for at, size in ((0x206, 2), (0x211, 1), (0x236, 2))
    )
    for holds, complaint in (
        (kernel_file.length >= 1024, "File is too short to be a bzImage"),
        (data[0x202:0x206] == b"HdrS", "Not a bzImage"),
        (data[0x1FE:0x200] == b"\x55\xaa", "No x86 boot sector present"),
        (version >= 0x020C, "Must be at least protocol version 2.12"),
        (loadflags & LOADED_HIGH, "zImage not a bzImage"),
        (xloadflags & XLF_KERNEL_64, "Not a bzImage64. XLF_KERNEL_64 is not set."),
        (xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G, "XLF_CAN_BE_LOADED_ABOVE_4G is not set."),
    ):
        if not holds:
            raise NoKernel(errno.ENOEXEC, complaint, f"kexec-bzImage64: {complaint}")


def kernel_part(kernel: Kernel, image: Kimage, kernel_file: FileArg | None) -> KernelPart:
    """What is loaded, after the checks of the command line that bzImage64_load() begins with. KernelError(EINVAL)."""
    part, limit = described(kernel), CMDLINE_SIZE
    if kernel_file is not None:
        data = kernel_file.data.ljust(HEADER_END, b"\0")
        (align,) = struct.unpack_from("<I", data, 0x230)
        (limit,) = struct.unpack_from("<I", data, 0x238)
        (memsz,) = struct.unpack_from("<I", data, 0x260)
        setup = ((data[0x1F1] or 4) + 1) * 512
        if kernel_file.length < setup:
            kernel.log.err("kexec-bzImage64: bzImage truncated")
            raise KernelError(errno.ENOEXEC, "the bzImage is cut off")
        part = KernelPart(memsz, kernel_file.length - setup, align, setup)
    length = len(image.cmdline) + 1
    if length > limit:
        kernel.log.err("kexec-bzImage64: Kernel command line too long")
        raise KernelError(errno.EINVAL, "command line too long")
    if image.crash and length + MAX_ELFCOREHDR_STR_LEN > limit:
        kernel.log.err(
            "kexec-bzImage64: Appending elfcorehdr=<addr> to command line exceeds maximum allowed length"
        )
        raise KernelError(errno.EINVAL, "command line too long for elfcorehdr=")
    return part


def load(kernel: Kernel, image: Kimage, part: KernelPart, initrd: FileArg | None) -> None:
    """bzImage64_load() behind the header: purgatory, parameters, kernel, initrd, each top down."""
    add = kernel.arch.add_buffer

    def log(text: str) -> None:
        kernel.kexec.dprintk(f"kexec-bzImage64: {text}")

    kernel.dm_crypt_keys.crash_load()
    buf = KexecBuf(PURGATORY_MEMSZ, PURGATORY_BUFSZ, buf_min=MIN_PURGATORY, top_down=True)
    with or_say(kernel, "kexec-bzImage64: Loading purgatory failed"):
        image.entry = add(kernel, image, buf)
    log(f"Loaded purgatory at {image.entry:#x}")
    given = len(image.cmdline.partition(b" ")[2]) + 1
    size = align_up(BOOT_PARAMS + given + MAX_ELFCOREHDR_STR_LEN, 16) + SETUP_DATA
    params = KexecBuf(size, size, 16, top_down=True)
    at = add(kernel, image, params)
    log(
        f"Loaded boot_param, command line and misc at {at:#x} bufsz={params.bufsz:#x} memsz={params.memsz:#x}"
    )
    buf = KexecBuf(part.memsz, part.bufsz, part.align, top_down=True)
    at = add(kernel, image, buf)
    log(f"Loaded 64bit kernel at {at:#x} bufsz={buf.bufsz:#x} memsz={buf.memsz:#x}")
    length = initrd.length if initrd else kernel.machine.kdump.initrd
    if length:
        at = add(kernel, image, KexecBuf(length, length, top_down=True))
        log(f"Loaded initrd at {at:#x} bufsz={length:#x} memsz={length:#x}")
    log(f"Final command line is: {image.cmdline.decode(errors='replace')}")
    log("E820 memmap:")
    if kernel.kexec.file_dbg_print:
        for r, kind in crash_setup_memmap_entries(kernel, image):
            log(f"{r.start:016x}-{r.end:016x} ({kind})")
