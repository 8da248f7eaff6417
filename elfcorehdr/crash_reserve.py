"""crashkernel= on the command line, and the generic reservation: kernel/crash_reserve.c (v7.1).

Imports .errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

SUFFIXES = (",high", ",low", ",cma")
_UNITS = {"k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60}
ROUND_UP = 128 << 20
"""The range form compares with RAM rounded up to this."""


@dataclass(frozen=True, slots=True)
class CrashkernelParameter:
    """What the command line asks for, in bytes; base None: anywhere. size 0: nothing usable."""

    size: int = 0
    base: int | None = None


def memparse(text: str) -> tuple[int, str]:
    """memparse(): a number (0x, 0 octal, decimal) with an optional unit K..E, and what follows it.

    What is not a number is 0 with all of text left.
    """
    match = re.match(r"(0[xX][0-9a-fA-F]+|0[0-7]*|[0-9]+)", text)
    if not match:
        return 0, text
    digits = match.group()
    base = 16 if digits[:2].lower() == "0x" else 8 if len(digits) > 1 and digits[0] == "0" else 10
    value, rest = int(digits, base), text[match.end() :]
    if rest and rest[0].lower() in _UNITS:
        return value << _UNITS[rest[0].lower()], rest[1:]
    return value, rest


def last_crashkernel(cmdline: str, suffix: str = "") -> str | None:
    """get_last_crashkernel(): the value of the last crashkernel= with this suffix (none: with no suffix)."""
    found = None
    for match in re.finditer(r"crashkernel=(\S*)", cmdline):
        value = match.group(1)
        if value.endswith(suffix) if suffix else not value.endswith(SUFFIXES):
            found = value
    return found


def parse_crashkernel(
    cmdline: str, system_ram: int, warn: Callable[[str], None]
) -> CrashkernelParameter:
    """The plain form `size[@base]` or `s1-[e1]:size1[,...][@base]`; the last one on the line wins.

    system_ram in bytes; warn gets the kernel's messages. size 0: absent, wrong, or not smaller
    than RAM. Mirrors parse_crashkernel(), kernel/crash_reserve.c.
    """
    value = last_crashkernel(cmdline)
    if value is None:
        return CrashkernelParameter()
    parameter = (_parse_mem if ":" in value else _parse_simple)(value, system_ram, warn)
    if not 0 < parameter.size < system_ram:
        return CrashkernelParameter()
    return parameter


def parse_suffix(cmdline: str, suffix: str, warn: Callable[[str], None]) -> int | None:
    """The size of `size,high`, `size,low` or `size,cma`; None if there is none or it is wrong."""
    value = last_crashkernel(cmdline, suffix)
    if value is None:
        return None
    size, rest = memparse(value)
    if rest == value:
        warn("crashkernel: memory value expected")
        return None
    if rest != suffix:
        warn(f"crashkernel: unrecognized char: {rest[0]}")
        return None
    return size


def _parse_simple(value: str, ram: int, warn: Callable[[str], None]) -> CrashkernelParameter:
    """parse_crashkernel_simple()"""
    size, rest = memparse(value)
    if rest == value:
        warn("crashkernel: memory value expected")
        return CrashkernelParameter()
    if rest.startswith("@"):
        base, rest = memparse(rest[1:])
        return CrashkernelParameter(size, base) if not rest else CrashkernelParameter()
    if rest:
        warn(f"crashkernel: unrecognized char: {rest[0]}")
        return CrashkernelParameter()
    return CrashkernelParameter(size)


def _parse_mem(value: str, ram: int, warn: Callable[[str], None]) -> CrashkernelParameter:
    """parse_crashkernel_mem(): the first range that holds RAM, rounded up to 128 MiB."""
    ram = (ram + ROUND_UP - 1) // ROUND_UP * ROUND_UP
    rest, size = value, 0
    while True:
        before = rest
        start, rest = memparse(rest)
        if rest == before:
            warn("crashkernel: Memory value expected")
            return CrashkernelParameter()
        if not rest.startswith("-"):
            warn("crashkernel: '-' expected")
            return CrashkernelParameter()
        rest = rest[1:]
        end = 1 << 64
        if not rest.startswith(":"):
            before = rest
            end, rest = memparse(rest)
            if rest == before:
                warn("crashkernel: Memory value expected")
                return CrashkernelParameter()
            if end <= start:
                warn("crashkernel: end <= start")
                return CrashkernelParameter()
        if not rest.startswith(":"):
            warn("crashkernel: ':' expected")
            return CrashkernelParameter()
        before = rest = rest[1:]
        size, rest = memparse(rest)
        if rest == before:
            warn("crashkernel: Memory value expected")
            return CrashkernelParameter()
        if size >= ram:
            warn("crashkernel: invalid size")
            return CrashkernelParameter()
        if start <= ram < end:
            break
        size = 0
        if not rest.startswith(","):
            break
        rest = rest[1:]
    if not size:
        warn("crashkernel size resulted in zero bytes")
        return CrashkernelParameter()
    _, at, base = rest.partition("@")
    if not at:
        return CrashkernelParameter(size)
    number, left = memparse(base)
    if left == base:
        warn("crahskernel: Memory value expected after '@'")  # Quirk: spelt so in the kernel
        return CrashkernelParameter()
    return CrashkernelParameter(size, number)
