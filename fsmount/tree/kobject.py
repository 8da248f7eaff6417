"""The declaration language: attributes, groups, links and ksets, as include/linux/sysfs.h has them.

A declaration is a value; importing one registers nothing. A tree is built from an explicit list of
them (kernfs.py).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FunctionType

from elfcorehdr.lib.record import Record, replace
from elfcorehdr.lib.typed import Any, Generic, Protocol, TypeVar, overload

T = TypeVar("T")
Fn = TypeVar("Fn", bound=Callable[..., Any])
ShowFn = TypeVar("ShowFn", bound="Callable[..., Shown]")
StoreFn = TypeVar("StoreFn", bound=Callable[..., None])

CAP_SYS_ADMIN = 21
CAP_SYSLOG = 34


class Caller:
    """Who asks: what current_cred() and current->pid are in the kernel.

    capable(CAP_SYS_ADMIN) says whether the caller's effective set has it; comm is the caller's
    name, current->comm. proc is a descriptor of the procfs that pid is a number of, -1 if there is none.
    """

    __slots__ = ("capable", "comm", "gid", "pid", "proc", "uid")

    def __init__(
        self,
        uid: int = 0,
        gid: int = 0,
        pid: int = 0,
        capable: Callable[[int], bool] = lambda _cap: True,
        comm: str = "",
        proc: int = -1,
    ) -> None:
        self.proc = proc
        self.uid = uid
        self.gid = gid
        self.pid = pid
        self.capable = capable
        self.comm = comm

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Caller) and self._ids() == other._ids()

    def __hash__(self) -> int:
        return hash(self._ids())

    def _ids(self) -> tuple[int, int, int]:
        return self.uid, self.gid, self.pid


ROOT = Caller()
"""A caller with every capability."""


class Filesystem(enum.Enum):
    """Where a declaration lives below the mount's root, and the habits of that place."""

    SYSFS = "sys"
    """Text files have st_size = page size; show() is cut at a page, store() gets at most one."""
    DEBUGFS = "sys/kernel/debug"
    """st_size 0, no page limit: a seq_file."""
    PROCFS = "proc"
    """st_size 0, no page limit, directories 0555."""
    DEVTMPFS = "dev"
    """st_size 0, no page limit."""
    CONTROL = "control"
    """Ours: through it the command line acts as firmware, hypervisor and kexec(8) do."""


class Kset(Record, Generic[T]):
    """A family of objects that have a directory (or link) each: the `*` in a path.

    The functions get the kernel, or, if the set has a parent, the parent's object.
    """

    names: Callable[[Any], Iterable[str]]
    """Names in directory order; walked lazily, so it must bear changes while it is walked."""
    lookup: Callable[[Any, str], T | None]
    """The object of that name in O(1), None if there is none. Gets any name, so it must parse."""
    count: Callable[[Any], int]
    """How many there are, in O(1); a directory's link count needs it."""
    parent: Kset[Any] | None = None
    identity: Callable[[T], object] | None = None
    """What tells an object from a later one of the same name; an open file of the former one
    then gives ENODEV. Without it, one that exists again counts as the same."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def chain(self) -> list[Kset[Any]]:
        """The sets from the outermost to this one; [] for the singleton."""
        if self is singleton:
            return []
        return [*(self.parent.chain() if self.parent is not None else ()), self]


singleton: Kset[Any] = Kset(
    names=lambda _: (), lookup=lambda _kernel, _name: None, count=lambda _: 0
)
"""The set of an attribute that exists once; its object is the Kernel."""

Shown = str | bytes | Iterator[bytes] | Iterator[str]
"""What show() gives: text; the bytes of a binary file; or a long text in pieces, made as far as they fit."""
IsVisible = Callable[[Any, T], bool]


class File(Protocol):
    """An open file with operations of its own; what OpenFile is for show and store."""

    def read(self, size: int, offset: int, flags: int = 0) -> bytes:
        """At most size bytes; flags are the file's O_* flags now. KernelError on failure."""

    def write(self, buf: bytes, offset: int, flags: int = 0) -> int:
        """The number of bytes taken. KernelError on failure."""


class Attribute(Record, Generic[T]):
    """One file: struct attribute with its methods. A method with one more argument gets the Caller."""

    name: str
    show: Callable[..., Shown] | None = None
    store: Callable[..., None] | None = None
    open: Callable[..., File] | None = None
    given_mode: int | None = None
    is_visible: IsVisible[T] | None = None
    binary: bool = False
    size: int | Callable[[T], int] | None = None
    """st_size of a binary attribute; None is the length of what show returns."""
    doc: str = ""
    store_doc: str = ""
    """What a store added to the doc of a show."""

    @property
    def mode(self) -> int:
        """Permission bits: as given, else by the methods as __ATTR_RO, __ATTR_WO, __ATTR_RW."""
        if self.given_mode is not None:
            return self.given_mode
        readable, writable = self.show or self.open, self.store or self.open
        return (0o444 if readable else 0) | (0o200 if writable else 0)


class AttributeGroup(Generic[T]):
    """The attributes of one directory, or of one directory for each object of a kset.

    `path` is below the file system's root; each `*` in it stands for a set of the kset's chain,
    and the text around it narrows the names (`memory*`). The directory exists while the group is
    visible, even without files.
    """

    def __init__(
        self,
        path: str,
        kset: Kset[T],
        *,
        is_visible: IsVisible[T] | None = None,
        fs: Filesystem = Filesystem.SYSFS,
        doc: str = "",
    ) -> None:
        check_path(path, kset, fs)
        self.path = path
        self.kset = kset
        self.is_visible = is_visible
        self.fs = fs
        self.doc = doc
        self.attributes: dict[str, list[Attribute[T]]] = {}
        self.overrides = False
        """Whether its files stand before others of the same name: a user's module."""

    @overload
    def show(self, method: ShowFn, /) -> ShowFn: ...
    @overload
    def show(
        self, /, *, name: str = ..., mode: int | None = ..., is_visible: IsVisible[T] | None = ...
    ) -> Callable[[ShowFn], ShowFn]: ...
    def show(
        self,
        method: Callable[..., Shown] | None = None,
        /,
        *,
        name: str = "",
        mode: int | None = None,
        is_visible: IsVisible[T] | None = None,
    ) -> Any:
        """Declare `<name>_show(obj[, caller]) -> str`; the function is returned unchanged."""

        def declare(fn: Fn) -> Fn:
            self.add(
                name or name_of(fn, "_show"), show=checked(fn, 1), mode=mode, is_visible=is_visible
            )
            return fn

        return declare(method) if method is not None else declare

    @overload
    def store(self, method: StoreFn, /) -> StoreFn: ...
    @overload
    def store(
        self, /, *, name: str = ..., mode: int | None = ..., is_visible: IsVisible[T] | None = ...
    ) -> Callable[[StoreFn], StoreFn]: ...
    def store(
        self,
        method: Callable[..., None] | None = None,
        /,
        *,
        name: str = "",
        mode: int | None = None,
        is_visible: IsVisible[T] | None = None,
    ) -> Any:
        """Declare `<name>_store(obj, buf[, caller])`.

        buf is the text of one write(2), without the NUL that the kernel appends, with any NUL that
        was written; bytes that are not UTF-8 come as surrogate escapes. Success returns None.
        """

        def declare(fn: Fn) -> Fn:
            self.add(
                name or name_of(fn, "_store"),
                store=checked(fn, 2),
                mode=mode,
                is_visible=is_visible,
            )
            return fn

        return declare(method) if method is not None else declare

    def bin_show(
        self,
        *bare: Any,
        name: str = "",
        size: int | Callable[[T], int] | None = None,
        mode: int | None = None,
        is_visible: IsVisible[T] | None = None,
    ) -> Callable[[Fn], Fn]:
        """Declare a binary attribute, struct bin_attribute: `<name>_show(obj[, caller]) -> bytes`.

        show gives the whole content at each read(2). size is st_size, None for the true length; the
        host's kernel keeps it, so a change of that length must change names_seq.
        """
        no_bare(bare, "bin_show")

        def declare(fn: Fn) -> Fn:
            self.add(
                name or name_of(fn, "_show"),
                show=checked(fn, 1),
                mode=mode,
                is_visible=is_visible,
                binary=True,
                size=size,
            )
            return fn

        return declare

    def open(
        self,
        *bare: Any,
        name: str = "",
        mode: int = 0o644,
        size: int | Callable[[T], int] = 0,
        is_visible: IsVisible[T] | None = None,
    ) -> Callable[[Fn], Fn]:
        """Declare `<name>_open(obj, caller, flags) -> File`: a file with operations of its own."""
        no_bare(bare, "open")

        def declare(fn: Fn) -> Fn:
            self.add(
                name or name_of(fn, "_open"),
                open=checked(fn, 3),
                mode=mode,
                size=size,
                is_visible=is_visible,
            )
            return fn

        return declare

    def add(
        self,
        name: str,
        *,
        show: Callable[..., Shown] | None = None,
        store: Callable[..., None] | None = None,
        open: Callable[..., File] | None = None,
        mode: int | None = None,
        is_visible: IsVisible[T] | None = None,
        binary: bool = False,
        size: int | Callable[[T], int] | None = None,
        doc: str = "",
        store_doc: str = "",
    ) -> None:
        """Declare the file `name`; a second call for the name adds the method that was missing.

        doc, store_doc: what reading and writing do, where the functions' docstrings do not say it."""
        if not name or "/" in name or name in (".", ".."):
            raise ValueError(f"{self.path}: {name!r} is not a file name")
        if mode is not None:
            check_mode(f"{self.path}/{name}", mode)
        method = show or store or open
        doc = doc or (getattr(method, "__doc__", None) or "")
        if store is not method and isinstance(store, FunctionType):
            store_doc = store_doc or store.__doc__ or ""
        new = Attribute(name, show, store, open, mode, is_visible, binary, size, doc, store_doc)
        alternatives = self.attributes.setdefault(name, [])
        if not alternatives:
            alternatives.append(new)
            return
        old = alternatives[-1]
        if (show and old.show) or (store and old.store) or open or old.open or binary or old.binary:
            if old.is_visible is None:
                raise ValueError(f"{self.path}/{name} is declared twice")
            alternatives.append(new)
            return
        alternatives[-1] = replace(
            old,
            show=old.show or show,
            store=old.store or store,
            given_mode=mode if mode is not None else old.given_mode,
            is_visible=is_visible or old.is_visible,
            doc=doc if show else old.doc,
            store_doc=store_doc or (old.doc if show else doc),
        )


class Link(Generic[T]):
    """A symbolic link, or one for each object of a kset: sysfs_create_link().

    target(obj) is the path of what it points to below the same file system's root; the tree writes
    it relative, as sysfs does. A target that begins with a slash is taken as it is.
    """

    def __init__(
        self,
        path: str,
        kset: Kset[T],
        target: str | Callable[[T], str],
        *,
        is_visible: IsVisible[T] | None = None,
        fs: Filesystem = Filesystem.SYSFS,
        doc: str = "",
    ) -> None:
        check_path(path, kset, fs)
        self.path = path
        self.kset = kset
        self.target = target
        self.is_visible = is_visible
        self.fs = fs
        self.doc = doc


Contents = Mapping[str, "Contents | bytes"]
"""Names to bytes (a file) or to further Contents (a directory).

One with a method subdirs() counts its directories by it: of a large one not each name need be made.
"""


class Subtree(Generic[T]):
    """A directory whose shape is the object's own, e.g. a device tree: Contents, asked each time.

    Files are binary, 0444, st_size their true length.
    """

    def __init__(
        self,
        path: str,
        kset: Kset[T],
        contents: Callable[[T], Contents],
        *,
        is_visible: IsVisible[T] | None = None,
        fs: Filesystem = Filesystem.SYSFS,
        doc: str = "",
    ) -> None:
        check_path(path, kset, fs)
        self.path = path
        self.kset = kset
        self.contents = contents
        self.is_visible = is_visible
        self.fs = fs
        self.doc = doc


Declaration = AttributeGroup[Any] | Link[Any] | Subtree[Any]


def check_path(path: str, kset: Kset[Any], fs: Filesystem) -> None:
    """ValueError unless path is relative and has one `*` for each set of the kset's chain."""
    parts = path.split("/") if path else []
    if any(part in ("", ".", "..") or part.count("*") > 1 for part in parts):
        raise ValueError(f"{fs.value}/{path}: not a path of names, with at most one `*` in each")
    stars = sum("*" in part for part in parts)
    if stars != len(kset.chain()):
        raise ValueError(
            f"{fs.value}/{path}: has {stars} `*`, but its objects come from {len(kset.chain())} set(s)"
        )


def check_mode(where: str, mode: int) -> None:
    """ValueError unless an attribute may have the mode: VERIFY_OCTAL_PERMISSIONS(), include/linux/kernel.h."""
    user, group, other = mode >> 6, mode >> 3 & 7, mode & 7
    more = (group & ~user) | (other & ~group) | (other & 2)
    if mode & ~0o666 or more or mode == 400:
        meant = f"0o{mode}" if set(str(mode)) <= set("0246") else "0o644"
        raise ValueError(
            f"{where}: mode {mode:#o} ({mode} in decimal), expected octal read and write bits, no more for the group "
            f"than for the owner, none to write for others, such as {meant}"
        )


def name_of(method: Callable[..., Any], suffix: str) -> str:
    """The file that a method is about: its name less the suffix; ValueError without it."""
    name = getattr(method, "__name__", "")
    if not name.endswith(suffix) or name == suffix:
        raise ValueError(f"{name}: its name must be that of the file followed by {suffix}")
    return str(name.removesuffix(suffix))


def arguments(method: Callable[..., Any]) -> int | None:
    """How many positional arguments a plain function takes; None for any other callable."""
    return method.__code__.co_argcount if isinstance(method, FunctionType) else None


def no_bare(given: tuple[object, ...], name: str) -> None:
    """ValueError where a decorator that has to be called stands without its parentheses."""
    if given:
        raise ValueError(f"@GROUP.{name} stands without parentheses, expected @GROUP.{name}()")


def checked(method: Fn, least: int) -> Fn:
    """The method, if it takes `least` arguments or, below 3, one more (the Caller); else ValueError."""
    count = arguments(method)
    if count is not None and count != least and (least == 3 or count != least + 1):
        given = "(obj, buf)" if least == 2 else "(obj)"
        expected = "(obj, caller, flags)" if least == 3 else f"{given} or {given[:-1]}, caller)"
        name = getattr(method, "__name__", "method")
        raise ValueError(f"{name} takes {count} argument(s), expected {expected}")
    return method


def wants_caller(method: Callable[..., Any], least: int) -> bool:
    """Whether the method takes the Caller after its first `least` arguments."""
    return arguments(method) == least + 1
