"""A module's function that takes long: named after a second, ended after ten. kernel/watchdog.c."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

SLOW_S = 1.0
"""Who takes longer is named: nobody else is answered meanwhile."""
STUCK_S = 10.0
"""Who takes longer is ended: its reader could not even be killed, fs/fuse/dev.c, request_wait_answer()."""


class Stuck(BaseException):
    """A function was ended because it did not end; no `except Exception` of its own keeps it going."""

    def __init__(self) -> None:
        super().__init__(f"ended after {STUCK_S:g} s")


class Watch:
    """The time a call takes. tell(words) is called while it is slow, and when a slow one is done.

    It is told, and ended, while it runs where this is the main thread and SIGALRM is nobody's.
    """

    def __init__(self, tell: Callable[[str], None], path: str) -> None:
        self._tell = tell
        self._path = path
        self._timer = self._told = False

    def __enter__(self) -> None:
        self._since = time.perf_counter()
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGALRM) is signal.SIG_DFL:
            self._timer = True
            signal.signal(signal.SIGALRM, self._still)
            signal.setitimer(signal.ITIMER_REAL, SLOW_S, STUCK_S - SLOW_S)

    def _still(self, _number: int, frame: FrameType | None) -> None:
        if self._told:
            raise Stuck
        self._told = True
        while frame is not None and frame.f_code.co_filename != self._path:
            frame = frame.f_back
        at = f" and is at line {frame.f_lineno}" if frame is not None else ""
        self._tell(f"has run for {SLOW_S:g} s{at}")

    def __exit__(self, *_: object) -> None:
        if self._timer:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
        took = time.perf_counter() - self._since
        if took > SLOW_S:
            self._tell(f"took {took:.1f} s")
