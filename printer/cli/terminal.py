"""The terminal, as both command lines see it. Imports nothing of ours."""

from __future__ import annotations

import os
import sys
from io import BufferedWriter, FileIO, TextIOWrapper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells give it: 128 + SIGINT."""
PATIENCE = 2.0
"""Seconds before a step that is still going on says so."""


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


def bounded(text: str, most: int = 500) -> str:
    """Lines without their middle, where a word of the user's makes one longer than any terminal."""
    if len(text) <= most:
        return text
    lines = (
        line if len(line) <= most else f"{line[: most // 2]}...{line[-most // 2 :]}"
        for line in text.split("\n")
    )
    return "\n".join(lines)


def hold_streams() -> None:
    """Take the place of what the caller has closed of 0, 1 and 2, so that no file of ours gets that number.

    What stands there is opened the other way round: to use it is EBADF, as it was. Errors go nowhere.
    """
    for fd, mode in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDWR)):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, mode), True)  # the lowest that is free: fd
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


STDOUT = "standard output"


class _Stdout(FileIO):
    """Descriptor 1, whose errors say so."""

    def write(self, data: Any, /) -> int:
        """Write; OSError with its filename."""
        try:
            return super().write(data)
        except OSError as error:
            error.filename = STDOUT
            raise


def name_stdout() -> None:
    """Let errors of sys.stdout say that they are its."""
    was = sys.stdout
    if was is None:
        sys.stdout = TextIOWrapper(BufferedWriter(_Stdout(1, "wb", closefd=False)))
    elif isinstance(was, TextIOWrapper) and was is sys.__stdout__:
        was.flush()
        sys.stdout = TextIOWrapper(
            BufferedWriter(_Stdout(1, "wb", closefd=False)),
            encoding=was.encoding,
            errors=was.errors,
            line_buffering=was.line_buffering,
            write_through=was.write_through,
        )


def sentence_of(error: OSError) -> str:
    """What went wrong with which file; if that was standard output, nothing more goes there, not even at exit."""
    if error.filename == STDOUT:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if isinstance(error, FileNotFoundError) and error.filename is None and not _cwd_is_there():
        return "the current directory was removed, expected one that exists: cd to another"
    where = f"{error.filename}: " if error.filename is not None else ""
    text = bounded(f"{where}{error.strerror or error}")
    return text if text.isprintable() else ascii(text)[1:-1]


def _cwd_is_there() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


class Progress:
    """What is being done, on standard error if that is a terminal and if it takes longer than PATIENCE.

    A timer's signal writes the line, so that no step has to think of it; at the end it is wiped away.
    """

    def __init__(self) -> None:
        self.doing = ""
        """What is being done, in a few words."""
        self.done = 0
        self.total: int | None = None
        """Bytes that are done, and in all, where that is known."""
        self._shown = False

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            import signal

            signal.signal(signal.SIGALRM, self._tick)
            signal.setitimer(signal.ITIMER_REAL, PATIENCE, 0.5)
        return self

    def __exit__(self, *_: object) -> None:
        if sys.stderr.isatty():
            import signal

            signal.setitimer(signal.ITIMER_REAL, 0)
            if self._shown:
                sys.stderr.write("\r\033[K")
                sys.stderr.flush()

    def at(self, done: int) -> None:
        """So many bytes are done."""
        self.done = done

    def _tick(self, *_: object) -> None:
        text = self.doing
        if self.done:
            text += f": {self.done >> 20:,} MiB"
            text += (
                f" of {self.total >> 20:,} ({100 * self.done // self.total} %)"
                if self.total
                else ""
            )
        self._shown = True
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()
