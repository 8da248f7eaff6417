"""Listings that go on where they were: what is there all the time is given once, whatever comes and goes."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fsmount.fuse.dirs import FEW, OpenDir, cookie
from fsmount.tree.kept import KEPT_MAX, Kept
from fsmount.tree.kernfs import ino_of

DIRENT = struct.Struct("=QQII")
ENTRY = 32
"""Bytes of a struct fuse_dirent with a name of up to eight characters."""


def entries(data: bytes) -> Iterator[tuple[str, int]]:
    """Name and position of each dirent."""
    at = 0
    while at < len(data):
        _, position, length, _ = DIRENT.unpack_from(data, at)
        at += DIRENT.size
        yield data[at : at + length].decode(errors="surrogateescape"), position
        at += length + 7 & ~7


class Directory:
    """Names in numeric order, walked lazily, as the kernel's sets are."""

    def __init__(self, numbers: set[int]) -> None:
        self.numbers = numbers

    def listed(self) -> Iterator[tuple[str, int]]:
        yield ".", 0o40000
        for n in range(100):
            if n in self.numbers:
                yield f"n{n}", 0o100000

    def open(self) -> OpenDir:
        return OpenDir(
            "d", self.listed, lambda name: name == "." or int(name[1:]) in self.numbers, Kept()
        )


CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(1, 12)),
        st.tuples(st.just("short"), st.integers(1, 12)),  # the reader has no room for all of it
        st.tuples(st.just("toggle"), st.integers(0, 99)),
        st.tuples(st.just("seek"), st.integers(0, 200)),
    ),
    max_size=60,
)


@given(st.sets(st.integers(0, 99)), st.sets(st.integers(0, 99)), CHANGES)
def test_an_entry_that_is_there_all_the_time_is_given_once(
    steady: set[int], others: set[int], changes: list[tuple[str, int]]
):
    directory = Directory(steady | others)
    opened = directory.open()
    seen: list[tuple[str, int]] = []  # what the reader holds, in order

    def read(count: int, taken: int) -> int:
        got = list(entries(opened.read(count * ENTRY, seen[-1][1] if seen else 0)))
        seen.extend(got[:taken])
        return len(got)

    for what, n in changes:
        if what == "read":
            read(n, n)
        elif what == "short":
            read(n, max(1, n // 2))
        elif what == "toggle" and n not in steady:
            directory.numbers ^= {n}
        elif what == "seek" and seen:
            del seen[n % len(seen) + 1 :]
    while read(5, 5):
        pass
    names = [name for name, _ in seen]
    assert len(names) == len(set(names))
    assert {f"n{n}" for n in steady} <= set(names)
    assert opened.read(4096, seen[-1][1]) == b""


def test_each_open_directory_is_for_itself():
    directory = Directory({1, 2, 3})
    one, other = (directory.open() for _ in range(2))
    (first,) = entries(one.read(ENTRY, 0))
    assert [name for name, _ in entries(other.read(4096, 0))] == [".", "n1", "n2", "n3"]
    directory.numbers = {2, 3}
    assert [name for name, _ in entries(one.read(4096, first[1]))] == ["n2", "n3"]


def test_a_position_of_another_opening_is_known_while_its_entry_is_there():
    directory = Directory({1, 2, 3})
    assert [n for n, _ in entries(directory.open().read(999, cookie("n2")))] == ["n3"]
    assert directory.open().read(999, cookie("n9")) == b""


def test_rewinding_begins_anew():
    directory = Directory({1})
    opened = directory.open()
    assert [name for name, _ in entries(opened.read(999, 0))] == [".", "n1"]
    directory.numbers = {2}
    assert [name for name, _ in entries(opened.read(999, 0))] == [".", "n2"]


NAMES = st.text(st.sampled_from("mn0123456789_é\udc80"), min_size=1, max_size=40)


@given(
    st.dictionaries(NAMES, st.sampled_from([0o40000, 0o100000, 0o120000]), max_size=2 * FEW),
    st.sampled_from(["", "sys/devices/system/memory/memory7", "proc"]),
)
def test_a_listing_in_one_piece_is_the_same_bytes_as_in_many(names: dict[str, int], path: str):
    """What is packed once for all directories with the same names, and what is packed an entry at a time."""
    expected, at = b"", 0
    slowly = OpenDir(path, lambda: iter(names.items()), lambda _: True, Kept())
    for name, kind in names.items():
        raw = name.encode(errors="surrogateescape")
        expected += DIRENT.pack(ino_of(path, name), cookie(name), len(raw), kind >> 12)
        expected += raw.ljust(len(raw) + 7 & ~7, b"\0")
        one = slowly.read(DIRENT.size + (len(raw) + 7 & ~7), at)
        assert one == expected[-len(one) :]
        at = cookie(name)
    whole = OpenDir(path, lambda: iter(names.items()), lambda _: True, Kept())
    assert whole.read(1 << 20, 0) == expected
    assert whole.read(1 << 20, at) == (b"" if names else expected)


def test_a_large_directory_costs_eight_bytes_an_entry_while_it_is_open():
    def listed() -> Iterator[tuple[str, int]]:
        return ((f"memory{n}", 0o40000) for n in range(100_000))

    opened: Any = OpenDir("d", listed, lambda _: True, Kept())
    at = 0
    tracemalloc.start()
    while data := opened.read(4096, at):
        *_, (_, at) = entries(data)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 100_000 * 12


def test_many_open_directories_keep_a_bounded_amount_and_each_goes_on_where_it_was():
    def listed() -> Iterator[tuple[str, int]]:
        return ((f"memory{n}", 0o40000) for n in range(100_000))

    kept = Kept()
    opened: list[Any] = [OpenDir("d", listed, lambda _: True, kept) for _ in range(10)]
    ends = [list(entries(one.read(1 << 20, 0)))[-1] for one in opened]
    assert len(set(ends)) == 1
    names = sum(len(one._last) for one in opened)
    assert 0 < 128 * names <= KEPT_MAX
    for one, (last, at) in zip(opened, ends, strict=True):
        (name, _), *_ = entries(one.read(64, at))
        assert name == f"memory{int(last[6:]) + 1}"
        (name, _), *_ = entries(one.read(64, cookie("memory7")))  # long before
        assert name == "memory8"
        one.close()
