"""What FUSE's high level asks about names: path and C arguments in; 0 or -errno out.

Exceptions go through to the adapter's boundary.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import Any, ClassVar

from fsmount.fuse.device import FuseDevice
from fsmount.fuse.proto import (
    BODY,
    DIRENT_PACKS,
    DIRENT_SIZES,
    FOPEN_DIRECT_IO,
    GETXATTR,
    OPEN,
    OPEN_IN,
    OPEN_OUT,
    READ_IN,
    READDIR,
)
from fsmount.tree.callers import Callers
from fsmount.tree.kernfs import REFUSED, Setattr, Stat, Tree, ino_below, ino_of
from fsmount.tree.kobject import ROOT

UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
"""include/linux/stat.h"""

SERVED = (
    *("getattr", "readlink", "opendir", "readdir", "open", "truncate"),
    *("chmod", "chown", "utimens", "listxattr"),
)

DIRECTORIES_KEPT = 64
"""Directories that are being read, whose position is kept between two readdir calls."""

Name = tuple[str, int]
Names = Iterator[Name]


class StatPacker:
    """struct stat as the C library of this machine lays it out, filled in one go."""

    CODES: ClassVar = {2: "H", 4: "I", 8: "q"}

    def __init__(self, c_stat: type[Any]) -> None:
        fields: list[tuple[int, int, int]] = []  # offset, size, which of the values
        names = ("st_mode", "st_nlink", "st_size", "st_ino", "st_uid", "st_gid")
        for n, name in enumerate((*names, "st_blksize")):
            field = getattr(c_stat, name)
            fields.append((field.offset, field.size, n))
        for n, name in enumerate(("st_atimespec", "st_mtimespec", "st_ctimespec")):
            field = getattr(c_stat, name)
            half = field.size // 2
            fields += ((field.offset, half, 7 + 2 * n), (field.offset + half, half, 8 + 2 * n))
        form, at = "=", 0
        for offset, size, _ in sorted(fields):
            form += f"{offset - at}x{self.CODES[size]}"
            at = offset + size
        self.size = ctypes.sizeof(c_stat)
        self._pack = struct.Struct(f"{form}{self.size - at}x").pack
        self._order = itemgetter(*(which for _, _, which in sorted(fields)))

    def __call__(self, st: Stat, blksize: int) -> bytes:
        """The bytes; what is not set is zero."""
        times = (part for ns in st[6:] for part in divmod(ns, 10**9))
        return self._pack(*self._order((*st[:6], blksize, *times)))


class Callbacks:
    """The callbacks that are served; for others libfuse says ENOSYS, and the kernel asks no more."""

    def __init__(self, tree: Tree, device: FuseDevice, c_stat: type[Any]) -> None:
        self.tree = tree
        self.device = device
        self._st = c_stat()
        self._st_pointer = ctypes.pointer(self._st)
        self._callers = Callers()
        self._packed = StatPacker(c_stat)
        device.answer(GETXATTR, self._getxattr)
        device.answer(OPEN, self._open_again)
        device.answer(READDIR, self._readdir_again)
        self._readdirs: dict[tuple[bytes, int], tuple[tuple[Name, ...], Names]] = {}

    def close(self) -> None:
        """Let go of /proc."""
        self._callers.close()

    def table(self) -> dict[str, Callable[..., int]]:
        """Name in struct fuse_operations to method."""
        table: dict[str, Callable[..., int]] = {
            name: partial(_refuse, error) for name, error in REFUSED.items() if name != "getxattr"
        }
        return table | {name: getattr(self, f"_{name}") for name in SERVED}

    def _getattr(self, path: bytes, st: Any) -> int:
        got = self.tree.getattr(self.tree.lookup(os.fsdecode(path)))
        ctypes.memmove(st, self._packed(got, self.tree.kernel.page_size), self._packed.size)
        return 0

    def _readlink(self, path: bytes, buf: Any, size: int) -> int:
        target = self.tree.readlink(self.tree.lookup(os.fsdecode(path)))
        cut = target.encode(errors="surrogateescape")[: size - 1] + b"\0"
        ctypes.memmove(buf, cut, len(cut))
        return 0

    def _readdir(self, path: bytes, buf: Any, filler: Any, offset: int, _fi: Any) -> int:
        directory = os.fsdecode(path).strip("/")
        kept = self._readdirs.pop((path, offset), None)
        first, rest = kept or ((), self.tree.readdir(self.tree.lookup(directory), offset))
        st, pointer = self._st, self._st_pointer
        for name, kind in chain(first, rest):
            offset += 1
            st.st_mode, st.st_ino = kind, ino_of(directory, name)
            if filler(buf, name.encode(errors="surrogateescape"), pointer, offset):
                self._keep(path, offset - 1, ((name, kind),), rest)
                break
        return 0

    def _opendir(self, path: bytes, _fi: Any) -> int:
        self.device.remember(os.fsdecode(path).strip("/"))
        return 0

    def _readdir_again(self, _unique: int, length: int) -> bytes | None:
        """READDIR of a directory whose path is known: as many entries as there is room for."""
        directory = self.device.path()
        if directory is None:
            self.device.to_libfuse(length)
            return None
        _, offset, room, *_ = READ_IN.unpack_from(self.device.buf, BODY)
        key = directory.encode(errors="surrogateescape")
        kept = self._readdirs.pop((key, offset), None)
        first, rest = kept or ((), self.tree.readdir(self.tree.lookup(directory), offset))
        parts: list[bytes] = []
        crc32, parent = zlib.crc32, ino_below(directory)
        for name, kind in chain(first, rest):
            text = name.encode(errors="surrogateescape")
            length = len(text)
            room -= DIRENT_SIZES[length]
            if room < 0:
                self._keep(key, offset, ((name, kind),), rest)
                break
            offset += 1
            parts.append(
                DIRENT_PACKS[length](parent | crc32(text), offset, length, kind >> 12, text)
            )
        return b"".join(parts)

    def _keep(self, path: bytes, offset: int, first: tuple[Name, ...], rest: Names) -> None:
        """Keep a directory's position for the call that goes on at offset, with first."""
        self._readdirs[path, offset] = first, rest
        if len(self._readdirs) > DIRECTORIES_KEPT:
            del self._readdirs[next(iter(self._readdirs))]

    def _open(self, path: bytes, fi: Any) -> int:
        name = os.fsdecode(path)
        fi.contents.fh = self._opened(name, fi.contents.flags)
        self.device.remember(name)
        return 0

    def _open_again(self, _unique: int, length: int) -> bytes | None:
        """OPEN of a file whose path is known."""
        path = self.device.path()
        if path is None:
            self.device.to_libfuse(length)
            return None
        flags, _ = OPEN_IN.unpack_from(self.device.buf, BODY)
        return OPEN_OUT.pack(self._opened(path, flags), FOPEN_DIRECT_IO, 0)

    def _opened(self, path: str, flags: int) -> int:
        node = self.tree.lookup(path)
        caller = self._callers(*self.device.caller()) if self.tree.wants_caller(node) else ROOT
        return self.device.add_file(self.tree.open(node, flags, caller))

    def _truncate(self, path: bytes, _size: int) -> int:
        self.tree.truncate(self.tree.lookup(os.fsdecode(path)))
        return 0

    def _chmod(self, path: bytes, mode: int) -> int:
        self.tree.setattr(self.tree.lookup(os.fsdecode(path)), Setattr(mode=stat.S_IMODE(mode)))
        return 0

    def _chown(self, path: bytes, uid: int, gid: int) -> int:
        kept = 0xFFFFFFFF  # (uid_t) -1
        changes = Setattr(uid=None if uid == kept else uid, gid=None if gid == kept else gid)
        self.tree.setattr(self.tree.lookup(os.fsdecode(path)), changes)
        return 0

    def _utimens(self, path: bytes, times: Any) -> int:
        now = time.time_ns()

        def nanoseconds(ts: Any) -> int | None:
            if ts.tv_nsec == UTIME_OMIT:
                return None
            return now if ts.tv_nsec == UTIME_NOW else int(ts.tv_sec) * 10**9 + int(ts.tv_nsec)

        both = (times.contents.actime, times.contents.modtime) if times else None
        atime, mtime = (nanoseconds(ts) for ts in both) if both else (now, now)
        node = self.tree.lookup(os.fsdecode(path))
        self.tree.setattr(node, Setattr(atime_ns=atime, mtime_ns=mtime))
        return 0

    def _getxattr(self, _unique: int, length: int) -> int:
        """Every write(2) asks for security.capability first: file_remove_privs(), fs/inode.c."""
        name = self.device.buf.raw[BODY + 8 : length]
        ours = name.startswith((b"user.", b"security.", b"trusted."))
        return -(REFUSED["getxattr"] if ours else errno.EOPNOTSUPP)

    def _listxattr(self, _path: bytes, _buf: Any, _size: int) -> int:
        return 0


def _refuse(error: int, *_arguments: object) -> int:
    return -error
