"""A FUSE server that speaks the /dev/fuse protocol itself: fs/fuse/dev.c is its other side.

What libfuse cannot do here it does: names cached without limit and made stale at once when they
change (FUSE_NOTIFY_INC_EPOCH), reads that wait without stopping anyone (interruptible), poll,
SEEK_DATA. What a file is stays in fsmount/kernfs.py. Imports fuse_nodes, fuse_proto, kernfs, kobject.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from elfcorehdr.errors import KernelError
from fsmount import fuse_proto as proto
from fsmount.boundary import oops
from fsmount.fuse_nodes import FOREVER, Nodes, NodeTable
from fsmount.fuse_proto import Op
from fsmount.kernfs import REFUSED, Setattr, ino_of
from fsmount.kobject import ROOT, Caller, File

MAX_WRITE = 1 << 17

_POLL_WRITABLE = 0x4 | 0x100  # POLLOUT POLLWRNORM
_POLL_READY = 0x1 | 0x40 | _POLL_WRITABLE  # POLLIN POLLRDNORM
_XATTR_NAMESPACES = (b"user.", b"security.", b"trusted.")
_REFUSED_OPS: dict[int, str] = {
    Op.CREATE: "create", Op.TMPFILE: "create", Op.MKDIR: "mkdir", Op.MKNOD: "mknod",
    Op.UNLINK: "unlink", Op.RMDIR: "rmdir", Op.RENAME: "rename", Op.RENAME2: "rename",
    Op.SYMLINK: "symlink", Op.LINK: "link", Op.SETXATTR: "setxattr",
    Op.REMOVEXATTR: "removexattr", Op.GETXATTR: "getxattr",
}  # fmt: skip


@dataclass(slots=True)
class Request:
    """One message from the kernel; `body` is what follows its header."""

    op: int
    unique: int
    nodeid: int
    uid: int
    gid: int
    pid: int
    body: memoryview


@dataclass(slots=True)
class _OpenDir:
    """Where a directory's reader is: the entries still to come and the first one's offset."""

    entries: Iterator[tuple[str, int]]
    at: int
    kept: tuple[str, int] | None = None


@dataclass(slots=True)
class _Open:
    """An open file and the node it was opened by."""

    file: File
    nodeid: int


class _Blocked(Exception):
    """The answer has to wait."""


Seen = Callable[["Request", str, str, bytes, int], None]
"""Told of each read, write, open and look-up: request, verb, path, data, result or -errno."""


def _refusal(request: Request) -> int:
    """The errno of a request that changes the tree, or that is not served."""
    name = _REFUSED_OPS.get(request.op)
    if name == "getxattr" and not bytes(request.body[8:]).startswith(_XATTR_NAMESPACES):
        return errno.EOPNOTSUPP
    return REFUSED[name] if name is not None else errno.ENOSYS


class Connection:
    """One mounted tree. handle() answers one request; nothing here waits.

    caller_of makes the Caller of a request's uid, gid and pid.
    """

    def __init__(
        self,
        fd: int,
        nodes: Nodes,
        caller_of: Callable[[int, int, int], Caller],
        *,
        seen: Seen | None = None,
    ) -> None:
        self.fd = fd
        self.mounted = True
        self._nodes = nodes
        self._caller_of = caller_of
        self._seen = seen
        self._table = NodeTable(nodes, 0 if seen is not None else FOREVER)
        self._may_come: Callable[[Any], bool] = getattr(nodes, "may_come", lambda _: False)
        self._handles: dict[int, _Open | _OpenDir] = {}
        self._next_fh = 0
        self._parked: dict[int, Request] = {}
        self._pollers: set[int] = set()
        self._buf = bytearray(MAX_WRITE + 4096)
        self._view = memoryview(self._buf)
        self._ops: dict[int, Callable[[Request], bytes | None]] = {
            Op.LOOKUP: self._lookup, Op.GETATTR: self._getattr, Op.SETATTR: self._setattr,
            Op.READLINK: self._readlink, Op.OPEN: self._open, Op.READ: self._read,
            Op.WRITE: self._write, Op.RELEASE: self._release, Op.OPENDIR: self._opendir,
            Op.READDIR: self._readdir, Op.RELEASEDIR: self._release, Op.STATFS: self._statfs,
            Op.FORGET: self._forget, Op.BATCH_FORGET: self._batch_forget, Op.INIT: self._init,
            Op.INTERRUPT: self._interrupt, Op.LSEEK: self._lseek, Op.POLL: self._poll,
            Op.LISTXATTR: self._listxattr, Op.IOCTL: self._ioctl, Op.DESTROY: self._destroy,
        }  # fmt: skip

    # The loop

    def handle(self) -> bool:
        """Answer the request that is there; False if there is none. Unmounted: `mounted` is False."""
        try:
            size = os.readv(self.fd, [self._buf])
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in (errno.EINTR, errno.ENOENT, errno.EAGAIN):
                return True  # ENOENT: the request was interrupted before we read it.
            if error.errno == errno.ENODEV:
                self.mounted = False
                return False
            raise
        _, op, unique, nodeid, uid, gid, pid, _, _ = proto.IN_HEADER.unpack_from(self._buf)
        self._answer(Request(op, unique, nodeid, uid, gid, pid, self._view[40:size]))
        return True

    def retry(self) -> None:
        """Ask the reads that wait again, and wake who polls: something was written to the log."""
        for request in list(self._parked.values()):
            del self._parked[request.unique]
            self._answer(request)
        pollers, self._pollers = self._pollers, set()
        for kh in pollers:
            self._notify(proto.NOTIFY_POLL, kh.to_bytes(8, "little"))

    @property
    def waiting(self) -> bool:
        """Whether someone waits for retry()."""
        return bool(self._parked or self._pollers)

    def sync_names(self) -> None:
        """Make every cached name stale if the set of names has changed; before the change is seen."""
        if self._table.names_changed() and self._table.valid:
            self._notify(proto.NOTIFY_INC_EPOCH)

    def _notify(self, code: int, payload: bytes = b"") -> bool:
        header = proto.OUT_HEADER.pack(16 + len(payload), code, 0)
        try:
            os.write(self.fd, header + payload)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT, errno.ENODEV):
                return False
            raise
        return True

    def _answer(self, request: Request) -> None:
        error, payload = 0, None
        try:
            handler = self._ops.get(request.op)
            if handler is None:
                raise KernelError(_refusal(request))
            payload = handler(request)
        except KernelError as refused:
            error = -refused.errno
        except _Blocked:
            body = memoryview(bytes(request.body))  # the buffer is for the next one
            request.body = body
            self._parked[request.unique] = request
            return
        except Exception as bug:
            oops(self._nodes.kernel.log, bug)
            error = -errno.EIO
        self.sync_names()
        if payload is None and not error:
            return
        self._reply(request.unique, error, payload or b"")
        if request.op == Op.INIT and self._table.valid and not self._notify(proto.NOTIFY_INC_EPOCH):
            self._table.valid = 0  # Before Linux 6.16 there is no epoch: let no name be cached.

    def _reply(self, unique: int, error: int, payload: bytes) -> None:
        header = proto.OUT_HEADER.pack(16 + len(payload), error, unique)
        try:
            os.writev(self.fd, [header, payload])
        except OSError as gone:
            if gone.errno != errno.ENOENT:  # ENOENT: interrupted, no one waits for it.
                raise

    # Nodes

    def _lookup(self, request: Request) -> bytes:
        name = os.fsdecode(bytes(request.body[:-1]))
        parent = self._table.node(request.nodeid)
        try:
            node = self._nodes.child(parent, name)
        except KernelError as absent:
            self._tell(request, "lookup", f"{parent.path}/{name}", b"", -absent.errno)
            if absent.errno != errno.ENOENT or not self._table.valid or self._may_come(parent):
                raise
            return self._table.absent()
        return self._table.looked_up(node)

    def _forget(self, request: Request) -> None:
        self._table.forget(request.nodeid, proto.FORGET_IN.unpack_from(request.body)[0])

    def _batch_forget(self, request: Request) -> None:
        count, _ = proto.BATCH_FORGET_IN.unpack_from(request.body)
        for at in range(count):
            self._table.forget(*proto.FORGET_ONE.unpack_from(request.body, 8 + 16 * at))

    def _getattr(self, request: Request) -> bytes:
        if request.op == Op.GETATTR:
            flags, _, fh = proto.GETATTR_IN.unpack_from(request.body)
            if flags & proto.GETATTR_FH:
                self._seek_end(fh)
        return self._table.attributes(request.nodeid)

    def _seek_end(self, fh: int) -> None:
        """Asked for the attributes of an open file: fuse_file_llseek() of SEEK_END does, fstat(2) not."""
        opened = self._handles.get(fh)
        seek = getattr(opened.file, "seek", None) if isinstance(opened, _Open) else None
        if seek is not None:
            with contextlib.suppress(KernelError):
                seek(0, os.SEEK_END)

    def _setattr(self, request: Request) -> bytes:
        fields = proto.SETATTR_IN.unpack_from(request.body)
        valid, atime, mtime = fields[0], fields[5], fields[6]
        ansec, mnsec, mode, uid, gid = fields[8], fields[9], fields[11], fields[13], fields[14]
        node = self._table.node(request.nodeid)
        if valid & proto.FATTR_SIZE:
            self._nodes.truncate(node)
        now = time.time_ns()
        a_ns = now if valid & proto.FATTR_ATIME_NOW else atime * 1_000_000_000 + ansec
        m_ns = now if valid & proto.FATTR_MTIME_NOW else mtime * 1_000_000_000 + mnsec
        changes = Setattr(
            mode=stat.S_IMODE(mode) if valid & proto.FATTR_MODE else None,
            uid=uid if valid & proto.FATTR_UID else None,
            gid=gid if valid & proto.FATTR_GID else None,
            atime_ns=a_ns if valid & proto.FATTR_ATIME else None,
            mtime_ns=m_ns if valid & proto.FATTR_MTIME else None,
        )
        if changes != Setattr():
            self._nodes.setattr(node, changes)
        return self._getattr(request)

    def _readlink(self, request: Request) -> bytes:
        node = self._table.node(request.nodeid)
        with_caller = getattr(node, "readlink", None)
        target = with_caller(self._caller(request)) if with_caller else self._nodes.readlink(node)
        return os.fsencode(target)

    def _statfs(self, request: Request) -> bytes:
        return proto.STATFS_OUT.pack(
            0, 0, 0, 0, 0, self._nodes.kernel.page_size, 255, self._nodes.kernel.page_size, *[0] * 7
        )

    def _listxattr(self, request: Request) -> bytes:
        size, _ = proto.GETXATTR_IN.unpack_from(request.body)
        return b"" if size else bytes(8)

    def _ioctl(self, request: Request) -> bytes:
        raise KernelError(errno.ENOTTY)

    def _init(self, request: Request) -> bytes:
        _major, minor, _, flags = proto.INIT_IN.unpack_from(request.body)
        wanted = proto.FUSE_ATOMIC_O_TRUNC | proto.FUSE_BIG_WRITES | proto.FUSE_PARALLEL_DIROPS
        return proto.INIT_OUT.pack(
            7, min(minor, 45), 0, flags & wanted, 16, 12, MAX_WRITE, 1, 0, 0, *[0] * 8
        )

    def _destroy(self, request: Request) -> bytes:
        return b""

    # Directories

    def _opendir(self, request: Request) -> bytes:
        entries = self._nodes.readdir(self._table.node(request.nodeid))
        return proto.OPEN_OUT.pack(self._handle(_OpenDir(entries, 0)), 0, 0)

    def _readdir(self, request: Request) -> bytes:
        fh, offset, size, *_ = proto.READ_IN.unpack_from(request.body)
        opened = self._handles[fh]
        assert isinstance(opened, _OpenDir)
        node = self._table.node(request.nodeid)
        if offset != opened.at:
            opened.entries, opened.at = self._nodes.readdir(node, offset), offset
            opened.kept = None
        if offset == 0:
            self._tell(request, "readdir", node.path, b"", 0)
        parts: list[bytes] = []
        room = size
        while True:
            entry = opened.kept or next(opened.entries, None)
            opened.kept = None
            if entry is None:
                break
            name = os.fsencode(entry[0])
            length = (24 + len(name) + 7) & ~7
            if length > room:
                opened.kept = entry
                break
            room -= length
            opened.at += 1
            ino = ino_of(node.path, entry[0]) if entry[0][0] != "." else 1
            dirent = proto.DIRENT.pack(ino, opened.at, len(name), entry[1] >> 12)
            parts.append((dirent + name).ljust(length, b"\0"))
        return b"".join(parts)

    # Files

    def _handle(self, opened: _Open | _OpenDir) -> int:
        self._next_fh += 1
        self._handles[self._next_fh] = opened
        return self._next_fh

    def _caller(self, request: Request) -> Caller:
        return self._caller_of(request.uid, request.gid, request.pid)

    def _tell(self, request: Request, verb: str, path: str, data: bytes, result: int) -> None:
        if self._seen is not None:
            self._seen(request, verb, "/" + path.lstrip("/"), data, result)

    def _open(self, request: Request) -> bytes:
        flags, _ = proto.OPEN_IN.unpack_from(request.body)
        node = self._table.node(request.nodeid)
        try:
            caller = self._caller(request) if self._nodes.wants_caller(node) else ROOT
            file = self._nodes.open(node, flags, caller)
        except KernelError as refused:
            self._tell(request, "open", node.path, b"", -refused.errno)
            raise
        fh = self._handle(_Open(file, request.nodeid))
        return proto.OPEN_OUT.pack(fh, proto.FOPEN_DIRECT_IO | proto.FOPEN_NOFLUSH, 0)

    def _opened(self, fh: int) -> _Open:
        opened = self._handles[fh]
        assert isinstance(opened, _Open)
        return opened

    def _read(self, request: Request) -> bytes:
        fh, offset, size, _, _, flags, _ = proto.READ_IN.unpack_from(request.body)
        opened = self._opened(fh)
        try:
            data = opened.file.read(size, offset, flags)
        except KernelError as refused:
            if refused.errno == errno.EAGAIN and not flags & os.O_NONBLOCK:
                raise _Blocked from refused
            self._tell(request, "read", self._table.path(opened.nodeid), b"", -refused.errno)
            raise
        if data or not offset:
            self._tell(request, "read", self._table.path(opened.nodeid), data, len(data))
        return data

    def _write(self, request: Request) -> bytes:
        fh, offset, size, _, _, flags, _ = proto.WRITE_IN.unpack_from(request.body)
        opened = self._opened(fh)
        data = bytes(request.body[40 : 40 + size])
        try:
            taken = opened.file.write(data, offset, flags)
        except KernelError as refused:
            self._tell(request, "write", self._table.path(opened.nodeid), data, -refused.errno)
            raise
        self._tell(request, "write", self._table.path(opened.nodeid), data, taken)
        return proto.WRITE_OUT.pack(taken, 0)

    def _release(self, request: Request) -> bytes:
        fh, *_ = proto.RELEASE_IN.unpack_from(request.body)
        opened = self._handles.pop(fh)
        close = getattr(opened.file, "close", None) if isinstance(opened, _Open) else None
        if close is not None:
            close()
        return b""

    def _interrupt(self, request: Request) -> None:
        unique = proto.INTERRUPT_IN.unpack_from(request.body)[0]
        if self._parked.pop(unique, None) is not None:
            self._reply(unique, -errno.EINTR, b"")

    def _lseek(self, request: Request) -> bytes:
        fh, offset, whence, _ = proto.LSEEK_IN.unpack_from(request.body)
        seek = getattr(self._opened(fh).file, "seek", None)
        if seek is not None:
            return proto.LSEEK_OUT.pack(seek(offset, whence))
        size = self._nodes.getattr(self._table.node(request.nodeid)).size
        if offset >= size:  # generic_file_llseek(): what is not a hole is data
            raise KernelError(errno.ENXIO)
        return proto.LSEEK_OUT.pack(size if whence == os.SEEK_HOLE else offset)

    def _poll(self, request: Request) -> bytes:
        fh, kh, flags, _ = proto.POLL_IN.unpack_from(request.body)
        poll = getattr(self._opened(fh).file, "poll", None)
        ready = _POLL_READY if poll is None else poll() | _POLL_WRITABLE
        if poll is not None and flags & proto.POLL_SCHEDULE_NOTIFY:
            self._pollers.add(kh)
        return proto.POLL_OUT.pack(ready, 0)
