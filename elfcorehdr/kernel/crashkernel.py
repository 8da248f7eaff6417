"""crashkernel= on the command line: the parsers of kernel/crash_reserve.c (7.3), kernel/crash_core.c before 6.9.

Numbers are modulo 2^64, as unsigned long long has them; only a blank ends a parameter.
"""

from __future__ import annotations

import re

from elfcorehdr import changes
from elfcorehdr.lib.record import Record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

NAME = "crashkernel="
HIGH, LOW, CMA = ",high", ",low", ",cma"
U64 = 1 << 64
ROUND_UP = 128 << 20
"""The range form compares with RAM rounded up to this."""
MOST_DIGITS = 4000
_SHIFTS = {"k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60}
_FROM_ZERO = "0[xX][0-9a-fA-F]+|0[0-7]*"


def page_align(size: int, page_size: int) -> int:
    """PAGE_ALIGN(), which has 64 bits; Invalid where nothing is left."""
    aligned = -(-size // page_size) * page_size % U64
    if not aligned:
        raise Invalid(f"crashkernel= asks for {size:#x} bytes, which in whole pages are 2^64, or 0")
    return aligned


class Invalid(Exception):
    """-EINVAL; says why, for `kdumpfs crashkernel`."""


class Wanted(Record):
    """What the command line asks for, in bytes: struct of out-parameters of parse_crashkernel()."""

    size: int = 0
    base: int = 0
    """0: anywhere."""
    low_size: int = 0
    high: bool = False
    cma_size: int = 0


def memparse(text: str, *, saturates: bool = True) -> tuple[int, str]:
    """memparse(), lib/cmdline.c: a number (0x, 0 octal, decimal) with an optional unit K..E, and what follows it.

    What is no number is 0 with all of text left. Without saturates, as before 7.2: a size beyond
    2^64 wraps, and a unit alone is a 0.
    """
    digits = text[: len(text) - len(text.lstrip("0123456789"))]
    if digits.startswith("0") and (match := re.match(_FROM_ZERO, text)):
        digits = match.group()
    value, rest = 0, text[len(digits) :]
    if digits:
        base = 16 if digits[:2].lower() == "0x" else 8 if digits[0] == "0" else 10
        value = int(digits[:MOST_DIGITS], base)  # a kernel's command line is shorter
        value = min(value, U64 - 1) if saturates else value % U64
    shift = _SHIFTS.get(rest[:1].lower(), 0)
    if not shift or (saturates and not digits):
        return value, rest
    value <<= shift
    return (min(value, U64 - 1) if saturates else value % U64), rest[1:]


def crashkernel_words(cmdline: str) -> list[str]:
    """The parameters crashkernel=... of a command line, in order."""
    return [word for word in cmdline.split() if word.startswith(NAME)]


def get_last_crashkernel(cmdline: str, suffix: str = "", known: tuple[str, ...] = ()) -> str | None:
    """What follows the last crashkernel= with this suffix (or with none of those known), up to the line's end."""
    found, at = None, cmdline.find(NAME)
    while at >= 0:
        end = cmdline.find(" ", at)
        word = cmdline[: end if end >= 0 else len(cmdline)]
        if word.endswith(suffix) if suffix else not word.endswith(known):
            found = cmdline[at + len(NAME) :]
        at = cmdline.find(NAME, at + 1)
    return found


class Parser:
    """parse_crashkernel() as a kernel has it; complaints go to its log."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._cmdline = kernel.cmdline
        self._saturates = kernel.has(changes.MEMPARSE_SATURATES)
        self._known = (HIGH, LOW, CMA) if kernel.has(changes.CMA_CRASHKERNEL) else (HIGH, LOW)

    def plain(self, ram: int) -> Wanted | None:
        """`size[@base]` or `s1-[e1]:size1[,...][@base]`, the last one on the line; None: there is none. Invalid.

        ram in bytes.
        """
        value = get_last_crashkernel(self._cmdline, known=self._known)
        if value is None:
            return None
        first = value.partition(" ")[0]
        return self._mem(value, ram) if ":" in first else self._simple(value)

    def suffix(self, suffix: str) -> int | None:
        """The size of `size,high`, `size,low` or `size,cma`; None: there is none. Invalid."""
        value = get_last_crashkernel(self._cmdline, suffix)
        if value is None:
            return None
        size, rest = self._number(value)
        if rest == value:
            raise self._complain("crashkernel: memory value expected", value)
        left = rest.removeprefix(suffix)
        if left == rest or (left and left[0] != " "):
            char = rest if left == rest else left
            raise self._complain(f"crashkernel: unrecognized char: {char[:1]}", value)
        return size

    def generic(self, ram: int, low_default: int, *, cma: bool = False) -> Wanted:
        """parse_crashkernel() with high and low, since 6.7: ram and low_default in bytes. Invalid: nothing is reserved.

        cma says whether `,cma` is asked for; what is wrong with it is told though there is nothing besides.
        """
        wrong = None
        try:
            wanted = self.plain(ram)
        except Invalid as invalid:
            wanted, wrong = Wanted(), invalid
        if wanted is None:
            size = self.suffix(HIGH)
            if not size:
                raise Invalid(self.no_plain(size))
            low = self.suffix(LOW)
            wanted = Wanted(size, 0, low_default if low is None else low, high=True)
        cma_size = self.cma() if cma else 0
        if wrong is not None:
            raise wrong
        return replace(self.judged(wanted, ram), cma_size=cma_size)

    def judged(self, wanted: Wanted, ram: int) -> Wanted:
        """The size as parse_crashkernel() takes it: Invalid if it is nothing, or not less than RAM."""
        if not wanted.size:
            raise Invalid("crashkernel= asks for 0 bytes")
        if wanted.size >= ram:
            raise Invalid(f"{wanted.size:#x} bytes are not less than the {ram:#x} of memory")
        return wanted

    def no_plain(self, size: int | None) -> str:
        """Why there is nothing to reserve where no plain form is on the line."""
        if size == 0:
            return "crashkernel=...,high asks for 0 bytes"
        if crashkernel_words(self._cmdline):
            return "crashkernel=...,low, ,high and ,cma reserve nothing here without a size of their own kind"
        return "there is no crashkernel= on the command line"

    def cma(self) -> int:
        """The size of `size,cma`, in bytes; 0 if there is none.

        Quirk: what is wrong behind the number is complained of, and the number taken.
        """
        try:
            return self.suffix(CMA) or 0
        except Invalid:
            return self._number(get_last_crashkernel(self._cmdline, CMA) or "")[0]

    def _number(self, text: str) -> tuple[int, str]:
        return memparse(text, saturates=self._saturates)

    def _complain(self, text: str, value: str) -> Invalid:
        """The kernel's complaint in the log, and what it means."""
        self._kernel.log.warning(text)
        return Invalid(f"crashkernel={value.partition(' ')[0][:60]} is no size: {text}")

    def _simple(self, value: str) -> Wanted:
        """parse_crashkernel_simple(). Quirk: what follows a base is not looked at."""
        size, rest = self._number(value)
        if rest == value:
            raise self._complain("crashkernel: memory value expected", value)
        if rest[:1] == "@":
            return Wanted(size, self._number(rest[1:])[0])
        if rest and rest[0] != " ":
            raise self._complain(f"crashkernel: unrecognized char: {rest[0]}", value)
        return Wanted(size)

    def _mem(self, value: str, ram: int) -> Wanted:
        """parse_crashkernel_mem(): the first range that holds RAM, rounded up to 128 MiB."""
        ram = -(-ram // ROUND_UP) * ROUND_UP
        prefixed = self._kernel.has(changes.CRASHKERNEL_PREFIXED)
        size, rest = 0, value
        while True:
            start, left = self._number(rest)
            if left == rest:
                raise self._complain("crashkernel: Memory value expected", value)
            if left[:1] != "-":
                raise self._complain("crashkernel: '-' expected", value)
            rest, end = left[1:], U64 - 1
            if rest[:1] != ":":
                end, left = self._number(rest)
                if left == rest:
                    raise self._complain("crashkernel: Memory value expected", value)
                rest = left
                if end <= start:
                    raise self._complain("crashkernel: end <= start", value)
            if rest[:1] != ":":
                raise self._complain("crashkernel: ':' expected", value)
            rest = rest[1:]
            found, left = self._number(rest)
            if left == rest:
                prefix = "crashkernel: " if prefixed else ""
                raise self._complain(f"{prefix}Memory value expected", value)
            rest = left
            if found >= ram:
                raise self._complain("crashkernel: invalid size", value)
            if start <= ram < end:
                size = found
                break
            if rest[:1] != ",":
                break
            rest = rest[1:]
        if not size:
            self._kernel.log.info("crashkernel size resulted in zero bytes")
            raise Invalid(f"no range of crashkernel= holds {ram:#x} bytes of memory")
        at = rest.partition(" ")[0].partition("@")
        if not at[1]:
            return Wanted(size)
        rest = rest.partition("@")[2]
        base, left = self._number(rest)
        if left == rest:
            spelt = self._kernel.has(changes.CRASHKERNEL_SPELT)
            # Quirk: spelt so in the kernel
            prefix = "crashkernel: " if spelt else "crahskernel: " if prefixed else ""
            raise self._complain(f"{prefix}Memory value expected after '@'", value)
        return Wanted(size, base)
