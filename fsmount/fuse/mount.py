"""A tree mounted on a directory and served: by mount(2) where this process may, else through libfuse.

Imports direct, nodes, serving, mountns, callers, kernfs; libfuse where it is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from fsmount.fuse.direct import Connection
from fsmount.fuse.nodes import NameCache
from fsmount.fuse.serving import Loop
from fsmount.host import mounting, mountns
from fsmount.host.mountns import RunError
from fsmount.tree.callers import Callers
from fsmount.tree.kernfs import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Mounted(Protocol):
        """A directory that is mounted on, and the /dev/fuse descriptor behind it."""

        @property
        def fd(self) -> int: ...
        def unmount(self) -> None:
            """Unmount, if it still is mounted, and close fd."""


class DirectMount:
    """A directory mounted on by mount(2). RunError with the remedy."""

    def __init__(self, directory: str) -> None:
        if os.geteuid():
            raise RunError("only root may mount without libfuse; leave --direct out")
        self.directory = directory
        self.fd = mountns.open_fuse()
        try:
            mountns.mount_fuse(self.fd, directory)
        except RunError:
            os.close(self.fd)
            raise
        self._mount = mounting.top_mount(directory)

    def unmount(self) -> None:
        """Unmount, if it still is mounted (another one is left alone), and close fd."""
        if self._mount is not None and mounting.top_mount(self.directory) == self._mount:
            mountns.unmount(self.directory)
        os.close(self.fd)


class Mount:
    """A mounted tree: made by the constructor, served by serve(), gone after close()."""

    def __init__(
        self, tree: Tree, mounted: Mounted, *, names: NameCache = NameCache.ANNOUNCED
    ) -> None:
        self._mounted = mounted
        self._log = tree.kernel.log
        self._callers = Callers(tree.owner[0])
        os.set_blocking(mounted.fd, False)
        self._connection = Connection(mounted.fd, tree, self._callers, names=names)
        if isinstance(mounted, DirectMount):
            self._connection.mounted_as = "/proc/self/mountinfo", mounted.directory
        self._log_seen = self._log.next_seq
        self.afterwards: list[Callable[[], None]] = []
        """What else is to be done after each request: another one may wait for what it changed."""
        self._loop = Loop(mounted.fd, self._request, self._after, self._log)
        self.unwatch, self.stop = self._loop.unwatch, self._loop.stop
        self.starting = self._loop.starting

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
        """Unmount, if it was mounted here and still is, and free everything."""
        self._connection.close()
        self._mounted.unmount()
        self._loop.close()
        self._callers.close()

    def _request(self) -> bool:
        self._connection.handle()
        return self._connection.mounted

    def _after(self) -> None:
        if self._log.next_seq != self._log_seen:
            self._log_seen = self._log.next_seq
            self._connection.retry()
        for act in self.afterwards:
            act()


def mount_on(directory: str, *, direct: bool = False, libfuse: bool = False) -> Mounted:
    """Mount an empty file system on an absolute path: without libfuse where this process may.

    ProfileError with the remedy.
    """
    if direct or (not libfuse and os.geteuid() == 0):
        try:
            return DirectMount(directory)
        except RunError:  # root of a container may lack CAP_SYS_ADMIN, and have fusermount
            if direct:
                raise
    from fsmount.fuse.libfuse import LibfuseMount

    return LibfuseMount(directory)
