"""When the machine booted and how long it runs: kernel/time/timekeeping.c. The log's time stamps count from the same moment."""

from __future__ import annotations

import time
from collections.abc import Callable


class Timekeeping:
    """One clock for /proc/uptime, btime, sysinfo(2) and the log."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self.began_ns = clock()
        """The clock's value at boot."""
        self.boot_realtime_ns = time.time_ns()
        """When it booted, in ns since 1970: what getboottime64() gives."""

    def began(self, ns: int) -> None:
        """It booted at another value of the clock."""
        self.boot_realtime_ns += ns - self.began_ns
        self.began_ns = ns

    def uptime_ns(self) -> int:
        """ktime_get_boottime(), in ns."""
        return self._clock() - self.began_ns
