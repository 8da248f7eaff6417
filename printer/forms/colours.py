"""Colour on a terminal, and what is said beside the output. Imports nothing of ours."""

from __future__ import annotations

import os
import sys

LEVELS = {"error": 31, "warning": 33, "note": 36}
"""The ANSI colours of findings by level."""


def in_colour() -> bool:
    """Whether standard output is a terminal and NO_COLOR is not set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def coloured(text: str, code: int) -> str:
    """text in an ANSI colour where in_colour()."""
    if not in_colour():
        return text
    return f"\033[1;{code}m{text}\033[0m"


def aside(text: str) -> None:
    """A line on standard error."""
    sys.stderr.write(text + "\n")
