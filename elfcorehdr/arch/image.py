"""What kexec_file_load takes for a kernel: the head of an arm64 or riscv64 `Image`, and ELF (kernel/kexec_elf.c, 7.3).

The heads are those of Documentation/arch/{arm64/booting,riscv/boot-image-header}.rst. A file's bytes
may be its first alone: how long it is, its FileArg says.
"""

from __future__ import annotations

import errno
import struct

from elfcorehdr.elf import (
    EHDR_SIZE,
    ELFCLASS64,
    EV_CURRENT,
    PHDR_SIZE,
    PT_INTERP,
    PT_LOAD,
    Ehdr,
    Phdr,
    unpack_ehdr,
    unpack_phdr_table,
)
from elfcorehdr.errors import ElfFormatError
from elfcorehdr.kernel.kexec_file import FileArg, NoKernel
from elfcorehdr.lib.record import NamedTuple

HEAD = struct.Struct("<8sQQQI20s4s4x")
"""Two instructions, text_offset, image_size, flags, riscv64's version, reserved words, a magic at 56."""
RISCV_HEADER_VERSION = 2
ET_EXEC, ET_DYN = 2, 3
SHDR_SIZE = 64
U64 = (1 << 64) - 1


class Image(NamedTuple):
    """What the head of an Image says; sizes in bytes."""

    text_offset: int
    image_size: int
    flags: int
    version: int
    magic: bytes


def image_head(kernel_file: FileArg) -> Image:
    """The head of an Image; NoKernel(EINVAL) if the file is shorter than one."""
    if kernel_file.length < HEAD.size:
        raise NoKernel(errno.EINVAL, "too short for a kernel image")
    _, text_offset, size, flags, version, _, magic = HEAD.unpack_from(
        kernel_file.data.ljust(HEAD.size, b"\0")
    )
    return Image(text_offset, size, flags, version, magic)


def elf_kernel(kernel_file: FileArg) -> tuple[Ehdr, list[Phdr]]:
    """kexec_build_elf_info(): the headers of a 64-bit ELF kernel of either byte order.

    NoKernel(ENOEXEC) for anything else. Whose machine's it is, elf_probe() asks.
    """
    data, length = kernel_file.data, kernel_file.length
    try:
        ehdr = unpack_ehdr(data)
        _check_sane(ehdr, length)
        rows = ehdr.e_phnum if ehdr.e_phoff else 0
        table = data[ehdr.e_phoff : ehdr.e_phoff + rows * PHDR_SIZE]
        phdrs = unpack_phdr_table(table, ehdr)
    except (ElfFormatError, struct.error) as error:
        raise NoKernel(errno.ENOEXEC, f"no ELF kernel, {error}") from None
    for p in phdrs:
        _require(p.p_offset + p.p_filesz <= length, "a segment that is not in the file")
        _require(p.p_paddr + p.p_memsz <= U64, "a segment whose address wraps around")
    for holds, complaint in (
        (ehdr.e_type in (ET_EXEC, ET_DYN), "Not an ELF executable"),
        (phdrs, "No ELF program header"),
        (all(p.p_type != PT_INTERP for p in phdrs), "Requires an ELF interpreter"),
    ):
        if not holds:
            raise NoKernel(errno.ENOEXEC, complaint, f"kexec_elf: {complaint}.")
    return ehdr, phdrs


def _check_sane(ehdr: Ehdr, length: int) -> None:
    """elf_read_ehdr(), elf_is_ehdr_sane()"""
    _require(ehdr.ei_class == ELFCLASS64, "not a 64-bit ELF")
    _require(ehdr.e_ehsize == EHDR_SIZE, "bad ELF header size")
    _require(not ehdr.e_phnum or ehdr.e_phentsize == PHDR_SIZE, "bad program header size")
    _require(not ehdr.e_shnum or ehdr.e_shentsize == SHDR_SIZE, "bad section header size")
    _require(ehdr.ei_version == ehdr.e_version == EV_CURRENT, "unknown ELF version")
    for at, count, size in (
        (ehdr.e_phoff, ehdr.e_phnum, PHDR_SIZE),
        (ehdr.e_shoff, ehdr.e_shnum, SHDR_SIZE),
    ):
        _require(not at or at + count * size <= length, "headers are cut off")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise NoKernel(errno.ENOEXEC, message)


def elf_probe(kernel_file: FileArg, e_machine: int) -> None:
    """kexec_elf_probe(): is it an ELF kernel of that machine? NoKernel(ENOEXEC) if not."""
    ehdr, _ = elf_kernel(kernel_file)
    _require(ehdr.e_machine == e_machine, "an ELF of another machine")


def elf_loads(kernel_file: FileArg) -> list[Phdr]:
    """The PT_LOADs, in file order."""
    return [p for p in elf_kernel(kernel_file)[1] if p.p_type == PT_LOAD]
