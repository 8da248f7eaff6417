"""The kernel log: records with level, facility and time, as kernel/printk/printk.c keeps them.

The engine speaks through Printk.emit() and its named levels; /dev/kmsg and syslog(2) read it.
Imports nothing of ours.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

KERN_EMERG, KERN_ALERT, KERN_CRIT, KERN_ERR = 0, 1, 2, 3
KERN_WARNING, KERN_NOTICE, KERN_INFO, KERN_DEBUG = 4, 5, 6, 7

LOG_KERN, LOG_USER = 0, 1
"""Syslog facilities: the kernel's own records, and what was written to /dev/kmsg."""


@dataclass(frozen=True, slots=True)
class Record:
    """One log record; time in microseconds since boot, text without the final newline."""

    seq: int
    level: int
    facility: int
    ts_usec: int
    text: str


class Printk:
    """A ring buffer of at most `size` bytes of text; the oldest records go first.

    pr_debug() texts are kept only while dynamic_debug is on, as with CONFIG_DYNAMIC_DEBUG.
    """

    def __init__(
        self,
        clock: Callable[[], int] = time.monotonic_ns,
        size: int = 1 << 18,
        *,
        dynamic_debug: bool = False,
    ) -> None:
        self._clock = clock
        self._boot = clock()
        self._size = size
        self._used = 0
        self._next_seq = 0
        self._records: deque[Record] = deque()
        self.dynamic_debug = dynamic_debug

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    @property
    def next_seq(self) -> int:
        """The sequence number that the next record will get."""
        return self._next_seq

    def emit(self, level: int, text: str, facility: int = LOG_KERN) -> None:
        """Append a record; level 0..7, text without a final newline (inner newlines stay)."""
        ts_usec = (self._clock() - self._boot) // 1000
        self._records.append(Record(self._next_seq, level, facility, ts_usec, text))
        self._next_seq += 1
        self._used += len(text)
        while self._used > self._size and len(self._records) > 1:
            self._used -= len(self._records.popleft().text)

    def err(self, text: str) -> None:
        """pr_err()"""
        self.emit(KERN_ERR, text)

    def warning(self, text: str) -> None:
        """pr_warn()"""
        self.emit(KERN_WARNING, text)

    def info(self, text: str) -> None:
        """pr_info()"""
        self.emit(KERN_INFO, text)

    def debug(self, text: str) -> None:
        """pr_debug(): kept only while dynamic_debug is on."""
        if self.dynamic_debug:
            self.emit(KERN_DEBUG, text)
