"""The header of the last hotplug event, kept, and brought up to date by splicing what changed since.

The bytes are those that a rebuild gives; where that is not certain it says so, and is built anew.
Kernels rebuild.
"""

from __future__ import annotations

import errno
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise

from elfcorehdr.elf import EHDR_SIZE, P_PADDR, PHDR_SIZE
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.phdrs import ehdr_bytes, fixed_rows, header_size, load_rows, note_cpus
from elfcorehdr.lib.journal import Edit, Journal
from elfcorehdr.lib.ranges import Range
from elfcorehdr.lib.record import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel


class RangeSource(NamedTuple):
    """What Arch.crash_ranges() follows from, for a header to be kept."""

    journal: Journal
    """Every change of the memory that is listed."""
    pinned: tuple[Range, ...]
    """What is cut out or put in whatever memory there is: changes that touch it are not spliced."""
    seams: Sequence[int] = ()
    """Where two ranges touch, ascending: addresses at which the second begins."""
    joined: int = 0
    """At so many of the seams, from the lowest on, the two ranges are one."""

    @property
    def joined_to(self) -> int:
        """The highest seam that is joined; -1 if none is."""
        return self.seams[self.joined - 1] if self.joined else -1


class Splice(NamedTuple):
    """What an event does to this one header: ranges first up to stop (not included) become others."""

    first: int = 0
    stop: int = 0
    instead: Sequence[Range] = ()
    behind: Sequence[Range] = ()
    """Ranges after the last one."""


class HeaderCache:
    """Ascending, disjoint ranges as two sorted lists, and the program headers as bytes."""

    def __init__(self, kernel: Kernel, source: RangeSource, ranges: Iterable[Range]) -> None:
        self._kernel = kernel
        self._pinned = source.pinned
        self._seq = source.journal.seq
        self._joined_to = source.joined_to
        self._cpus = note_cpus(kernel)
        ranges = list(ranges)
        self._starts = [r.start for r in ranges]
        self._ends = [r.end for r in ranges]
        rows = fixed_rows(kernel)
        self._nr_fixed = len(rows) // PHDR_SIZE
        self._rows = bytearray(rows + load_rows(kernel, ranges))
        self._fixed_zero = _row_of_zero(rows)

    def __len__(self) -> int:
        """How many ranges are kept."""
        return len(self._starts)

    def range(self, i: int) -> Range:
        """The i-th range."""
        return Range(self._starts[i], self._ends[i])

    def overlapping(self, start: int, end: int) -> tuple[int, int]:
        """The ranges with a byte in start..end (included): first, and one more than the last."""
        return bisect_left(self._ends, start), bisect_right(self._starts, end)

    def touches_pinned(self, start: int, end: int) -> bool:
        """Whether start..end (included) has a byte in or next to what is not spliced."""
        return any(start <= r.end + 1 and r.start <= end + 1 for r in self._pinned)

    # up to date

    def catch_up(self, source: RangeSource) -> bool:
        """Bring the ranges up to date; False if they must be built anew."""
        edits = source.journal.since(self._seq)
        cpus = note_cpus(self._kernel)
        if (
            edits is None
            or source.pinned != self._pinned
            or any(self.touches_pinned(e.start, e.end) for e in edits)
            or (cpus is not self._cpus and cpus != self._cpus)
        ):
            return False
        self._seq = source.journal.seq
        for edit in edits:
            (self._add if edit.added else self._remove)(edit)
        self._join(source, edits)
        return True

    def _add(self, edit: Edit) -> None:
        at = bisect_left(self._starts, edit.start)
        lo, hi, start, end = at, at, edit.start, edit.end
        if edit.joins_before:
            lo, start = at - 1, self._starts[at - 1]
        if edit.joins_behind:
            hi, end = at + 1, self._ends[at]
        self._put(lo, hi, [Range(start, end)])

    def _remove(self, edit: Edit) -> None:
        lo = bisect_left(self._ends, edit.start)
        hi = bisect_right(self._starts, edit.end)
        kept: list[Range] = []
        if lo < hi and self._starts[lo] < edit.start:
            kept.append(Range(self._starts[lo], edit.start - 1))
        if lo < hi and self._ends[hi - 1] > edit.end:
            kept.append(Range(edit.end + 1, self._ends[hi - 1]))
        self._put(lo, hi, kept)

    def _join(self, source: RangeSource, edits: Iterable[Edit]) -> None:
        """Join and part the ranges at the seams that are new, and at those which joining now reaches or no more."""
        seams, before, now = source.seams, self._joined_to, source.joined_to
        self._joined_to = now
        lowest, highest = min(before, now), max(before, now)
        found = set(seams[bisect_right(seams, lowest) : bisect_right(seams, highest)])
        for at in (address for e in edits for address in (e.start, e.end + 1)):
            i = bisect_left(seams, at)
            if i < len(seams) and seams[i] == at:
                found.add(at)
        for seam in found:
            i = bisect_left(self._starts, seam)
            if 0 < i < len(self) and self._starts[i] == seam:
                if seam <= now and self._ends[i - 1] == seam - 1:
                    self._put(i - 1, i + 1, [Range(self._starts[i - 1], self._ends[i])])
            elif i > 0 and self._ends[i - 1] >= seam > now:
                r = self.range(i - 1)
                self._put(i - 1, i, [Range(r.start, seam - 1), Range(seam, r.end)])

    def _put(self, lo: int, hi: int, new: list[Range]) -> None:
        """Put new in the place of ranges lo up to hi (not included)."""
        self._starts[lo:hi] = [r.start for r in new]
        self._ends[lo:hi] = [r.end for r in new]
        rows = bytearray(load_rows(self._kernel, new))
        self._rows[self._row(lo) : self._row(hi)] = rows

    def _row(self, i: int) -> int:
        """Offset of the i-th range's program header among all."""
        return (self._nr_fixed + i) * PHDR_SIZE

    # the header

    def header(self, splice: Splice) -> SplicedHeader:
        """The header with an event's splice; KernelError(ENOMEM) as crash_prepare_elf64_headers()."""
        count = len(self) - (splice.stop - splice.first) + len(splice.instead) + len(splice.behind)
        if self._nr_fixed + count > 0xFFFF:
            raise KernelError(errno.ENOMEM, "too many program headers for e_phnum")
        possible = len(self._kernel.cpus.possible)
        return SplicedHeader(self, splice, header_size(possible, count))

    def zero_paddr_at(self) -> int | None:
        """Offset in the header of the first program header with p_paddr 0, or None; a splice must spare it."""
        if self._fixed_zero is not None:
            return EHDR_SIZE + self._fixed_zero * PHDR_SIZE
        if self._starts and self._starts[0] == 0:
            return EHDR_SIZE + self._row(0)
        return None

    def copy_to(self, content: bytearray, splice: Splice, size: int) -> None:
        """Write the header, zero-padded to size bytes, over the start of content, which may grow."""
        if len(content) < size:
            content.extend(bytes(size - len(content)))
        instead = load_rows(self._kernel, splice.instead)
        behind = load_rows(self._kernel, splice.behind)
        first, stop = self._row(splice.first), self._row(splice.stop)
        nr_rows = (len(self._rows) - (stop - first) + len(instead) + len(behind)) // PHDR_SIZE
        # Between memoryviews a slice is copied once; a bytearray would copy it aside first.
        with memoryview(self._rows) as rows, memoryview(content) as to:
            at = 0
            for part in (
                ehdr_bytes(self._kernel, nr_rows),
                rows[:first],
                instead,
                rows[stop:],
                behind,
            ):
                to[at : at + len(part)] = part
                at += len(part)
            to[at:size] = bytes(size - at)


class SplicedHeader:
    """A header that is not in one piece: the kept one, and what an event does to it."""

    def __init__(self, cache: HeaderCache, splice: Splice, size: int) -> None:
        self._cache = cache
        self._splice = splice
        self._patches: list[tuple[int, bytes]] = []
        self._size = size

    def __len__(self) -> int:
        """Bytes, padding included."""
        return self._size

    def patch(self, offset: int, value: bytes) -> None:
        """Have other bytes at an offset."""
        self._patches.append((offset, value))

    def copy_to(self, content: bytearray) -> None:
        """Write it over the start of content, which may grow."""
        self._cache.copy_to(content, self._splice, len(self))
        for offset, value in self._patches:
            content[offset : offset + len(value)] = value


def kept_header(kernel: Kernel) -> HeaderCache | None:
    """The header of all memory as it is now, brought up to date or built anew.

    None where there is nothing to keep: the architecture has no RangeSource now, or its ranges overlap.
    """
    hp, source = kernel.crash_hp, kernel.arch.crash_ranges_source(kernel)
    if source is None:
        hp.kept = None
    elif hp.kept is None or not hp.kept.catch_up(source):
        ranges = kernel.arch.crash_ranges(kernel).ranges
        hp.kept = HeaderCache(kernel, source, ranges) if _is_ascending(ranges) else None
    return hp.kept


def _is_ascending(ranges: Sequence[Range]) -> bool:
    """Whether the ranges ascend and none overlaps another."""
    return all(a.end < b.start for a, b in pairwise(ranges)) and all(
        r.start <= r.end for r in ranges
    )


def _row_of_zero(rows: bytes) -> int | None:
    """The first of these program headers whose p_paddr is 0, or None."""
    for i in range(len(rows) // PHDR_SIZE):
        at = i * PHDR_SIZE + P_PADDR
        if rows[at : at + 8] == bytes(8):
            return i
    return None
