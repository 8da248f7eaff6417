"""The loaded ELF core header, row by row, for files that show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from elfcorehdr.elf import EHDR_SIZE, PHDR, PHDR_SIZE, PT_LOAD, PT_NOTE, Phdr


class ProgramHeaders(Sequence[Phdr]):
    """The program headers in the bytes of a header as the kernel writes it, each unpacked when it is asked for.

    b"", no header, has none.
    """

    def __init__(self, header: bytes) -> None:
        self._header = header
        self._count = int.from_bytes(header[56:58], "little")

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Phdr: ...
    @overload
    def __getitem__(self, index: slice) -> list[Phdr]: ...
    def __getitem__(self, index: int | slice) -> Phdr | list[Phdr]:
        if isinstance(index, slice):
            return [self[n] for n in range(self._count)[index]]
        n = range(self._count)[index]
        return Phdr(*PHDR.unpack_from(self._header, EHDR_SIZE + n * PHDR_SIZE))


def type_text(phdr: Phdr) -> str:
    """PT_NOTE, PT_LOAD, or the number."""
    return {PT_NOTE: "PT_NOTE", PT_LOAD: "PT_LOAD"}.get(phdr.p_type, f"{phdr.p_type:#x}")


def flags_text(phdr: Phdr) -> str:
    """p_flags as RWX, with - for what is not set."""
    return "".join(c if phdr.p_flags & bit else "-" for c, bit in (("R", 4), ("W", 2), ("X", 1)))
