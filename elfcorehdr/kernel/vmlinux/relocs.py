"""Where an image holds addresses of its own, so that it can be moved: arch/x86/tools/relocs.c, arch/arm64/kernel/pi/relocate.c.

x86's vmlinux keeps the relocations that the linker made (.rela.data and the like); others are linked as position
independent and have .rela.dyn, whose addends need not be in place (--no-apply-dynamic-relocs), and .relr.dyn. Of an image without either the aligned words outside its text are taken that are addresses of it.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator

from elfcorehdr.elf import EM_AARCH64, EM_PPC64, EM_RISCV, EM_X86_64
from elfcorehdr.lib.record import NamedTuple

_RELA = struct.Struct("<QQq")
_WIDTH = {
    (EM_X86_64, 1): 8,  # R_X86_64_64
    (EM_X86_64, 10): 4,  # R_X86_64_32
    (EM_X86_64, 11): 4,  # R_X86_64_32S
}
"""Bytes of a relocation that depends on where the image is, by machine and type."""
_RELATIVE = {EM_AARCH64: 1027, EM_RISCV: 3, EM_PPC64: 22}
"""The type of a word that is its addend, moved: R_AARCH64_RELATIVE, R_RISCV_RELATIVE, R_PPC64_RELATIVE."""
RELA, RELA_DYN, RELR = range(3)


class Rela(NamedTuple):
    """A section of relocations: where and how much of it is in the file, what addresses it speaks of."""

    offset: int
    size: int
    start: int
    end: int
    kind: int = RELA


class Relocs:
    """Of an image that is linked to link..link+size-1 for a machine; read(offset, size) gives the file's bytes."""

    def __init__(
        self,
        e_machine: int,
        sections: list[Rela],
        read: Callable[[int, int], bytes],
        link: int,
        size: int,
    ) -> None:
        self._machine, self._sections, self._file = e_machine, sections, read
        self._link, self._end = link, link + size
        self.dynamic = any(s.kind == RELA_DYN for s in sections)
        """Whether words are not in place, even where the image is linked to."""
        self._places: dict[Rela, tuple[array[int], array[int]]] = {}

    def _of(self, section: Rela) -> tuple[array[int], array[int]]:
        """Addresses, ascending, and how many bytes are at each; of .rela.dyn what the word is instead."""
        if section not in self._places:
            content = self._file(section.offset, section.size)
            if section.kind == RELR:
                found = [(at, 8) for at in _relr(content)]
            else:
                found = [*self._rela(content, dynamic=section.kind == RELA_DYN)]
            found.sort()
            self._places[section] = array("Q", [a for a, _ in found]), array("Q", [w for _, w in found])  # fmt: skip
        return self._places[section]

    def _rela(self, content: bytes, *, dynamic: bool) -> Iterator[tuple[int, int]]:
        for at, info, addend in _RELA.iter_unpack(content[: len(content) // 24 * 24]):
            kind = info & 0xFFFFFFFF
            if dynamic and kind == _RELATIVE.get(self._machine):
                yield at, addend % (1 << 64)
            elif not dynamic and (self._machine, kind) in _WIDTH:
                yield at, _WIDTH[self._machine, kind]

    def apply(self, content: bytes, vaddr: int, slide: int) -> bytes:
        """The bytes at a linked address as they are `slide` bytes further; per-CPU offsets and the like stay."""
        if not slide and not self.dynamic:
            return content
        made, end = bytearray(content), vaddr + len(content)
        if not self._sections:
            self._words(made, vaddr, slide)
        for section in self._sections:
            if section.start >= end or section.end <= vaddr:
                continue
            places, widths = self._of(section)
            for n in range(bisect_left(places, vaddr - 7), bisect_left(places, end)):
                at = places[n] - vaddr
                if section.kind == RELA_DYN:
                    if 0 <= at <= len(made) - 8:
                        word = (widths[n] + slide) % (1 << 64)
                        made[at : at + 8] = word.to_bytes(8, "little")
                else:
                    self._move(made, at, widths[n], slide)
        return bytes(made)

    def _move(self, made: bytearray, at: int, width: int, slide: int) -> None:
        """One address; in what is read only in part, as far as it is whole."""
        if at < 0 or at + width > len(made):
            return
        value = int.from_bytes(made[at : at + width], "little")
        high = ~0xFFFFFFFF % (1 << 64) if width == 4 and value >> 31 else 0
        if self._link <= value | high < self._end:
            made[at : at + width] = ((value + slide) % (1 << 8 * width)).to_bytes(width, "little")

    def _words(self, made: bytearray, vaddr: int, slide: int) -> None:
        for at in range(-vaddr % 8, len(made) - 7, 8):
            self._move(made, at, 8, slide)


def _relr(content: bytes) -> Iterator[int]:
    """SHT_RELR: an address, then bitmaps of the 63 words behind the last one."""
    at = 0
    for (entry,) in struct.iter_unpack("<Q", content[: len(content) // 8 * 8]):
        if not entry & 1:
            yield entry
            at = entry + 8
        else:
            yield from (at + 8 * n for n in range(63) if entry >> n + 1 & 1)
            at += 63 * 8
