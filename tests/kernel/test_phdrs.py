"""Program headers in bulk against struct, row by row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elfcorehdr import profiles
from elfcorehdr.elf import PHDR, PT_LOAD
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.phdrs import RWX, load_rows
from elfcorehdr.lib.ranges import Range
from elfcorehdr.lib.record import replace

U64 = (1 << 64) - 1
PHYSICAL = st.integers(0, (1 << 56) - 1)


def kernel(name: str, direct_map_base: int = 0) -> Kernel:
    return Kernel.boot(replace(profiles.load(name), direct_map_base=direct_map_base))


KERNELS = [
    kernel("pseries-4g"),
    kernel("pc-2g"),
    kernel("pc-2g", 0xFF11_0000_4000_0000),
    kernel("arm64-virt-4g"),
    kernel("riscv64-virt-2g"),
]


@pytest.mark.parametrize("booted", KERNELS, ids=lambda k: k.arch.name)
@given(ranges=st.lists(st.builds(Range, PHYSICAL, PHYSICAL), max_size=40))
def test_rows_are_those_of_pack(booted: Kernel, ranges: list[Range]):
    rows = [
        PHDR.pack(PT_LOAD, RWX, r.start, booted.arch.va(booted, r.start), r.start, size, size, 0)
        for r in ranges
        for size in [(r.end - r.start + 1) & U64]
    ]
    assert load_rows(booted, ranges) == b"".join(rows)
