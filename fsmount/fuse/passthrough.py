"""What makes warm reads of a cached file as fast as those of tmpfs: fs/fuse/{passthrough,iomode}.c (Linux 6.9).

The host's page cache of a FUSE file lies scattered in memory. So once a file's first readers have asked for all of it, and
have closed it, a child process writes it into a file in memory, which the host then reads instead, and asks nobody. Not while
they read: that costs as much as their reading. Only root of the host may have it so, and only what is small beside free
memory is kept; whatever goes wrong, the page cache serves as before. Imports proto, channel, mountns.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator

from elfcorehdr.errors import suppress
from fsmount.fuse import proto
from fsmount.fuse.channel import MAX_READ
from fsmount.host import mountns
from fsmount.host.mountns import read_or_empty
from fsmount.host.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

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
    """What the host is to read for a file of so many bytes, once its first readers have closed it."""

    def __init__(self, fuse: int, size: int) -> None:
        self._fuse, self._size = fuse, size
        self._cached: set[_Open] = set()
        self._passed: set[_Open] = set()
        self._missing = bytearray(b"\1") * -(-size // _PAGE)
        self._fd = self._id = self._writer = 0

    def open(self, file: Any, flags: int) -> tuple[Any, int, int]:
        """Of one more open file: who answers its requests, how it is open, the backing file's number.

        An inode has a page cache or a backing file, as long as anybody has it open. Who may write is not passed
        through: writes are asked for, and refused.
        """
        reads = flags & os.O_ACCMODE == os.O_RDONLY
        if not self._passed and not (reads and not self._cached and self._written()):
            return _Open(file, self, self._cached), 0, 0
        how = proto.FOPEN_PASSTHROUGH | (0 if reads else proto.FOPEN_DIRECT_IO)
        return _Open(file, self, self._passed), how, self._id

    def asked(self, offset: int, length: int) -> None:
        """So much of it has been read."""
        end = offset + length
        first, last = -(-offset // _PAGE), -(-end // _PAGE) if end == self._size else end // _PAGE
        if self._missing and first < last:
            self._missing[first:last] = bytes(last - first)

    def closed(self, file: Any) -> None:
        """The first readers may all have closed it; then it is written, from one of their open files."""
        if self._cached or not self._missing or 1 in self._missing:
            return
        self._missing.clear()
        if not _is_small(self._size):
            return
        # A terminal's signals are the server's alone.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # whoever started it may have ignored it
            self._fd = os.memfd_create("kdumpfs", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            opened = bytearray(_BACKING_MAP.pack(self._fd, 0, 0))
            self._id = fcntl.ioctl(self._fuse, _BACKING_OPEN, opened)
            parent, child = os.getpid(), os.fork()
            if child == 0:
                self._write(file, parent)
            self._writer = child
        except (OSError, ValueError):  # a thread may set no signal
            self.close()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _write(self, file: Any, parent: int) -> NoReturn:
        """The child's work, when nobody else wants the CPU; what is zeros stays a hole."""
        try:
            mountns.die_with(parent)
            os.close(self._fuse)  # the mount is its server's
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
            os.ftruncate(self._fd, self._size)
            zeros = bytes(MAX_READ)
            for offset in range(0, self._size, MAX_READ):
                data = file.read(min(MAX_READ, self._size - offset), offset)
                if data != zeros[: len(data)] and os.pwrite(self._fd, data, offset) < len(data):
                    os._exit(1)
            fcntl.fcntl(self._fd, fcntl.F_ADD_SEALS, _SEALS)
            os._exit(0)
        finally:
            os._exit(1)

    def _written(self) -> bool:
        """Whether the child has ended well, and the host may read what it wrote."""
        if self._writer:
            pid, status = os.waitpid(self._writer, os.WNOHANG)
            if not pid:
                return False
            self._writer = 0
            if status:
                self.close()
        return self._id > 0

    def close(self) -> None:
        """Give the memory back; files that are passed through keep it until they are closed."""
        self._missing.clear()
        if self._writer:
            os.kill(self._writer, signal.SIGKILL)
            os.waitpid(self._writer, 0)
        if self._id > 0:
            with suppress(OSError):  # the mount has gone
                fcntl.ioctl(self._fuse, _BACKING_CLOSE, struct.pack("=I", self._id))
        if self._fd > 0:
            os.close(self._fd)
        self._fd = self._id = self._writer = 0


class _Open:
    """An open file, one of `among`."""

    def __init__(self, file: Any, backing: Backing, among: set[_Open]) -> None:
        self._file, self._backing, self._among = file, backing, among
        self.write = file.write
        among.add(self)

    def read(self, size: int, offset: int, flags: int = 0) -> bytes:
        """At most size bytes at offset."""
        data: bytes = self._file.read(size, offset, flags)
        self._backing.asked(offset, len(data))
        return data

    def close(self) -> None:
        """Nobody has it open any more."""
        self._among.discard(self)
        self._backing.closed(self._file)


def backing(fuse: int, size: int) -> Backing | None:
    """Of a file of that size, if it may be passed through the mount behind /dev/fuse's descriptor."""
    return Backing(fuse, size) if size and _is_small(size) else None


def _is_small(size: int) -> bool:
    """Whether so many bytes are little beside free memory."""
    with suppress(OSError, ValueError):
        return size <= min(_available()) // SHARE
    return False


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
