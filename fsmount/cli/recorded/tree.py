"""A recorded machine's files in place of the emulated ones: `--recording DIR|TAR` of `mount` and `run`.

The files are as recorded and read-only; of memory, CPUs, nodes and firmware nothing emulated is
left, and nothing at all where the recording does not tell enough to boot its machine.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath

from fsmount.host.recording import Recording
from fsmount.tree.kernfs import Tree
from fsmount.tree.kobject import AttributeGroup, Declaration, Filesystem, Link, singleton

OWN_DIRECTORIES = ("devices/system/memory", "devices/system/cpu", "devices/system/node", "firmware")
"""Directories of /sys of which nothing emulated stays beside a dump."""


def declarations(recording: Recording) -> list[Declaration]:
    """A group for every directory, a link for every link."""
    groups: dict[tuple[Filesystem, str], AttributeGroup[object]] = {}
    links: list[Declaration] = []

    def group(fs: Filesystem, path: str) -> AttributeGroup[object]:
        if (fs, path) not in groups:
            groups[fs, path] = AttributeGroup(path, singleton, fs=fs)
        return groups[fs, path]

    for place, one in recording.files.items():
        top, _, below = place.partition("/")
        if "*" in below:  # means something else in a declaration
            continue
        fs, path = Filesystem(top), PurePosixPath(below)
        parent = "" if path.parent == PurePosixPath(".") else str(path.parent)
        if one.target is not None:
            target = _target(path, one.target)
            if target is not None:
                links.append(Link(str(path), singleton, target, fs=fs))
        elif one.content is None:
            group(fs, "" if path == PurePosixPath(".") else str(path))
        else:
            mode = one.mode & 0o444 or 0o444
            group(fs, parent).add(path.name, show=_shows(one.content), mode=mode)
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


def recorded_tree(tree: Tree, recording: Recording, *, alone: bool) -> Tree:
    """The tree with a recording's files in place of the emulated ones of the same directories.

    alone: nothing emulated stays in /sys and /proc, but what works on the machine as a whole.
    """
    recorded = declarations(recording)
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
        if isinstance(one, AttributeGroup) and one.overrides:
            return True
        if alone and one.fs in (Filesystem.SYSFS, Filesystem.PROCFS) and one.path != "":
            return False
        if one.fs is Filesystem.SYSFS and any((one.path + "/").startswith(f"{w}/") for w in whole):
            return False
        return (one.fs, one.path) not in files and not (isinstance(one, Link) and has(one))

    def has(one: Declaration) -> bool:
        return any(fs is one.fs and f"{path}/".startswith(f"{one.path}/") for fs, path in taken)

    kept = [_without(one, files) for one in tree.declarations if stays(one)]
    return Tree(tree.kernel, [*kept, *recorded], page_limit=False, owner=tree.owner)


def _without(one: Declaration, files: set[tuple[Filesystem, str]]) -> Declaration:
    """A group less the files that the dump has."""
    if not isinstance(one, AttributeGroup) or one.overrides or "*" in one.path:
        return one
    names = {name for name in one.attributes if (one.fs, f"{one.path}/{name}".lstrip("/")) in files}
    if not names:
        return one
    less: AttributeGroup[object] = AttributeGroup(
        one.path, one.kset, is_visible=one.is_visible, fs=one.fs, doc=one.doc
    )
    less.attributes = {n: some for n, some in one.attributes.items() if n not in names}
    return less
