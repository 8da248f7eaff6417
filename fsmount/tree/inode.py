"""What stat(2) says of a node, and what chmod, chown and utimes set: fs/kernfs/inode.c, symlink.c."""

from __future__ import annotations

import errno
import stat
import time
from collections.abc import Iterable

from elfcorehdr.errors import KernelError
from elfcorehdr.lib.record import NamedTuple, Record, fields_of, replace
from fsmount.tree.dir import Directories, KernelState, Node
from fsmount.tree.entries import (
    DIRECTORIES,
    DirEntry,
    FileEntry,
    LinkEntry,
    Subfile,
    type_of,
)
from fsmount.tree.kept import Kept
from fsmount.tree.kobject import ROOT, Declaration, Filesystem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Stat(NamedTuple):
    """What getattr(2) says, less what is always the same (st_blocks 0, st_blksize 4096)."""

    mode: int
    nlink: int
    size: int
    ino: int
    uid: int
    gid: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int


class Setattr(Record):
    """What chmod, chown and utimes have set on a node; None is untouched."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    atime_ns: int | None = None
    mtime_ns: int | None = None
    ctime_ns: int | None = None


class Inodes(Directories):
    """The names of a kernel with their attributes.

    page_limit=False lets a text attribute be longer than a page; owner is uid and gid of every file.
    """

    def __init__(
        self,
        kernel: KernelState,
        declarations: Iterable[Declaration],
        *,
        page_limit: bool = True,
        owner: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__(kernel, declarations)
        self.page_limit = page_limit
        self.owner = owner
        self.boot_ns = time.time_ns()
        self._boots = kernel.boots
        self.kept = Kept()
        self._setattr: dict[str, Setattr] = {}
        self._setattr_seq = kernel.names_seq

    def getattr(self, node: Node) -> Stat:
        """stat(2) of the node."""
        entry = node.entry
        if self._boots != self.kernel.boots:
            self._boots, self.boot_ns, self._setattr = self.kernel.boots, time.time_ns(), {}
        nlink, size = 1, 0
        if isinstance(entry, FileEntry):
            mode = stat.S_IFREG | entry.attr.mode
            size = self.kernel.page_size if entry.sized else self._size(entry, node.obj)
        elif isinstance(entry, Subfile):
            mode, size = stat.S_IFREG | 0o444, len(node.obj)
        elif isinstance(entry, LinkEntry):
            mode = stat.S_IFLNK | 0o777
        else:
            proc = isinstance(entry, DirEntry) and entry.fs is Filesystem.PROCFS
            # Quirk: the root of sysfs cannot be written by its mode, its directories can.
            root = node.path == Filesystem.SYSFS.value
            mode = stat.S_IFDIR | (0o555 if proc or root else 0o755)
            nlink = 2 + self._subdirs(node)
        uid, gid = self.owner
        boot = self.boot_ns
        found = Stat(mode, nlink, size, node.ino, uid, gid, boot, boot, boot)
        return self._overridden(node, found) if self._setattr else found

    def _size(self, entry: FileEntry, obj: Any) -> int:
        size = entry.attr.size
        if isinstance(size, int):
            return size
        if size is not None:
            return size(obj)
        if not entry.attr.binary or entry.attr.show is None:
            return 0
        try:
            shown = entry.attr.show(obj, ROOT) if entry.show_caller else entry.attr.show(obj)
        except KernelError:
            return 0  # it can be looked at though it cannot be read
        return len(shown) if isinstance(shown, str | bytes) else sum(map(len, shown))

    def _subdirs(self, node: Node) -> int:
        """How many directories a directory holds: kn->dir.subdirs in fs/kernfs/dir.c."""
        entry, obj = node.entry, node.obj
        if not isinstance(entry, DirEntry):
            counted = getattr(obj, "subdirs", None)
            if counted is not None:
                return int(counted())
            return sum(not isinstance(value, bytes) for value in obj.values())
        entry.listed()
        count = entry.subdirs
        for alternatives in entry.maybe:
            for found in alternatives:
                if self._exists(found, obj):
                    count += type_of(found) == stat.S_IFDIR
                    break
        for family in entry.families:
            if isinstance(family.entry, DirEntry):
                count += family.kset.count(obj)
        return count

    def setattr(self, node: Node, changes: Setattr) -> None:
        """chmod, chown, utimes: they stick while the node exists (mode: permission bits only)."""
        changed = {
            name: value
            for name in ("mode", "uid", "gid", "atime_ns", "mtime_ns")
            if (value := getattr(changes, name)) is not None
        }
        before = self._setattr.get(node.path, Setattr())
        self._setattr[node.path] = replace(before, ctime_ns=time.time_ns(), **changed)

    def _overridden(self, node: Node, found: Stat) -> Stat:
        if self._setattr_seq != self.kernel.names_seq:
            self._setattr_seq = self.kernel.names_seq
            self._setattr = {path: set_ for path, set_ in self._setattr.items() if self._has(path)}
        changes = self._setattr.get(node.path)
        if changes is None:
            return found
        given = fields_of(changes)
        if changes.mode is not None:
            given["mode"] = stat.S_IFMT(found.mode) | stat.S_IMODE(changes.mode)
        return found._replace(**{name: value for name, value in given.items() if value is not None})

    def _has(self, path: str) -> bool:
        try:
            self.lookup(path)
        except KernelError:
            return False
        return True

    def readlink(self, node: Node) -> str:
        """A link's target, relative as kernfs_get_target_path() writes it. KernelError(EINVAL)."""
        if not isinstance(node.entry, LinkEntry):
            raise KernelError(errno.EINVAL)
        target = node.entry.target
        to = target if isinstance(target, str) else target(node.obj)
        if to.startswith("/"):
            return to
        here = node.path.split("/")[1:-1]
        there = to.split("/")
        common = 0
        for one, other in zip(here, there[:-1], strict=False):
            if one != other:
                break
            common += 1
        return "../" * (len(here) - common) + "/".join(there[common:])

    def truncate(self, node: Node) -> None:
        """O_TRUNC and truncate(2): accepted on files, nothing changes. KernelError(EISDIR)."""
        if isinstance(node.entry, DIRECTORIES):
            raise KernelError(errno.EISDIR)
