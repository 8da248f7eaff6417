"""The one boundary between Python and the errno world: a refusal is an errno, a bug is an oops.

Used by whatever answers system calls: the FUSE server and the supervisor. Whatever a show or store
does (a module's too), that one call fails and the machine goes on.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from elfcorehdr.errors import Ended as Ended
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.printk import Printk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from traceback import TracebackException
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")

OOPS = "kdumpfs.oops"
"""The logger where the traceback of an oops goes besides the kernel log; by default that is stderr."""

MAX_ERRNO = 4095
"""include/linux/err.h: what is larger is no error to a kernel."""

_OOPS_LINES, _OOPS_COLUMNS = 60, 400
"""How much of a traceback is kept: a recursion's has no end, nor has an exception's own text."""


def attempt(printk: Printk, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | int:
    """What call returns; -errno for a KernelError; after an oops -EIO."""
    try:
        return call(*args, **kwargs)
    except Ended:
        raise
    except BaseException as raised:  # SystemExit too: a show does not end the machine
        return -errno_of(printk, raised)


def errno_of(printk: Printk, raised: BaseException) -> int:
    """The errno, 1 to MAX_ERRNO, that what was raised stands for.

    That of a KernelError, whose reason goes to the kernel log's debug level; for anything else, and
    for a KernelError whose errno is none, EIO after an oops.
    """
    try:
        if isinstance(raised, KernelError):
            number: object = raised.errno
            if isinstance(number, int) and 0 < number <= MAX_ERRNO:
                if raised.reason:
                    printk.debug("kdumpfs", f"kdumpfs: {raised}")
                return int(number)
        oops(printk, raised)
    except Ended:
        raise
    except BaseException as bug:  # its own errno cannot be had
        oops(printk, bug)
    return errno.EIO


def oops(printk: Printk, bug: BaseException) -> None:
    """Put the traceback of a bug into the kernel log and on stderr."""
    import logging  # with what it imports, a tenth of a mount's start

    lines = traceback_of(bug, limit=-_OOPS_LINES // 4)
    if len(lines) > _OOPS_LINES:
        lines[1 : -_OOPS_LINES + 2] = ["  ..."]
    lines = [line[:_OOPS_COLUMNS] for line in lines]
    what = lines[-1]
    printk.err(f"Oops: kdumpfs: {what}")
    for line in lines:
        printk.err(line)
    logging.getLogger(OOPS).error("Oops: kdumpfs: %s\n%s", what, "\n".join(lines))


def traceback_of(
    bug: BaseException,
    cut: Callable[[TracebackException], None] | None = None,
    limit: int | None = None,
) -> list[str]:
    """The lines of a traceback, once cut() has shortened it; the name of its type alone, where that cannot be had.

    An exception may have attributes of any kind, or ones that raise.
    """
    import traceback

    try:
        # It copes with a __str__ that fails; a repr() would not.
        told = traceback.TracebackException.from_exception(bug, limit=limit, compact=True)
        if cut is not None:
            cut(told)
        if lines := "".join(told.format()).splitlines():
            return lines
    except Ended:
        raise
    except BaseException:
        pass
    return [f"{type_name(bug)}, of which no more can be told"]


def type_name(value: object) -> str:
    """What the type of a value is called, whatever its class says of itself."""
    return str(type.__dict__["__name__"].__get__(type(value)))
