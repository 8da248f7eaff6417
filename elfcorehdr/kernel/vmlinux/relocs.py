"""Where an image holds addresses of its own, so that it can be moved: arch/x86/tools/relocs.c, arch/arm64/kernel/pi/relocate.c.

x86's vmlinux keeps the relocations that the linker made (.rela.data and the like); others are linked as position
independent and have .rela.dyn. Of an image without either the aligned words outside its text are taken that are addresses of it.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from collections.abc import Callable

from elfcorehdr.elf import EM_AARCH64, EM_RISCV, EM_X86_64
from elfcorehdr.lib.record import NamedTuple

_RELA = struct.Struct("<QQq")
_WIDTH = {
    (EM_X86_64, 1): 8,  # R_X86_64_64
    (EM_X86_64, 10): 4,  # R_X86_64_32
    (EM_X86_64, 11): 4,  # R_X86_64_32S
    (EM_AARCH64, 1027): 8,  # R_AARCH64_RELATIVE
    (EM_RISCV, 3): 8,  # R_RISCV_RELATIVE
}
"""Bytes of a relocation that depends on where the image is, by machine and type."""


class Rela(NamedTuple):
    """A section of relocations: where and how much of it is in the file, what addresses it speaks of."""

    offset: int
    size: int
    start: int
    end: int


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
        self._places: dict[Rela, tuple[array[int], bytes]] = {}

    def _of(self, section: Rela) -> tuple[array[int], bytes]:
        """Addresses, ascending, and how many bytes are at each."""
        if section not in self._places:
            content, found = self._file(section.offset, section.size), []
            for at, info, _ in _RELA.iter_unpack(content[: len(content) // 24 * 24]):
                width = _WIDTH.get((self._machine, info & 0xFFFFFFFF))
                if width is not None:
                    found.append((at, width))
            found.sort()
            self._places[section] = array("Q", [a for a, _ in found]), bytes(w for _, w in found)
        return self._places[section]

    def apply(self, content: bytes, vaddr: int, slide: int) -> bytes:
        """The bytes at a linked address as they are `slide` bytes further; per-CPU offsets and the like stay."""
        if not slide:
            return content
        made, end = bytearray(content), vaddr + len(content)
        if not self._sections:
            self._words(made, vaddr, slide)
        for section in self._sections:
            if section.start >= end or section.end <= vaddr:
                continue
            places, widths = self._of(section)
            for n in range(bisect_left(places, vaddr - 7), bisect_left(places, end)):
                self._move(made, places[n] - vaddr, widths[n], slide)
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
