"""Look-up and directories: fs/kernfs/dir.c. Nothing is cached: a path is looked up in the compiled declarations,
and those ask the kernel.
"""

from __future__ import annotations

import errno
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import chain, repeat

from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.printk import Printk
from elfcorehdr.lib.typed import Any, Protocol
from fsmount.tree.boundary import Ended, errno_of
from fsmount.tree.entries import (
    DIRECTORIES,
    SUBDIR,
    SUBFILE,
    DirEntry,
    Entry,
    Family,
    Subdir,
    SubtreeEntry,
    compiled,
    type_of,
)
from fsmount.tree.kobject import Declaration

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
    @property
    def boots(self) -> int:
        """How often the machine has started anew."""

    @property
    def dead(self) -> bool:
        """Whether no kernel runs."""


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


@lru_cache(256)
def ino_below(parent: str) -> int:
    """The inode numbers of a directory's names are this or'ed with the CRC-32 of each: 63 bits, all above 1."""
    return (zlib.crc32(parent.encode(errors="surrogateescape")) & 0x7FFFFFFF | 1) << 32


def ino_of(parent: str, name: str) -> int:
    """The inode number of a name in a directory; the root's is 1."""
    if not name:
        return 1
    return ino_below(parent) | zlib.crc32(name.encode(errors="surrogateescape"))


class Directories:
    """The declared names of a kernel, as they are now. ValueError if two declarations claim one name."""

    def __init__(self, kernel: KernelState, declarations: Iterable[Declaration]) -> None:
        self.kernel = kernel
        self.declare(declarations)

    def declare(self, declarations: Iterable[Declaration]) -> None:
        """These declarations from now on, in place of all before; ValueError changes nothing.

        Who serves the tree is told by Kernel.names_changed().
        """
        declarations = tuple(declarations)
        root = compiled(declarations)
        self.declarations, self._root, self._static = declarations, root, dict(root.static())

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
        if isinstance(entry, DirEntry):
            if entry.always:
                return True
            if entry.declared:
                for one in entry.visible:  # noqa: SIM110 - asked for each listing
                    if self._visible(one, obj):
                        return True
                return False
            return any(self._exists(one, obj) for some in entry.children.values() for one in some)
        for one in entry.visible:  # noqa: SIM110 - the most often asked by far: without a generator
            if not self._visible(one, obj):
                return False
        return True

    def _visible(self, is_visible: Callable[[Any, Any], bool], obj: Any) -> bool:
        """What is_visible says; one that fails takes its own files away, not the directory they are in."""
        try:
            return is_visible(self.kernel, obj)
        except Ended:
            raise
        except BaseException as bug:
            errno_of(self.kernel.log, bug)
            return False

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

    def readdir(self, node: Node) -> Iterator[tuple[str, int]]:
        """Name and type of each entry, `.` and `..` being the first two."""
        if not isinstance(node.entry, DIRECTORIES):
            raise KernelError(errno.ENOTDIR)
        return chain(DOTS, self.names(node))
