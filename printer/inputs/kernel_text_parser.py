"""parse(): the kernel's printed table read back, also out of a log. Its writer is forms/kernel_text.py.

Imports elfcorehdr.elf and .errors, printer.words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from elfcorehdr.elf import PT_LOAD, PT_NOTE, Ehdr, ElfCoreHdr, Phdr
from elfcorehdr.errors import ElfFormatError
from elfcorehdr.lib.record import NamedTuple
from printer.words import PT_NAMES

TITLE = "ELF Program Header Summary:"
_TYPES = {name: number for number, name in PT_NAMES.items()}
_HEX = "0x([0-9a-f]{1,16})"
_ROW = re.compile(
    rf"(?<![0-9A-Za-z])0x([0-9a-f]{{1,8}})\s+(PT_[A-Z_]+|0x[0-9a-f]{{1,8}})"
    rf"\s+{_HEX}\s+{_HEX}\s+{_HEX}\s+{_HEX}\s+{_HEX}\s+([R-][W-][X-])\s*$"
)
_COUNT = re.compile(
    r"(Total Program Headers|PT_LOAD segments|PT_NOTE segments):\s+(\d{1,10}) \(0x([0-9a-f]{1,8})\)\s*$"
)
# An earlier revision of the debug patch (the author's working tree) titles the list so and writes
# PT_LOAD in every row; there a note is known by its flags, which the kernel leaves 0.
_EARLY_LIST = re.compile(r"(?<![0-9A-Za-z])PT_LOAD Segments:\s*$")
_ROW_LIKE = re.compile(r"(?<![0-9A-Za-z])0x[0-9a-f]+\s+PT_[A-Z]")


def parse(text: str, e_machine: int = 0) -> ElfCoreHdr:
    """Read the kernel's text back; text that kernel_text.render() made comes out of it unchanged.

    Lines may carry what a log puts before them (time stamps, levels, `kexec_core: `), rows may be
    interleaved with other records, and of several prints in one log the last is taken. What the
    text does not say is zero (p_align), or as the kernel always writes it (64-bit, little
    endian); e_machine is the caller's word. ElfFormatError names the line that is wrong.

    >>> parse(open("crash_elfcorehdr_print.txt").read()).phdrs[9].p_offset
    452198400
    """
    return read(text, e_machine).header


class Printed(NamedTuple):
    """A table that was read back."""

    header: ElfCoreHdr
    lines: list[int]
    """The lines of the title and of each row, counted from 1."""
    announced: int
    """How many rows the summary speaks of: more than there are in text that was cut off."""


def read(text: str, e_machine: int = 0, *, torn: bool = False) -> Printed:
    """parse(), and where what was found; with torn rows may be missing at the end, the last one cut off."""
    begin = text.rfind(TITLE)
    if begin < 0:
        raise ElfFormatError(f'no line "{TITLE}", expected the kernel\'s print of an elfcorehdr')
    first_line = text.count("\n", 0, begin) + 1
    counts: dict[str, int] = {}
    phdrs: list[Phdr] = []
    lines = [first_line]
    early = False
    damaged: ElfFormatError | None = None
    for number, line in _lines(text, begin, first_line):
        if row := _ROW.search(line):
            if damaged:
                raise damaged
            phdrs.append(_row(row, number, len(phdrs), early))
            lines.append(number)
        elif count := _COUNT.search(line):
            counts[count[1]] = _count(count, number)
        elif _EARLY_LIST.search(line):
            early = True
        elif _ROW_LIKE.search(line):
            damaged = damaged or ElfFormatError(
                f"line {number}: program header {len(phdrs):#x} is damaged or cut off, expected "
                "index, type, five hex numbers and flags"
            )
            if not torn:
                raise damaged
        if phdrs and len(phdrs) == counts.get("Total Program Headers"):
            break
    _check_counts(counts, phdrs, first_line, torn=torn)
    ehdr = Ehdr(e_machine=e_machine, e_phnum=min(len(phdrs), 0xFFFF))
    announced = counts.get("Total Program Headers", len(phdrs))
    return Printed(ElfCoreHdr(ehdr, tuple(phdrs)), lines, announced)


def _lines(text: str, begin: int, number: int) -> Iterator[tuple[int, str]]:
    while begin < len(text):
        end = text.find("\n", begin)
        end = len(text) if end < 0 else end
        yield number, text[begin : min(end, begin + 4096)]
        begin, number = end + 1, number + 1


def _row(row: re.Match[str], number: int, expected: int, early: bool) -> Phdr:
    index, word, offset, vaddr, paddr, filesz, memsz, letters = row.groups()
    if int(index, 16) != expected:
        raise ElfFormatError(f"line {number}: index is 0x{index}, expected {expected:#x}")
    kind = _TYPES.get(word)
    if kind is None:
        if not word.startswith("0x"):
            raise ElfFormatError(f"line {number}: type is {word}, expected PT_LOAD or PT_NOTE")
        kind = int(word, 16)
    flags = sum(bit for bit, letter in zip((4, 2, 1), letters, strict=True) if letter != "-")
    if early and not flags:
        kind = PT_NOTE
    numbers = (int(n, 16) for n in (offset, vaddr, paddr, filesz, memsz))
    return Phdr._make((kind, flags, *numbers, 0))


def _count(count: re.Match[str], number: int) -> int:
    name, decimal, hexadecimal = count.groups()
    if int(decimal) != int(hexadecimal, 16):
        raise ElfFormatError(
            f"line {number}: {name} is {decimal} but 0x{hexadecimal}, expected the same number twice"
        )
    return int(decimal)


def _check_counts(counts: dict[str, int], phdrs: list[Phdr], line: int, *, torn: bool) -> None:
    kinds = [phdr.p_type for phdr in phdrs]
    found = {
        "Total Program Headers": len(kinds),
        "PT_LOAD segments": kinds.count(PT_LOAD),
        "PT_NOTE segments": kinds.count(PT_NOTE),
    }
    for name, have in found.items():
        if torn and "Total Program Headers" in counts and counts.get(name, have) >= have:
            continue
        if name not in counts:
            raise ElfFormatError(f'line {line}: no "{name}: N (0xN)" after the summary\'s title')
        if counts[name] != have:
            more = " (a sysfs file is cut at its page)" if counts[name] > have else ""
            raise ElfFormatError(
                f"line {line}: {name} is {counts[name]}, but {have} rows follow{more}"
            )
