"""Reading at an offset: files of any size by pread(2), pipes by keeping what has gone by.

Nothing is read that was not asked for, so a vmcore of terabytes costs its headers, and a pipe
without end costs no more than STREAM_LIMIT.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

STREAM_LIMIT = 128 << 20
"""Bytes of a pipe that are kept; what lies behind them cannot be read."""
_CHUNK = 16 << 20


class Reader(Protocol):
    """Bytes by offset, from the input's start."""

    size: int | None
    """Bytes of the input where known."""

    def read(self, offset: int, size: int) -> bytes:
        """size bytes at offset; fewer only where the input ends."""
        ...

    def chunks(self, size: int, overlap: int) -> Iterator[tuple[int, bytes]]:
        """(offset, bytes) from start to end; a chunk begins with the last overlap bytes before it."""
        ...


class FileReader:
    """A regular file or block device."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        status = os.fstat(fd)
        block = stat.S_ISBLK(status.st_mode)
        self.size: int | None = os.lseek(fd, 0, os.SEEK_END) if block else status.st_size

    def read(self, offset: int, size: int) -> bytes:
        """size bytes at offset; fewer only where the file ends."""
        parts: list[bytes] = []
        while size > 0 and offset < 1 << 62:
            part = os.pread(self._fd, min(size, _CHUNK), offset)
            if not part:
                break
            parts.append(part)
            offset, size = offset + len(part), size - len(part)
        return b"".join(parts)

    def chunks(self, size: int, overlap: int) -> Iterator[tuple[int, bytes]]:
        """The file's data from start to end; holes of a sparse file are passed over."""
        at = 0
        while True:
            try:
                at = max(at, os.lseek(self._fd, at, os.SEEK_DATA))
            except OSError:  # ENXIO: only a hole is left; EINVAL: this file system does not say
                if at:
                    return
            first = max(0, at - overlap)
            chunk = self.read(first, size + overlap)
            if len(chunk) <= at - first:
                return
            yield first, chunk
            at = first + len(chunk)


class StreamReader:
    """A pipe, socket or character device: read once, in order, the first STREAM_LIMIT bytes kept."""

    size: int | None = None

    def __init__(self, fd: int, begin: bytes = b"") -> None:
        self._fd = fd
        self._kept = bytearray(begin)
        self._ended = False

    def read(self, offset: int, size: int) -> bytes:
        """size bytes at offset; fewer where the stream ends or STREAM_LIMIT is reached."""
        end = min(offset + size, STREAM_LIMIT)
        while len(self._kept) < end and not self._ended:
            part = os.read(self._fd, min(1 << 20, end - len(self._kept)))
            self._kept += part
            self._ended = not part
        return bytes(self._kept[offset:end])

    def chunks(self, size: int, overlap: int) -> Iterator[tuple[int, bytes]]:
        """The stream's first STREAM_LIMIT bytes."""
        at = 0
        while chunk := self.read(max(0, at - overlap), size + overlap):
            first = max(0, at - overlap)
            if first + len(chunk) <= at:
                return
            yield first, chunk
            at = first + len(chunk)


@contextmanager
def open_reader(name: str, begin: bytes = b"") -> Iterator[Reader]:
    """A reader for a path, or for standard input if name is `-`; OSError, with its name, if it cannot be read.

    begin is what somebody has taken from the stream already.
    """
    fd = 0 if name == "-" else os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISREG(mode) or stat.S_ISBLK(mode):
            yield FileReader(fd)
        else:
            yield StreamReader(fd, begin)
    except OSError as error:  # of a read, which does not say of what
        error.filename = error.filename or ("standard input" if name == "-" else name)
        raise
    finally:
        if fd:
            os.close(fd)
