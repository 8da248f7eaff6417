"""Finding an elfcorehdr in a memory image: a crashkernel dump, a guest's RAM file.

The kernel's header is told from other ELF files in memory by its first row: a PT_NOTE whose
p_offset and p_paddr are the same address (crash_prepare_elf64_headers(), kernel/crash_core.c).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator

from elfcorehdr.elf import (
    ELFDATA2MSB,
    PT_LOAD,
    PT_NOTE,
    Ehdr,
    phdr_size,
    unpack_ehdr,
    unpack_phdr_table,
)
from elfcorehdr.errors import ElfFormatError
from printer.inputs.reader import Reader

_CHUNK = 4 << 20
_ET_CORE = re.compile(rb"\x7fELF[\x01\x02][\x01\x02]\x01.{9}(?:\x04\x00|\x00\x04)", re.DOTALL)
_LOOKALIKES = 1 << 16
_TABLES = 1 << 26
"""Bytes of tables that are examined in all before a hostile image is given up."""


def find(
    reader: Reader, progress: Callable[[int], None] = lambda _: None
) -> tuple[int, tuple[int, ...]]:
    """Offset of the first elfcorehdr, and offsets of further ones whose bytes differ from it.

    progress is told the offset that the search has reached.

    ElfFormatError if there is none.
    """
    first: int | None = None
    seen: set[int] = set()
    others: list[int] = []
    examined = looked = 0
    for at in _candidates(reader, progress):
        looked += 1
        table, valid = _table(reader, at)
        examined += len(table)
        if looked > _LOOKALIKES or examined > _TABLES:
            raise ElfFormatError(
                f"offset {at:#x}: too many look-alikes before it, gave up the search"
            )
        if not valid or hash(table) in seen:
            continue
        seen.add(hash(table))
        if first is None:
            first = at
        elif len(others) < 64:
            others.append(at)
    if first is None:
        raise ElfFormatError("no elfcorehdr found by --scan")
    return first, tuple(others)


def _candidates(reader: Reader, progress: Callable[[int], None]) -> Iterator[int]:
    last = -1
    for offset, chunk in reader.chunks(_CHUNK, 64):
        progress(offset)
        for match in _ET_CORE.finditer(chunk):
            at = offset + match.start()
            if at > last:
                last = at
                yield at


def _table(reader: Reader, at: int) -> tuple[bytes, bool]:
    """What was read of a table at offset at, and whether it is that of an elfcorehdr."""
    try:
        ehdr = unpack_ehdr(reader.read(at, 64))
        size = phdr_size(ehdr)
    except ElfFormatError:
        return b"", False
    if not ehdr.e_phnum or not ehdr.e_ehsize <= ehdr.e_phoff <= 4096:
        return b"", False
    begin = reader.read(at + ehdr.e_phoff, size)
    if len(begin) < size or not _is_note(begin, ehdr):
        return begin, False
    table = reader.read(at + ehdr.e_phoff, ehdr.e_phnum * size)
    whole = len(table) == ehdr.e_phnum * size
    return table, whole and _is_notes_and_loads(table, ehdr, size)


def _is_note(row: bytes, ehdr: Ehdr) -> bool:
    phdr = unpack_phdr_table(row, ehdr)[0]
    return phdr.p_type == PT_NOTE and 0 != phdr.p_paddr == phdr.p_offset


def _is_notes_and_loads(table: bytes, ehdr: Ehdr, size: int) -> bool:
    form = ">I" if ehdr.ei_data == ELFDATA2MSB else "<I"
    wanted = {struct.pack(form, kind) for kind in (PT_NOTE, PT_LOAD)}
    return all(table[at : at + 4] in wanted for at in range(0, len(table), size))
