"""What makes large reads cheap, once a cached file is opened (/proc/vmcore): the host reads ahead more than its 128 KiB.

Only root may say so, in sysfs; without it reads are smaller, and nothing else. Imports nothing of the project.
"""

from __future__ import annotations

import ctypes

from elfcorehdr.errors import suppress

KIB = 2048
"""Two of the largest reads that FUSE makes: one is computed while the other is copied."""

KEPT = 16 << 20
"""Bytes of free memory that the heap may hold."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def widen(fd: int, table: str, point: str) -> None:
    """Read ahead in the mount behind /dev/fuse's fd, which is `point` in a mountinfo file."""
    keep_heap()
    with (
        suppress(OSError, ValueError),
        open(f"/sys/class/bdi/0:{_minor(fd, table, point)}/read_ahead_kb", "w") as file,
    ):
        file.write(str(KIB))


def keep_heap() -> None:
    """Let malloc(3) keep the memory of large answers: to have each page of them anew took twice as long as their content."""
    with suppress(AttributeError):  # another C library than GNU's
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_TRIM_THRESHOLD, KEPT)
        libc.mallopt(_M_MMAP_THRESHOLD, KEPT)


def _minor(fd: int, table: str, point: str) -> int:
    """The minor number of the mount's device; ValueError."""
    with open(f"/proc/self/fdinfo/{fd}") as file:
        for line in file:
            if line.startswith("fuse_connection:"):  # newer kernels
                return int(line.split()[1])
    with open(table, encoding="utf-8", errors="surrogateescape") as file:
        found = [row[2] for row in (line.split() for line in file) if row[4] == point]
    return int("".join(found[-1:]).removeprefix("0:"))


__all__ = ["KIB", "widen"]
