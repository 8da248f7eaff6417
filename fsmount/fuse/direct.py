"""A FUSE server that speaks the /dev/fuse protocol itself: fs/fuse/dev.c is its other side.

Names are cached without limit and made stale at once when they change (FUSE_NOTIFY_INC_EPOCH), reads
that wait stop nobody and can be interrupted, and no memory is kept for a name that was looked up.
Here: the loop and what is asked of names; opened.py has what is asked of open files. What a file is stays in
fsmount/tree/.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
import time
from collections.abc import Callable
from functools import partial

from elfcorehdr.errors import KernelError, suppress
from fsmount.fuse import proto as proto
from fsmount.fuse.channel import MAX_READ, MAX_WRITE
from fsmount.fuse.nodes import NameCache
from fsmount.fuse.opened import Blocked, OfDeadKernel, OpenFiles, Seen
from fsmount.fuse.proto import BODY
from fsmount.fuse.serving import Resched
from fsmount.tree.boundary import Ended, errno_of
from fsmount.tree.kept import Kept
from fsmount.tree.kernfs import REFUSED, Setattr
from fsmount.tree.kobject import Caller

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fsmount.fuse.nodes import Nodes

_LOOK_S, _NEXT_S = 0.02, 0.001
"""How long others are answered in the midst of long work, and how long their next request is waited for."""
_XATTR_NAMESPACES = (b"user.", b"security.", b"trusted.")
_UNANSWERED = (proto.FORGET, proto.BATCH_FORGET, proto.INTERRUPT)
"""Requests that nobody waits for."""
_REFUSED_OPS: dict[int, str] = {
    proto.CREATE: "create", proto.UNLINK: "unlink", proto.RENAME: "rename", proto.RENAME2: "rename",
    proto.SYMLINK: "symlink", proto.LINK: "link", proto.SETXATTR: "setxattr",
    proto.REMOVEXATTR: "removexattr",
}  # fmt: skip


class Connection(OpenFiles):
    """One mounted tree. handle() answers one request; nothing here waits.

    caller_of makes the Caller of a request's uid, gid and pid. The request lies in a buffer; the
    handlers get its node's number and its length, and answer with the reply's body. Whatever they
    raise, exactly one answer goes out.
    """

    def __init__(
        self,
        fd: int,
        nodes: Nodes,
        caller_of: Callable[[int, int, int], Caller],
        *,
        names: NameCache = NameCache.ANNOUNCED,
        seen: Seen | None = None,
    ) -> None:
        super().__init__(fd, nodes, caller_of, names, seen)
        self.log = nodes.kernel.log
        self._names_seq = nodes.kernel.names_seq
        self._boots = nodes.kernel.boots, nodes.kernel.dead
        self.holds_answers = False
        """Whether a request that ended the kernel is answered only by answer_held()."""
        self._held: list[int] = []
        self._may_come: Callable[[Any], bool] = getattr(nodes, "may_come", lambda _: False)
        self._resched = Resched.of(self._kernel)
        self._resched.looks.append(self._look)
        self._ops: dict[int, Callable[[int, int], bytes]] = {
            proto.LOOKUP: self._lookup, proto.GETATTR: self._getattr, proto.SETATTR: self._setattr,
            proto.READLINK: self._readlink, proto.OPEN: self._open, proto.READ: self._read,
            proto.WRITE: self._write, proto.RELEASE: self._release, proto.OPENDIR: self._opendir,
            proto.READDIR: self._readdir, proto.RELEASEDIR: self._release,
            proto.STATFS: self._statfs, proto.FORGET: self._forget,
            proto.BATCH_FORGET: self._batch_forget, proto.INIT: self._init,
            proto.INTERRUPT: self._interrupt, proto.LSEEK: self._lseek, proto.POLL: self._poll,
            proto.GETXATTR: self._getxattr, proto.LISTXATTR: self._listxattr,
            proto.MKDIR: self._mkdir, proto.RMDIR: self._rmdir,
            proto.MKNOD: self._mknod, proto.FSYNC: self._fsync, proto.FSYNCDIR: self._fsyncdir,
            proto.IOCTL: self._ioctl, proto.DESTROY: self._destroy,
        }  # fmt: skip

    # The loop

    @property
    def fd(self) -> int:
        """The /dev/fuse descriptor."""
        return self.channel.fd

    @property
    def mounted(self) -> bool:
        """Whether the mount was still there when last looked."""
        return self.channel.mounted

    def handle(self) -> bool:
        """Answer the request that is there; False if there is none, or the mount has gone."""
        receive, resched, handled = self.channel.receive, self._resched, False
        while size := receive():
            handled = True
            resched.begin()
            op = self._answer(size)
            if resched.later:
                resched.end()
            # Behind a close(2), which does not wait, its process's next request is there already.
            if op != proto.RELEASE and op != proto.RELEASEDIR:
                break
        return handled

    def close(self) -> None:
        """Answer nobody any more; the descriptor is its opener's."""
        with suppress(ValueError):
            self._resched.looks.remove(self._look)
        self._writes.clear()
        self._drop(list(self._kept))

    def _look(self) -> None:
        """Answer requests in the midst of another's: somebody's next one comes as soon as he has an answer."""
        kept = bytes(self._view)
        until = time.perf_counter() + _LOOK_S
        coming = self.handle()
        while coming and time.perf_counter() < until:
            coming = self.handle() or bool(select.select([self.fd], [], [], _NEXT_S)[0])
        self._view[:] = kept

    def _resume(self, unique: int) -> None:
        """Do a write that came in the midst of long work, unless it was given up."""
        message = self._writes.pop(unique, None)
        if message is not None:
            self._view[: len(message)] = message
            self._resched.begin()
            self._answer(len(message))

    def retry(self) -> None:
        """Ask the reads that wait again, and wake who polls: something was written to the log."""
        parked, self._parked = self._parked, {}
        for message in parked.values():
            self._view[: len(message)] = message
            self._answer(len(message))
        pollers, self._pollers = self._pollers, set()
        for kh in pollers:
            self.channel.notify(proto.NOTIFY_POLL, kh.to_bytes(8, sys.byteorder))

    def sync_names(self) -> None:
        """Make every cached name stale if the set of names has changed; before the change is seen."""
        self._names_seq = self._kernel.names_seq
        if self._boots != (now := (self._kernel.boots, self._kernel.dead)):
            self._boots, gone = now, OfDeadKernel()
            self._handles, self._listings = dict.fromkeys(self._handles, gone), Kept()
            self._drop(list(self._kept))
        if not self._table.names_changed():
            return
        self._drop([nodeid for nodeid in self._kept if not self._table.exists(nodeid)])
        if self._table.names is NameCache.ANNOUNCED:
            self.channel.notify(proto.NOTIFY_INC_EPOCH)

    def _answer(self, size: int) -> int:
        """Answer the request in the buffer, or keep it for later; its opcode."""
        _, op, unique, nodeid = proto.IN_START.unpack_from(self._buf)
        if op == proto.WRITE and self._resched.inside:
            self._writes[unique] = bytes(self._view[:size])
            self._resched.later.append(partial(self._resume, unique))
            return int(op)
        error, payload = 0, b""
        try:
            handler = self._ops.get(op)
            if handler is None:
                raise KernelError(REFUSED.get(_REFUSED_OPS.get(op, ""), errno.ENOSYS))
            payload = handler(nodeid, size)
        except Blocked:
            self._parked[unique] = bytes(self._view[:size])
            return int(op)
        except Ended:
            raise
        except BaseException as raised:
            error = -errno_of(self.log, raised)
        if self.holds_answers and self._boots != (self._kernel.boots, self._kernel.dead):
            self._held.append(unique)
            self.sync_names()
            return int(op)
        if self._names_seq != self._kernel.names_seq:
            self.sync_names()
        if op not in _UNANSWERED:
            self.channel.reply(unique, error, payload)
        if op == proto.INIT:
            self._can_announce()
        elif op == proto.WRITE and self._parked:
            self.retry()  # whoever waits for something else than the log
        return int(op)

    def answer_held(self) -> None:
        """EIO to the requests that ended the kernel: who made them is dying with it."""
        held, self._held = self._held, []
        for unique in held:
            self.channel.reply(unique, -errno.EIO)

    def _can_announce(self) -> None:
        """Find whether the kernel has FUSE_NOTIFY_INC_EPOCH (Linux 6.16); else let it keep no name."""
        announced = self._table.names is NameCache.ANNOUNCED
        if announced and not self.channel.notify(proto.NOTIFY_INC_EPOCH):
            self._table.names = NameCache.NONE

    # Nodes

    def _lookup(self, nodeid: int, size: int) -> bytes:
        name = str(self._view[BODY : size - 1], "utf-8", "surrogateescape")
        parent = self._table.node(nodeid)
        try:
            node = self._nodes.child(parent, name)
        except KernelError as absent:
            self._tell("lookup", f"{parent.path}/{name}", b"", -absent.errno)
            if absent.errno != errno.ENOENT or not self._table.valid or self._may_come(parent):
                raise
            return self._table.absent()
        return self._table.looked_up(nodeid, name, node)

    def _forget(self, nodeid: int, _size: int) -> bytes:
        self._table.forget(nodeid, proto.FORGET_IN.unpack_from(self._buf, BODY)[0])
        return b""

    def _batch_forget(self, _nodeid: int, _size: int) -> bytes:
        count, _ = proto.BATCH_FORGET_IN.unpack_from(self._buf, BODY)
        forgotten = self._view[BODY + 8 : BODY + 8 + 16 * count]
        for nodeid, lookups in proto.FORGET_ONE.iter_unpack(forgotten):
            self._table.forget(nodeid, lookups)
        return b""

    def _getattr(self, nodeid: int, _size: int) -> bytes:
        flags, _, fh = proto.GETATTR_IN.unpack_from(self._buf, BODY)
        if flags & proto.GETATTR_FH:
            self._seek_end(fh)
        return self._table.attributes(nodeid)

    def _seek_end(self, fh: int) -> None:
        """Asked for the attributes of an open file: fuse_file_llseek() of SEEK_END does, fstat(2) not."""
        seek = getattr(self._handles.get(fh), "seek", None)
        if seek is not None:
            with suppress(KernelError):
                seek(0, os.SEEK_END)

    def _setattr(self, nodeid: int, _size: int) -> bytes:
        fields = proto.SETATTR_IN.unpack_from(self._buf, BODY)
        valid, atime, mtime = fields[0], fields[5], fields[6]
        ansec, mnsec, mode, uid, gid = fields[8], fields[9], fields[11], fields[13], fields[14]
        node = self._table.node(nodeid)
        if valid & proto.FATTR_SIZE:
            self._nodes.truncate(node)
        now = time.time_ns()
        a_ns = now if valid & proto.FATTR_ATIME_NOW else atime * 1_000_000_000 + ansec
        m_ns = now if valid & proto.FATTR_MTIME_NOW else mtime * 1_000_000_000 + mnsec
        changes = Setattr(
            mode=stat.S_IMODE(mode) if valid & proto.FATTR_MODE else self._killed(valid, node),
            uid=uid if valid & proto.FATTR_UID else None,
            gid=gid if valid & proto.FATTR_GID else None,
            atime_ns=a_ns if valid & proto.FATTR_ATIME else None,
            mtime_ns=m_ns if valid & proto.FATTR_MTIME else None,
        )
        if changes != Setattr():
            self._nodes.setattr(node, changes)
        return self._table.attributes(nodeid)

    def _killed(self, valid: int, node: Any) -> int | None:
        """The mode that chown leaves, if it takes set-uid or set-gid away: setattr_should_drop_suidgid()."""
        if not valid & (proto.FATTR_UID | proto.FATTR_GID | proto.FATTR_KILL_SUIDGID):
            return None
        mode = stat.S_IMODE(self._nodes.getattr(node).mode)
        killed = stat.S_ISUID | (stat.S_ISGID if mode & stat.S_IXGRP else 0)
        return mode & ~killed if mode & killed and node.type == stat.S_IFREG else None

    def _readlink(self, nodeid: int, _size: int) -> bytes:
        node = self._table.node(nodeid)
        with_caller = getattr(node, "readlink", None)
        target = with_caller(self._caller()) if with_caller else self._nodes.readlink(node)
        return os.fsencode(target)

    def _statfs(self, _nodeid: int, _size: int) -> bytes:
        page = self._kernel.page_size
        return proto.STATFS_OUT.pack(0, 0, 0, 0, 0, page, 255, page, *[0] * 7)

    def _mknod(self, _nodeid: int, _size: int) -> bytes:
        (mode,) = proto.MKNOD_IN.unpack_from(self._buf, BODY)
        # fs/namei.c, do_mknodat(): a regular file is made by i_op->create, others by i_op->mknod.
        raise KernelError(REFUSED["create" if stat.S_ISREG(mode) else "mknod"])

    def _mkdir(self, nodeid: int, size: int) -> bytes:
        name = os.fsdecode(bytes(self._view[BODY + proto.MKDIR_IN.size : size - 1]))
        parent = self._table.node(nodeid)
        self._nodes.mkdir(parent, name)
        return self._table.looked_up(nodeid, name, self._nodes.child(parent, name))

    def _rmdir(self, nodeid: int, size: int) -> bytes:
        name = os.fsdecode(bytes(self._view[BODY : size - 1]))
        self._nodes.rmdir(self._table.node(nodeid), name)
        return b""

    def _getxattr(self, _nodeid: int, size: int) -> bytes:
        ours = bytes(self._view[BODY + 8 : size]).startswith(_XATTR_NAMESPACES)
        raise KernelError(REFUSED["getxattr"] if ours else errno.EOPNOTSUPP)

    def _listxattr(self, _nodeid: int, _size: int) -> bytes:
        size, _ = proto.GETXATTR_IN.unpack_from(self._buf, BODY)
        return b"" if size else bytes(8)

    def _ioctl(self, _nodeid: int, _size: int) -> bytes:
        raise KernelError(errno.ENOTTY)

    def _init(self, _nodeid: int, _size: int) -> bytes:
        _major, minor, _, flags, more = proto.INIT_IN.unpack_from(self._buf, BODY)
        wanted = proto.FUSE_ATOMIC_O_TRUNC | proto.FUSE_BIG_WRITES | proto.FUSE_PARALLEL_DIROPS
        # Else every write(2) asks for security.capability first: file_remove_privs(), fs/inode.c.
        wanted |= proto.FUSE_HANDLE_KILLPRIV_V2
        # /proc/vmcore is read through the page cache, in large pieces and ahead.
        wanted |= proto.FUSE_ASYNC_READ | proto.FUSE_MAX_PAGES
        pages, flags2, depth = MAX_READ // 4096, 0, 0
        # Only root of the host may have files passed through; over such a mount one overlay less can lie.
        if flags & proto.FUSE_INIT_EXT and more & proto.FUSE_PASSTHROUGH and not os.geteuid():
            wanted |= proto.FUSE_INIT_EXT
            flags2, depth = proto.FUSE_PASSTHROUGH, 1
        self.passes = bool(depth)
        return proto.INIT_OUT.pack(
            7, min(minor, 45), MAX_READ, flags & wanted, 16, 12, MAX_WRITE, 1, pages, 0,
            flags2, depth, *[0] * 6,
        )  # fmt: skip

    def _destroy(self, _nodeid: int, _size: int) -> bytes:
        return b""
