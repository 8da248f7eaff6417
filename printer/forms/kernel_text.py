"""The kernel's own print of an elfcorehdr, byte for byte; its parser is inputs/kernel_text_parser.py.

Mirrors crash_print_elfcorehdr() of the debug patch in the tree named by the cover letter
"[PATCH 0/2] powerpc/crash: backup region offset update to eflcorehdr" (linuxppc-dev, 3 March
2026); the printed sample is tests/golden/kernel/seed. Imports printer.words,
and elfcorehdr.elf only where the fast path does not reach: start-up is part of `elfcorehdr print`.
"""

from __future__ import annotations

from itertools import groupby, islice
from struct import Struct

from printer.words import flags_text, type_name

TYPE_CHECKING = False  # typing costs a start-up that nothing here needs at run time
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from elfcorehdr.elf import Phdr

SUMMARY = (
    "ELF Program Header Summary:\n"
    "  Total Program Headers: %d (0x%x)\n"
    "  PT_LOAD segments:      %d (0x%x)\n"
    "  PT_NOTE segments:      %d (0x%x)\n"
    "\n"
    "Program Headers:\n"
)
# Quirk: the heading is narrower than the rows, its rule is 80 wide, and it ends in three blanks:
# so it stands in the cover letter's sample.
HEADING = "%-5s %-18s %-18s %-18s %-12s %-12s %-8s %-8s\n" % (  # noqa: UP031 - the kernel's format
    ("Index", "Type", "Offset", "VirtAddr", "PhysAddr", "FileSize", "MemSize", "Flags")
)
RULE = "=" * 80 + "\n"

_KERNEL_FORM = b"\x7fELF\x02\x01"  # ELFCLASS64, ELFDATA2LSB: all that a kernel writes
_EHDR_TABLE = Struct("<32xQ14xHH")  # e_phoff, e_phentsize, e_phnum
_ROW = Struct("<QQQQQQ8x")  # type and flags as one key, then the five numbers printed
_KIND = Struct("<I52x")
_PN_XNUM = 0xFFFF
_CHUNK = 1024
"""Rows formatted at a time, 120 KiB of text: more would need fresh pages each time, a quarter of the whole."""
_FEW = 256
"""Rows of one type and flags from which on they are formatted column by column."""
PHDR_SIZE = 56


class _RowFormats(dict[int, bytes]):
    """p_flags << 32 | p_type -> the row's format, with type and flags filled in."""

    def __missing__(self, key: int) -> bytes:
        kind, flags = type_name(key & 0xFFFFFFFF), flags_text(key >> 32)
        row = "0x%-3x " + kind.ljust(18) + " " + "0x%-16x " * 5 + flags + "\n"
        self[key] = made = row.encode("ascii")
        return made


def render(header: bytes | bytearray | memoryview) -> str:
    """The text that the kernel prints for the raw elfcorehdr at the start of header.

    Bytes behind the last program header are ignored. ElfFormatError if header is not ELF or its
    tables are cut off (as ElfCoreHdr.unpack()).

    >>> render(open("elfcorehdr.bin", "rb").read()).splitlines()[1]
    '  Total Program Headers: 13 (0xd)'
    """
    return b"".join(render_chunks(header)).decode("ascii")


def render_chunks(header: bytes | bytearray | memoryview, rows: int = _CHUNK) -> Iterator[bytes]:
    """render(), as pieces of so many rows (a divisor of 4,096) for streaming; ElfFormatError comes first."""
    view = memoryview(header).cast("B")
    table = fast_table(view)
    if table is None:
        from elfcorehdr.elf import unpack_ehdr, unpack_phdrs

        return render_phdr_chunks(unpack_phdrs(view, unpack_ehdr(view)))
    return render_table(table, rows)


def render_phdr_chunks(phdrs: Sequence[Phdr]) -> Iterator[bytes]:
    """The kernel's text for program headers that are unpacked already, as pieces."""
    return render_rows(phdrs, range(len(phdrs)))


def render_rows(phdrs: Sequence[Phdr], rows: Iterable[int]) -> Iterator[bytes]:
    """The kernel's text with only these rows, in this order; the summary is of the whole header."""
    kinds = [phdr[0] for phdr in phdrs]
    yield _head(len(phdrs), kinds.count(1), kinds.count(4))
    formats = _RowFormats()
    numbers = iter(rows)
    while chunk := list(islice(numbers, _CHUNK)):
        yield b"".join(
            [
                formats[p[1] << 32 | p[0]] % (i, p[2], p[3], p[4], p[5], p[6])
                for i, p in ((i, phdrs[i]) for i in chunk)
            ]
        )


def _head(total: int, loads: int, notes: int) -> bytes:
    counts = SUMMARY % (total, total, loads, loads, notes, notes)
    return (counts + HEADING + RULE).encode("ascii")


def fast_table(view: memoryview) -> memoryview | None:
    """The program header table of a header in the kernel's own form; None for any other."""
    if len(view) < 64 or view[:6] != _KERNEL_FORM:
        return None
    e_phoff, e_phentsize, e_phnum = _EHDR_TABLE.unpack_from(view)
    end = e_phoff + e_phnum * PHDR_SIZE
    if e_phentsize != PHDR_SIZE or e_phnum == _PN_XNUM or end > len(view):
        return None
    return view[e_phoff:end]


def render_table(table: memoryview, piece: int = _CHUNK) -> Iterator[bytes]:
    """The whole text for a packed little-endian Elf64_Phdr table, as pieces of so many rows."""
    total = len(table) // PHDR_SIZE
    yield _head(total, *_count_types(table))
    for first in range(0, total, piece):
        rows = table[first * PHDR_SIZE : (first + piece) * PHDR_SIZE]
        if len(rows) < _FEW * PHDR_SIZE:
            yield _each(rows, first)
        else:
            yield b"".join(_runs(rows, first))


def _each(table: memoryview, first: int) -> bytes:
    """Rows formatted one by one."""
    row = _RowFormats()
    return b"".join(
        [
            row[key] % (i, offset, vaddr, paddr, filesz, memsz)
            for i, (key, offset, vaddr, paddr, filesz, memsz) in enumerate(
                _ROW.iter_unpack(table), first
            )
        ]
    )


def _runs(table: memoryview, first: int) -> Iterator[bytes]:
    """Long runs of rows with one type and flags column by column, what lies between one by one."""
    done = at = 0
    for _, run in groupby(table.cast("Q")[::7].tolist()):
        start, at = at, at + len(list(run))
        if at - start < _FEW:
            continue
        yield _each(table[done * PHDR_SIZE : start * PHDR_SIZE], first + done)
        yield _columns(bytes(table[start * PHDR_SIZE : at * PHDR_SIZE]), first + start)
        done = at
    yield _each(table[done * PHDR_SIZE :], first + done)


def _columns(table: bytes, first: int) -> bytes:
    """Rows of one type and flags, as _RowFormats has them."""
    from printer.forms.hex_columns import Column, counted, lines

    count = len(table) // PHDR_SIZE
    kind, flags = (int.from_bytes(table[at : at + 4], "little") for at in (0, 4))
    pieces: list[bytes | tuple[Column, int]] = [b"0x", (counted(first, count), 3)]
    pieces.append(b" " + type_name(kind).ljust(18).encode("ascii") + b" ")
    for word in range(1, 6):
        pieces += [b"0x", (Column(table, 8 * word, 8, PHDR_SIZE), 16), b" "]
    return lines([*pieces, flags_text(flags).encode("ascii") + b"\n"], count)


def _count_types(table: memoryview) -> tuple[int, int]:
    """How many rows are PT_LOAD, how many PT_NOTE, by the bytes of p_type across all rows."""
    low = bytes(table[::PHDR_SIZE])
    if any(bytes(table[at::PHDR_SIZE]).strip(b"\0") for at in (1, 2, 3)):
        kinds = [kind for (kind,) in _KIND.iter_unpack(table)]
        return kinds.count(1), kinds.count(4)
    return low.count(1), low.count(4)
