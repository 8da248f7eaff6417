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
        name = errno_name(self.errno)
        return f"{name}: {self.reason}" if self.reason else name


class Ended(BaseException):
    """A signal asked the server to end. The one exception that goes through the boundary to the file system."""


class ProfileError(Exception):
    """A machine, file or argument of the user is wrong: one sentence saying where and what was expected."""


class ElfFormatError(Exception):
    """Bytes or text that should be an ELF core header are not: one sentence saying where and why."""
