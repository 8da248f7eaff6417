"""/proc/vmcore's ELF header, as a capture kernel makes it from the ELF core header: fs/proc/vmcore.c (v7.1)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from elfcorehdr.elf import EHDR_SIZE, PHDR_SIZE, PT_LOAD, PT_NOTE, ElfCoreHdr, Phdr
from elfcorehdr.errors import ElfFormatError
from elfcorehdr.kernel.kexec_file import align_down, align_up
from elfcorehdr.lib.record import replace


class Vmcore(NamedTuple):
    """The header of /proc/vmcore, and the file's size in bytes."""

    header: ElfCoreHdr
    size: int


def note_size(memory: bytes) -> int:
    """get_note_number_and_size_elf64(): how many bytes of a PT_NOTE's memory are notes, 0 if none was saved.

    A note of an empty name ends them; one that would reach beyond the memory is left out.
    """
    at = 0
    while at + 12 <= len(memory):
        namesz, descsz, _ = struct.unpack_from("<III", memory, at)
        end = at + 12 + align_up(namesz, 4) + align_up(descsz, 4)
        if namesz == 0 or end > len(memory):
            break
        at = end
    return at


def vmcore(elfcorehdr: bytes, notes: int, page_size: int) -> Vmcore:
    """The header over all notes as one, then the PT_LOADs page by page, in order.

    notes: bytes of all real notes together (see note_size()). ElfFormatError if elfcorehdr is none.
    """
    header = ElfCoreHdr.unpack(elfcorehdr)
    if header.ehdr.e_phnum == 0 or not any(p.p_type == PT_NOTE for p in header.phdrs):
        raise ElfFormatError(
            "the ELF core header has no PT_NOTE, so /proc/vmcore would not be made"
        )
    loads = [p for p in header.phdrs if p.p_type == PT_LOAD]
    headers = align_up(EHDR_SIZE + (1 + len(loads)) * PHDR_SIZE, page_size)
    rows = [Phdr(PT_NOTE, 0, headers, 0, 0, notes, notes, 4)]
    at = headers + align_up(notes, page_size)
    for load in loads:
        first = align_down(load.p_offset, page_size)
        rows.append(load._replace(p_offset=at + load.p_offset - first))
        at += align_up(load.p_offset + load.p_memsz, page_size) - first
    ehdr = replace(header.ehdr, e_phnum=len(rows))
    return Vmcore(ElfCoreHdr(ehdr, tuple(rows)), at)
