"""The files that a case's load was given, from the words or the log lines that tell of them."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable
from typing import NamedTuple

from elfcorehdr.elf import Ehdr, ElfCoreHdr, Phdr
from elfcorehdr.kernel.kexec_file import FileArg, FileKind, regular


class Files(NamedTuple):
    """What kexec_file_load is given; None is the machine's own."""

    kernel: FileArg | None = None
    initrd: FileArg | None = None
    cmdline: bytes = b""


NO_FILE = r"no kernel file|kernel fd\b|kernel -,"
KERNELS = (
    (r"kernel /mnt\b|directory", FileArg(FileKind.DIRECTORY)),
    (r"a shell script as kernel", regular(b"#!/bin/sh\necho\n")),
    (r"text file|not a kernel|plain text", regular(b"hello\n" * 16)),
    (r"empty file|empty kernel|kernel e,", regular(b"")),
)
"""What the cases call the files that are no kernels."""
MACHINES = {"ppc64": 21, "x86_64": 62, "arm64": 183, "riscv64": 243}


def program(arch: str) -> FileArg:
    """A static program for user space: its data does not begin with a page."""
    text, data = 0x10000000, 0x1001FC50
    header = ElfCoreHdr(
        Ehdr(MACHINES[arch], e_type=2),
        (
            Phdr(1, 5, 0, text, text, 0x1000, 0x1000, 0x10000),
            Phdr(1, 6, 0xFC50, data, data, 0x100, 0x200, 0x10000),
        ),
    )
    return FileArg(FileKind.REGULAR, header.pack(), 0x10000)


def of_words(arch: str, what: str) -> Files:
    """The kernel, initrd and command line that a case describes in words; None is the machine's own."""
    kernel: FileArg | None = None
    if re.search(NO_FILE, what):
        kernel = FileArg(FileKind.BAD)
    elif re.search(r"static user|busybox|user ELF|user program", what):
        kernel = program(arch)
    else:
        kernel = next((file for words, file in KERNELS if re.search(words, what)), None)
    bad_initrd = re.search(r"bad initrd|initrd fd|initrd -(\s|$)", what)
    initrd = FileArg(FileKind.BAD) if bad_initrd else None
    cmdline = b""
    if m := re.search(r"command line of (\d+) characters|(?:command ?line|cmdline) (\d+)\b", what):
        cmdline = b"x" * int(m.group(1) or m.group(2))
    elif m := re.search(r'command line "(.*)"', what):
        cmdline = m.group(1).encode()
    elif re.search("(command ?line|cmdline) (is )?too long", what):
        cmdline = b"x" * 4096
    return Files(kernel, initrd, cmdline)


def with_size(given: Files, log: Iterable[str]) -> Files:
    """The kernel file in the length that a debugged load logged."""
    if given.kernel is None or given.kernel.kind is not FileKind.REGULAR or not given.kernel.data:
        return given
    for line in log:
        if m := re.match(r"kexec_file: kernel: \S+ kernel_size: (\S+)", line):
            size = int(m.group(1), 0)
            return given._replace(kernel=FileArg(FileKind.REGULAR, given.kernel.data, size))
    return given


def of_log(arch: str, log: Iterable[str]) -> Files:
    """Files of the sizes that a debugged load logged: a kernel's first bytes stand for the whole.

    Sizes are inputs; the addresses that follow from them are what is compared.
    """
    lines = list(log)

    def found(pattern: str) -> list[int]:
        match = next((m for line in lines if (m := re.search(pattern, line))), None)
        return [int(group, 0) for group in match.groups()] if match else []

    size = found(r"kexec_file: kernel: \S+ kernel_size: (\S+)")
    part = found(r"Loaded (?:64bit )?kernel at \S+ bufsz=(\S+) memsz=(\S+)")
    if not size or not part:
        return Files()
    kernel = FileArg(FileKind.REGULAR, MAKE[arch](size[0], part[0], part[1]), size[0])
    initrd = None
    segments = [m for line in lines if (m := re.search(r"segment\[\d\]: .* bufsz=(\S+) ", line))]
    at = {"x86_64": 4, "riscv64": 3}[arch]
    if len(segments) > at:
        initrd = FileArg(FileKind.REGULAR, size=int(segments[at].group(1), 0))
    cmdline = ""
    for line in lines:
        if m := re.search(r"Final command line is: elfcorehdr=\S+ (.*)", line):
            cmdline = m.group(1)
    return Files(kernel, initrd, cmdline.encode())


def bzimage(size: int, bufsz: int, memsz: int) -> bytes:
    """The setup header of a bzImage, Documentation/arch/x86/boot.rst."""
    data = bytearray(0x268)
    data[0x1F1] = (size - bufsz) // 512 - 1
    data[0x1FE:0x200] = b"\x55\xaa"
    data[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", data, 0x206, 0x20F)
    struct.pack_into("<I", data, 0x230, 2 << 20)
    data[0x211] = 1
    struct.pack_into("<H", data, 0x236, 3)
    struct.pack_into("<I", data, 0x238, 2047)
    struct.pack_into("<I", data, 0x260, memsz)
    return bytes(data)


def image(magic: bytes, text_offset: int = 0) -> Callable[[int, int, int], bytes]:
    """The head of an Image: Documentation/arch/{arm64,riscv}/boot*.rst; magic lies at 56."""

    def make(size: int, bufsz: int, memsz: int) -> bytes:
        return struct.pack("<8sQQQ24s4s4x", b"", text_offset, memsz, 0, b"", magic)

    return make


MAKE = {"x86_64": bzimage, "arm64": image(b"ARM\x64"), "riscv64": image(b"RSC\x05", 2 << 20)}
