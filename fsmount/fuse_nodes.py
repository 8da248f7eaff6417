"""The nodes that the kernel holds references to, by the numbers it knows them by (LOOKUP, FORGET).

Imports errors, fuse_proto, kernfs, kobject.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from fsmount import fuse_proto as proto
from fsmount.kernfs import Setattr, Stat
from fsmount.kobject import Caller, File

ROOT_ID = 1
FOREVER = 1 << 31
"""Seconds that a name or its attributes stay valid: until we say otherwise."""


class Nodes(Protocol):
    """What is served: kernfs.Tree, or something around it."""

    @property
    def kernel(self) -> Any: ...
    def lookup(self, path: str) -> Any: ...
    def child(self, node: Any, name: str) -> Any: ...
    def getattr(self, node: Any) -> Stat: ...
    def setattr(self, node: Any, changes: Setattr) -> None: ...
    def truncate(self, node: Any) -> None: ...
    def readdir(self, node: Any, offset: int = 0) -> Iterator[tuple[str, int]]: ...
    def readlink(self, node: Any) -> str: ...
    def wants_caller(self, node: Any) -> bool: ...
    def open(self, node: Any, flags: int, caller: Caller) -> File: ...


@dataclass(slots=True)
class _Known:
    """A node that the kernel holds references to."""

    node: Any
    lookups: int
    seq: int


class NodeTable:
    """Number to node. A node is looked up again once the names have changed."""

    def __init__(self, nodes: Nodes, valid: int) -> None:
        self.nodes = nodes
        self.valid = valid
        """How long names may be kept by the kernel: 0 or FOREVER."""
        self._seq = nodes.kernel.names_seq
        self._blksize = nodes.kernel.page_size
        self._known = {ROOT_ID: _Known(nodes.lookup(""), 1, self._seq)}
        self._ids = {"": ROOT_ID}
        self._next_id = ROOT_ID

    def names_changed(self) -> bool:
        """Whether the names have changed since this was last asked."""
        seq = self.nodes.kernel.names_seq
        before, self._seq = self._seq, seq
        return bool(seq != before)

    def node(self, nodeid: int) -> Any:
        """The node of that number as it is now. KernelError(ENOENT) once it has gone."""
        known = self._known[nodeid]
        if known.seq != self._seq:
            known.node = self.nodes.lookup(known.node.path)
            known.seq = self._seq
        return known.node

    def path(self, nodeid: int) -> str:
        """Where it was when it was last looked up."""
        known = self._known.get(nodeid)
        return known.node.path if known is not None else "(gone)"

    def looked_up(self, node: Any) -> bytes:
        """A LOOKUP's answer, struct fuse_entry_out: the kernel holds one more reference."""
        nodeid = self._ids.get(node.path)
        if nodeid is None:
            self._next_id += 1
            nodeid = self._ids[node.path] = self._next_id
            self._known[nodeid] = _Known(node, 0, self._seq)
        known = self._known[nodeid]
        known.node, known.seq = node, self._seq
        known.lookups += 1
        name_valid = 0 if getattr(node, "fleeting", False) else self.valid
        return proto.ENTRY_OUT.pack(
            nodeid, 0, name_valid, self._attr_valid(node), 0, 0
        ) + self._attr(node)

    def absent(self) -> bytes:
        """A LOOKUP's answer for a name that is not there, until the names change."""
        return proto.ENTRY_OUT.pack(0, 0, self.valid, 0, 0, 0) + bytes(proto.ATTR.size)

    def attributes(self, nodeid: int) -> bytes:
        """A GETATTR's answer, struct fuse_attr_out."""
        node = self.node(nodeid)
        return proto.ATTR_OUT.pack(self._attr_valid(node), 0, 0) + self._attr(node)

    def forget(self, nodeid: int, count: int) -> None:
        """The kernel has dropped `count` references."""
        known = self._known.get(nodeid)
        if known is None or nodeid == ROOT_ID:
            return
        known.lookups -= count
        if known.lookups <= 0:
            del self._known[nodeid]
            self._ids.pop(known.node.path, None)

    def _attr_valid(self, node: Any) -> int:
        # A file with operations of its own has to hear of SEEK_END, see Connection._seek_end().
        attr = getattr(getattr(node, "entry", None), "attr", None)
        own = attr is not None and attr.open is not None
        return 0 if own or getattr(node, "fleeting", False) else self.valid

    def _attr(self, node: Any) -> bytes:
        st = self.nodes.getattr(node)
        (atime, ansec), (mtime, mnsec), (ctime, cnsec) = (
            divmod(ns, 1_000_000_000) for ns in (st.atime_ns, st.mtime_ns, st.ctime_ns)
        )
        return proto.ATTR.pack(
            st.ino, st.size, 0, atime, mtime, ctime, ansec, mnsec, cnsec,
            st.mode, st.nlink, st.uid, st.gid, 0, self._blksize, 0,
        )  # fmt: skip
