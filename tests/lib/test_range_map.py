"""What is said of ranges, against a model that keeps every address."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from elfcorehdr.lib.range_map import RangeMap

SAID = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20), st.sampled_from((None, 0, 1, 2))))


@given(SAID)
def test_each_address_has_what_was_said_of_it_last(said):
    found, model = RangeMap(), dict[int, int | None]()
    for start, more, value in said:
        found.put(start, start + more, value)
        model |= dict.fromkeys(range(start, start + more + 1), value)
        assert [found.get(n) for n in range(90)] == [model.get(n) for n in range(90)]


@given(SAID)
def test_entries_are_as_few_as_what_is_said_allows(said):
    found, model = RangeMap(), [None] * 90
    for start, more, value in said:
        found.put(start, start + more, value)
        model[start : start + more + 1] = [value] * (more + 1)
    edges = sum(a != b for a, b in pairwise([None, *model]))
    gaps = sum(a is not None and b is None for a, b in pairwise(model))
    assert len(found) == edges - gaps


def test_storm_over_the_same_blocks_adds_nothing():
    found = RangeMap()
    for n in range(10_000):
        found.put(n % 100 * 16, n % 100 * 16 + 15, n % 100 // 50)
    assert len(found) == 2
