"""Work that may wait for somebody else (a file on a server that is slow, or on one of the caller's own), done aside."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable

from elfcorehdr.errors import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")

PATIENCE_S = 8.0
"""After so long whoever asked is told EIO; what waits goes on waiting, in a thread that ends with the process."""
STEP_S = 0.005


def aside(call: Callable[[], T], meanwhile: Callable[[], None]) -> T:
    """What call returns or raises, from a thread; meanwhile() is called again and again until then.

    KernelError(EIO) if it takes longer than PATIENCE_S. call must touch nothing that meanwhile() does.
    """
    import threading  # few runs come here

    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(call())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    until = time.monotonic() + PATIENCE_S
    thread.join(STEP_S)
    while thread.is_alive() and time.monotonic() < until:
        meanwhile()
        thread.join(STEP_S)
    if failed:
        raise failed[0]
    if not done:
        raise KernelError(errno.EIO, f"no answer within {PATIENCE_S:g} s")
    return done[0]
