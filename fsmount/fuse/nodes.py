"""The numbers by which the kernel knows nodes (LOOKUP, FORGET), and what it is told of each.

A path's number is computed from it and the path from the number, so nothing is kept for a
name, however many are looked at: `.../memory77/state` is a pattern, kept once, and the number 77.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator

from elfcorehdr.errors import KernelError
from fsmount.fuse import proto as proto
from fsmount.tree.kernfs import Setattr, Stat
from fsmount.tree.kobject import Caller, File

ROOT_ID = 1
_ENTRY, _ATTR = proto.ENTRY_OUT.pack, proto.ATTR_OUT.pack
TIMEOUT_S = 1 << 31
"""How long the kernel may keep names and attributes: until we say otherwise."""


class NameCache(enum.Enum):
    """What the host's kernel may keep of names, absences and attributes."""

    ANNOUNCED = "announced"
    """All, for long; it is told when names have changed. NONE where it cannot be told."""
    NONE = "none"
    """Nothing: it asks at every use."""
    STALE = "stale"
    """All, and it is not told: wrong, for measurements only."""


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Nodes(Protocol):
        """What is served: kernfs.Tree, or something around it."""

        @property
        def kernel(self) -> Any: ...
        def lookup(self, path: str) -> Any: ...
        def child(self, node: Any, name: str) -> Any: ...
        def getattr(self, node: Any) -> Stat: ...
        def mkdir(self, node: Any, name: str) -> None: ...
        def rmdir(self, node: Any, name: str) -> None: ...
        def setattr(self, node: Any, changes: Setattr) -> None: ...
        def truncate(self, node: Any) -> None: ...
        def readdir(self, node: Any) -> Iterator[tuple[str, int]]: ...
        def readlink(self, node: Any) -> str: ...
        def wants_caller(self, node: Any) -> bool: ...
        def open(self, node: Any, flags: int, caller: Caller) -> File: ...


class Numbers:
    """Paths to numbers and back. A path with more than two decimal numbers in it, with large ones, or
    after PATTERNS patterns is kept until it is forgotten as often as it was looked up.
    """

    PATTERNS = 1 << 14
    _SECOND_BITS, _FIRST_BITS = 20, 28
    _FIRST_KEPT = 1 << 62
    _PLACE = (1 << 48) - 1
    _split = re.compile("(0|[1-9][0-9]*)").split

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, ...], int] = {("",): ROOT_ID << 48}
        self._patterns: list[tuple[str, ...]] = [("",), ("",)]
        self._below: dict[tuple[int, str], int] = {}
        """By a directory's pattern and a name without digits in it: the pattern of both, in its place."""
        self._above: dict[int, tuple[int, str]] = {}
        """The way back."""
        self._kept: dict[int, tuple[str, int]] = {}
        self._kept_ids: dict[str, int] = {}
        self._next_kept = self._FIRST_KEPT

    def number(self, path: str) -> int:
        """The number of a path that is being looked up once more."""
        if not path:
            return ROOT_ID
        parts = self._split(path)
        pattern = tuple(parts[::2])
        first = int(parts[1]) if len(parts) > 1 else 0
        second = int(parts[3]) if len(parts) > 3 else 0
        base = self._numbers.get(pattern)
        if base is None:
            base = self._new(pattern)
        if not base or first >> self._FIRST_BITS or second >> self._SECOND_BITS:
            return self._keep(path)
        return base | first << self._SECOND_BITS | second

    def below(self, parent: int, name: str, path: str) -> int:
        """number() of the path of a name in the directory with the number `parent`.

        Most names have no digits: then it differs from the directory's by its pattern only (0.2 us instead of 1.4).
        """
        base = self._below.get((parent >> 48, name))
        if base is not None:
            return base | parent & self._PLACE
        number = self.number(path)
        if ROOT_ID < parent < self._FIRST_KEPT > number and len(self._split(name)) == 1:
            self._below[parent >> 48, name] = number & ~self._PLACE
            self._above[number >> 48] = parent >> 48 << 48, name
        return number

    def above(self, number: int) -> tuple[int, str] | None:
        """The directory's number and the name in it, if the name has no digits and both were looked up with below()."""
        found = self._above.get(number >> 48)
        return found and (found[0] | number & self._PLACE, found[1])

    def path(self, number: int) -> str:
        """The path; KeyError if it was kept and has been forgotten."""
        if number == ROOT_ID:
            return ""
        if number >= self._FIRST_KEPT:
            return self._kept[number][0]
        pattern = self._patterns[number >> 48]
        if len(pattern) == 1:
            return pattern[0]
        first = number >> self._SECOND_BITS & (1 << self._FIRST_BITS) - 1
        if len(pattern) == 2:
            return f"{pattern[0]}{first}{pattern[1]}"
        return f"{pattern[0]}{first}{pattern[1]}{number & (1 << self._SECOND_BITS) - 1}{pattern[2]}"

    def forget(self, number: int, count: int) -> None:
        """The kernel has dropped `count` of its references."""
        if number < self._FIRST_KEPT or number not in self._kept:
            return
        path, lookups = self._kept[number]
        if lookups > count:
            self._kept[number] = path, lookups - count
        else:
            del self._kept[number], self._kept_ids[path]

    def _new(self, pattern: tuple[str, ...]) -> int:
        """A pattern's number in its place; 0 if it is to have none."""
        if len(pattern) > 3 or len(self._patterns) >= self.PATTERNS:
            return 0
        base = self._numbers[pattern] = len(self._patterns) << 48
        self._patterns.append(pattern)
        return base

    def _keep(self, path: str) -> int:
        number = self._kept_ids.get(path)
        if number is None:
            number = self._kept_ids[path] = self._next_kept
            self._next_kept += 1
        _, lookups = self._kept.get(number, (path, 0))
        self._kept[number] = path, lookups + 1
        return number


class NodeTable:
    """What the kernel is told of nodes. A node is looked up again once the names have changed."""

    RECENT = 1024
    """Nodes that are not looked up again if they are asked for soon."""
    OTHERS = 256
    """Attributes, less the inode number, that are not packed again."""

    def __init__(self, nodes: Nodes, names: NameCache) -> None:
        self.nodes = nodes
        self.valid = 0
        """Seconds that a name or its attributes stay valid."""
        self.names = names
        self._numbers = Numbers()
        self._kernel = nodes.kernel
        self._seq = self._kernel.names_seq
        self._blksize = self._kernel.page_size
        self._recent: dict[int, Any] = {}
        self.generations: dict[int, int] = {}
        """Of numbers that stand for another file than they did: a new one makes the host's inode bad, fuse_iget()."""
        self._others: dict[tuple[int, ...], bytes] = {}

    @property
    def names(self) -> NameCache:
        """How the host's kernel keeps names."""
        return self._names

    @names.setter
    def names(self, names: NameCache) -> None:
        self._names = names
        self.valid = 0 if names is NameCache.NONE else TIMEOUT_S

    def names_changed(self) -> bool:
        """Whether the names have changed since this was last asked."""
        seq = self._kernel.names_seq
        if seq == self._seq:
            return False
        self._seq = seq
        self._recent.clear()
        return True

    def node(self, nodeid: int) -> Any:
        """The node of that number as it is now. KernelError(ENOENT) once it has gone."""
        node = self._recent.get(nodeid)
        if node is None:
            above = self._numbers.above(nodeid)
            if above is None:
                node = self.nodes.lookup(self._numbers.path(nodeid))
            else:
                node = self.nodes.child(self.node(above[0]), above[1])
            self._remember(nodeid, node)
        return node

    def exists(self, nodeid: int) -> bool:
        """Whether there is a node of that number now."""
        try:
            self.node(nodeid)
        except KernelError:
            return False
        return True

    def _remember(self, nodeid: int, node: Any) -> None:
        if getattr(node, "fleeting", False):
            return
        if len(self._recent) >= self.RECENT:
            self._recent.clear()
        self._recent[nodeid] = node

    def path(self, nodeid: int) -> str:
        """The path of a node, though it may be gone."""
        try:
            return self._numbers.path(nodeid)
        except KeyError:
            return "(gone)"

    def forget(self, nodeid: int, count: int) -> None:
        """The kernel has dropped `count` references."""
        self._numbers.forget(nodeid, count)

    def looked_up(self, parent: int, name: str, node: Any) -> bytes:
        """A LOOKUP's answer, struct fuse_entry_out: the kernel holds one more reference."""
        nodeid = self._numbers.below(parent, name, node.path)
        self._remember(nodeid, node)
        name_valid = 0 if getattr(node, "fleeting", False) else self.valid
        generation = self.generations.get(nodeid, 0)
        attr_valid = self._attr_valid(node)
        return _ENTRY(nodeid, generation, name_valid, attr_valid, 0, *self._attr(node))

    def absent(self) -> bytes:
        """A LOOKUP's answer for a name that is not there, until the names change."""
        return _ENTRY(0, 0, self.valid, 0, 0, 0, b"")

    def attributes(self, nodeid: int) -> bytes:
        """A GETATTR's answer, struct fuse_attr_out."""
        node = self.node(nodeid)
        return _ATTR(self._attr_valid(node), 0, *self._attr(node))

    def _attr_valid(self, node: Any) -> int:
        # A file with operations of its own has to hear of SEEK_END, see Connection._seek_end().
        live = getattr(getattr(node, "entry", None), "live", False)
        return 0 if live or getattr(node, "fleeting", False) else self.valid

    def _attr(self, node: Any) -> tuple[int, bytes]:
        """struct fuse_attr: its first field, and all others, which many files have in common."""
        mode, nlink, size, ino, uid, gid, atime, mtime, ctime = self.nodes.getattr(node)
        key = mode, nlink, size, uid, gid, atime, mtime, ctime
        others = self._others.get(key)
        if others is None:
            times = atime, mtime, ctime
            (a, ansec), (m, mnsec), (c, cnsec) = (divmod(ns, 1_000_000_000) for ns in times)
            others = proto.ATTR_OTHERS.pack(
                size, 0, a, m, c, ansec, mnsec, cnsec, mode, nlink, uid, gid, 0, self._blksize, 0
            )
            if len(self._others) >= self.OTHERS:
                self._others.clear()
            self._others[key] = others
        return ino, others
