"""The guest's C library for the run: what is changed in it, and what is left alone."""

from __future__ import annotations

import random
import struct
from functools import cache
from pathlib import Path

import pytest

from fsmount.foreign.guests import GUESTS, Guest
from fsmount.foreign.library import HOST_PAGE, adapted, places
from tests.run.userlands import userland

NAMES = ("ppc64le", "aarch64", "riscv64")


def guest(machine: str) -> Guest:
    return next(g for g in GUESTS if g.machine == machine)


@cache
def library(machine: str, suite: str = "sid") -> bytes:
    tree = userland(machine, suite, "kexec-tools")
    return next(p for name in places(guest(machine)) if (p := tree / name).exists()).read_bytes()


def loads(data: bytes) -> list[tuple[int, ...]]:
    offset, count = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<H", data, 56)[0]
    rows = (struct.unpack_from("<IIQQQQQQ", data, offset + 56 * n) for n in range(count))
    return [row for row in rows if row[0] == 1]


@pytest.mark.apt
@pytest.mark.parametrize("machine", NAMES)
def test_code_lies_behind_the_librarys_own_and_only_calls_were_touched(machine: str):
    before = library(machine)
    after = adapted(before, guest(machine), HOST_PAGE)
    assert after is not None
    *old, ours = loads(after)
    assert old == loads(before)
    assert ours[3] >= old[-1][3] + old[-1][6]
    assert ours[2] + ours[5] == len(after)
    table = range(64, 64 + 56 * struct.unpack_from("<H", before, 56)[0])
    touched = [at for at in range(len(before)) if before[at] != after[at] and at not in table]
    # A branch has four bytes; a library has a handful of such calls.
    assert 0 < len(touched) <= 4 * 8


@pytest.mark.apt
@pytest.mark.parametrize(("machine", "size"), [("ppc64le", 65536), ("aarch64", 16384)])
def test_page_size_is_put_into_one_function(machine: str, size: int):
    same, other = (
        adapted(library(machine), guest(machine), page) or b"" for page in (HOST_PAGE, size)
    )
    assert 8 <= sum(a != b for a, b in zip(same, other, strict=True)) <= 12


@pytest.mark.apt
@pytest.mark.parametrize("machine", NAMES)
def test_library_that_is_broken_stays_as_it_is_or_is_adapted(machine: str):
    whole, dice = library(machine), random.Random(16)
    for size in (0, 20, 63, 64, 1000, len(whole) // 2):
        assert adapted(whole[:size], guest(machine), 65536) is None
    for _ in range(60):
        broken = bytearray(whole)
        for _ in range(20):
            broken[dice.randrange(64 + 56 * 12)] = dice.randrange(256)
        adapted(bytes(broken), guest(machine), 65536)


def test_what_is_no_library_of_the_guest_stays_as_it_is():
    assert adapted(Path("/bin/sh").read_bytes(), guest("ppc64le"), 65536) is None
    assert adapted(b"\x7fELF\x02\x01", guest("riscv64"), 4096) is None
