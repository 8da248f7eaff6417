"""The head of an arm64 or riscv64 `Image` file: Documentation/arch/{arm64/booting,riscv/boot-image-header}.rst."""

from __future__ import annotations

import errno
import struct

from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.kexec_file import FileArg

HEAD = struct.Struct("<8sQQ32s4s4x")
"""Two instructions, text_offset, image_size, flags and reserved words, a magic number at 56."""


def image_size(kernel_file: FileArg, magic: bytes) -> int:
    """Bytes of memory that the image needs; KernelError(EINVAL) if the file is none."""
    if len(kernel_file.data) < HEAD.size:
        raise KernelError(errno.EINVAL, "too short for a kernel image")
    _, text_offset, size, _, found = HEAD.unpack_from(kernel_file.data)
    if found != magic or not size:
        raise KernelError(errno.EINVAL, "no kernel image")
    return int(size + text_offset)
