"""/proc/kcore, the living kernel's memory as an ELF core: fs/proc/kcore.c (v7.2). Imports .elf, mm.mm_init's image.

A snapshot at the time of the open. Offsets are virtual addresses less where the kernel's half begins.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from elfcorehdr.elf import NT_PRSTATUS, PF_R, PF_W, PF_X, PT_LOAD, PT_NOTE, Ehdr, pack_phdrs
from elfcorehdr.kernel.kexec_file import align_up
from elfcorehdr.lib.record import NamedTuple
from elfcorehdr.mm.mm_init import MemoryImage

NT_PRPSINFO, NT_TASKSTRUCT = 3, 4
PRPSINFO_BYTES, FNAME_AT, PSARGS_AT, PSARGS_BYTES = 136, 40, 56, 80
"""struct elf_prpsinfo on 64 bits: its size, pr_fname, pr_psargs."""
NOWHERE = (1 << 64) - 1
"""p_paddr of what is not one piece of memory."""


class _Area(NamedTuple):
    """struct kcore_list; paddr is None for what has no memory here (vmalloc) or several pieces (vmemmap)."""

    vaddr: int
    size: int
    paddr: int | None
    kind: str


class ProcKcore:
    """The file. ram: System RAM as start and end (not included); cmdline, e_machine, prstatus: of the kernel."""

    def __init__(
        self,
        image: MemoryImage,
        ram: Iterable[tuple[int, int]],
        *,
        cmdline: str,
        e_machine: int,
        prstatus: int,
    ) -> None:
        self._image = image
        self._areas = [*self._made(ram)]
        layout, page = image.layout, image.page_size
        psinfo = bytearray(PRPSINFO_BYTES)
        psinfo[1] = ord("R")
        psinfo[FNAME_AT : FNAME_AT + 7] = b"vmlinux"
        args = cmdline.encode(errors="surrogateescape")[: PSARGS_BYTES - 1]
        psinfo[PSARGS_AT : PSARGS_AT + len(args)] = args
        notes = b"".join(
            (
                _note(b"CORE", NT_PRSTATUS, bytes(prstatus)),
                _note(b"CORE", NT_PRPSINFO, bytes(psinfo)),
                _note(b"CORE", NT_TASKSTRUCT, bytes(layout.task_struct)),
                _note(b"VMCOREINFO", 0, image.info.text().encode()),
            )
        )
        at = 64 + 56 * (len(self._areas) + 1)
        self._behind = align_up(at + len(notes), page)
        phdrs = [(PT_NOTE, 0, at, 0, 0, len(notes), 0, 0)]
        for area in self._areas:
            offset = layout.kcore_offset(area.vaddr) + self._behind
            where = NOWHERE if area.paddr is None else area.paddr
            flags = PF_R | PF_W | PF_X
            phdrs.append((PT_LOAD, flags, offset, area.vaddr, where, area.size, area.size, page))
        ehdr = Ehdr(e_machine=e_machine, e_phnum=len(phdrs), e_flags=layout.kcore_flags).pack()
        self._head = (ehdr + pack_phdrs(phdrs) + notes).ljust(self._behind, b"\0")
        self.headers = ehdr + pack_phdrs(phdrs) + notes
        # What lies below PAGE_OFFSET has offsets that no loff_t reaches (riscv64).
        ends = [layout.kcore_offset(a.vaddr) + a.size for a in self._areas]
        self.size = max((end for end in ends if end < 1 << 62), default=0) + self._behind

    def close(self) -> None:
        """The snapshot is not read any more."""
        self._image.mem.close()

    def _made(self, ram: Iterable[tuple[int, int]]) -> Iterable[_Area]:
        """kclist_head: text, vmalloc, modules, then each piece of RAM with its struct pages."""
        image, layout = self._image, self._image.layout
        text, page = layout.text, image.page_size
        if layout.va(text.paddr) != text.vaddr:
            yield _Area(text.vaddr, text.size, text.paddr, "text")
        for start, size in layout.kcore_regions(image.info):
            yield _Area(start, size, None, "vmalloc")
        width = image.info.size("page")
        last = 0
        for start, end in ram:
            first, behind = -(-start // page), end // page
            if behind <= first:
                continue
            where = layout.va(first * page)
            yield _Area(where, (behind - first) * page, first * page, "ram")
            begins = (layout.vmemmap + first * width) // page * page
            ends = -(-(layout.vmemmap + behind * width) // page) * page
            begins = max(begins, last)
            if begins < ends:
                yield _Area(begins, ends - begins, None, "vmemmap")
            last = max(last, ends)

    def read(self, offset: int, size: int) -> bytes:
        """read_kcore_iter(): what no area has reads as zeros."""
        size = max(0, min(size, self.size - offset))
        parts: list[bytes] = []
        if offset < self._behind:
            parts.append(self._head[offset : offset + size])
            offset, size = offset + len(parts[0]), size - len(parts[0])
        vaddr = self._image.layout.kcore_vaddr(offset - self._behind)
        while size:
            area = next((a for a in self._areas if a.vaddr <= vaddr < a.vaddr + a.size), None)
            if area is None:
                after = [a.vaddr - vaddr for a in self._areas if a.vaddr > vaddr]
                length = min([size, *after])
                parts.append(bytes(length))
            else:
                length = min(size, area.vaddr + area.size - vaddr)
                parts.append(self._of(area, vaddr, length))
            vaddr, size = vaddr + length, size - length
        return b"".join(parts)

    def _of(self, area: _Area, vaddr: int, size: int) -> bytes:
        read = self._image.mem.read
        if area.paddr is not None:
            return read(area.paddr + vaddr - area.vaddr, size)
        if area.kind == "vmemmap":
            return self._image.vmemmap_bytes(vaddr, size)
        return bytes(size)


def _note(name: bytes, kind: int, desc: bytes) -> bytes:
    """append_kcore_note()"""
    head = struct.pack("<3I", len(name) + 1, len(desc), kind)
    padded = (name + b"\0").ljust(align_up(len(name) + 1, 4), b"\0")
    return head + padded + desc.ljust(align_up(len(desc), 4), b"\0")
