"""The tree that a server serves: names, attributes of nodes, and opening a file, fs/kernfs/file.c; no FUSE here.

dir.py looks up, inode.py answers stat(2), file.py reads and writes; this is where they meet.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from elfcorehdr.errors import KernelError
from elfcorehdr.lib.typed import Any, TypeVar
from fsmount.tree.dir import KernelState, Node, ino_below, ino_of
from fsmount.tree.entries import DIRECTORIES, DirEntry, FileEntry, LinkEntry
from fsmount.tree.file import OpenFile
from fsmount.tree.inode import Inodes, Setattr, Stat
from fsmount.tree.kept import Keeps
from fsmount.tree.kobject import ROOT, Caller, File, Filesystem, Kset

T = TypeVar("T")
__all__ = [
    "REFUSED",
    "GrowingKset",
    "KernelState",
    "Node",
    "Setattr",
    "Stat",
    "Tree",
    "ino_below",
    "ino_of",
]

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


_ACCESS = ((True, False), (False, True), (True, True), (False, False))
"""By O_RDONLY, O_WRONLY, O_RDWR and 3, which is for neither: whether a file is read, and written."""


def _refuse(obj: Any, name: str) -> None:
    raise KernelError(errno.EPERM)


class GrowingKset(Kset[T]):
    """A set of objects that user space makes and takes away, as configfs has them; the functions get the set's parent."""

    make: Callable[[Any, str], None] = _refuse
    """mkdir(2). KernelError."""
    drop: Callable[[Any, str], None] = _refuse
    """rmdir(2). KernelError."""


class Tree(Inodes):
    """The declared files of a kernel; everything is answered from the kernel's present state."""

    def mkdir(self, node: Node, name: str) -> None:
        """Make an object of a set that can grow. KernelError: EPERM anywhere else, or what the set says."""
        self._growing(node, name, "mkdir").make(node.obj, name)

    def rmdir(self, node: Node, name: str) -> None:
        """Take an object away. KernelError: EPERM anywhere else, ENOENT, or what the set says."""
        growing = self._growing(node, name, "rmdir")
        if growing.lookup(node.obj, name) is None:
            raise KernelError(errno.ENOENT)
        growing.drop(node.obj, name)

    def _growing(self, node: Node, name: str, what: str) -> GrowingKset[Any]:
        """The set that a name in a directory belongs to. KernelError(EPERM): none, or a file's name."""
        if isinstance(node.entry, DirEntry) and name not in node.entry.children:
            for prefix, suffix, kset, _ in node.entry.families:
                if (
                    isinstance(kset, GrowingKset)
                    and name.startswith(prefix)
                    and name.endswith(suffix)
                ):
                    return kset
        raise KernelError(REFUSED[what])

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
        fs = getattr(entry, "fs", Filesystem.SYSFS)
        if self.kernel.dead and fs is not Filesystem.CONTROL:
            raise KernelError(errno.EIO, "the machine is dead: its kernel has panicked")
        reads, writes = _ACCESS[flags & os.O_ACCMODE]
        if isinstance(entry, FileEntry):
            attr = entry.attr
            if entry.fs is not Filesystem.PROCFS:
                mode = self.getattr(node).mode if self._setattr else attr.mode
                # sysfs_add_file_mode_ns(): both methods are there where a kobject's type has both, as all have.
                both = entry.sized
                if reads and not (mode & 0o444 and (both or attr.show or attr.open)):
                    raise KernelError(errno.EACCES)
                if writes and not (mode & 0o222 and (both or attr.store or attr.open)):
                    raise KernelError(errno.EACCES)
            elif node.path.startswith("proc/sys/"):  # proc_sys_permission(), fs/proc/proc_sysctl.c
                mode = attr.mode
                if (reads and not mode & 0o444) or (writes and not mode & 0o222):
                    raise KernelError(errno.EACCES)
        elif writes:
            raise KernelError(errno.EACCES)
        opens = isinstance(entry, FileEntry) and entry.attr.open
        file = opens(node.obj, caller, flags) if opens else OpenFile(self, node, caller)
        if isinstance(file, Keeps):
            file.kept_by(self.kept)
        if flags & os.O_DIRECT and not getattr(file, "cached", False):
            raise KernelError(errno.EINVAL, "no FMODE_CAN_ODIRECT: do_dentry_open()")
        return file

    def content(self, node: Node) -> bytes:
        """A file's whole content, read until nothing comes. KernelError as open() and the file's read()."""
        file = self.open(node, os.O_RDONLY)
        content = b""
        while part := file.read(1 << 20, len(content)):
            content += part
        if hasattr(file, "close"):
            file.close()
        return content
