"""Regular files of whoever asks, by descriptor: their size and first bytes. Nothing else is ever opened."""

from __future__ import annotations

import errno
import os
import stat

from elfcorehdr.lib.record import NamedTuple
from fsmount.host import mountns

HEAD = 4 << 20
"""Bytes that are read, of however large a file: an ELF header with its 65,535 program headers is shorter."""


class Head(NamedTuple):
    """A regular file: its size, its first HEAD bytes, and what it is called."""

    size: int
    data: bytes
    name: str = ""


def head_of_descriptor(proc: int, pid: int, fd: int) -> Head:
    """The file that process pid of a procfs (a descriptor of ours) has open as fd.

    OSError: EBADF if there is none, ELOOP for a file of ours, EISDIR, EINVAL for what else is no regular file.
    """
    try:
        if _fstype(proc, pid, fd) == mountns.FSTYPE:
            raise OSError(errno.ELOOP, "it is in a mounted kdumpfs, expected a file of the host")
        # By O_PATH, so that a device or FIFO is not opened once more.
        found = os.open(f"{pid}/fd/{fd}", os.O_PATH | os.O_CLOEXEC, dir_fd=proc)
    except (FileNotFoundError, ProcessLookupError):
        raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None
    try:
        _check(found)
        name = os.readlink(f"{pid}/fd/{fd}", dir_fd=proc)
        opened = os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    finally:
        os.close(found)
    try:
        return head_of(opened)._replace(name=name)
    finally:
        os.close(opened)


def head_of(fd: int) -> Head:
    """The file of a descriptor of ours. OSError: EISDIR, EINVAL for what is no regular file; what read(2) gives."""
    size = _check(fd)
    parts: list[bytes] = []
    at, end = 0, min(HEAD, size)
    while at < end and (part := os.pread(fd, end - at, at)):
        parts.append(part)
        at += len(part)
    return Head(size, b"".join(parts))


def _check(fd: int) -> int:
    """The size of a regular file."""
    status = os.fstat(fd)
    if stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EISDIR, "a directory")
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    return status.st_size


def _fstype(proc: int, pid: int, fd: int) -> str | None:
    """The type of the file system that an open file lies on, as its own process sees it; None if it does not."""
    info = dict(
        line.split(":", 1) for line in _read(proc, f"{pid}/fdinfo/{fd}").splitlines() if ":" in line
    )
    number = int(info["mnt_id"])
    table = _read(proc, f"{pid}/mountinfo")
    return next((mount.fstype for mount in mountns.mounts(table) if mount.id == number), None)


def _read(proc: int, path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
    with open(fd, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
