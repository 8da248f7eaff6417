"""A tree mounted without libfuse, by root. What libfuse.Mount is for others."""

from __future__ import annotations

import os
from collections.abc import Callable

from fsmount.fuse.direct import Connection
from fsmount.fuse.nodes import NameCache
from fsmount.fuse.serving import Loop
from fsmount.host import mountns
from fsmount.host.mountns import RunError
from fsmount.tree.callers import Callers
from fsmount.tree.kernfs import Tree


class DirectMount:
    """A mounted tree: made by the constructor, served by serve(), gone after close().

    fd is a /dev/fuse descriptor that is mounted already; whoever did that unmounts it, but close()
    closes it. RunError with the remedy if it cannot be mounted.
    """

    def __init__(
        self,
        tree: Tree,
        directory: str,
        *,
        fd: int | None = None,
        names: NameCache = NameCache.ANNOUNCED,
    ) -> None:
        if os.geteuid():
            raise RunError("only root may mount without libfuse; leave --direct out")
        self.mountpoint = directory
        self._own = fd is None
        if fd is None:
            fd = mountns.open_fuse()
            try:
                mountns.mount_fuse(fd, directory)
            except RunError:
                os.close(fd)
                raise
        self._log = tree.kernel.log
        self._callers = Callers()
        os.set_blocking(fd, False)
        self._connection = Connection(fd, tree, self._callers, names=names)
        self._log_seen = self._log.next_seq
        self._loop = Loop(fd, self._request, self._after, self._log)
        self.unwatch, self.stop = self._loop.unwatch, self._loop.stop

    def serve(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Answer until the tree is unmounted or stop() is called; on_ready when requests may come."""
        on_ready()
        self._loop.run()

    def watch(self, fd: int, ready: Callable[[], None]) -> None:
        """Call ready() whenever fd is readable; it announces names before it answers anyone."""

        def act() -> None:
            ready()
            self.announce_names()

        self._loop.watch(fd, act)

    def announce_names(self) -> None:
        """Tell the kernel to look all names up again, if the set of names has changed."""
        self._connection.sync_names()

    def close(self) -> None:
        """Unmount, if it still is mounted, and free everything."""
        if self._own and self._connection.mounted:
            mountns.unmount(self.mountpoint)
        self._loop.close()
        self._callers.close()
        os.close(self._connection.fd)

    def _request(self) -> bool:
        self._connection.handle()
        return self._connection.mounted

    def _after(self) -> None:
        if self._log.next_seq != self._log_seen:
            self._log_seen = self._log.next_seq
            self._connection.retry()
