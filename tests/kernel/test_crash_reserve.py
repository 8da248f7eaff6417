"""crashkernel= as kernel/crash_reserve.c reads it."""

from __future__ import annotations

import pytest

from elfcorehdr.kernel.crash_reserve import (
    CrashkernelParameter,
    memparse,
    parse_crashkernel,
    parse_suffix,
)

G = 1 << 30
M = 1 << 20


@pytest.mark.parametrize(
    ("cmdline", "size", "base", "said"),
    [
        ("crashkernel=1G", G, None, []),
        ("a crashkernel=256M@64M b", 256 * M, 64 * M, []),
        ("crashkernel=1G crashkernel=512M", 512 * M, None, []),
        ("crashkernel=1G crashkernel=256M,low", G, None, []),
        ("crashkernel=2G-8G:256M,8G-:1G", G, None, []),
        ("crashkernel=2G-16G:256M,16G-:512M@1G", 512 * M, G, []),
        ("crashkernel=32G-:1G", 0, None, ["crashkernel size resulted in zero bytes"]),
        ("crashkernel=64G", 0, None, []),
        ("crashkernel=x", 0, None, ["crashkernel: memory value expected"]),
        ("crashkernel=1Gx", 0, None, ["crashkernel: unrecognized char: x"]),
        ("crashkernel=8G-4G:1G", 0, None, ["crashkernel: end <= start"]),
        ("crashkernel=1G:1G", 0, None, ["crashkernel: '-' expected"]),
        ("crashkernel=1G-:1G@x", 0, None, ["crahskernel: Memory value expected after '@'"]),
    ],
)
def test_the_last_plain_form_wins_and_mistakes_are_logged_as_the_kernel_does(
    cmdline: str, size: int, base: int | None, said: list[str]
) -> None:
    heard: list[str] = []
    expected = CrashkernelParameter(size, base)
    assert parse_crashkernel(cmdline, 16 * G, heard.append) == expected
    assert heard == said


def test_ram_is_rounded_up_to_128m_before_ranges_are_compared() -> None:
    cmdline = "crashkernel=4G-:256M"
    assert parse_crashkernel(cmdline, 4 * G - 64 * M, lambda text: None).size == 256 * M


def test_suffixes_are_read_apart() -> None:
    cmdline = "crashkernel=512M,high crashkernel=128M,low crashkernel=64M,cma"
    for suffix, size in ((",high", 512 * M), (",low", 128 * M), (",cma", 64 * M)):
        assert parse_suffix(cmdline, suffix, lambda text: None) == size


@pytest.mark.parametrize(
    ("text", "value", "rest"),
    [("0x10k", 0x4000, ""), ("010", 8, ""), ("5T-", 5 << 40, "-"), ("z", 0, "z")],
)
def test_numbers_are_read_with_their_units(text: str, value: int, rest: str) -> None:
    assert memparse(text) == (value, rest)
