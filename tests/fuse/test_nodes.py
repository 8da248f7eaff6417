"""Numbers of paths: computed where they can be, kept where not."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmount.fuse.nodes import ROOT_ID, Numbers

NAMES = st.text(st.sampled_from("mnx0123456789@,_\udc80é"), min_size=1, max_size=14)
PATHS = st.lists(NAMES, max_size=5).map("/".join)


@given(st.lists(PATHS, max_size=60))
def test_every_path_has_a_number_of_its_own_and_comes_back_from_it(paths: list[str]):
    numbers = Numbers()
    found = {path: numbers.number(path) for path in paths}
    assert len(set(found.values())) == len(found)
    for path, number in found.items():
        assert numbers.path(number) == path
        assert numbers.number(path) == number
        assert 0 < number < 1 << 64
        assert (number == ROOT_ID) == (path == "")


@given(st.lists(st.tuples(PATHS, NAMES), max_size=60))
def test_a_name_in_a_directory_has_the_number_of_its_path_and_leads_back(
    names: list[tuple[str, str]],
):
    numbers, plain = Numbers(), Numbers()
    for directory, name in names:
        path = f"{directory}/{name}" if directory else name
        parent = numbers.number(directory)
        number = numbers.below(parent, name, path)
        plain.number(directory)
        assert number == numbers.below(parent, name, path) == plain.number(path)
        assert numbers.path(number) == path
        above = numbers.above(number)
        assert above is None or (numbers.path(above[0]), above[1]) == (directory, name)


def test_a_name_without_digits_leads_back_to_its_directory():
    numbers = Numbers()
    parent = numbers.number("sys/devices/system/memory/memory7")
    number = numbers.below(parent, "state", "sys/devices/system/memory/memory7/state")
    assert numbers.above(number) == (parent, "state")
    other = numbers.number("sys/devices/system/memory/memory9/state")
    assert numbers.above(other) == (numbers.number("sys/devices/system/memory/memory9"), "state")
    assert numbers.above(parent) is None


def test_nothing_is_kept_of_a_name_with_a_number():
    numbers = Numbers()
    block = numbers.number("sys/devices/system/memory/memory0")
    numbers.below(block, "state", "sys/devices/system/memory/memory0/state")
    numbers.number("sys/devices/system/memory/memory0/node0")
    tracemalloc.start()
    for n in range(20_000):
        block = numbers.number(path := f"sys/devices/system/memory/memory{n}")
        numbers.below(block, "state", f"{path}/state")
        numbers.number(f"sys/devices/system/memory/memory{n}/node{n % 64}")
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 4096


@pytest.mark.parametrize(
    "path",
    [
        "a1/b2/c3",  # three numbers
        "memory268435456/state",  # 2^28
        "memory0/node1048576",  # 2^20
        "memory007/x9",  # 0, 0, 7, 9
    ],
)
def test_other_paths_are_kept_until_they_are_forgotten_as_often_as_looked_up(path: str):
    numbers = Numbers()
    number = numbers.number(path)
    assert numbers.number(path) == number
    numbers.forget(number, 1)
    assert numbers.path(number) == path
    numbers.forget(number, 1)
    with pytest.raises(KeyError):
        numbers.path(number)
    assert numbers.path(numbers.number(path)) == path


def test_patterns_are_bounded():
    numbers = Numbers()
    found = {}
    for n in range(Numbers.PATTERNS + 100):
        path = "".join(chr(ord("a") + int(digit)) for digit in str(n))
        found[path] = numbers.number(path)
    assert len(set(found.values())) == len(found)
    assert all(numbers.path(number) == path for path, number in found.items())
    for number in found.values():
        numbers.forget(number, 1)
    assert len(numbers._patterns) <= Numbers.PATTERNS
    assert numbers._kept == {}
