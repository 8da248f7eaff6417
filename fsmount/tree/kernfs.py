"""The tree: look-up, directories, attributes of nodes, open; no FUSE here.

Mirrors fs/kernfs/dir.c, inode.c and symlink.c. Nothing is cached: a path is looked up in the
compiled declarations, and those ask the kernel.
"""

from __future__ import annotations

import errno
import os
import stat
import time
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain, islice, repeat
from typing import Any, NamedTuple, Protocol

from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.printk import Printk
from elfcorehdr.lib.record import Record, fields_of, replace
from fsmount.tree.entries import (
    DIRECTORIES,
    SUBDIR,
    SUBFILE,
    DirEntry,
    Entry,
    Family,
    FileEntry,
    LinkEntry,
    Subdir,
    Subfile,
    SubtreeEntry,
    compiled,
    type_of,
)
from fsmount.tree.file import OpenFile
from fsmount.tree.kobject import ROOT, Caller, Declaration, File, Filesystem

REFUSED = {
    "create": errno.EACCES,
    "mkdir": errno.EPERM,
    "mknod": errno.EPERM,
    "unlink": errno.EPERM,
    "rmdir": errno.EPERM,
    "rename": errno.EPERM,
    "symlink": errno.EPERM,
    "link": errno.EPERM,
    "setxattr": errno.EOPNOTSUPP,
    "removexattr": errno.EOPNOTSUPP,
    "getxattr": errno.ENODATA,
}
"""What changing the tree gives, from fs/namei.c: without i_op->create EACCES, without others EPERM."""


DOTS = ((".", stat.S_IFDIR), ("..", stat.S_IFDIR))


class KernelState(Protocol):
    """What the tree itself asks of the kernel; the declarations ask more."""

    @property
    def page_size(self) -> int: ...
    @property
    def names_seq(self) -> int:
        """Another number whenever the set of names in the tree has changed."""

    @property
    def log(self) -> Printk: ...


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


class Node:
    """A place in the tree at the time of its look-up: path (no leading slash), entry, object.

    identities are what the sets on the way say their objects are (Kset.identity).
    """

    __slots__ = ("entry", "identities", "obj", "path")

    def __init__(
        self, path: str, entry: Entry, obj: Any, identities: tuple[object, ...] = ()
    ) -> None:
        self.path = path
        self.entry = entry
        self.obj = obj
        self.identities = identities

    @property
    def type(self) -> int:
        """S_IFDIR, S_IFREG or S_IFLNK."""
        return type_of(self.entry)

    @property
    def ino(self) -> int:
        """A stable inode number, from the path; the root's is 1."""
        parent, _, name = self.path.rpartition("/")
        return ino_of(parent, name)


def ino_below(parent: str) -> int:
    """The inode numbers of a directory's names are this or'ed with the CRC-32 of each: 63 bits, all above 1."""
    return (zlib.crc32(parent.encode(errors="surrogateescape")) & 0x7FFFFFFF | 1) << 32


def ino_of(parent: str, name: str) -> int:
    """The inode number of a name in a directory; the root's is 1."""
    if not name:
        return 1
    return ino_below(parent) | zlib.crc32(name.encode(errors="surrogateescape"))


class Setattr(Record):
    """What chmod, chown and utimes have set on a node; None is untouched."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    atime_ns: int | None = None
    mtime_ns: int | None = None
    ctime_ns: int | None = None


class Tree:
    """The declared files of a kernel; everything is answered from the kernel's present state.

    page_limit=False lets a text attribute be longer than a page; owner is uid and gid of every
    file. ValueError if two declarations
    claim one name.
    """

    def __init__(
        self,
        kernel: KernelState,
        declarations: Iterable[Declaration],
        *,
        page_limit: bool = True,
        owner: tuple[int, int] = (0, 0),
    ) -> None:
        self.kernel = kernel
        self.declarations = tuple(declarations)
        self.page_limit = page_limit
        self._owner = owner
        self.boot_ns = time.time_ns()
        self._root = compiled(self.declarations)
        self._static = dict(self._root.static())
        self._setattr: dict[str, Setattr] = {}
        self._setattr_seq = kernel.names_seq

    # Look-up

    def lookup(self, path: str) -> Node:
        """The node at a path from the tree's root, with or without a leading slash.

        KernelError(ENOENT), or ENOTDIR if something on the way is no directory. Links are not
        followed.
        """
        path = path.strip("/")
        head, _, name = path.rpartition("/")
        names = [name]
        while head not in self._static:
            head, _, name = head.rpartition("/")
            names.append(name)
        entry: Entry = self._static[head]
        obj: Any = self.kernel
        identities: tuple[object, ...] = ()
        for name in reversed(names):
            if name:
                entry, obj = self._step(entry, obj, name)
                if isinstance(entry, DirEntry) and entry.identity is not None:
                    identities = (*identities, entry.identity(obj))
        return Node(path, entry, obj, identities)

    def child(self, node: Node, name: str) -> Node:
        """The node of that name in a directory; errors as of lookup()."""
        entry, obj = self._step(node.entry, node.obj, name)
        identities = node.identities
        if isinstance(entry, DirEntry) and entry.identity is not None:
            identities = (*identities, entry.identity(obj))
        return Node(f"{node.path}/{name}" if node.path else name, entry, obj, identities)

    def _step(self, entry: Entry, obj: Any, name: str) -> tuple[Entry, Any]:
        if isinstance(entry, DirEntry):
            for found in entry.children.get(name, ()):
                if self._exists(found, obj):
                    if isinstance(found, SubtreeEntry):
                        return SUBDIR, found.contents(obj)
                    return found, obj
            for prefix, suffix, kset, member in entry.families:
                if name.startswith(prefix) and name.endswith(suffix):
                    below = kset.lookup(obj, name)
                    if below is not None and self._exists(member, below):
                        return member, below
        elif isinstance(entry, Subdir):
            value = obj.get(name)
            if value is not None:
                return (SUBFILE if isinstance(value, bytes) else SUBDIR), value
        else:
            raise KernelError(errno.ENOTDIR)
        raise KernelError(errno.ENOENT)

    def _exists(self, entry: Entry, obj: Any) -> bool:
        kernel = self.kernel
        if isinstance(entry, DirEntry):
            if entry.always or entry.declared:
                return entry.always or any(visible(kernel, obj) for visible in entry.visible)
            return any(self._exists(one, obj) for some in entry.children.values() for one in some)
        return not entry.visible or all(visible(kernel, obj) for visible in entry.visible)

    # Directories

    def names(self, node: Node) -> Iterator[tuple[str, int]]:
        """Name and type (S_IFDIR, ...) of everything in a directory, without `.` and `..`, lazily."""
        entry, obj = node.entry, node.obj
        if isinstance(entry, Subdir):
            kinds = (stat.S_IFREG if isinstance(v, bytes) else stat.S_IFDIR for v in obj.values())
            return zip(obj, kinds, strict=True)
        if not isinstance(entry, DirEntry):
            raise KernelError(errno.ENOTDIR)
        families = (self._members(family, obj) for family in entry.families)
        return chain(self._children(entry, obj), chain.from_iterable(families))

    def _children(self, entry: DirEntry, obj: Any) -> Iterator[tuple[str, int]]:
        """Those of a directory that are declared by name."""
        for name, kind, alternatives in entry.listed():
            if not alternatives:
                yield name, kind
                continue
            for found in alternatives:
                if self._exists(found, obj):
                    yield name, type_of(found)
                    break

    def _members(self, family: Family, obj: Any) -> Iterator[tuple[str, int]]:
        """Those of a set. A directory may hold 262,144 of them: no step in Python for each."""
        kset, entry = family.kset, family.entry
        names: Iterable[str] = kset.names(obj)
        if not isinstance(entry, DirEntry) and entry.visible:
            found = ((name, kset.lookup(obj, name)) for name in names)
            names = (
                name for name, below in found if below is not None and self._exists(entry, below)
            )
        return zip(names, repeat(type_of(entry)), strict=False)

    def readdir(self, node: Node, offset: int = 0) -> Iterator[tuple[str, int]]:
        """Name and type of each entry from the offset-th on, `.` and `..` being the first two."""
        if not isinstance(node.entry, DIRECTORIES):
            raise KernelError(errno.ENOTDIR)
        names = self.names(node)
        return chain(DOTS[offset:], islice(names, offset - 2, None) if offset > 2 else names)

    # Attributes of nodes

    def getattr(self, node: Node) -> Stat:
        """stat(2) of the node."""
        entry = node.entry
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
        uid, gid = self._owner
        found = Stat(mode, nlink, size, node.ino, uid, gid, *[self.boot_ns] * 3)
        return self._overridden(node, found) if self._setattr else found

    def _size(self, entry: FileEntry, obj: Any) -> int:
        size = entry.attr.size
        if isinstance(size, int):
            return size
        if size is not None:
            return size(obj)
        if not entry.attr.binary or entry.attr.show is None:
            return 0
        shown = entry.attr.show(obj, ROOT) if entry.show_caller else entry.attr.show(obj)
        return len(shown) if isinstance(shown, str | bytes) else sum(map(len, shown))

    def _subdirs(self, node: Node) -> int:
        """How many directories a directory holds: kn->dir.subdirs in fs/kernfs/dir.c."""
        entry, obj = node.entry, node.obj
        if not isinstance(entry, DirEntry):
            counted = getattr(obj, "subdirs", None)
            if counted is not None:
                return int(counted())
            return sum(not isinstance(value, bytes) for value in obj.values())
        listed = entry.listed()
        count = entry.subdirs
        for _, _, alternatives in listed:
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

    # Open files

    def wants_caller(self, node: Node) -> bool:
        """Whether open() uses its caller."""
        entry = node.entry
        if not isinstance(entry, FileEntry):
            return False
        return entry.show_caller or entry.store_caller or entry.attr.open is not None

    def open(self, node: Node, flags: int = os.O_RDONLY, caller: Caller = ROOT) -> File:
        """Open a file: kernfs_fop_open(). flags are those of open(2).

        KernelError(EACCES), for root too, if no mode bit or no method allows the access; EISDIR for
        a directory. What the mode bits say to this caller is the mount's affair.
        """
        entry = node.entry
        if isinstance(entry, DIRECTORIES):
            raise KernelError(errno.EISDIR)
        if isinstance(entry, LinkEntry):
            raise KernelError(errno.ELOOP)
        reads = flags & os.O_ACCMODE in (os.O_RDONLY, os.O_RDWR)
        writes = flags & os.O_ACCMODE in (os.O_WRONLY, os.O_RDWR)
        if isinstance(entry, FileEntry):
            attr = entry.attr
            if entry.fs is not Filesystem.PROCFS:
                mode = self.getattr(node).mode if self._setattr else attr.mode
                can_read = bool(mode & 0o444) and bool(attr.show or attr.open)
                can_write = bool(mode & 0o222) and bool(attr.store or attr.open)
                if (reads and not can_read) or (writes and not can_write):
                    raise KernelError(errno.EACCES)
            if attr.open is not None:
                return attr.open(node.obj, caller, flags)
        elif writes:
            raise KernelError(errno.EACCES)
        return OpenFile(self, node, caller)
