"""A recorded machine's files in place of the emulated ones: `--recording DIR|TAR` of `mount` and `run`.

The files are as recorded and read-only; of memory, CPUs, nodes and firmware nothing emulated is
left, and nothing at all where the recording does not tell enough to boot its machine. A file is read from the
recording when it is asked for.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterable, Iterator
from itertools import chain

from elfcorehdr.errors import KernelError, ProfileError
from elfcorehdr.kernel.printk import KERN_ERR
from elfcorehdr.lib.record import NamedTuple
from fsmount.host.recordings.entry import Recorded
from fsmount.host.recordings.recording import Recording
from fsmount.tree.dir import Node
from fsmount.tree.entries import DirEntry, Entry, FileEntry, LinkEntry
from fsmount.tree.kernfs import Tree
from fsmount.tree.kobject import AttributeGroup, Declaration, Filesystem, Link, singleton

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WHOLE = {
    "memory": ("memory/block_size_bytes", r"memory/memory\d+/state"),
    "cpu": ("cpu/possible", "cpu/online", r"cpu/cpu\d+/topology"),
    "node": ("node/possible", r"node/node\d+/cpumap"),
}
"""Directories of /sys/devices/system and /sys/bus of which nothing emulated stays, and what tells that they were recorded whole:
what is not there the machine had not. Of `kdumpfs record` all are; a sosreport has no memory blocks, and nodes in part."""


def whole(recording: Recording) -> tuple[str, ...]:
    """The beginnings of paths below /sys of which nothing emulated stays."""
    ours = "format" in recording.head
    names = [
        name
        for name, by in WHOLE.items()
        if ours or any(recording.matching(f"sys/devices/system/{one}") for one in by)
    ]
    if "cpu" in names and recording.find("sys/devices/system/node") is None:
        names.append("node")  # a kernel without CONFIG_NUMA
    found = [f"{at}/{name}/" for at in ("devices/system", "bus") for name in names]
    return (*found, "firmware/") if found else ()


TOPS = {
    "sys": Filesystem.SYSFS,
    "proc": Filesystem.PROCFS,
    "dev": Filesystem.DEVTMPFS,
    "cgroup": Filesystem.PROCFS,
    "run": Filesystem.PROCFS,
}
"""What a recording may have at its root, with the habits of its files."""
ALWAYS = ("sys", "proc")
"""There, if empty: where nothing of them was recorded, and the machine is not known."""
PROCESSES = ("self", "thread-self")


class Place(NamedTuple):
    """A directory: its path, whether it is recorded, and what the emulated machine has there, if anything."""

    path: str
    recorded: bool
    entry: Entry | None
    obj: Any


class RecordedTree(Tree):
    """The tree of a kernel with a recording's files before the emulated ones, but for a user's overriding modules.

    alone: nothing emulated is in /sys and /proc. processes: whether the /proc/self of whoever recorded is shown, as
    where there is no other.
    """

    def __init__(
        self,
        kernel: Any,
        declarations: Iterable[Declaration],
        recording: Recording,
        *,
        alone: bool = False,
        processes: bool = False,
        owner: tuple[int, int],
    ) -> None:
        self._recording = recording
        self._alone = alone
        self._processes = processes
        self._whole = whole(recording)
        self._directories = {fs: DirEntry(fs, always=True) for fs in set(TOPS.values())}
        self._links = {
            fs: LinkEntry(Link("link", singleton, self._target, fs=fs)) for fs in self._directories
        }
        self._files: dict[tuple[Filesystem, int], FileEntry] = {}
        super().__init__(kernel, declarations, page_limit=False, owner=owner)

    def declare(self, declarations: Iterable[Declaration]) -> None:
        """As Tree.declare(), less what a recording leaves nothing of."""
        super().declare([one for one in declarations if self._stays(one)])

    def _stays(self, one: Declaration) -> bool:
        top = one.fs.value.partition("/")[0]
        if top not in ("sys", "proc") or (isinstance(one, AttributeGroup) and one.overrides):
            return True
        return not self._alone and (
            one.fs is not Filesystem.SYSFS or not f"{one.path}/".startswith(self._whole)
        )

    def lookup(self, path: str) -> Node:
        """As Tree.lookup()."""
        path = path.strip("/")
        top, _, below = path.partition("/")
        if top not in TOPS:
            return super().lookup(path)
        entry: Entry
        entry, obj = self._top(top, self._static.get(top))
        identities: tuple[object, ...] = ()
        for name in below.split("/") if below else ():
            entry, obj = self._step(entry, obj, name)
            if isinstance(entry, DirEntry) and entry.identity is not None:
                identities = (*identities, entry.identity(obj))
        return Node(path, entry, obj, identities)

    def _top(self, name: str, entry: Entry | None) -> tuple[Entry, Any]:
        recorded = self._recording.find(name) is not None
        if not recorded and entry is None and name not in ALWAYS:
            raise KernelError(errno.ENOENT)
        return self._directories[TOPS[name]], Place(name, recorded, entry, self.kernel)

    def _step(self, entry: Entry, obj: Any, name: str) -> tuple[Entry, Any]:
        if not isinstance(obj, Place):
            if entry is self._root and name in TOPS:
                return self._top(name, self._static.get(name))
            return super()._step(entry, obj, name)
        path = f"{obj.path}/{name}"
        one = self._recorded(obj).get(name)
        emulated: tuple[Any, Any] = None, None
        if obj.entry is not None:
            try:
                emulated = super()._step(obj.entry, obj.obj, name)
            except KernelError as error:
                if error.errno != errno.ENOENT or one is None:
                    raise
        elif one is None:
            raise KernelError(errno.ENOENT)
        found = emulated[0]
        if found is not None and (one is None or getattr(found, "overrides", False)):
            return found, emulated[1]
        assert one is not None
        fs = TOPS[path.partition("/")[0]]
        if one.directory:
            return self._directories[fs], Place(path, True, *emulated)
        return (self._links[fs] if one.target is not None else self._file(fs, one)), path

    def _recorded(self, place: Place) -> dict[str, Recorded]:
        try:
            found = self._recording.directory(place.path) or {} if place.recorded else {}
            if place.path == "proc" and not self._processes:
                return {name: one for name, one in found.items() if name not in PROCESSES}
            return found
        except ProfileError as error:
            self.kernel.log.emit(KERN_ERR, f"kdumpfs: {error}")
            raise KernelError(errno.EIO, str(error)) from None

    def _file(self, fs: Filesystem, one: Recorded) -> FileEntry:
        mode = one.mode & 0o444 or 0o444
        if (fs, mode) not in self._files:
            group: AttributeGroup[Any] = AttributeGroup("", singleton, fs=fs)
            group.add("file", show=self._content, mode=mode)
            ((attr,),) = group.attributes.values()
            self._files[fs, mode] = FileEntry(attr, group)
        return self._files[fs, mode]

    def _content(self, path: str) -> bytes:
        failed = self._recording.errors.get(path)
        if failed is not None:
            raise KernelError(getattr(errno, failed, errno.EIO))
        parent, _, name = path.rpartition("/")
        return self._recorded(Place(parent, True, None, None))[name].content or b""

    def _target(self, path: str) -> str:
        """A link's target from the file system's root, or absolute."""
        one = self._recording.find(path)
        assert one is not None
        assert one.target is not None
        if one.target.startswith("/"):
            return one.target
        parts = path.split("/")[1:-1]
        for part in one.target.split("/"):
            if part == "..":
                if not parts:
                    return one.target
                parts.pop()
            elif part not in ("", "."):
                parts.append(part)
        return "/".join(parts)

    def names(self, node: Node) -> Iterator[tuple[str, int]]:
        """As Tree.names()."""
        place = node.obj
        if not isinstance(place, Place):
            names = super().names(node)
            if node.entry is not self._root:
                return names
            others = [(name, kind) for name, kind in names if name not in TOPS]
            tops = [
                top
                for top in TOPS
                if top in ALWAYS or top in self._static or self._recording.find(top) is not None
            ]
            return iter([*((top, stat.S_IFDIR) for top in tops), *others])
        recorded = self._recorded(place)
        found = (
            (
                name,
                stat.S_IFDIR
                if one.directory
                else stat.S_IFREG
                if one.target is None
                else stat.S_IFLNK,
            )
            for name, one in recorded.items()
        )
        if place.entry is None:
            return found
        emulated = super().names(Node(node.path, place.entry, place.obj))
        return chain(found, ((name, kind) for name, kind in emulated if name not in recorded))

    def _subdirs(self, node: Node) -> int:
        if not isinstance(node.obj, Place):
            return super()._subdirs(node)
        return sum(kind == stat.S_IFDIR for _, kind in self.names(node))
