"""What can go wrong: the kernel says no, or the user's input is wrong."""

from __future__ import annotations

import errno as _errno


def errno_name(number: int) -> str:
    """An errno's name as Linux has it, else its number."""
    if number == _errno.EOPNOTSUPP:
        return "EOPNOTSUPP"
    return _errno.errorcode.get(number, str(number))


class KernelError(Exception):
    """The kernel would return -errno; reason is for the kernel log's debug level.

    Raised by the engine, turned into an errno by the file system. Success returns nothing.
    """

    def __init__(self, errno: int, reason: str = "") -> None:
        super().__init__(errno, reason)
        self.errno = errno
        self.reason = reason

    def __str__(self) -> str:
        """The errno's name and the reason: one sentence of bounded length, whatever was written."""
        name = errno_name(self.errno)
        said = f"{name}: {self.reason}" if self.reason else name
        return said if len(said) <= 300 else f"{said[:297]}..."


class Ended(BaseException):
    """A signal asked the server to end. The one exception that goes through the boundary to the file system."""


class suppress:  # noqa: N801
    """As contextlib.suppress(), whose module takes a start 0.4 ms."""

    def __init__(self, *kinds: type[BaseException]) -> None:
        self._kinds = kinds

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, self._kinds)


def short(value: object) -> str:
    """A value for a sentence: as Python writes it, at most 60 characters of it."""
    if isinstance(value, dict | list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 128:
        return f"a number of {value.bit_length()} bits"
    text = repr(value[:100] if isinstance(value, str | bytes) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."


class ProfileError(Exception):
    """A machine, file or argument of the user is wrong: one sentence saying where and what was expected."""


class ElfFormatError(Exception):
    """Bytes or text that should be an ELF core header are not: one sentence saying where and why."""
