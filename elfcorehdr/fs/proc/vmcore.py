"""/proc/vmcore, as a capture kernel makes it from the ELF core header: fs/proc/vmcore.c (v7.1).

All sums are of u64 and wrap as the kernel's do. Imports .elf, .errors, .kexec_file.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator

from elfcorehdr.elf import EHDR_SIZE, PHDR_SIZE, PT_LOAD, PT_NOTE, ElfCoreHdr, Phdr
from elfcorehdr.errors import ElfFormatError
from elfcorehdr.kernel.kexec_file import align_down, align_up
from elfcorehdr.lib.record import NamedTuple, replace

U64 = (1 << 64) - 1


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


def vmcore(elfcorehdr: bytes, notes: int, page_size: int, note_align: int = 4) -> Vmcore:
    """The header over all notes as one, then the PT_LOADs page by page, in order.

    notes: bytes of all real notes together (see note_size()); note_align: their p_align, 0 before 6.12.
    ElfFormatError if elfcorehdr is none.
    """
    header = ElfCoreHdr.unpack(elfcorehdr)
    if header.ehdr.e_phnum == 0 or not any(p.p_type == PT_NOTE for p in header.phdrs):
        raise ElfFormatError(
            "the ELF core header has no PT_NOTE, so /proc/vmcore would not be made"
        )
    loads = [p for p in header.phdrs if p.p_type == PT_LOAD]
    headers = align_up(EHDR_SIZE + (1 + len(loads)) * PHDR_SIZE, page_size)
    rows = [Phdr(PT_NOTE, 0, headers, 0, 0, notes, notes, note_align)]
    at = headers + align_up(notes, page_size)
    for load in loads:
        first, size = _pages(load, page_size)
        rows.append(load._replace(p_offset=(at + load.p_offset - first) & U64))
        at = (at + size) & U64
    ehdr = replace(header.ehdr, e_phnum=len(rows))
    return Vmcore(ElfCoreHdr(ehdr, tuple(rows)), at)


def _pages(load: Phdr, page_size: int) -> tuple[int, int]:
    """The whole pages that a load's memory lies in: first byte, size; process_ptload_program_headers_elf64()."""
    first = align_down(load.p_offset, page_size)
    end = align_up((load.p_offset + load.p_memsz) & U64, page_size) & U64
    return first, (end - first) & U64


class OldMem(NamedTuple):
    """struct vmcore_range: `size` bytes of /proc/vmcore from `offset` on are memory from `paddr` on."""

    offset: int
    paddr: int
    size: int


class ProcVmcore:
    """The file: headers and notes are a copy, memory is read when it is asked for.

    read_memory(address, size) gives the memory of the kernel that crashed. ElfFormatError as vmcore().
    """

    def __init__(
        self,
        elfcorehdr: bytes,
        page_size: int,
        read_memory: Callable[[int, int], bytes],
        note_align: int = 4,
    ) -> None:
        self._read_memory = read_memory
        self.elfcorehdr = elfcorehdr
        """The header that it is made from."""
        header = ElfCoreHdr.unpack(elfcorehdr)
        notes = []
        self.empty_notes = 0
        """PT_NOTEs that hold none: each is a warning in the capture kernel's log."""
        for phdr in header.phdrs:
            if phdr.p_type == PT_NOTE:
                memory = read_memory(phdr.p_offset, min(phdr.p_memsz, 1 << 20))
                used = note_size(memory)
                self.empty_notes += not used
                notes.append(memory[:used])
        merged = b"".join(notes)
        made = vmcore(elfcorehdr, len(merged), page_size, note_align)
        self.header, self.size = made
        headers = self.header.phdrs[0].p_offset
        head = self.header.pack().ljust(headers, b"\0") + merged
        self._head = head.ljust(headers + align_up(len(merged), page_size), b"\0")
        self.ranges: list[OldMem] = []
        at = len(self._head)
        for load in (p for p in header.phdrs if p.p_type == PT_LOAD):
            first, size = _pages(load, page_size)
            self.ranges.append(OldMem(at, first, size))
            at = (at + size) & U64
        # Where offsets have wrapped, the first range that reaches beyond a position has it.
        self._ascending = all(
            a.offset <= b.offset for a, b in zip(self.ranges, self.ranges[1:], strict=False)
        )
        self._offsets = [r.offset for r in self.ranges]

    def memory(self) -> list[tuple[int, int]]:
        """The physical memory that the loads list, each byte once: start, end (not included), ascending."""
        found: list[tuple[int, int]] = []
        for p in sorted(self.header.phdrs[1:], key=lambda p: (p.p_paddr, -p.p_memsz)):
            start, end = p.p_paddr, p.p_paddr + p.p_memsz
            if found and start < found[-1][1]:
                start = found[-1][1]
            if start < end:
                found.append((start, end))
        return found

    def read(self, offset: int, size: int) -> bytes:
        """read_vmcore(): at most size bytes at offset; none at or behind the end."""
        size = max(0, min(size, self.size - offset))
        parts: list[bytes] = []
        if size and offset < len(self._head):
            parts.append(self._head[offset : offset + size])
            offset, size = offset + len(parts[0]), size - len(parts[0])
        for r in self._from(offset):
            end = (r.offset + r.size) & U64
            if not size:
                break
            if offset < end:
                length = min(end - offset, size)
                parts.append(self._read_memory((r.paddr + offset - r.offset) & U64, length))
                offset, size = offset + length, size - length
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _from(self, offset: int) -> Iterator[OldMem]:
        first = max(0, bisect_right(self._offsets, offset) - 1) if self._ascending else 0
        return (self.ranges[i] for i in range(first, len(self.ranges)))
