"""How the kernel reads what is written to its files: lib/kstrtox.c, lib/string.c (v7.1)."""

from __future__ import annotations

import errno
import re

from elfcorehdr.errors import KernelError, short

_NUMBER = r"([+-]?)(0[xX][0-9a-fA-F]+|[0-9]+)\n?"  # compiled when first used
_HUGE = 1 << 70


def sysfs_streq(text: str, word: str) -> bool:
    """Whether text is the word, with or without one newline; an embedded NUL ends the text."""
    text = text.split("\0", 1)[0]
    return text == word or text == word + "\n"


def digits_value(digits: str, base: int) -> int:
    """The number that digits of a base mean; 2^70 for any that is larger: no file takes one.

    Python itself refuses more than 4,300 decimal digits, and takes quadratic time for fewer.
    """
    digits = digits.lstrip("0xX") or "0"
    return int(digits, base) if len(digits) <= 24 else _HUGE


def _number(text: str, lowest: int, highest: int, base: int = 0) -> int:
    match = re.fullmatch(_NUMBER, text.split("\0", 1)[0])
    if not match or (match.group(1) == "-" and lowest == 0):
        raise KernelError(errno.EINVAL, f"{short(text)} is not a number")
    digits = match.group(2)
    if base:
        if not digits.isdecimal():
            raise KernelError(errno.EINVAL, f"{short(text)} is not a decimal number")
        value = digits_value(digits, 10)
    elif digits[:2].lower() == "0x":
        value = digits_value(digits, 16)
    elif digits[0] == "0" and len(digits) > 1:
        if not re.fullmatch("[0-7]+", digits):
            raise KernelError(errno.EINVAL, f"{short(text)} is not an octal number")
        value = digits_value(digits, 8)
    else:
        value = digits_value(digits, 10)
    if match.group(1) == "-":
        value = -value
    if not lowest <= value <= highest:
        raise KernelError(errno.ERANGE, f"{short(text)} is out of range")
    return value


def kstrtoull(text: str) -> int:
    """A number 0..2^64-1, base 0 (0x, 0, decimal), one newline allowed; EINVAL, ERANGE."""
    return _number(text, 0, (1 << 64) - 1)


def kstrtou32(text: str) -> int:
    """A number 0..2^32-1, as kstrtoull()."""
    return _number(text, 0, (1 << 32) - 1)


def kstrtoint(text: str, base: int = 0) -> int:
    """A number -2^31..2^31-1, as kstrtoull() with a minus allowed; base 0, or 10 for decimal alone."""
    return _number(text, -(1 << 31), (1 << 31) - 1, base)


def kstrtoll(text: str) -> int:
    """A number -2^63..2^63-1, as kstrtoint()."""
    return _number(text, -(1 << 63), (1 << 63) - 1)


def kstrtobool(text: str) -> bool:
    """True or False by the first letter, of o.. by the second; EINVAL for anything else."""
    first, second = text[:1], text[1:2]
    if first and first in "yYtT1eE":
        return True
    if first and first in "nNfF0dD":
        return False
    if first and first in "oO" and second:
        if second in "nN":
            return True
        if second in "fF":
            return False
    raise KernelError(errno.EINVAL, f"{short(text)} is neither true nor false")
