"""What FUSE's high level asks about names: path and C arguments in; 0 or -errno out.

Exceptions go through to the adapter's boundary. Imports no binding; the structures come with the
calls, as libfuse 2 lays them out.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any

from fsmount.fuse_device import FuseDevice
from fsmount.kernfs import REFUSED, Setattr, Tree, ino_of
from fsmount.kobject import ROOT, Caller

UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
"""include/linux/stat.h"""

SERVED = (
    *("getattr", "readlink", "readdir", "open", "release", "truncate"),
    *("chmod", "chown", "utimens", "getxattr", "listxattr"),
)

DIRECTORIES_KEPT = 64
"""Directories that are being read, whose position is kept between two readdir calls."""

Name = tuple[str, int]
Names = Iterator[Name]


class Callbacks:
    """The callbacks that are served; for others libfuse says ENOSYS, and the kernel asks no more."""

    def __init__(self, tree: Tree, device: FuseDevice, c_stat: type[Any]) -> None:
        self.tree = tree
        self.device = device
        self._st = c_stat()
        self._st_pointer = ctypes.pointer(self._st)
        self._proc = os.open("/proc", os.O_PATH | os.O_CLOEXEC)
        self._readdirs: dict[tuple[bytes, int], tuple[tuple[Name, ...], Names]] = {}

    def close(self) -> None:
        """Let go of /proc."""
        os.close(self._proc)

    def table(self) -> dict[str, Callable[..., int]]:
        """Name in struct fuse_operations to method."""
        table: dict[str, Callable[..., int]] = {
            name: partial(_refuse, error) for name, error in REFUSED.items()
        }
        return table | {name: getattr(self, f"_{name}") for name in SERVED}

    def _getattr(self, path: bytes, st: Any) -> int:
        got = self.tree.getattr(self.tree.lookup(os.fsdecode(path)))
        to = st.contents
        to.st_mode, to.st_nlink, to.st_size, to.st_ino, to.st_uid, to.st_gid = got[:6]
        # kernfs_fill_super(): s_blocksize is PAGE_SIZE.
        to.st_blksize = self.tree.kernel.page_size
        for name, ns in zip(("st_atimespec", "st_mtimespec", "st_ctimespec"), got[6:], strict=True):
            time_ = getattr(to, name)
            time_.tv_sec, time_.tv_nsec = divmod(ns, 10**9)
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

    def _keep(self, path: bytes, offset: int, first: tuple[Name, ...], rest: Names) -> None:
        """Keep a directory's position for the call that goes on at offset, with first."""
        self._readdirs[path, offset] = first, rest
        if len(self._readdirs) > DIRECTORIES_KEPT:
            del self._readdirs[next(iter(self._readdirs))]

    def _open(self, path: bytes, fi: Any) -> int:
        node = self.tree.lookup(os.fsdecode(path))
        caller = self._caller() if self.tree.wants_caller(node) else ROOT
        file = self.tree.open(node, fi.contents.flags, caller)
        fi.contents.fh = self.device.add_file(file)
        return 0

    def _caller(self) -> Caller:
        uid, gid, pid = self.device.caller()
        comm = _proc(self._proc, pid, "comm").rstrip("\n")
        return Caller(uid, gid, pid, partial(capable, self._proc, pid), comm)

    def _release(self, _path: bytes, fi: Any) -> int:
        file = self.device.files.pop(fi.contents.fh)
        if hasattr(file, "close"):
            file.close()
        return 0

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

    def _getxattr(self, _path: bytes, name: bytes, _value: Any, _size: int) -> int:
        ours = name.startswith((b"user.", b"security.", b"trusted."))
        return -(REFUSED["getxattr"] if ours else errno.EOPNOTSUPP)

    def _listxattr(self, _path: bytes, _buf: Any, _size: int) -> int:
        return 0


def _refuse(error: int, *_arguments: object) -> int:
    return -error


def capable(proc: int, pid: int, cap: int) -> bool:
    """Whether process pid has the capability in effect; proc is a descriptor of /proc."""
    for line in _proc(proc, pid, "status").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> cap & 1)
    return False


def _proc(proc: int, pid: int, name: str) -> str:
    try:
        with open(os.open(f"{pid}/{name}", os.O_RDONLY, dir_fd=proc), encoding="latin-1") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):  # it has gone, or is in another pid namespace
        return ""
