"""Which rows of two headers describe the same: equal ones first, then by place and size. For diff.py."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from itertools import compress, count
from operator import gt, ne

from elfcorehdr.elf import PT_LOAD, PT_NOTE, Phdr
from printer.inputs.phdrs import Phdrs
from printer.layout.spans import U64

Pairs = list[tuple[int, int]]
"""(row of A, row of B)."""
_EDITS = 64
"""Places at which the headers part and meet again, before rows are matched one by one."""
_STEPS = tuple(sorted(((i, j) for i in range(4) for j in range(4) if i or j), key=sum))
"""How many rows of A and of B may lie between what is the same."""
_MEET = 4
"""Rows that have to be the same for the headers to have met again."""


def match(a: Phdrs, b: Phdrs) -> tuple[Pairs, Pairs, list[int], list[int]]:
    """Pairs of equal rows, pairs that describe the same, and what is left of either side.

    Runs of equal rows in the same order are left out: of two headers one event apart nearly all.
    """
    rows_a, rows_b = _between_runs(a, b)
    whole_a, whole_b = a.whole(b, rows_a), b.whole(a, rows_b)
    same, rows_a, rows_b = _paired(rows_a, whole_a, rows_b, whole_b)
    pairs: Pairs = []
    keys: tuple[Callable[[Phdr], object], ...] = (
        lambda p: (
            p.p_type,
            p.p_paddr,
            (p.p_vaddr - p.p_paddr) % U64,
        ),  # the image apart from memory
        lambda p: (p.p_type, p.p_paddr),
        lambda p: (p.p_type == PT_LOAD and (p.p_type, p.p_paddr + p.p_memsz)) or None,
        lambda p: (p.p_type, p.p_memsz, p.p_flags) if p.p_type == PT_NOTE else None,
    )
    for key in keys:
        keys_a, keys_b = (key(a[i]) for i in rows_a), (key(b[j]) for j in rows_b)
        more, rows_a, rows_b = _paired(rows_a, keys_a, rows_b, keys_b)
        pairs += more
    return same, pairs, rows_a, rows_b


def _between_runs(a: Phdrs, b: Phdrs) -> tuple[list[int], list[int]]:
    """The rows of either that are in no run which both have."""
    i = j = 0
    rows_a: list[int] = []
    rows_b: list[int] = []
    for _ in range(_EDITS):
        same = _run(a, b, i, j)
        i, j = i + same, j + same
        if i == len(a) or j == len(b):
            break
        step = next((s for s in _STEPS if _run(a, b, i + s[0], j + s[1], _MEET) == _MEET), None)
        if step is None:
            break
        rows_a += range(i, i + step[0])
        rows_b += range(j, j + step[1])
        i, j = i + step[0], j + step[1]
    tail = _run_back(a, b, min(len(a) - i, len(b) - j))
    return rows_a + list(range(i, len(a) - tail)), rows_b + list(range(j, len(b) - tail))


def _run(a: Phdrs, b: Phdrs, i: int, j: int, most: int | None = None) -> int:
    """How many rows from i of A and j of B on are the same; most: no more are looked at."""
    same = max(0, min(len(a) - i, len(b) - j))
    same = same if most is None else min(same, most)
    for ours, theirs in zip(a.columns(), b.columns(), strict=True):
        ours, theirs = ours[i : i + same], theirs[j : j + same]
        if ours != theirs:
            same = next(compress(count(), map(ne, ours, theirs)))
    return same


def _run_back(a: Phdrs, b: Phdrs, most: int) -> int:
    """How many rows at the end of both are the same."""
    same = most
    for ours, theirs in zip(a.columns(), b.columns(), strict=True):
        ours, theirs = ours[len(a) - same :], theirs[len(b) - same :]
        if ours != theirs:
            same = next(compress(count(), map(ne, reversed(ours), reversed(theirs))))
    return same


def _paired(
    rows_a: list[int], keys_a: Iterable[object], rows_b: list[int], keys_b: Iterable[object]
) -> tuple[Pairs, list[int], list[int]]:
    """Pairs of rows with equal keys, the first with the first; what is left. None is equal to nothing."""
    waiting: dict[object, list[int]] = {}
    for j, key in zip(rows_b, keys_b, strict=True):
        waiting.setdefault(key, []).append(j)
    waiting.pop(None, None)
    for rows in waiting.values():
        rows.reverse()
    pairs: Pairs = []
    rest: list[int] = []
    for i, key in zip(rows_a, keys_a, strict=True):
        if candidates := waiting.get(key):
            pairs.append((i, candidates.pop()))
        else:
            rest.append(i)
    taken = {j for _, j in pairs}
    return pairs, rest, [j for j in rows_b if j not in taken]


def out_of_order(ordered: Pairs) -> Pairs:
    """Pairs, by their rows in A, that have to be lifted out so that the rest stands in the same order in both."""
    places = [j for _, j in ordered]
    if not any(map(gt, places, places[1:])):
        return []
    tails: list[int] = []
    ends: list[int] = []
    previous: list[int] = []
    for n, (_, j) in enumerate(ordered):
        at = bisect_left(tails, j)
        previous.append(ends[at - 1] if at else -1)
        tails[at : at + 1] = [j]
        ends[at : at + 1] = [n]
    keep: set[int] = set()
    n = ends[-1] if ends else -1
    while n >= 0:
        keep.add(n)
        n = previous[n]
    return [pair for n, pair in enumerate(ordered) if n not in keep]
