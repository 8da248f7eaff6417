"""`kdumpfs run --keep DIR`: what was written to private places, copied out when the command has ended.

The layers' content is the command's, so nothing in it is followed or opened but regular files: no
link, no FIFO, no device. Modes lose set-uid and set-gid, owners are the caller's.
"""

from __future__ import annotations

import errno
import os
import stat

from elfcorehdr.errors import suppress
from fsmount.run.inside.places import TEMPORARY, below

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def keep(uppers: Iterable[tuple[str, int]], directory: int) -> int:
    """Copy every file written, /var/crash/x to var/crash/x of an open directory; how many. OSError."""
    copied: dict[tuple[int, int], str] = {}
    return sum(_copy(place.rstrip("/"), upper, directory, copied) for place, upper in uppers)


def _copy(path: str, source: int, top: int, copied: dict[tuple[int, int], str]) -> int:
    """What is in one directory of a layer; directories are made where a file needs them.

    copied: files of several names, by device and number, as their first name: links and holes stay so, which
    bounds what is written by what the layers hold.
    """
    if below(path, TEMPORARY):
        return 0
    count = 0
    with os.scandir(source) as entries:
        found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    for name, status in found:
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            below_it = os.open(name, _READ | os.O_DIRECTORY, dir_fd=source)
            try:
                count += _copy(f"{path}/{name}", below_it, top, copied)
            finally:
                os.close(below_it)
        elif stat.S_ISREG(mode) or stat.S_ISLNK(mode):
            target = _directory(path, top)
            key = status.st_dev, status.st_ino
            try:
                _remove(name, target)
                if (first := copied.get(key)) is not None:
                    os.link(first, name, src_dir_fd=top, dst_dir_fd=target, follow_symlinks=False)
                else:
                    _copy_one(name, mode, source, target)
            finally:
                os.close(target)
            if status.st_nlink > 1:
                copied.setdefault(key, f"{path}/{name}".lstrip("/"))
            count += 1
    return count


def _directory(path: str, top: int) -> int:
    at = os.dup(top)
    for name in filter(None, path.split("/")):
        with suppress(FileExistsError):
            os.mkdir(name, 0o755, dir_fd=at)
        there = os.open(name, _READ | os.O_DIRECTORY, dir_fd=at)
        os.close(at)
        at = there
    return at


def _remove(name: str, target: int) -> None:
    try:
        os.unlink(name, dir_fd=target)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno == errno.EISDIR:
            raise FileExistsError(errno.EEXIST, f"{name} is a directory there") from None
        raise


def _copy_one(name: str, mode: int, source: int, target: int) -> None:
    if stat.S_ISLNK(mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        return
    made = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    read = os.open(name, _READ, dir_fd=source)
    try:
        write = os.open(name, made, stat.S_IMODE(mode) & 0o777 | 0o200, dir_fd=target)
        try:
            _copy_data(read, write)
        finally:
            os.close(write)
    finally:
        os.close(read)


def _copy_data(read: int, write: int) -> None:
    """A file's bytes, its holes left out."""
    size = os.fstat(read).st_size
    at = _data_from(read, 0, size)
    while at < size:
        end = min(os.lseek(read, at, os.SEEK_HOLE), size)
        os.lseek(write, at, os.SEEK_SET)
        while at < end and (done := os.sendfile(write, read, at, end - at)):
            at += done
        if at < end:
            break  # it became shorter
        at = _data_from(read, at, size)
    os.ftruncate(write, size)


def _data_from(fd: int, at: int, size: int) -> int:
    """Where the next byte is that is no hole's; size without one."""
    try:
        return os.lseek(fd, at, os.SEEK_DATA)
    except OSError:  # ENXIO
        return size
