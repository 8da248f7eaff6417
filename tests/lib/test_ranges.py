"""Range arithmetic against a model that looks at every byte."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elfcorehdr.errors import KernelError
from elfcorehdr.lib.ranges import CrashMem, Range, format_ids, ids_of, parse_ids


@st.composite
def ascending(draw: st.DrawFn) -> list[Range]:
    edges = sorted(draw(st.sets(st.integers(0, 200), min_size=2, max_size=24)))
    return [Range(a, b - 1) for a, b in zip(edges[::2], edges[1::2], strict=False) if b > a]


def bytes_of(ranges: list[Range]) -> set[int]:
    return {n for r in ranges for n in range(r.start, r.end + 1)}


@given(ascending(), st.integers(0, 200), st.integers(0, 60))
def test_exclude_removes_exactly_the_bytes_of_the_cut(
    ranges: list[Range], start: int, more: int
) -> None:
    mem = CrashMem(ranges)
    mem.exclude(start, start + more)
    assert bytes_of(mem.ranges) == bytes_of(ranges) - set(range(start, start + more + 1))
    assert mem.ranges == sorted(mem.ranges)
    assert all(r.start <= r.end for r in mem.ranges)


def test_a_split_without_room_is_enomem_and_leaves_the_range() -> None:
    mem = CrashMem([Range(0, 99)], max_nr_ranges=1)
    with pytest.raises(KernelError) as caught:
        mem.exclude(10, 19)
    assert caught.value.errno == errno.ENOMEM
    assert mem.ranges == [Range(0, 99)]


def test_before_6_8_a_cut_over_two_ranges_stops_after_the_first() -> None:
    mem = CrashMem([Range(0, 9), Range(20, 29)])
    mem.exclude(5, 24, continues=False)
    assert mem.ranges == [Range(0, 4), Range(20, 29)]
    mem = CrashMem([Range(0, 9), Range(20, 29)])
    mem.exclude(5, 24)
    assert mem.ranges == [Range(0, 4), Range(25, 29)]


@pytest.mark.parametrize(
    ("text", "ids"), [("0-3,6", (0, 1, 2, 3, 6)), ("", ()), ("5", (5,)), ("7,1-2", (1, 2, 7))]
)
def test_id_lists_are_read_as_the_kernel_writes_them(text: str, ids: tuple[int, ...]) -> None:
    assert parse_ids(text) == ids


@given(st.sets(st.integers(0, 300)))
def test_id_lists_survive_being_written_and_read(ids: set[int]) -> None:
    assert parse_ids(format_ids(sorted(ids))) == tuple(sorted(ids))


def test_ids_of_one_run_are_a_range_and_of_several_in_order():
    assert ids_of("0-8191\n") == range(8192)
    assert ids_of("7") == range(7, 8)
    assert ids_of("4-5,0-2,2") == [0, 1, 2, 4, 5]
    assert list(ids_of("")) == list(ids_of("3-1")) == []
    with pytest.raises(ValueError, match="x"):
        ids_of("0-x")
