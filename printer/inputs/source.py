"""What the command line is given, found out and read: read() makes a Core of it.

A raw elfcorehdr, a vmcore or other ELF core (headers and, if asked, notes: nothing else of it is
read), the kernel's printed text, a mounted tree, or, with scan, a memory image.
Imports elfcorehdr.elf and .errors.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable
from enum import Enum
from functools import cached_property

from elfcorehdr.elf import (
    ELFCLASS64,
    ELFDATA2LSB,
    ELFDATA2MSB,
    PN_XNUM,
    PT_LOAD,
    PT_NOTE,
    Ehdr,
    ElfCoreHdr,
    pack_phdrs,
    phdr_size,
    unpack_ehdr,
)
from elfcorehdr.errors import ElfFormatError
from printer.inputs.phdrs import Phdrs
from printer.inputs.reader import STREAM_LIMIT, Reader, StreamReader, open_reader

MAX_PHDRS = 1 << 18
"""More program headers are refused. The kernel writes at most 65,535: e_phnum has 16 bits."""
U64_MAX = (1 << 64) - 1
TEXT_LIMIT = 64 << 20
"""Bytes of a log that are searched for the kernel's print."""
NOTE_LIMIT = 64 << 20
"""Bytes of notes that are read: 8,192 CPUs of ppc64 need 5 MiB."""

_TREE = (  # what a mounted tree, or a /sys of its own, has: raw bytes first, they are never cut
    "proc/vmcore",  # of a capture kernel: there no image is loaded any more
    "control/elfcorehdr",
    "sys/kernel/kexec/crash_elfcorehdr_print",
    "kernel/kexec/crash_elfcorehdr_print",
)
_OTHERS = {
    b"KDUMP   ": "makedumpfile's compressed form, which has no program headers (makedumpfile -E writes ELF)",
    b"makedumpfile": "makedumpfile's flattened form (makedumpfile -R turns it into a dump file)",
    b"\x1f\x8b": "compressed with gzip (zcat FILE | elfcorehdr print -)",
    b"\xfd7zXZ": "compressed with xz (xzcat FILE | elfcorehdr print -)",
    b"\x28\xb5\x2f\xfd": "compressed with zstd (zstdcat FILE | elfcorehdr print -)",
    b"BZh": "compressed with bzip2 (bzcat FILE | elfcorehdr print -)",
}


class Form(Enum):
    """What p_offset of the program headers means.

    >>> read("elfcorehdr.bin").form, read("vmcore").form
    (<Form.ELFCOREHDR: 'elfcorehdr'>, <Form.CORE: 'core'>)
    """

    ELFCOREHDR = "elfcorehdr"
    """A physical address of the crashed kernel: as the kernel hands it to the capture kernel."""
    CORE = "core"
    """A place in the file: /proc/vmcore, makedumpfile -E, /proc/kcore, a process's core."""


class Core:
    """An ELF core header that was read, and where it came from.

    >>> core = read("vmcore")
    >>> core, core.phdrs[1].p_memsz, hex(max(core.phdrs.p_paddr)), core.live
    (<Core vmcore: core of 4 program headers>, 54722560, '0x3e000000', False)
    """

    def __init__(
        self,
        name: str,
        kind: str,
        ehdr: Ehdr,
        table: bytes,
        offset: int = 0,
        note_data: tuple[bytes | None, ...] | None = None,
        size: int | None = None,
        elsewhere: tuple[int, ...] = (),
    ) -> None:
        """As the attributes say."""
        self.name = name
        """The input as it was named, for people."""
        self.kind = kind
        """`file`, `text`, or `image` (found by scanning)."""
        self.ehdr = ehdr
        self.table = table
        """The program headers as they lay there: phnum rows in ehdr's class and byte order."""
        self.offset = offset
        """Where in the input the ELF header begins, in bytes."""
        self.note_data = note_data
        """With notes=True: for every PT_NOTE in order its bytes, None where the input has not got them."""
        self.size = size
        """Bytes of the input, where that is known beforehand: a regular file or block device."""
        self.elsewhere = elsewhere
        """Offsets of further, different headers that a scan found."""
        self.lines: tuple[int, ...] = (1,) * (len(table) // 56 + 1) if kind == "text" else ()
        """Of text: the lines of the title and of each row, counted from 1."""
        self.announced = len(table) // ehdr.e_phentsize if table else 0
        """How many rows the header speaks of: more than there are in one that was cut off (read(torn=True))."""
        self.phdrs = Phdrs(table, ehdr)
        """The program headers in file order, as rows and as columns."""

    def __repr__(self) -> str:
        return f"<Core {self.name}: {self.form.value} of {self.phnum} program headers>"

    @property
    def phnum(self) -> int:
        """How many program headers there are, with the PN_XNUM escape resolved."""
        return len(self.phdrs)

    @property
    def header(self) -> ElfCoreHdr:
        """As elfcorehdr.elf has it."""
        return ElfCoreHdr(self.ehdr, tuple(self.phdrs))

    @cached_property
    def form(self) -> Form:
        """A kernel-made elfcorehdr gives each PT_NOTE its address twice; in a core p_paddr is 0."""
        notes = self.phdrs.rows_of(PT_NOTE)
        if not notes:
            return Form.ELFCOREHDR if self.kind != "file" else Form.CORE
        paddr = self.phdrs.p_paddr[notes[0]]
        same = paddr and paddr == self.phdrs.p_offset[notes[0]]
        return Form.ELFCOREHDR if same else Form.CORE

    @cached_property
    def physical(self) -> bool:
        """Whether its loads have physical addresses: not in a process's core, nor in /proc/kcore before 4.11."""
        loads = self.phdrs.rows_of(PT_LOAD)
        paddr = self.phdrs.p_paddr
        return self.form is Form.ELFCOREHDR or len(loads) < 2 or any(paddr[row] for row in loads)

    @cached_property
    def live(self) -> bool:
        """Whether this is /proc/kcore: memory of a running kernel, its vmalloc and modules too.

        There p_paddr is all ones where there is no physical address (get_kcore_size(), fs/proc/kcore.c,
        since v4.11), before it was 0 everywhere; no note has a p_memsz.
        """
        phdrs = self.phdrs
        if self.form is not Form.CORE:
            return False
        if U64_MAX in phdrs.p_paddr:
            return True
        loads, notes = phdrs.rows_of(PT_LOAD), phdrs.rows_of(PT_NOTE)
        of_a_kernel = all(phdrs.p_vaddr[row] >> 63 for row in loads)
        return bool(loads) and of_a_kernel and not any(phdrs.p_memsz[row] for row in notes)


def read(
    name: str,
    *,
    scan: bool = False,
    at: int | None = None,
    notes: bool = False,
    torn: bool = False,
    begin: bytes = b"",
    progress: Callable[[int], None] = lambda _: None,
) -> Core:
    """Read the header of a file, `-` (standard input), or a mounted tree's directory.

    scan searches a memory image for it, telling progress how far it is; at takes it from that offset in bytes;
    with notes the contents of the PT_NOTEs are read too; with torn the whole rows of a table that is cut off.
    OSError if the input cannot be read, ElfFormatError if it holds no header: both name the input.

    >>> read("vmcore")
    <Core vmcore: core of 4 program headers>
    """
    path = _inside(name)
    try:
        with open_reader(path, begin) as reader:
            if scan:
                from printer.inputs.scan import find

                first, others = find(reader, progress)
                return _read_elf(reader, name, "image", first, notes, torn, others)
            if at is not None:
                return _read_elf(reader, name, "image", at, notes, torn)
            begin = reader.read(0, 16)
            if begin[:4] == b"\x7fELF":
                return _read_elf(reader, name, "file", 0, notes, torn)
            return _read_text(reader, name, begin, torn, from_tree=path != name)
    except ElfFormatError as error:
        raise ElfFormatError(f"{path}: {error}") from None
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None


def from_bytes(header: bytes | bytearray | memoryview, name: str = "header") -> Core:
    """A Core of raw bytes; ElfFormatError as ElfCoreHdr.unpack().

    >>> from_bytes(open("elfcorehdr.bin", "rb").read()).phnum
    13
    """
    unpacked = ElfCoreHdr.unpack(header)
    return from_header(unpacked, name)


def from_header(header: ElfCoreHdr, name: str = "header", kind: str = "file") -> Core:
    """A Core of unpacked program headers, kept in the kernel's own form (64-bit, little endian).

    >>> from_header(read("elfcorehdr.bin").header, "mine")
    <Core mine: elfcorehdr of 13 program headers>
    """
    from elfcorehdr.lib.record import replace

    ehdr = replace(header.ehdr, ei_class=ELFCLASS64, ei_data=ELFDATA2LSB, e_phentsize=56)
    return Core(name, kind, ehdr, pack_phdrs(header.phdrs))


def _inside(name: str) -> str:
    """The file of a mounted tree that holds the header; name itself if it is no directory."""
    if name == "-" or not stat.S_ISDIR(os.stat(name).st_mode):
        return name
    for inner in _TREE:
        path = os.path.join(name, inner)
        if os.path.exists(path):
            return path
    raise ElfFormatError(f"{name}: is a directory without {_TREE[1]} or {_TREE[2]}")


def _read_elf(
    reader: Reader,
    name: str,
    kind: str,
    at: int,
    notes: bool,
    torn: bool,
    elsewhere: tuple[int, ...] = (),
) -> Core:
    ehdr = unpack_ehdr(reader.read(at, 64))
    count = _count(reader, ehdr, at)
    table = b""
    if count:
        if count > MAX_PHDRS:
            raise ElfFormatError(f"{count} program headers announced, expected at most {MAX_PHDRS}")
        size = phdr_size(ehdr)
        table = reader.read(at + ehdr.e_phoff, count * size)
        if len(table) < count * size:
            if not torn:
                raise ElfFormatError(_cut_off(reader, ehdr, count, len(table) // size))
            table = table[: len(table) // size * size]
    core = Core(name, kind, ehdr, table, at, None, reader.size, elsewhere)
    core.announced = count
    if notes:
        core.note_data = _read_notes(reader, core)
    return core


def _cut_off(reader: Reader, ehdr: Ehdr, count: int, have: int) -> str:
    end = "the end"
    if isinstance(reader, StreamReader) and ehdr.e_phoff + count * 56 > STREAM_LIMIT:
        end = f"the first {STREAM_LIMIT >> 20} MiB, which is what is read of a pipe"
    return f"offset {ehdr.e_phoff:#x}: {count} program headers announced, but only {have} lie before {end}"


def _count(reader: Reader, ehdr: Ehdr, at: int) -> int:
    """e_phnum, or sh_info of section 0 in its place if that says PN_XNUM and there is one."""
    if ehdr.e_phnum != PN_XNUM or not ehdr.e_shoff:
        return ehdr.e_phnum
    where = 44 if ehdr.ei_class == ELFCLASS64 else 28
    info = reader.read(at + ehdr.e_shoff + where, 4)
    if len(info) < 4:
        raise ElfFormatError(
            f"offset {ehdr.e_shoff:#x}: section 0, which holds the program header count, "
            "lies beyond the end"
        )
    return int(struct.unpack(">I" if ehdr.ei_data == ELFDATA2MSB else "<I", info)[0])


def _read_notes(reader: Reader, core: Core) -> tuple[bytes | None, ...]:
    """The bytes of every PT_NOTE; None where the input ends before, or offsets are no places in it."""
    base = 0 if core.kind == "image" or core.form is Form.CORE else None
    found: list[bytes | None] = []
    left = NOTE_LIMIT
    for phdr in map(core.phdrs.__getitem__, core.phdrs.rows_of(PT_NOTE)):
        if base is None or not phdr.p_filesz:
            found.append(None if base is None else b"")
            continue
        if phdr.p_filesz > left:
            raise ElfFormatError(
                f"the notes are {phdr.p_filesz} bytes and more, expected at most {NOTE_LIMIT}"
            )
        data = reader.read(base + phdr.p_offset, phdr.p_filesz)
        left -= len(data)
        found.append(data if len(data) == phdr.p_filesz else None)
    return tuple(found)


def _read_text(reader: Reader, name: str, begin: bytes, torn: bool, *, from_tree: bool) -> Core:
    if not begin:
        if from_tree:
            raise ElfFormatError("is empty: no kdump image is loaded")
        raise ElfFormatError("is empty, expected an ELF core header or the kernel's print of one")
    for magic, what in _OTHERS.items():
        if begin.startswith(magic):
            raise ElfFormatError(f"is {what}")
    head = reader.read(0, 4096)
    if b"\0" in head:
        raise ElfFormatError(
            f"offset 0: begins with {begin[:4].hex(' ')}, expected 7f 45 4c 46 (ELF) or text; "
            "--scan searches a memory image"
        )
    data = reader.read(0, TEXT_LIMIT + 1)
    if len(data) > TEXT_LIMIT:
        raise ElfFormatError(f"is text of more than {TEXT_LIMIT >> 20} MiB, expected less")
    from printer.inputs import kernel_text_parser

    printed = kernel_text_parser.read(data.decode("ascii", "replace"), torn=torn)
    core = from_header(printed.header, name, "text")
    core.lines = tuple(printed.lines)
    core.announced = printed.announced
    return core
