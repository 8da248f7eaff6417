"""What of the host shows through in `kdumpfs run`: beside the machine's own names, never instead.

Served wraps the tree that fuse_direct serves. In a directory that exists both here and there the
machine's names come first; the host's others are links to the parked /sys or /proc, or, for
/proc/sys, values that are this machine's own once they have been written (sysctls.py). Imports
errors, kernfs, kobject.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping

from elfcorehdr.errors import KernelError
from elfcorehdr.lib.typed import Any, Protocol
from fsmount.run.inside.places import PARKED
from fsmount.tree.dir import DOTS
from fsmount.tree.kernfs import Setattr, Stat, Tree, ino_of
from fsmount.tree.kobject import Caller, File

CAP_SYS_PTRACE = 19
SHOWN_PROC = frozenset(
    {
        "self", "thread-self", "sys", "mounts", "net", "filesystems", "fs", "locks", "sysvipc", "tty",
        "keys", "key-users", "cgroups",
    }
)  # fmt: skip
"""Names in /proc that are about the command's processes and their files; all others speak of the machine, and the host's
never show through: what is not emulated is absent."""


RELOAD = "control/reload"
"""What the command writes there would be run as Python, by a process of the host."""


class HostNode:
    """A place that no declaration describes.

    fleeting: whether the name may come and go without the kernel's names changing.
    """

    __slots__ = ("fleeting", "mode", "opens", "owner", "path", "target", "type")

    def __init__(
        self,
        path: str,
        type: int,
        mode: int = 0o755,
        fleeting: bool = False,
        target: Callable[[Caller], str] | None = None,
        opens: Callable[[int, Caller], File] | None = None,
        owner: tuple[int, int] = (0, 0),
    ) -> None:
        self.path = path
        self.owner = owner
        self.type = type
        self.mode = mode
        self.fleeting = fleeting
        self.target = target
        self.opens = opens

    def readlink(self, caller: Caller) -> str:
        """A link's target for this caller; KernelError(EINVAL) for anything else."""
        if self.target is None:
            raise KernelError(errno.EINVAL)
        return self.target(caller)


class Graft(Protocol):
    """The host's names in one directory."""

    fleeting_names: bool

    def get(self, path: str, name: str) -> HostNode | None:
        """The host's entry of that name in the directory `path`."""

    def names(self, path: str) -> Iterator[tuple[str, int]]:
        """Name and type of each, in the directory `path`."""


class Behind:
    """In a directory of /sys that the machine's covers: the host's other names, as links to the parked /sys.

    Not binds: a mount on a name of ours would fall off when the names change.
    """

    fleeting_names = False

    def __init__(self, rel: str, names: Iterable[str]) -> None:
        self._rel = rel
        self._names = frozenset(names)

    def get(self, path: str, name: str) -> HostNode | None:
        """A link."""
        if name not in self._names:
            return None
        to = "/".join(part for part in (PARKED, "sys", self._rel, name) if part)
        return HostNode(f"{path}/{name}", stat.S_IFLNK, 0o777, target=lambda _: to)

    def names(self, path: str) -> Iterator[tuple[str, int]]:
        """All links."""
        for name in sorted(self._names):
            yield name, stat.S_IFLNK


class Processes:
    """/proc: processes as directories, harmless names as links into the parked procfs."""

    fleeting_names = True

    def __init__(self) -> None:
        self.dir_fd = -1
        """The parked procfs, once there is one; what it calls pids are the command's pids."""

    def get(self, path: str, name: str) -> HostNode | None:
        """A link; `self` and `thread-self` by who asks."""
        full = f"{path}/{name}"
        match name:
            case "sys":
                return HostNode(full, stat.S_IFDIR, 0o555)
            case "self":
                return self._link(full, lambda caller: str(self.tgid(caller.pid)))
            case "thread-self":
                return self._link(full, lambda c: f"{self.tgid(c.pid)}/task/{c.pid}")
            case "mounts" | "net":
                return self._link(full, lambda _: f"self/{name}")
        if self.dir_fd < 0 or not (name in SHOWN_PROC or name.isdecimal()):
            return None
        try:
            found = os.stat(name, dir_fd=self.dir_fd, follow_symlinks=False)
        except OSError:
            return None
        if name.isdecimal():
            owner = _inside(found.st_uid), _inside(found.st_gid, os.getegid())
            return HostNode(full, stat.S_IFDIR, 0o555, fleeting=True, owner=owner)
        return self._link(full, lambda _: f"{PARKED}/proc/{name}")

    def names(self, path: str) -> Iterator[tuple[str, int]]:
        """The host's other names, then the command's processes."""
        yield "sys", stat.S_IFDIR
        if self.dir_fd >= 0:
            for name in os.listdir(self.dir_fd):
                if name.isdecimal():
                    yield name, stat.S_IFDIR
                elif name in SHOWN_PROC and name != "sys":
                    yield name, stat.S_IFLNK

    @staticmethod
    def _link(path: str, to: Callable[[Caller], str], *, fleeting: bool = False) -> HostNode:
        return HostNode(path, stat.S_IFLNK, 0o777, fleeting=fleeting, target=to)

    def status(self, pid: int) -> dict[str, str]:
        """/proc/PID/status of one of the command's threads; {} if it is gone."""
        if self.dir_fd < 0:
            return {}
        try:
            fd = os.open(f"{pid}/status", os.O_RDONLY, dir_fd=self.dir_fd)
        except OSError:
            return {}
        with open(fd, errors="replace") as file:
            try:
                lines = file.read().splitlines()
            except OSError:
                return {}
        return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}

    def count(self) -> int:
        """How many there are."""
        if self.dir_fd < 0:
            return 1
        return sum(name.isdecimal() for name in os.listdir(self.dir_fd))

    def comm(self, pid: int) -> str:
        """current->comm of one of the command's threads; "" if it is gone."""
        try:
            fd = os.open(f"{pid}/comm", os.O_RDONLY, dir_fd=self.dir_fd)
        except OSError:
            return ""
        with open(fd, errors="replace") as file:
            try:
                return file.read().rstrip("\n")
            except OSError:  # ESRCH
                return ""

    def tgid(self, pid: int) -> int:
        """The process a thread belongs to; KernelError(ENOENT) if it is gone."""
        status = self.status(pid)
        if not status:
            raise KernelError(errno.ENOENT)
        return int(status["Tgid"])


def _inside(host: int, own: int | None = None) -> int:
    """What an id is in the machine: as on the host for root's, else 0 for one's own and nobody's for the others'."""
    if not os.geteuid():
        return host
    return 0 if host == (os.geteuid() if own is None else own) else 65534


class ProcessFiles:
    """/proc/PID: each name a link into the parked procfs; what is a link there says what it says there."""

    fleeting_names = True

    def __init__(self, processes: Processes) -> None:
        self._processes = processes

    def get(self, path: str, name: str) -> HostNode | None:
        """A link of a process."""
        pid, dir_fd = path.rpartition("/")[2], self._processes.dir_fd
        try:
            found = os.stat(f"{pid}/{name}", dir_fd=dir_fd, follow_symlinks=False)
        except OSError:
            return None

        def target(caller: Caller) -> str:
            if not stat.S_ISLNK(found.st_mode):
                return f"{PARKED}/proc/{pid}/{name}"
            # proc_pid_readlink() asks ptrace_may_access(); init is in a user namespace above the command's.
            own = caller.uid == _inside(found.st_uid)
            if pid == "1" or not (own or caller.capable(CAP_SYS_PTRACE)):
                raise KernelError(errno.EACCES)
            try:
                return os.readlink(f"{pid}/{name}", dir_fd=dir_fd)
            except OSError as error:
                raise KernelError(error.errno or errno.EACCES) from error

        return HostNode(f"{path}/{name}", stat.S_IFLNK, 0o777, fleeting=True, target=target)

    def names(self, path: str) -> Iterator[tuple[str, int]]:
        """Whatever the kernel shows of a process."""
        try:
            fd = os.open(path.rpartition("/")[2], os.O_RDONLY, dir_fd=self._processes.dir_fd)
        except OSError:
            return
        try:
            names = os.listdir(fd)
        except OSError:  # it has gone meanwhile
            names = []
        finally:
            os.close(fd)
        for name in names:
            yield name, stat.S_IFLNK


class Served:
    """A tree and, where `grafts` (by path) says so, what of the host shows through beside it."""

    def __init__(self, tree: Tree, grafts: Mapping[str, Graft]) -> None:
        self.tree = tree
        self._grafts = grafts

    @property
    def kernel(self) -> Any:
        """The kernel whose names these are."""
        return self.tree.kernel

    def lookup(self, path: str) -> Any:
        """The node at a path. KernelError as Tree.lookup()."""
        try:
            return self.tree.lookup(path)
        except KernelError:
            node: Any = self.tree.lookup("")
            for name in path.split("/"):
                if name:
                    node = self.child(node, name)
            return node

    def child(self, node: Any, name: str) -> Any:
        """A directory's node of that name; the machine's first. KernelError(ENOENT), ENOTDIR."""
        path = node.path
        graft = self._graft(path)
        if graft is None and not isinstance(node, HostNode):
            return self.tree.child(node, name)
        if node.type != stat.S_IFDIR:
            raise KernelError(errno.ENOTDIR)
        try:
            return self.tree.lookup(f"{path}/{name}")
        except KernelError as absent:
            found = graft.get(path, name) if graft and absent.errno == errno.ENOENT else None
            if found is None:
                raise
            return found

    def _graft(self, path: str) -> Graft | None:
        graft = self._grafts.get(path)
        if graft is None and path.startswith("proc/"):
            if path.startswith("proc/sys/"):
                graft = self._grafts.get("proc/sys")
            elif path[5:].isdecimal():
                graft = self._grafts.get("proc/PID")
        return graft

    def may_come(self, node: Any) -> bool:
        """Whether a name that is absent may appear without the kernel's names changing."""
        graft = self._graft(node.path)
        return graft is not None and graft.fleeting_names

    def getattr(self, node: Any) -> Stat:
        """stat(2)"""
        if not isinstance(node, HostNode):
            return self.tree.getattr(node)
        parent, _, name = node.path.rpartition("/")
        boot = self.tree.boot_ns
        nlink = 2 if node.type == stat.S_IFDIR else 1
        uid, gid = node.owner
        return Stat(
            node.type | node.mode, nlink, 0, ino_of(parent, name), uid, gid, boot, boot, boot
        )

    def mkdir(self, node: Any, name: str) -> None:
        """As Tree.mkdir(); KernelError(EPERM) beside what is the host's."""
        if isinstance(node, HostNode):
            raise KernelError(errno.EPERM)
        self.tree.mkdir(node, name)

    def rmdir(self, node: Any, name: str) -> None:
        """As Tree.rmdir(); KernelError(EPERM) beside what is the host's."""
        if isinstance(node, HostNode):
            raise KernelError(errno.EPERM)
        self.tree.rmdir(node, name)

    def setattr(self, node: Any, changes: Setattr) -> None:
        """chmod and the like; KernelError(EPERM) on what is the host's."""
        if isinstance(node, HostNode):
            raise KernelError(errno.EPERM)
        self.tree.setattr(node, changes)

    def truncate(self, node: Any) -> None:
        """O_TRUNC and truncate(2)"""
        if not isinstance(node, HostNode):
            self.tree.truncate(node)

    def readdir(self, node: Any) -> Iterator[tuple[str, int]]:
        """A directory's entries: the machine's, then the host's others."""
        graft = self._graft(node.path)
        if graft is None and not isinstance(node, HostNode):
            return self.tree.readdir(node)
        return self._both(node, graft)

    def _both(self, node: Any, graft: Graft | None) -> Iterator[tuple[str, int]]:
        seen = set()
        own = iter(DOTS) if isinstance(node, HostNode) else self.tree.readdir(node)
        for entry in own:
            seen.add(entry[0])
            yield entry
        if graft is not None:
            yield from (entry for entry in graft.names(node.path) if entry[0] not in seen)

    def readlink(self, node: Any) -> str:
        """A link's target"""
        return self.tree.readlink(node)

    def wants_caller(self, node: Any) -> bool:
        """Whether opening it depends on who does."""
        return not isinstance(node, HostNode) and self.tree.wants_caller(node)

    def open(self, node: Any, flags: int, caller: Caller) -> File:
        """Open a file. KernelError as Tree.open(); a link is ELOOP; EPERM for what would lead outside."""
        if node.path == RELOAD:
            refused = KernelError(
                errno.EPERM, "a module is run by the server, which is outside of the run"
            )
            self.kernel.platform.refusal = str(refused)
            raise refused
        if not isinstance(node, HostNode):
            return self.tree.open(node, flags, caller)
        if node.opens is None:
            raise KernelError(errno.ELOOP if node.type == stat.S_IFLNK else errno.EISDIR)
        return node.opens(flags, caller)
