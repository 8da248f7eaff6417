"""A kernel's vmlinux: what is in it, where its symbols are, which kernel it is.

Read piece by piece: of a file of a gigabyte the image, the symbol table and the types are wanted.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from elfcorehdr.elf import (
    EHDR_SIZE,
    ELFCLASS64,
    ELFDATA2LSB,
    PT_LOAD,
    gnu_build_id,
    unpack_ehdr,
)
from elfcorehdr.errors import ElfFormatError, ProfileError
from elfcorehdr.kernel.vmlinux.btf import Btf
from elfcorehdr.kernel.vmlinux.relocs import RELA_DYN, RELR, Rela, Relocs
from elfcorehdr.lib.record import NamedTuple

ET_EXEC, ET_DYN = 2, 3
SHT_SYMTAB, SHT_RELA, SHT_NOTE, SHT_NOBITS = 2, 4, 7, 8
SHT_RELR = 19
SHF_ALLOC = 2
STB_LOCAL = 0
_MOST = 1 << 28
"""Bytes of a section that is read at once."""
_SHDR = struct.Struct("<IIQQQQIIQQ")
_SYM = struct.Struct("<IBBHQQ")


class _Load(NamedTuple):
    vaddr: int
    offset: int
    size: int
    """Of what is in the file; behind it are zeros."""


class Vmlinux:
    """The file `name`; read(offset, size) gives its bytes. ProfileError if it is none, or lacks what is needed."""

    def __init__(self, name: str, read: Callable[[int, int], bytes]) -> None:
        self.name = name
        self._read = read
        self._loads: list[_Load] = []
        self._sections: dict[str, tuple[int, int, int]] = {}
        """Type, offset, size."""
        try:
            self._open()
            self.symbols = self._symtab()
            self.btf = Btf(self._section(".BTF", "a kernel with CONFIG_DEBUG_INFO_BTF"))
        except (ElfFormatError, struct.error, ValueError) as error:
            raise ProfileError(f"vmlinux {name}: {error}") from None
        self.link = self._symbol("_text")
        """Where it is linked to."""
        self.size = self._symbol("_end") - self.link
        self._relocs = Relocs(self.e_machine, self._relas, read, self.link, self.size)
        self.release, self.version = self._identity()
        """What uname -r and -v say."""

    def _open(self) -> None:
        ehdr = unpack_ehdr(self._read(0, EHDR_SIZE))
        if (ehdr.ei_class, ehdr.ei_data) != (ELFCLASS64, ELFDATA2LSB) or ehdr.e_type not in (
            ET_EXEC,
            ET_DYN,
        ):
            raise ElfFormatError("no executable of 64 bits, little endian: expected a vmlinux")
        self.e_machine = ehdr.e_machine
        rows = self._read(ehdr.e_phoff, 56 * ehdr.e_phnum)
        for n in range(ehdr.e_phnum):
            kind, _, offset, vaddr, _, filesz, _, _ = struct.unpack_from("<IIQQQQQQ", rows, 56 * n)
            if kind == PT_LOAD:
                self._loads.append(_Load(vaddr, offset, filesz))
        rows = self._read(ehdr.e_shoff, _SHDR.size * ehdr.e_shnum)
        found = [_SHDR.unpack_from(rows, _SHDR.size * n) for n in range(ehdr.e_shnum)]
        if not found or ehdr.e_shstrndx >= len(found):
            raise ElfFormatError("it has no sections: expected a vmlinux that is not stripped")
        names = self._read(found[ehdr.e_shstrndx][4], found[ehdr.e_shstrndx][5])
        self._links = dict[str, str]()
        self._relas: list[Rela] = []
        for s in found:
            if s[1] == SHT_RELA:
                target = found[s[7]] if s[7] < len(found) else s
                if target[2] & SHF_ALLOC and s[7]:
                    self._relas.append(Rela(s[4], s[5], target[3], target[3] + target[5]))
                elif s[2] & SHF_ALLOC and not s[7]:  # .rela.dyn: of the whole image
                    self._relas.append(Rela(s[4], s[5], 0, 1 << 64, RELA_DYN))
            elif s[1] == SHT_RELR:
                self._relas.append(Rela(s[4], s[5], 0, 1 << 64, RELR))
        order = [names[s[0] : names.index(b"\0", s[0])].decode(errors="replace") for s in found]
        for title, s in zip(order, found, strict=True):
            self._sections[title] = (s[1], s[4], s[5])
            if s[1] == SHT_SYMTAB and s[6] < len(order):
                self._links[title] = order[s[6]]

    def _section(self, name: str, what: str) -> bytes:
        kind, offset, size = self._sections.get(name, (SHT_NOBITS, 0, 0))
        if kind == SHT_NOBITS or not size:
            raise ElfFormatError(f"it has no {name}: expected {what}")
        if size > _MOST:
            raise ElfFormatError(f"{name} is {size:#x} bytes, expected at most {_MOST:#x}")
        content = self._read(offset, size)
        if len(content) != size:
            raise ElfFormatError(f"{name} is cut off after {len(content):#x} of {size:#x} bytes")
        return content

    def _symtab(self) -> dict[str, int]:
        """Symbols by name; of two of a name a global one, else the first."""
        table = self._section(".symtab", "a vmlinux that is not stripped")
        strings = self._section(self._links.get(".symtab", ".strtab"), "the names of its symbols")
        found: dict[str, int] = {}
        local: dict[str, int] = {}
        for name, info, _, section, value, _ in _SYM.iter_unpack(table[: len(table) // 24 * 24]):
            if not section or info & 0xF > 2:
                continue  # undefined; sections, files
            word = strings[name : strings.index(b"\0", name)].decode(errors="replace")
            if info >> 4 == STB_LOCAL:
                local.setdefault(word, value)
            else:
                found.setdefault(word, value)
        return local | found

    def _symbol(self, name: str) -> int:
        try:
            return self.symbols[name]
        except KeyError:
            raise ProfileError(
                f"vmlinux {self.name}: it has no symbol {name}: expected a Linux kernel"
            ) from None

    def _identity(self) -> tuple[str, str]:
        at = self._symbol("init_uts_ns") + (self.btf.offset("uts_namespace.name") or 0)
        release, version = self.text(at + 130, 65), self.text(at + 195, 65)
        if not re.fullmatch(r"\d+\.\d+[!-~]*", release):
            raise ProfileError(f"vmlinux {self.name}: init_uts_ns.name.release is {release!r:.80}, expected a kernel's")  # fmt: skip
        return release, version

    @property
    def upstream(self) -> str:
        """The release of kernel.org that it is made of: Debian says it in the version, others in the release."""
        found = re.search(r"Debian (\d+\.\d+(?:\.\d+)?)", self.version)
        return found[1] if found else self.release

    @property
    def build_id(self) -> str:
        """In hex; empty without one."""
        for title, (kind, offset, size) in self._sections.items():
            if kind != SHT_NOTE or not title.startswith(".note"):
                continue
            if found := gnu_build_id(self._read(offset, min(size, 1 << 16))):
                return found
        return ""

    def moved(self, vaddr: int, size: int, slide: int) -> bytes:
        """As read(), of an image that is `slide` bytes from where it is linked to."""
        if not slide and not self._relocs.dynamic:
            return self.read(vaddr, size)
        # An address that begins before or ends behind the part is moved with its whole.
        around = self.read(vaddr - 8, size + 16)
        return self._relocs.apply(around, vaddr - 8, slide)[8 : 8 + size]

    def read(self, vaddr: int, size: int) -> bytes:
        """The bytes from a linked address on; zeros where the file has none."""
        parts, end = [], vaddr + size
        for load in sorted(self._loads):
            if load.vaddr + load.size <= vaddr or load.vaddr >= end:
                continue
            start = max(vaddr, load.vaddr)
            stop = min(end, load.vaddr + load.size)
            parts += [bytes(start - vaddr), self._read(load.offset + start - load.vaddr, stop - start).ljust(stop - start, b"\0")]  # fmt: skip
            vaddr = stop
        return b"".join([*parts, bytes(end - vaddr)])

    def text(self, vaddr: int, size: int) -> str:
        """A string in the image, of at most size bytes."""
        return self.read(vaddr, size).split(b"\0")[0].decode(errors="replace")
