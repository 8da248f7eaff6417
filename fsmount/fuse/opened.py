"""Requests on open files and directories, fs/fuse/file.c and readdir.c: answered for a Connection."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator

from elfcorehdr.errors import KernelError
from fsmount.fuse import proto
from fsmount.fuse.channel import Channel
from fsmount.fuse.dirs import OpenDir
from fsmount.fuse.nodes import NameCache, NodeTable
from fsmount.fuse.proto import BODY, DATA
from fsmount.tree.kept import Kept
from fsmount.tree.kobject import ROOT, Caller

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fsmount.fuse.nodes import Nodes
    from fsmount.fuse.passthrough import Backing

_POLL_WRITABLE = 0x4 | 0x100  # POLLOUT POLLWRNORM
_POLL_READY = 0x1 | 0x40 | _POLL_WRITABLE  # POLLIN POLLRDNORM

Seen = Callable[[int, str, str, bytes, int], None]
"""Told of each read, write, open and look-up: pid, verb, path, data, result or -errno."""


class Blocked(Exception):
    """The answer has to wait."""


class OfDeadKernel:
    """What is left of a file that was open when its kernel died."""

    def read(self, size: int, offset: int, flags: int = 0) -> bytes:
        """KernelError(EIO)"""
        raise KernelError(errno.EIO)

    def write(self, buf: bytes, offset: int, flags: int = 0) -> int:
        """KernelError(EIO)"""
        raise KernelError(errno.EIO)


class OpenFiles:
    """What is open, and who waits. The handlers are Connection's: node number and length in, the answer's body out."""

    def __init__(
        self,
        fd: int,
        nodes: Nodes,
        caller_of: Callable[[int, int, int], Caller],
        names: NameCache,
        seen: Seen | None,
    ) -> None:
        self.channel = Channel(fd)
        self._buf, self._view = self.channel.buf, self.channel.view
        self._nodes = nodes
        self._kernel = nodes.kernel
        self._caller_of = caller_of
        self._seen = seen
        self._table = NodeTable(nodes, names if seen is None else NameCache.NONE)
        self.passes = False
        """Whether this kernel can read another file for one of ours."""
        self._kept: dict[int, Backing | None] = {}
        """Files of this boot that the host keeps the content of; what it is to read for them."""
        self.mounted_as = "", ""
        """A mountinfo file and the mount's point in it; for how far the host reads ahead."""
        self._handles: dict[int, Any] = {}
        self._listings = Kept()
        """What open directories keep."""
        self._next_fh = 0
        self._parked: dict[int, bytes] = {}
        """Reads that wait for something to come."""
        self._writes: dict[int, bytes] = {}
        """Writes that wait until the long work is done in whose midst they came."""
        self._pollers: set[int] = set()

    # Directories

    def _opendir(self, nodeid: int, _size: int) -> bytes:
        def listed() -> Iterator[tuple[str, int]]:
            return self._nodes.readdir(self._table.node(nodeid))

        def there(name: str) -> bool:
            try:
                return name in (".", "..") or bool(
                    self._nodes.child(self._table.node(nodeid), name)
                )
            except KernelError:
                return False

        opened = OpenDir(self._table.path(nodeid), listed, there, self._listings)
        return proto.OPEN_OUT.pack(self._handle(opened), 0, 0)

    def _readdir(self, nodeid: int, _size: int) -> bytes:
        fh, at, room, *_ = proto.READ_IN.unpack_from(self._buf, BODY)
        if not at:
            self._tell("readdir", self._table.path(nodeid), b"", 0)
        opened: OpenDir = self._handles[fh]
        return opened.read(room, at)

    # Files

    def _handle(self, opened: object) -> int:
        self._next_fh += 1
        self._handles[self._next_fh] = opened
        return self._next_fh

    def _caller(self) -> Caller:
        return self._caller_of(*proto.IN_CALLER.unpack_from(self._buf, proto.CALLER))

    def _tell(self, verb: str, path: str, data: bytes, result: int) -> None:
        if self._seen is not None:
            pid = proto.IN_CALLER.unpack_from(self._buf, proto.CALLER)[2]
            self._seen(pid, verb, "/" + path.lstrip("/"), data, result)

    def _open(self, nodeid: int, _size: int) -> bytes:
        flags, _ = proto.OPEN_IN.unpack_from(self._buf, BODY)
        node = self._table.node(nodeid)
        try:
            caller = self._caller() if self._nodes.wants_caller(node) else ROOT
            file = self._nodes.open(node, flags, caller)
        except KernelError as refused:
            self._tell("open", node.path, b"", -refused.errno)
            raise
        how, backing_id = proto.FOPEN_DIRECT_IO, 0
        if getattr(file, "cached", False):
            file, how, backing_id = self._open_cached(nodeid, file, flags)
        return proto.OPEN_OUT.pack(self._handle(file), how | proto.FOPEN_NOFLUSH, backing_id)

    def _open_cached(self, nodeid: int, file: Any, flags: int) -> tuple[Any, int, int]:
        """A file whose content never changes in a boot: who answers for it, how it is open, the number of its backing file."""
        known = nodeid in self._kept
        if not known:
            from fsmount.fuse import passthrough, readahead

            readahead.widen(self.channel.fd, *self.mounted_as)
            size = self._nodes.getattr(self._table.node(nodeid)).size
            self._kept[nodeid] = passthrough.backing(self.channel.fd, size) if self.passes else None
        backing = self._kept[nodeid]
        how, backing_id = 0, 0
        if backing is not None:
            file, how, backing_id = backing.open(file, flags)
        # Without KEEP_CACHE what the page cache has is dropped.
        return file, proto.FOPEN_KEEP_CACHE if known and not how else how, backing_id

    def _drop(self, nodeids: list[int]) -> None:
        """Let go of files of another boot, or that have gone: what has their names from now on is another inode."""
        for nodeid in nodeids:
            backing = self._kept.pop(nodeid)
            if backing is not None:
                backing.close()
            self._table.generations[nodeid] = self._table.generations.get(nodeid, 0) + 1

    def _read(self, nodeid: int, _size: int) -> bytes:
        fh, offset, size, _, _, flags, _ = proto.READ_IN.unpack_from(self._buf, BODY)
        file = self._handles[fh]
        try:
            data = bytes(file.read(size, offset, flags)[:size])
        except KernelError as refused:
            # Only now is it known: the read may be the first after a seek to the end.
            wait = refused.errno == errno.EAGAIN and not flags & os.O_NONBLOCK
            if wait and hasattr(file, "poll"):
                raise Blocked from refused
            self._tell("read", self._table.path(nodeid), b"", -refused.errno)
            raise
        if self._seen is not None and (data or not offset):
            self._tell("read", self._table.path(nodeid), data, len(data))
        return data

    def _write(self, nodeid: int, length: int) -> bytes:
        fh, offset, size, _, _, flags, _ = proto.WRITE_IN.unpack_from(self._buf, BODY)
        data = bytes(self._view[DATA : min(length, DATA + size)])
        try:
            taken: int = self._handles[fh].write(data, offset, flags)
        except KernelError as refused:
            self._tell("write", self._table.path(nodeid), data, -refused.errno)
            raise
        if not 0 <= taken <= len(data):
            raise ValueError(f"write of {len(data)} bytes gave {taken}")
        self._tell("write", self._table.path(nodeid), data, taken)
        return proto.WRITE_OUT.pack(taken, 0)

    def _release(self, _nodeid: int, _size: int) -> bytes:
        file = self._handles.pop(proto.RELEASE_IN.unpack_from(self._buf, BODY)[0])
        close = getattr(file, "close", None)
        if close is not None:
            close()
        return b""

    def _fsync(self, nodeid: int, _size: int) -> bytes:
        """noop_fsync() of kernfs; elsewhere there is none: vfs_fsync_range()."""
        if not self._table.node(nodeid).path.startswith("sys/"):
            raise KernelError(errno.EINVAL)
        return b""

    def _fsyncdir(self, _nodeid: int, _size: int) -> bytes:
        """Neither kernfs nor procfs has one for directories."""
        raise KernelError(errno.EINVAL)

    def _interrupt(self, _nodeid: int, _size: int) -> bytes:
        """Who waits got a signal. Whatever else is interrupted is already answered."""
        unique = proto.INTERRUPT_IN.unpack_from(self._buf, BODY)[0]
        if (self._parked.pop(unique, None) or self._writes.pop(unique, None)) is not None:
            self.channel.reply(unique, -errno.EINTR)
        return b""

    def _lseek(self, nodeid: int, _size: int) -> bytes:
        """SEEK_DATA and SEEK_HOLE; the kernel does the others itself."""
        fh, offset, whence, _ = proto.LSEEK_IN.unpack_from(self._buf, BODY)
        seek = getattr(self._handles[fh], "seek", None)
        if seek is not None:
            return proto.LSEEK_OUT.pack(seek(offset, whence))
        size = self._nodes.getattr(self._table.node(nodeid)).size
        if offset >= size:  # generic_file_llseek(): what is not a hole is data
            raise KernelError(errno.ENXIO)
        return proto.LSEEK_OUT.pack(size if whence == os.SEEK_HOLE else offset)

    def _poll(self, _nodeid: int, _size: int) -> bytes:
        fh, kh, flags, _ = proto.POLL_IN.unpack_from(self._buf, BODY)
        poll = getattr(self._handles[fh], "poll", None)
        events = getattr(self._handles[fh], "events", None)
        ready = _POLL_READY if poll is None else poll() | _POLL_WRITABLE
        ready |= events() if events is not None else 0
        if poll is not None and flags & proto.POLL_SCHEDULE_NOTIFY:
            self._pollers.add(kh)
        return proto.POLL_OUT.pack(ready, 0)
