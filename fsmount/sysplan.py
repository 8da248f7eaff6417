"""Which parts of the real /sys are covered by the machine's: a plan of binds, made before any mount.

Where the machine has a directory of its own (devices/system/memory) it is bound over the real one.
A directory that both have (kernel, bus, ...) stays real and gets only the machine's parts, unless
the real one lacks a name: then the machine's covers it and the real other names are bound back.
Imports hostfs, kernfs.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from elfcorehdr.errors import KernelError
from fsmount.hostfs import Stubs
from fsmount.kernfs import Tree

SHARED = frozenset({"", "bus", "class", "devices", "devices/system", "fs", "kernel", "module"})
"""Directories of /sys in which the real machine's other names stay."""

HIDDEN = re.compile(
    r"kernel/(boot_params|crash_\w+|dlpar|fadump\w*|kexec\w*|mobility|notes|vmcoreinfo)"
)
"""Real names that would speak for the emulated kernel where it has none; they never show through."""

REAL = frozenset({"kernel/uevent_seqnum"})
"""The machine's name, but the host's content: netlink events carry the host's SEQNUM."""


@dataclass(slots=True)
class SysPlan:
    """Paths below /sys, in the order in which to bind."""

    covers: list[str] = field(default_factory=list)
    """Of the machine, over the real ones."""
    back: list[str] = field(default_factory=list)
    """Of the real /sys, onto stubs in covers."""
    grafts: dict[str, Stubs] = field(default_factory=dict)
    """The stubs, by path in the tree."""


def plan(tree: Tree, real: Path = Path("/sys")) -> SysPlan:
    """Plan the covers for this tree over that /sys."""
    made = SysPlan()
    _plan(made, tree, real, "", covered=False)
    return made


def _kinds(directory: Path) -> dict[str, str | int]:
    """Name to S_IFDIR, S_IFREG or a link's target."""
    found: dict[str, str | int] = {}
    for entry in os.scandir(directory):
        if entry.is_symlink():
            found[entry.name] = os.readlink(entry.path)
        else:
            found[entry.name] = stat.S_IFDIR if entry.is_dir() else stat.S_IFREG
    return found


def _join(rel: str, name: str) -> str:
    return f"{rel}/{name}" if rel else name


def _plan(made: SysPlan, tree: Tree, real: Path, rel: str, *, covered: bool) -> None:
    ours = dict(tree.names(tree.lookup(f"sys/{rel}")))
    theirs = _kinds(real / rel)
    missing = [name for name in ours if name not in theirs]
    if covered or missing:
        if not covered:
            made.covers.append(rel)
        kept = {
            name: kind
            for name, kind in theirs.items()
            if name not in ours and not HIDDEN.fullmatch(_join(rel, name))
        }
        made.grafts[f"sys/{rel}".rstrip("/")] = Stubs(kept)
        made.back += [_join(rel, name) for name, kind in kept.items() if isinstance(kind, int)]
        covered = True
    for name, kind in ours.items():
        path = _join(rel, name)
        if path in REAL and name in theirs:
            if covered:
                made.back.append(path)
        elif kind == stat.S_IFDIR and path in SHARED and theirs.get(name) == stat.S_IFDIR:
            _plan(made, tree, real, path, covered=covered)
        elif not covered:
            made.covers.append(path)


def lacks(tree: Tree, path: str) -> bool:
    """Whether the tree has no such path."""
    try:
        tree.lookup(path)
    except KernelError:
        return True
    return False
