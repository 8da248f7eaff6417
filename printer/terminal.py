"""The terminal, as both command lines see it. Imports nothing of ours."""

from __future__ import annotations

import os
import sys


def help_width() -> int:
    """Columns of help texts as click computes them, without its import of shutil."""
    try:
        columns = int(os.environ.get("COLUMNS", "0"))
        columns = columns or os.get_terminal_size(sys.__stdout__.fileno()).columns  # type: ignore[union-attr]
    except (ValueError, AttributeError, OSError):
        columns = 0
    return max(min(columns or 80, 80) - 2, 50)
