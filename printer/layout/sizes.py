"""What a person reads: sizes and ranges in words, names without control characters. Imports nothing."""

from __future__ import annotations

_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def size_text(size: int) -> str:
    """size in bytes as B, KiB, MiB, ...: exact where four decimals say it, else rounded, with `~`.

    A few bytes beyond a whole number of pages are said apart: 5.75 GiB + 1 B.
    """
    if size < 0:
        return "-" + size_text(-size)
    if size < 1024:
        return f"{size} B"
    odd = size % 4096
    if 0 < odd < 64 and size > 4096:
        return f"{size_text(size - odd)} + {odd} B"
    power = min((size.bit_length() - 1) // 10, len(_UNITS))
    unit = 1 << 10 * power
    parts, rest = divmod(size * 10_000, unit)
    if rest:
        return f"~{f'{size / unit:.2f}'.rstrip('0').rstrip('.')} {_UNITS[power - 1]}"
    number = f"{parts // 10_000}.{parts % 10_000:04d}".rstrip("0").rstrip(".")
    return f"{number} {_UNITS[power - 1]}"


def range_text(start: int, size: int) -> str:
    """A range as a person says it: its size and where it begins."""
    return f"{size_text(size)} at {start:#x}"


def printable(text: str) -> str:
    """text in one line: what cannot be printed (a newline, an escape, a byte that is no UTF-8) as \\x.."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii")
        for c in text
    )
