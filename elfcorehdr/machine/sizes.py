"""Sizes and id lists as people write them in a machine's file or on the command line, in bounds."""

from __future__ import annotations

import re

U64 = 1 << 64
_SIZE = r"(0[xX][0-9a-fA-F]{1,17}|[0-9]{1,20})([KMGTPE](?:iB)?)?"  # compiled at its first use
_SHIFTS = {unit: 10 * (i + 1) for i, unit in enumerate("KMGTPE")}
_RUN = r"([0-9]{1,9})(?:-([0-9]{1,9}))?"


def parse_size(text: str) -> int | None:
    """Bytes of "16G", "256MiB", "0x400000000" or "4096", as 1024 has it; None for anything else, or past 2^64."""
    match = re.fullmatch(_SIZE, text, re.ASCII | re.IGNORECASE)
    if match is None:
        return None
    value = int(match.group(1), 0 if match.group(1)[:2].lower() == "0x" else 10)
    value <<= _SHIFTS[match.group(2)[0].upper()] if match.group(2) else 0
    return value if value < U64 else None


def size_text(size: int) -> str:
    """A size as parse_size() reads it: with the largest unit that leaves no rest."""
    for unit in "PTGMK":
        if size and not size % (1 << _SHIFTS[unit]):
            return f"{size >> _SHIFTS[unit]}{unit}"
    return f"{size:#x}" if size >= 1 << 10 else str(size)


def parse_runs(text: str, limit: int) -> list[tuple[int, int]] | None:
    """The runs of a list such as "0-3,6", first and last, ascending; None if it is none, or an id is not below limit."""
    runs: list[tuple[int, int]] = []
    for part in text.split(",") if text else ():
        match = re.fullmatch(_RUN, part, re.ASCII)
        if match is None:
            return None
        first = int(match.group(1))
        last = int(match.group(2) or first)
        if last < first or last >= limit or (runs and first <= runs[-1][1]):
            return None
        runs.append((first, last))
    return runs


def shown(value: object, most: int = 48) -> str:
    """A value for a sentence: as Python writes it, cut where it is long."""
    if isinstance(value, str | bytes) and len(value) > most:
        return repr(value[:most]) + "..."
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 80:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, dict | list | tuple):
        kind = "a table" if isinstance(value, dict) else "a list"
        return f"{kind} of {len(value)}"
    text = repr(value)
    return text if len(text) <= most else text[:most] + "..."
