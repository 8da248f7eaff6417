"""Spans of memory against sets of bytes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elfcorehdr.lib.ranges import Range
from printer.layout.spans import U64, Spans, nested

PAIRS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), max_size=8)


def bytes_of(spans):
    return {n for start, end in spans for n in range(start, end + 1)}


def spans(pairs):
    return Spans.sized([start for start, _ in pairs], [size for _, size in pairs])


@given(PAIRS)
@settings(deadline=None)
def test_rows_in_any_order_become_spans_that_are_apart(pairs):
    found = list(spans(pairs))
    assert bytes_of(found) == {n for start, size in pairs for n in range(start, start + size)}
    assert all(a.end + 1 < b.start for a, b in pairwise(found))
    assert spans(pairs).size == len(bytes_of(found))


@given(PAIRS, PAIRS)
@settings(deadline=None)
def test_subtracting_takes_away_exactly_what_is_cut(pairs, cuts):
    left = list(spans(pairs) - spans(cuts))
    assert bytes_of(left) == bytes_of(spans(pairs)) - bytes_of(spans(cuts))
    assert left == sorted(left)


@given(PAIRS, st.integers(0, 60), st.integers(1, 9))
@settings(deadline=None)
def test_covers_and_touches_are_all_and_any(pairs, start, size):
    have, asked = bytes_of(spans(pairs)), set(range(start, start + size))
    assert spans(pairs).covers(start, start + size) == (asked <= have)
    assert spans(pairs).touches(start, start + size) == bool(asked & have)


@given(PAIRS.map(lambda pairs: [(start, size) for start, size in pairs if size]))
@settings(deadline=None)
def test_nested_are_those_inside_another_one(pairs):
    found = nested([start for start, _ in pairs], [start + size for start, size in pairs])
    ranges = [(start, start + size) for start, size in pairs]
    inside = [
        i
        for i, (a, b) in enumerate(ranges)
        if any(
            c <= a and b <= d and ((c, d) != (a, b) or j < i)
            for j, (c, d) in enumerate(ranges)
            if j != i
        )
    ]
    assert found == inside


def test_size_that_wraps_ends_at_the_last_address():
    assert list(Spans.sized([0x1000], [U64 - 1])) == [Range(0x1000, U64 - 1)]


@pytest.mark.parametrize(("start", "stop", "pages"), [(1, 8192, (4096, 8191)), (1, 4097, None)])
def test_whole_pages_are_those_inside(start, stop, pages):
    found = list(Spans([start], [stop]).whole_pages(4096))
    assert found == ([Range(*pages)] if pages else [])
