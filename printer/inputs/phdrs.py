"""Program headers as columns: an array for each field, a row made only when it is asked for.

Of 65,534 rows a column takes half a MiB and a fifth of a millisecond; as many Phdr tuples took
14 ms and 16 MiB. Imports elfcorehdr.elf.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, overload

from elfcorehdr.elf import (
    ELFCLASS64,
    ELFDATA2LSB,
    PHDR_SIZE,
    Ehdr,
    Phdr,
    phdr_size,
)

_PLACES = {"p_offset": 1, "p_vaddr": 2, "p_paddr": 3, "p_filesz": 4, "p_memsz": 5, "p_align": 6}
"""Which 8-byte word of an Elf64_Phdr a field is; word 0 is p_type and p_flags."""
_PLACES_32 = {"p_type": 0, "p_flags": 6, "p_align": 7} | {
    name: place for name, place in _PLACES.items() if name != "p_align"
}
"""Which 4-byte word of an Elf32_Phdr a field is."""


PHDR_SIZE_32 = 32


class Phdrs(Sequence[Phdr]):
    """The program headers of a table, in file order; every field of all rows is a column of its own name.

    Equal to any sequence of the same rows. A column is an array of ints, at most 64 bits each.
    """

    def __init__(self, table: bytes | bytearray | memoryview, ehdr: Ehdr) -> None:
        """table: whole rows, in ehdr's class and byte order."""
        self._table = memoryview(table).cast("B")
        self._wide = ehdr.ei_class == ELFCLASS64
        self._swapped = (ehdr.ei_data == ELFDATA2LSB) != (sys.byteorder == "little")
        self._count = len(self._table) // phdr_size(ehdr) if self._table else 0
        self._columns: dict[str, array[int]] = {}

    def _column(self, name: str) -> array[int]:
        """The column of a field, made when it is first asked for."""
        found = self._columns.get(name)
        if found is None:
            if not self._wide:
                found = self._words("I", 8, _PLACES_32[name])
                found = array("Q", found) if name in _PLACES else found
            elif name in _PLACES:
                found = self._words("Q", 7, _PLACES[name])
            else:
                found = self._words("I", PHDR_SIZE // 4, ("p_type", "p_flags").index(name))
            self._columns[name] = found
        return found

    def _words(self, code: Literal["I", "Q"], step: int, place: int) -> array[int]:
        words = array(code)
        if self._table:
            words.frombytes(self._table.cast(code)[place::step].tobytes())
        if self._swapped:
            words.byteswap()
        return words

    @property
    def p_type(self) -> array[int]:
        """PT_LOAD, PT_NOTE, ... of each row."""
        return self._column("p_type")

    @property
    def p_flags(self) -> array[int]:
        """PF_R, PF_W, PF_X of each row."""
        return self._column("p_flags")

    @property
    def p_offset(self) -> array[int]:
        """Where each row is read: a physical address or a place in the file (Core.form)."""
        return self._column("p_offset")

    @property
    def p_vaddr(self) -> array[int]:
        """The virtual address of each row."""
        return self._column("p_vaddr")

    @property
    def p_paddr(self) -> array[int]:
        """The physical address of each row."""
        return self._column("p_paddr")

    @property
    def p_filesz(self) -> array[int]:
        """Bytes of each row in the file."""
        return self._column("p_filesz")

    @property
    def p_memsz(self) -> array[int]:
        """Bytes of each row in memory."""
        return self._column("p_memsz")

    @property
    def p_align(self) -> array[int]:
        """Alignment of each row; kernels write 0, /proc/kcore the size of a page."""
        return self._column("p_align")

    def columns(self) -> tuple[array[int], ...]:
        """All columns, in the order of Phdr's fields."""
        return tuple(map(self._column, Phdr._fields))

    def whole(self, other: Phdrs, rows: Iterable[int]) -> Iterator[object]:
        """Some rows as values that are equal where those of other are: bytes if both are packed the same way."""
        if (self._wide, self._swapped) != (other._wide, other._swapped):
            return map(self.__getitem__, rows)
        size = PHDR_SIZE if self._wide else PHDR_SIZE_32
        return (self._table[row * size : (row + 1) * size].tobytes() for row in rows)

    def rows_of(self, p_type: int) -> range | list[int]:
        """Indexes of the rows of a type, ascending; a range where they follow each other."""
        types = self.p_type
        count = types.count(p_type)
        if not count:
            return range(0)
        first = types.index(p_type)
        if types[first : first + count].count(p_type) == count:
            return range(first, first + count)
        return [row for row, kind in enumerate(types) if kind == p_type]

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, row: int) -> Phdr: ...
    @overload
    def __getitem__(self, row: slice) -> tuple[Phdr, ...]: ...
    def __getitem__(self, row: int | slice) -> Phdr | tuple[Phdr, ...]:
        """A row; a slice gives a tuple of rows."""
        if isinstance(row, slice):
            return tuple(map(Phdr._make, zip(*(c[row] for c in self.columns()), strict=True)))
        if not -self._count <= row < self._count:
            raise IndexError(f"program header {row} of {self._count}")
        return Phdr._make([column[row] for column in self.columns()])

    def __iter__(self) -> Iterator[Phdr]:
        return map(Phdr._make, zip(*self.columns(), strict=True))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Phdrs):
            return self.columns() == other.columns()
        if isinstance(other, Sequence):
            return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as other sequences that compare by value

    def __repr__(self) -> str:
        return f"<{self._count} program headers>"
