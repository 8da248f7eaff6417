"""Inputs that are nearly right: mutations of right ones, by a generator that a number starts."""

from __future__ import annotations

from random import Random

NUMBERS = (
    0, 1, -1, 2, 7, 8, 255, 256, 4095, 4096, 65535, 65536, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32,
    (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, -(1 << 31), -(1 << 63), -(1 << 63) - 1, 1 << 70, 10**30,
)  # fmt: skip
BITS = (
    b"",
    b"\0",
    b"\n",
    b" ",
    b",",
    b"-",
    b"0x",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"%s",
    b"/",
    b"..",
    b"=",
    b"'",
    b'"',
)
LONG = (b"9" * 4301, b"[" * 3000, b"x" * 70_000, b"\0" * 5000)


def number(chance: Random) -> int:
    """A number that something may not expect."""
    return chance.choice(NUMBERS) + chance.choice((0, 0, 0, 1, -1))


def written(chance: Random) -> bytes:
    """A number as somebody writes it."""
    value = number(chance)
    return (
        chance.choice((b"%d", b"%x", b"0x%x", b"%o", b"0%o", b"%dG", b"+%d", b" %d", b"%d\n"))
        % value
    )


def mutated(data: bytes, chance: Random) -> bytes:
    """Some bytes of data changed, moved, left out, put in."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        at = chance.randrange(len(out) + 1)
        what = chance.randrange(8)
        if what == 0 and out:
            out[at % len(out)] = chance.randrange(256)
        elif what == 1 and out:
            out[at % len(out)] ^= 1 << chance.randrange(8)
        elif what == 2:
            del out[at : at + chance.randrange(1, 9)]
        elif what == 3:
            out[at:at] = written(chance)
        elif what == 4:
            out[at:at] = chance.choice(BITS)
        elif what == 5:
            out[at:at] = out[chance.randrange(len(out) + 1) :][: chance.randrange(64)]
        elif what == 6:
            width = chance.choice((2, 4, 8))
            out[at : at + width] = (number(chance) & (1 << 8 * width) - 1).to_bytes(width, "little")
        elif chance.random() < 0.02:
            out[at:at] = chance.choice(LONG)
    return bytes(out)
