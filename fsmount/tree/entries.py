"""Declarations compiled into directories: what the tree walks. Nothing here depends on a kernel."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator

from elfcorehdr.lib.record import NamedTuple
from fsmount.tree.kobject import (
    Attribute,
    AttributeGroup,
    Declaration,
    Filesystem,
    Kset,
    Link,
    Subtree,
    wants_caller,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def numbered(prefix: str, name: str) -> int | None:
    """The number, below 10^20, in a name such as memory12; None for any other name, memory007 among them."""
    digits = name.removeprefix(prefix)
    if digits.isascii() and digits.isdigit() and (digits == "0" or digits[0] != "0"):
        return int(digits) if len(digits) <= 20 else None
    return None


class FileEntry:
    """A declared file, as compiled."""

    __slots__ = (
        "attr",
        "fs",
        "live",
        "overrides",
        "show_caller",
        "sized",
        "store_caller",
        "visible",
    )

    def __init__(self, attr: Attribute[Any], group: AttributeGroup[Any]) -> None:
        self.attr = attr
        self.fs = group.fs
        of_group, own = group.is_visible, attr.is_visible
        self.visible = () if of_group is None else (of_group,)
        if own is not None:
            self.visible = (*self.visible, own)
        self.show_caller = attr.show is not None and wants_caller(attr.show, 1)
        self.store_caller = attr.store is not None and wants_caller(attr.store, 2)
        self.sized = self.fs is Filesystem.SYSFS and not attr.binary and attr.open is None
        self.overrides = group.overrides
        follows = attr.size is None or (group.overrides and callable(attr.size))
        self.live = attr.open is not None or (attr.binary and follows)
        """Whether st_size is to be asked each time: it may change while the names stay."""


class LinkEntry:
    """A declared link, as compiled."""

    __slots__ = ("fs", "target", "visible")

    def __init__(self, link: Link[Any]) -> None:
        self.fs = link.fs
        self.target = link.target
        self.visible = () if link.is_visible is None else (link.is_visible,)


class SubtreeEntry:
    """A declared subtree, as compiled; below it are SUBDIR and SUBFILE."""

    __slots__ = ("contents", "visible")

    def __init__(self, subtree: Subtree[Any]) -> None:
        self.contents = subtree.contents
        self.visible = () if subtree.is_visible is None else (subtree.is_visible,)


class DirEntry:
    """A directory: children by name, then families (a kset each) by the text around their `*`.

    Where groups declare the directory it exists if one of them is visible; where none does, if
    anything in it exists. That of an object exists as the object does.
    """

    __slots__ = (
        *("_listed", "always", "children", "declared", "families"),
        *("fs", "identity", "maybe", "subdirs", "visible"),
    )

    def __init__(self, fs: Filesystem | None, *, always: bool = False) -> None:
        self.fs = fs
        self.children: dict[str, tuple[Entry, ...]] = {}
        self.families: list[Family] = []
        self.declared = False
        self.visible: tuple[Any, ...] = ()
        self.always = always
        self.identity: Callable[[Any], object] | None = None
        """That of the kset whose objects' directory it is."""
        self.subdirs = 0
        """How many directories are among the children that listed() says are always there."""
        self.maybe: tuple[tuple[Entry, ...], ...] = ()
        """The alternatives of those that are not, where one is a directory."""
        self._listed: tuple[Listed, ...] | None = None

    def listed(self) -> tuple[Listed, ...]:
        """The children in order: name, type, and the alternatives to choose from, none if always there."""
        if self._listed is None:
            self._listed = tuple(
                (name, type_of(some[0]), () if _always(some[0]) else some)
                for name, some in self.children.items()
            )
            kinds = [kind for _, kind, some in self._listed if not some]
            self.subdirs = kinds.count(stat.S_IFDIR)
            self.maybe = tuple(
                some
                for _, _, some in self._listed
                if any(type_of(one) == stat.S_IFDIR for one in some)
            )
        return self._listed

    def static(self, path: str = "") -> Iterator[tuple[str, DirEntry]]:
        """The directories from here down that always exist and are of no set, by path; called when settled."""
        yield path, self
        for name, alternatives in self.children.items():
            entry = alternatives[0]
            if isinstance(entry, DirEntry) and entry.always:
                yield from entry.static(f"{path}/{name}".lstrip("/"))

    def settle(self, path: str) -> bool:
        """Find once whether the directory always exists; called when all is declared.

        ValueError if a name has alternatives of which one but the last is always there.
        """
        below = bool(self.families)
        for family in self.families:
            if isinstance(family.entry, DirEntry):
                family.entry.settle(f"{path}/{family.prefix}*{family.suffix}")
        for name, alternatives in self.children.items():
            where = f"{path}/{name}".lstrip("/")
            settled = [
                entry.settle(where) if isinstance(entry, DirEntry) else not entry.visible
                for entry in alternatives
            ]
            if any(settled[:-1]):
                raise ValueError(f"{where} is declared twice, and the first is always visible")
            below |= any(settled)
        self.always |= below and not self.declared
        return self.always


def _always(entry: Entry) -> bool:
    return entry.always if isinstance(entry, DirEntry) else not entry.visible


class Family(NamedTuple):
    """The objects of a kset below a directory; entry is that of each of them."""

    prefix: str
    suffix: str
    kset: Kset[Any]
    entry: DirEntry | LinkEntry


class Subdir:
    """A directory inside a subtree; its object is the Contents."""

    visible: tuple[Any, ...] = ()


class Subfile:
    """A file inside a subtree; its object is the bytes."""

    visible: tuple[Any, ...] = ()


SUBDIR, SUBFILE = Subdir(), Subfile()
Entry = FileEntry | LinkEntry | SubtreeEntry | DirEntry | Subdir | Subfile
DIRECTORIES = (DirEntry, Subdir)
Listed = tuple[str, int, tuple[Entry, ...]]


def type_of(entry: Entry) -> int:
    """S_IFDIR, S_IFREG or S_IFLNK."""
    if isinstance(entry, FileEntry | Subfile):
        return stat.S_IFREG
    return stat.S_IFLNK if isinstance(entry, LinkEntry) else stat.S_IFDIR


def compiled(declarations: Iterable[Declaration]) -> DirEntry:
    """The root directory of the declarations. ValueError if two claim one name."""
    root = DirEntry(None, always=True)
    declarations = tuple(declarations)
    present = {declaration.fs for declaration in declarations}
    if Filesystem.DEBUGFS in present:
        present.add(Filesystem.SYSFS)
    for fs in Filesystem:
        if fs in present and fs is not Filesystem.DEBUGFS:
            root.children[fs.value] = (DirEntry(fs, always=True),)
    for declaration in declarations:
        mount, *on = declaration.fs.value.split("/")
        (place,) = root.children[mount]
        assert isinstance(place, DirEntry)
        sets = iter(declaration.kset.chain())
        parts = [*on, *(declaration.path.split("/") if declaration.path else ())]
        if isinstance(declaration, AttributeGroup):
            _add_group(_directory(place, parts, sets), declaration)
        else:
            _add_leaf(_directory(place, parts[:-1], sets), parts[-1], sets, declaration)
    root.settle("")
    return root


def _directory(place: DirEntry, parts: list[str], sets: Iterator[Kset[Any]]) -> DirEntry:
    """The directory at parts below place, made where it is missing."""
    for part in parts:
        place = _member(place, part, next(sets)) if "*" in part else _subdirectory(place, part)
    return place


def _subdirectory(place: DirEntry, name: str) -> DirEntry:
    alternatives = place.children.get(name, ())
    for entry in alternatives:
        if isinstance(entry, DirEntry):
            return entry
    made = DirEntry(place.fs)
    place.children[name] = (*alternatives, made)
    return made


def _member(place: DirEntry, part: str, kset: Kset[Any]) -> DirEntry:
    prefix, _, suffix = part.partition("*")
    for family in place.families:
        same = family.prefix == prefix and family.suffix == suffix and family.kset is kset
        if same and isinstance(family.entry, DirEntry):
            return family.entry
    made = DirEntry(place.fs, always=True)
    made.identity = kset.identity
    place.families.append(Family(prefix, suffix, kset, made))
    return made


def _add_group(place: DirEntry, group: AttributeGroup[Any]) -> None:
    place.declared = True
    if group.is_visible is None:
        place.always = True
    else:
        place.visible = (*place.visible, group.is_visible)
    for name, alternatives in group.attributes.items():
        files = tuple([FileEntry(attr, group) for attr in alternatives])
        others = place.children.get(name, ())
        if not others:  # nearly always
            place.children[name] = files
            continue
        if any(isinstance(one, DirEntry | SubtreeEntry) for one in others):
            raise ValueError(f"{group.fs.value}/{group.path}/{name} is a directory")
        users = [one for one in others if getattr(one, "overrides", False)]
        if not group.overrides and any(not one.visible for one in users):
            continue  # declared later, as the files of a recording are
        if not group.overrides or users:
            place.children[name] = (*others, *files)
        elif any(not one.visible for one in files):
            place.children[name] = files
        else:
            place.children[name] = (*files, *others)


def _add_leaf(
    place: DirEntry, name: str, sets: Iterator[Kset[Any]], declaration: Link[Any] | Subtree[Any]
) -> None:
    entry = LinkEntry(declaration) if isinstance(declaration, Link) else SubtreeEntry(declaration)
    if "*" not in name:
        place.children[name] = (*place.children.get(name, ()), entry)
        return
    if isinstance(entry, SubtreeEntry):
        raise ValueError(f"{declaration.path}: a subtree has one name; put it below the `*`")
    prefix, _, suffix = name.partition("*")
    place.families.append(Family(prefix, suffix, next(sets), entry))
