"""`kdumpfs mount --direct`: a tree mounted without libfuse, by root. What fuse_adapter.Mount is for others.

Imports fuse_direct, kernfs, mountns.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from functools import partial

from fsmount import mountns
from fsmount.fuse_callbacks import capable
from fsmount.fuse_direct import Connection
from fsmount.kernfs import Tree
from fsmount.kobject import Caller
from fsmount.mountns import RunError


class DirectMount:
    """A tree on a directory. RunError with the remedy if it cannot be mounted."""

    def __init__(self, tree: Tree, directory: str) -> None:
        if os.geteuid():
            raise RunError("--direct mounts by itself, which only root may; leave it out")
        self.mountpoint = directory
        self._log = tree.kernel.log
        self._proc = os.open("/proc", os.O_PATH | os.O_CLOEXEC)
        fd = mountns.open_fuse()
        mountns.mount_fuse(fd, directory)
        self._connection = Connection(fd, tree, self._caller)
        self._stop_r, self._stop_w = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def serve(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Answer until the tree is unmounted or stop() is called; on_ready when requests may come."""
        connection = self._connection
        poll = select.poll()
        poll.register(connection.fd, select.POLLIN)
        poll.register(self._stop_r, select.POLLIN)
        on_ready()
        seq = self._log.next_seq
        while connection.mounted:
            ready = dict(poll.poll())
            if self._stop_r in ready:
                return
            while connection.handle():
                if self._log.next_seq != seq:
                    seq = self._log.next_seq
                    connection.retry()

    def stop(self) -> None:
        """End serve(); may be called by a signal handler."""
        os.write(self._stop_w, b"s")

    def close(self) -> None:
        """Unmount, if it still is mounted, and free everything."""
        if self._connection.mounted:
            mountns.unmount(self.mountpoint)
        for fd in (self._connection.fd, self._proc, self._stop_r, self._stop_w):
            os.close(fd)

    def _caller(self, uid: int, gid: int, pid: int) -> Caller:
        return Caller(uid, gid, pid, partial(capable, self._proc, pid), self._comm(pid))

    def _comm(self, pid: int) -> str:
        try:
            with open(os.open(f"{pid}/comm", os.O_RDONLY, dir_fd=self._proc)) as file:
                return file.read().rstrip("\n")
        except OSError:
            return ""
