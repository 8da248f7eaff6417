"""How the kernel reads what is written to its files: lib/kstrtox.c, lib/string.c (v7.1)."""

from __future__ import annotations

import errno
import re

from elfcorehdr.errors import KernelError

_NUMBER = r"([+-]?)(0[xX][0-9a-fA-F]+|[0-9]+)\n?"  # compiled when first used


def sysfs_streq(text: str, word: str) -> bool:
    """Whether text is the word, with or without one newline; an embedded NUL ends the text."""
    text = text.split("\0", 1)[0]
    return text == word or text == word + "\n"


def _number(text: str, lowest: int, highest: int, base: int = 0) -> int:
    match = re.fullmatch(_NUMBER, text.split("\0", 1)[0])
    if not match or (match.group(1) == "-" and lowest == 0):
        raise KernelError(errno.EINVAL, f"{text!r} is not a number")
    digits = match.group(2)
    if base:
        if not digits.isdecimal():
            raise KernelError(errno.EINVAL, f"{text!r} is not a decimal number")
        value = int(digits)
    elif digits[:2].lower() == "0x":
        value = int(digits, 16)
    elif digits[0] == "0" and len(digits) > 1:
        if not re.fullmatch("[0-7]+", digits):
            raise KernelError(errno.EINVAL, f"{text!r} is not an octal number")
        value = int(digits, 8)
    else:
        value = int(digits)
    if match.group(1) == "-":
        value = -value
    if not lowest <= value <= highest:
        raise KernelError(errno.ERANGE, f"{text!r} is out of range")
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
    raise KernelError(errno.EINVAL, f"{text!r} is neither true nor false")
