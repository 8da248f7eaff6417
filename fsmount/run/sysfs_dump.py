"""A recorded machine's files in place of the emulated ones: `kdumpfs run --sysfs-dump DIR|TAR`.

Takes what util-linux's tests/ts/{lsmem,lscpu}/dumps and hwloc-gather-topology make: a tree, or a
tar of one, with a `sys` and a `proc` somewhere in it. The files are as recorded and read-only;
of memory, CPUs, nodes and firmware nothing emulated is left.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from elfcorehdr.errors import ProfileError
from elfcorehdr.lib.record import Record
from fsmount.tree.kernfs import Tree
from fsmount.tree.kobject import AttributeGroup, Declaration, Filesystem, Link, singleton

OWN_DIRECTORIES = ("devices/system/memory", "devices/system/cpu", "devices/system/node", "firmware")
"""Directories of /sys of which nothing emulated stays beside a dump."""


class Recorded(Record):
    """One file (content), link (target) or directory (neither) of a dump; path from the dump's top."""

    path: PurePosixPath
    content: bytes | None = None
    target: str | None = None


def read_dump(path: Path) -> list[Recorded]:
    """Everything in a dump. ProfileError if it is no directory and no tar."""
    if path.is_dir():
        return list(_from_directory(path))
    try:
        with tarfile.open(path) as tar:
            return list(_from_tar(tar))
    except (tarfile.TarError, EOFError):
        why = "not a tar, or a damaged one"
    except OSError as error:
        why = error.strerror or str(error)
    raise ProfileError(f"{path}: {why}; expected a directory or a tar with sys/ in it")


def _from_directory(top: Path) -> Iterator[Recorded]:
    for directory, names, files in os.walk(top):
        here = PurePosixPath(Path(directory).relative_to(top))
        for name in (*names, *files):
            full = Path(directory, name)
            if full.is_symlink():
                yield Recorded(here / name, target=os.readlink(full))
            elif full.is_dir():
                yield Recorded(here / name)
            else:
                yield Recorded(here / name, content=full.read_bytes())


def _from_tar(tar: tarfile.TarFile) -> Iterator[Recorded]:
    for member in tar:
        path = PurePosixPath(member.name.lstrip("/"))
        if member.issym():
            yield Recorded(path, target=member.linkname)
        elif member.isdir():
            yield Recorded(path)
        elif member.isfile() or member.islnk():
            file = tar.extractfile(member)
            yield Recorded(path, content=file.read() if file is not None else b"")


def _place(path: PurePosixPath) -> tuple[Filesystem, PurePosixPath] | None:
    """Where a recorded path goes: behind its first component `sys` or `proc`; else nowhere."""
    for at, part in enumerate(path.parts):
        if part in ("sys", "proc"):
            below = path.parts[at + 1 :]
            # Processes are the command's own, and `*` means something else in a declaration.
            if any("*" in name for name in below) or (part == "proc" and _is_process(below)):
                return None
            return Filesystem(part), PurePosixPath(*below)
    return None


def _is_process(below: tuple[str, ...]) -> bool:
    return bool(below) and (below[0] in ("self", "thread-self") or below[0].isdecimal())


def declarations(recorded: list[Recorded], source: Path) -> list[Declaration]:
    """A group for every directory, a link for every link. ProfileError if nothing is below sys/."""
    groups: dict[tuple[Filesystem, str], AttributeGroup[object]] = {}
    links: list[Declaration] = []

    def group(fs: Filesystem, path: str) -> AttributeGroup[object]:
        if (fs, path) not in groups:
            groups[fs, path] = AttributeGroup(path, singleton, fs=fs)
        return groups[fs, path]

    # A tar may hold a path twice: the last one counts, as when it is unpacked.
    for (fs, path), one in {place: one for one in recorded if (place := _place(one.path))}.items():
        parent = "" if path.parent == PurePosixPath(".") else str(path.parent)
        if one.target is not None:
            target = _target(path, one.target)
            if target is not None:
                links.append(Link(str(path), singleton, target, fs=fs))
        elif one.content is None:
            group(fs, "" if path == PurePosixPath(".") else str(path))
        else:
            group(fs, parent).add(path.name, show=_shows(one.content), mode=0o444)
    if not any(fs is Filesystem.SYSFS for fs, _ in groups):
        raise ProfileError(f"{source}: nothing below sys/ in it, expected a dump of a /sys")
    return [*groups.values(), *links]


def _shows(content: bytes) -> Callable[[object], bytes]:
    return lambda _kernel: content


def _target(path: PurePosixPath, target: str) -> str | None:
    """A link's target from the file system's root; None if it leads out of it."""
    if target.startswith("/"):
        return target
    parts = list(path.parent.parts)
    for part in PurePosixPath(target).parts:
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            return None
    return "/".join(parts)


def dumped(tree: Tree, path: Path) -> Tree:
    """The tree with the dump's files in place of the emulated ones of the same directories."""
    recorded = declarations(read_dump(path), path)
    taken = {(one.fs, one.path) for one in recorded}
    files = {
        (one.fs, f"{one.path}/{name}".lstrip("/"))
        for one in recorded
        if isinstance(one, AttributeGroup)
        for name in one.attributes
    }
    # A machine is recorded whole: what the dump has not of these, it had not.
    whole = [*OWN_DIRECTORIES, *(f"bus/{name}" for name in ("memory", "cpu", "node"))]

    def stays(one: Declaration) -> bool:
        if one.fs is Filesystem.SYSFS and any((one.path + "/").startswith(f"{w}/") for w in whole):
            return False
        return (one.fs, one.path) not in files and not (isinstance(one, Link) and has(one))

    def has(one: Declaration) -> bool:
        return any(fs is one.fs and f"{path}/".startswith(f"{one.path}/") for fs, path in taken)

    kept = [_without(one, files) for one in tree.declarations if stays(one)]
    return Tree(tree.kernel, [*kept, *recorded], page_limit=False)


def _without(one: Declaration, files: set[tuple[Filesystem, str]]) -> Declaration:
    """A group less the files that the dump has."""
    if not isinstance(one, AttributeGroup) or "*" in one.path:
        return one
    names = {name for name in one.attributes if (one.fs, f"{one.path}/{name}".lstrip("/")) in files}
    if not names:
        return one
    less: AttributeGroup[object] = AttributeGroup(
        one.path, one.kset, is_visible=one.is_visible, fs=one.fs, doc=one.doc
    )
    less.attributes = {n: some for n, some in one.attributes.items() if n not in names}
    return less
