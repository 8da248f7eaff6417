"""What makes warm reads of a cached file as fast as those of tmpfs: fs/fuse/{passthrough,iomode}.c (Linux 6.9).

The host's page cache of a FUSE file lies scattered in memory. So what a file's first readers are answered goes into a file
in memory as well; once that has all, the host reads it instead, and asks nobody. Only root of the host may have it so, and
only what is small beside free memory is kept; whatever goes wrong, the page cache serves as before. Imports proto, channel, mountns.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterator

from elfcorehdr.errors import suppress
from fsmount.fuse import proto
from fsmount.fuse.channel import MAX_READ
from fsmount.host.mountns import read_or_empty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SHARE = 4
"""Of the memory that is available, one part in so many may be kept for a file: unlike a page cache, nobody can take it back."""

_PAGE = 4096
_LIMITS = {
    "": ("/sys/fs/cgroup", "memory.max", "memory.current"),
    "memory": ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
}
"""Where the control groups of version 2 and of version 1 say what they may take, and what they have taken."""
_BACKING_OPEN, _BACKING_CLOSE = 0x4010E501, 0x4004E502
"""FUSE_DEV_IOC_BACKING_OPEN and _CLOSE. On powerpc they are others, so there it is ENOTTY and nothing is passed through."""
_BACKING_MAP = struct.Struct("=iIQ")  # struct fuse_backing_map: fd flags padding
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


class Backing:
    """A file in memory with what was answered of another one, until it is whole; OSError if it may not be passed through."""

    def __init__(self, fuse: int, size: int) -> None:
        self._fuse, self._size = fuse, size
        self._cached: set[_Open] = set()
        self._passed: set[_Open] = set()
        self._missing = bytearray(b"\1") * -(-size // _PAGE)
        self._zeros = bytes(MAX_READ)
        self._fd = os.memfd_create("kdumpfs", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self._id = 0
        try:
            os.ftruncate(self._fd, size)
            self._id = fcntl.ioctl(
                fuse, _BACKING_OPEN, bytearray(_BACKING_MAP.pack(self._fd, 0, 0))
            )
        except OSError:
            self.close()
            raise

    def open(self, file: Any, flags: int) -> tuple[Any, int, int]:
        """Of one more open file: who answers its requests, how it is open, the backing file's number.

        An inode has a page cache or a backing file, as long as anybody has it open. Who may write is not passed
        through: writes are asked for, and refused.
        """
        reads = flags & os.O_ACCMODE == os.O_RDONLY
        if not self._passed and not (reads and self._whole()):
            return _Open(file, self, self._cached), 0, 0
        how = proto.FOPEN_PASSTHROUGH | (0 if reads else proto.FOPEN_DIRECT_IO)
        return _Open(file, self, self._passed), how, self._id

    def put(self, data: bytes, offset: int) -> None:
        """Keep an answer; what is zeros stays a hole."""
        if self._fd < 0 or not self._missing:
            return
        try:
            if data != self._zeros[: len(data)] and os.pwrite(self._fd, data, offset) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self.close()
            return
        end = offset + len(data)
        first, last = -(-offset // _PAGE), -(-end // _PAGE) if end == self._size else end // _PAGE
        if first < last:
            self._missing[first:last] = bytes(last - first)

    def _whole(self) -> bool:
        """Whether all is there, and nobody reads through the page cache."""
        if self._fd < 0 or self._cached or 1 in self._missing:
            return False
        if self._missing:
            try:
                fcntl.fcntl(self._fd, fcntl.F_ADD_SEALS, _SEALS)
            except OSError:
                self.close()
                return False
            self._missing.clear()
        return True

    def close(self) -> None:
        """Give the memory back; files that are passed through keep it until they are closed."""
        fd, self._fd = self._fd, -1
        if self._id > 0:
            with suppress(OSError):  # the mount has gone
                fcntl.ioctl(self._fuse, _BACKING_CLOSE, struct.pack("=I", self._id))
        if fd >= 0:
            os.close(fd)


class _Open:
    """An open file, one of `among`; what it is answered is kept."""

    def __init__(self, file: Any, backing: Backing, among: set[_Open]) -> None:
        self._file, self._backing, self._among = file, backing, among
        self.write = file.write
        among.add(self)

    def read(self, size: int, offset: int, flags: int = 0) -> bytes:
        """At most size bytes at offset."""
        data: bytes = self._file.read(size, offset, flags)
        self._backing.put(data, offset)
        return data

    def close(self) -> None:
        """Nobody has it open any more."""
        self._among.discard(self)


def backing(fuse: int, size: int) -> Backing | None:
    """Room to keep a file of that size, if it may be passed through the mount behind /dev/fuse's descriptor."""
    with suppress(OSError, ValueError):
        if 0 < size <= min(_available()) // SHARE:
            return Backing(fuse, size)
    return None


def _available() -> Iterator[int]:
    """Bytes that the host could give, and those that our control group and each above it may still take."""
    rows = read_or_empty("/proc/meminfo").splitlines()
    yield next((int(row.split()[1]) << 10 for row in rows if row.startswith("MemAvailable:")), 0)
    for row in read_or_empty("/proc/self/cgroup").splitlines():
        _, controllers, path = row.split(":", 2)
        if controllers not in _LIMITS:
            continue
        top, most, taken = _LIMITS[controllers]
        while True:
            with suppress(ValueError):  # there is no such file, or it says "max"
                limit, used = (int(read_or_empty(f"{top}{path}/{n}")) for n in (most, taken))
                yield limit - used
            if path in ("", "/"):
                break
            path = os.path.dirname(path)


__all__ = ["Backing", "backing"]
