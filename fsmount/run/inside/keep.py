"""`kdumpfs run --keep DIR`: what was written to private places, copied out when the command has ended.

The layers' content is the command's, so nothing in it is followed or opened but regular files: no
link, no FIFO, no device. Modes lose set-uid and set-gid, owners are the caller's; times stay, lists of
access and other attributes do not. What cannot be copied is left out and told, and the rest is copied.
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


_HOPELESS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""After these no other file can be copied either."""
_SHOWN = 200
"""Of a path, in a sentence."""


def keep(uppers: Iterable[tuple[str, int]], directory: int) -> str:
    """Copy every file written, /var/crash/x to var/crash/x of an open directory; what could not be, or ""."""
    copy = _Copy(directory)
    for place, upper in uppers:
        if not copy.hopeless:
            copy.layer(place.rstrip("/"), upper)
    more = f", and {copy.failed - 1} more" if copy.failed > 1 else ""
    return copy.first + more


class _Copy:
    def __init__(self, top: int) -> None:
        self._top = top
        self._names: dict[tuple[int, int], tuple[str, str]] = {}
        """Of files of several names, by device and number, the first: links and holes stay so, which bounds what is
        written by what the layers hold."""
        self.failed = 0
        self.first = ""
        self.hopeless = False

    def layer(self, place: str, upper: int) -> None:
        """What is in one layer, which nobody changes any more: so its directories are opened by their paths.

        Names nest deeper than descriptors or calls could, and deeper than a path is long nobody opens them.
        """
        waiting = [("", "")]
        while waiting and not self.hopeless:
            parent, name = waiting.pop()
            path = f"{parent}/{name}" if name else ""
            if below(place + path, TEMPORARY):
                continue
            try:
                source = os.open(path[1:] or ".", _READ | os.O_DIRECTORY, dir_fd=upper)
                try:
                    waiting += [(path, name) for name in self._files(place + path, source)]
                finally:
                    os.close(source)
            except OSError as error:
                self._fails(place + path, error)

    def _files(self, path: str, source: int) -> list[str]:
        """Copy what is in a directory; the directories in it."""
        with os.scandir(source) as entries:
            found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
        directories = []
        for name, status in found:
            if stat.S_ISDIR(status.st_mode):
                directories.append(name)
            elif stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
                try:
                    self._file(path, name, status, source)
                except OSError as error:
                    self._fails(f"{path}/{name}", error)
                    if self.hopeless:
                        return []
        return directories

    def _file(self, path: str, name: str, status: os.stat_result, source: int) -> None:
        target = _directory(path, self._top)
        key = status.st_dev, status.st_ino
        try:
            _remove(name, target)
            if (known := self._names.get(key)) is not None:
                first = "/".join(known).lstrip("/")
                os.link(first, name, src_dir_fd=self._top, dst_dir_fd=target, follow_symlinks=False)
            else:
                _copy_one(name, status, source, target)
        finally:
            os.close(target)
        if status.st_nlink > 1:
            self._names.setdefault(key, (path, name))

    def _fails(self, path: str, error: OSError) -> None:
        self.failed += 1
        self.hopeless = error.errno in _HOPELESS
        if not self.first:
            shown = path if len(path) <= _SHOWN else f"{path[:_SHOWN]}..."
            self.first = f"{shown}: {error.strerror}"


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


def _copy_one(name: str, status: os.stat_result, source: int, target: int) -> None:
    """A file or link, whole or not at all."""
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        return
    made = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    read = os.open(name, _READ, dir_fd=source)
    try:
        write = os.open(name, made, stat.S_IMODE(status.st_mode) & 0o777 | 0o200, dir_fd=target)
        try:
            _copy_data(read, write)
            os.utime(write, ns=(status.st_atime_ns, status.st_mtime_ns))
        except OSError:
            os.unlink(name, dir_fd=target)
            raise
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
