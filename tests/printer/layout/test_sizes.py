"""Sizes and ranges in words."""

from __future__ import annotations

import pytest

from printer.layout.sizes import range_text, size_text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (536, "536 B"),
        (1024, "1 KiB"),
        (0x10000, "64 KiB"),
        (0x10024, "64 KiB + 36 B"),
        (0x89C, "~2.15 KiB"),
        (0x3A8000000, "14.625 GiB"),
        (0x170000001, "5.75 GiB + 1 B"),
        (0x1390000, "19.5625 MiB"),
        (1 << 60, "1 EiB"),
        (2**64 - 1, "~16 EiB"),
        (-0x10000000, "-256 MiB"),
    ],
)
def test_sizes_in_words(size, text):
    assert size_text(size) == text


def test_range_in_words():
    assert range_text(0x3E0000000, 0x10000000) == "256 MiB at 0x3e0000000"
