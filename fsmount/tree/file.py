"""What read and write of an attribute do; no FUSE here.

Mirrors fs/kernfs/file.c and fs/sysfs/file.c and, for proc, fs/proc/inode.c.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable

from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.printk import KERN_WARNING
from fsmount.tree.dir import KernelState, Node
from fsmount.tree.entries import FileEntry
from fsmount.tree.inode import Inodes
from fsmount.tree.kobject import Caller, Filesystem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FILE_MAX = 1 << 25
"""Bytes of a file that is made in pieces: that they end, nobody promises."""


SMALL = 512
"""Content up to this length is not counted: an open file takes as much."""

POLLPRI, POLLERR = 0x2, 0x8


class OpenFile:
    """An open attribute: struct kernfs_open_file with its seq_file.

    The content is a snapshot, made at a read at offset 0; that of a text file, as seq_file has it, also at
    a read elsewhere than where the last one ended. A real binary attribute has no snapshot: one that changes
    while it is read is then half of each. Each write is one store. Where too many
    are kept (tree/kept.py), a read goes on in one that is made anew.
    """

    __slots__ = ("_at", "_caller", "_node", "_seen", "_seq", "_snapshot", "_tree", "_was")

    def __init__(self, tree: Inodes, node: Node, caller: Caller) -> None:
        self._tree = tree
        self._node: Node | None = node
        self._caller = caller
        self._seq = tree.kernel.names_seq
        self._was = node.identities
        self._snapshot: bytes | None = None
        self._at = -1
        self._seen = False

    def read(self, size: int, offset: int, flags: int = 0) -> bytes:
        """At most size bytes at offset. KernelError: what show raises, ENODEV if its object is gone."""
        node = self._present()
        self._seen = True
        entry = node.entry
        text = isinstance(entry, FileEntry) and not entry.attr.binary
        snapshot = self._snapshot
        if offset == 0 or snapshot is None or (offset != self._at if text else self._at < 0):
            self._at = -1  # if show fails, the next read asks again
            snapshot = self._show(entry, node.obj) if isinstance(entry, FileEntry) else node.obj
            self._snapshot = snapshot
            if len(snapshot) > SMALL:
                self._tree.kept.hold(self, len(snapshot))
        part = snapshot[offset : offset + size]
        self._at = offset + len(part)
        return part

    def close(self) -> None:
        """Nothing more is read."""
        self._tree.kept.drop(self)

    def forget(self) -> None:
        """Others keep so much that this one's content is made anew at its next read."""
        self._snapshot = None

    def write(self, buf: bytes, offset: int, flags: int = 0) -> int:
        """One store() of the first PAGE_SIZE bytes; returns how many those were.

        KernelError: what store raises, ENODEV if its object is gone. offset is ignored.
        """
        if not buf:
            return 0
        node = self._present()
        entry = node.entry
        assert isinstance(entry, FileEntry)
        store = entry.attr.store
        if store is None:
            raise KernelError(errno.EIO)  # proc_reg_write() without a method
        if entry.fs is Filesystem.SYSFS:
            buf = buf[: self._tree.kernel.page_size]
        text = buf.decode(errors="surrogateescape")
        if entry.store_caller:
            store(node.obj, text, self._caller)
        else:
            store(node.obj, text)
        return len(buf)

    def events(self) -> int:
        """What poll(2) says besides that one can read and write: of sysfs POLLERR and POLLPRI until it is read.

        kernfs_generic_poll(): the file's count of changes begins at 1, what was seen of it at 0.
        """
        node = self._node
        fs = getattr(node.entry, "fs", Filesystem.SYSFS) if node is not None else Filesystem.SYSFS
        unread = fs is Filesystem.SYSFS and not self._seen
        return POLLERR | POLLPRI if node is None or unread else 0

    def seek(self, offset: int, whence: int) -> int:
        """SEEK_DATA and SEEK_HOLE of a file without holes: generic_file_llseek(), fs/read_write.c.

        KernelError(ENXIO) at or behind the end, EINVAL for any other whence.
        """
        if whence not in (os.SEEK_DATA, os.SEEK_HOLE):
            raise KernelError(errno.EINVAL)
        size = self._tree.getattr(self._present()).size
        if offset >= size:
            raise KernelError(errno.ENXIO)
        return offset if whence == os.SEEK_DATA else size

    def _present(self) -> Node:
        """The node with its object as it is now; ENODEV for good once it has gone."""
        tree = self._tree
        if self._seq != tree.kernel.names_seq and self._node is not None:
            self._seq = tree.kernel.names_seq
            path, entry, self._node = self._node.path, self._node.entry, None
            try:
                node = tree.lookup(path)
            except KernelError:
                raise KernelError(errno.ENODEV) from None
            same = _same(node.entry, entry) and node.identities == self._was
            self._node = node if same else None
        if self._node is None:
            raise KernelError(errno.ENODEV)
        return self._node

    def _is_device(self) -> bool:
        return self._node is not None and self._node.path.startswith("sys/devices/")

    def _show(self, entry: FileEntry, obj: Any) -> bytes:
        show = entry.attr.show
        if show is None:
            raise KernelError(errno.EIO)  # proc_reg_read() without a method
        # Pieces of text are bytes by now: only modules yield them, and authors.py stands before those.
        shown: Any = show(obj, self._caller) if entry.show_caller else show(obj)
        tree = self._tree
        limit = tree.kernel.page_size if entry.sized and tree.page_limit else None
        if isinstance(shown, str):
            content = shown.encode(errors="surrogateescape")
        else:
            content = shown if isinstance(shown, bytes) else joined(shown, limit)
        if limit is not None and len(content) >= limit:
            return bad_count(tree.kernel, show, content, device=self._is_device())
        return content


def _same(entry: object, was: object) -> bool:
    """Whether two entries are one file: declarations may have been compiled anew in between."""
    if isinstance(entry, FileEntry) and isinstance(was, FileEntry):
        return entry.attr is was.attr
    return entry is was


def joined(pieces: Iterable[bytes], limit: int | None) -> bytes:
    """The pieces in one; with a limit, as many of them as reach it. KernelError(ENOMEM) over FILE_MAX."""
    content = bytearray()
    for piece in pieces:
        content += piece
        if len(content) >= (FILE_MAX if limit is None else limit):
            if limit is None:
                raise KernelError(errno.ENOMEM, f"a file of more than {FILE_MAX} bytes")
            break
    return bytes(content)


def bad_count(
    kernel: KernelState, show: Callable[..., object], content: bytes, *, device: bool
) -> bytes:
    """Cut what show() gave to a page less one byte and say so in the log.

    Mirrors sysfs_kf_seq_show(), fs/sysfs/file.c, which names the kobject type's show(), and
    dev_attr_show(), drivers/base/core.c, which names the attribute's. Their %pS also prints the
    function's offset and size, which an emulated function has not.
    """
    if device:
        name = getattr(show, "__name__", "show")
        kernel.log.emit(KERN_WARNING, f"dev_attr_show: {name} returned bad count")
    of_type = "dev_attr_show" if device else "kobj_attr_show"
    kernel.log.emit(KERN_WARNING, f"fill_read_buffer: {of_type} returned bad count")
    return content[: kernel.page_size - 1]
