"""Sums in one large integer against sums one by one."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from elfcorehdr.lib.lanes import Lanes

U64 = (1 << 64) - 1
NUMBERS = st.lists(st.tuples(st.integers(0, U64), st.integers(0, U64)), max_size=70)


@given(NUMBERS)
def test_each_sum_stays_in_its_lane(pairs: list[tuple[int, int]]):
    lanes = Lanes.of(len(pairs))
    a, b = (lanes.packed(array("Q", [pair[n] for pair in pairs])) for n in (0, 1))
    assert list(lanes.unpacked(lanes.sum(a, b))) == [(x + y) & U64 for x, y in pairs]


@given(NUMBERS, st.integers(0, U64))
def test_one_number_is_added_to_all(pairs: list[tuple[int, int]], value: int):
    lanes = Lanes.of(len(pairs))
    a = lanes.packed(array("Q", [x for x, _ in pairs]))
    assert list(lanes.unpacked(lanes.sum(a, lanes.each(value)))) == [
        (x + value) & U64 for x, _ in pairs
    ]


def test_the_ones_complement_is_xor_with_all():
    lanes = Lanes.of(3)
    numbers = array("Q", [0, 5, U64])
    assert list(lanes.unpacked(lanes.packed(numbers) ^ lanes.all)) == [U64 - n for n in numbers]
