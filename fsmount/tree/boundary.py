"""The one boundary between Python and the errno world: a refusal is an errno, a bug is an oops.

Used by whatever answers system calls: the FUSE adapter and the supervisor.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.printk import Printk

P = ParamSpec("P")
R = TypeVar("R")

OOPS = "kdumpfs.oops"
"""The logger where the traceback of an oops goes besides the kernel log; by default that is stderr."""


def attempt(printk: Printk, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | int:
    """What call returns; -errno for a KernelError; after an oops -EIO.

    The reason of a KernelError goes to the kernel log's debug level.
    """
    try:
        return call(*args, **kwargs)
    except KernelError as error:
        if error.reason:
            printk.debug("kdumpfs", f"kdumpfs: {error}")
        return -error.errno
    except Exception as bug:
        oops(printk, bug)
        return -errno.EIO


def oops(printk: Printk, bug: Exception) -> None:
    """Put the traceback of a bug of ours into the kernel log and on stderr."""
    import logging  # with what it imports, a tenth of a mount's start
    import traceback

    printk.err(f"Oops: kdumpfs: {bug!r}")
    lines = "".join(traceback.format_exception(bug)).splitlines()
    for line in lines:
        printk.err(line)
    logging.getLogger(OOPS).error("Oops: kdumpfs: %r\n%s", bug, "\n".join(lines))
