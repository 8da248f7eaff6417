"""The terminal, as both command lines see it. Imports nothing of ours."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def help_width() -> int:
    """Columns of help texts as click computes them, without its import of shutil."""
    try:
        columns = int(os.environ.get("COLUMNS", "0"))
        columns = columns or os.get_terminal_size(sys.__stdout__.fileno()).columns  # type: ignore[union-attr]
    except (ValueError, AttributeError, OSError):
        columns = 0
    return max(min(columns or 80, 80) - 2, 50)


def leave(end: SystemExit) -> NoReturn:
    """End the process as sys.exit() does, less the interpreter's taking itself apart: a tenth of `--help`."""
    if end.code is None or isinstance(end.code, int):
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except (OSError, ValueError, AttributeError):
            raise end from None  # Python says what is wrong with the stream
        os._exit(end.code or 0)
    raise end
