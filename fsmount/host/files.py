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
    """The file that process pid of a procfs (a descriptor of ours) has open as fd, to read it.

    OSError: EBADF if there is none or it was opened otherwise, ELOOP for a file of ours, EISDIR, EINVAL for what else is
    no regular file. May be done aside.
    """
    # Of the process, whoever of its threads does this.
    try:
        own = os.open(f"/proc/self/fd/{proc}", os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None
    try:
        info = dict(
            line.split(":", 1)
            for line in _read(own, f"{pid}/fdinfo/{fd}").splitlines()
            if ":" in line
        )
        flags = int(info["flags"], 8)
        # Its opener may not read it, or it is not known whether he may: we might.
        if flags & os.O_PATH or flags & os.O_ACCMODE == os.O_WRONLY:
            raise OSError(errno.EBADF, "it is not open to be read")
        if _fstype(own, pid, int(info["mnt_id"])) == mountns.FSTYPE:
            raise OSError(errno.ELOOP, "it is in a mounted kdumpfs, expected a file of the host")
        # By O_PATH, so that a device or FIFO is not opened once more.
        found = os.open(f"{pid}/fd/{fd}", os.O_PATH | os.O_CLOEXEC, dir_fd=own)
        try:
            _check(found)
            name = os.readlink(f"{pid}/fd/{fd}", dir_fd=own)
            opened = _open(found)
        finally:
            os.close(found)
    except (FileNotFoundError, ProcessLookupError):
        raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None
    finally:
        os.close(own)
    try:
        return head_of(opened)._replace(name=name)
    finally:
        os.close(opened)


def text_of(path: str) -> str:
    """What is in a regular file of the host, as this process finds it. OSError, UnicodeError. May be done aside."""
    found = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        _check(found)
        info = _read(0, f"/proc/thread-self/fdinfo/{found}")
        number = int(info.rpartition("mnt_id:")[2].split()[0])
        own = os.open("/proc", os.O_PATH | os.O_CLOEXEC)
        try:
            if _fstype(own, os.getpid(), number) == mountns.FSTYPE:
                raise OSError(
                    errno.ELOOP, "it is in a mounted kdumpfs, expected a file of the host"
                )
        finally:
            os.close(own)
        opened = _open(found)
    finally:
        os.close(found)
    try:
        head = head_of(opened)
    finally:
        os.close(opened)
    if head.size > HEAD:
        raise OSError(errno.EFBIG, f"{head.size} bytes, expected at most {HEAD}")
    return head.data.decode()


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


def _open(found: int) -> int:
    """A descriptor to read what one with O_PATH names."""
    return os.open(f"/proc/thread-self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)


def _fstype(proc: int, pid: int, number: int) -> str | None:
    """The type of the file system of a mount, by its number, as a process sees it; None if it does not."""
    table = _read(proc, f"{pid}/mountinfo")
    return next((mount.fstype for mount in mountns.mounts(table) if mount.id == number), None)


def _read(proc: int, path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
    with open(fd, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
