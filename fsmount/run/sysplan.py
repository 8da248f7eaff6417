"""Which parts of the real /sys are covered by the machine's: a plan of binds, made before any mount.

Where the machine has a directory of its own (devices/system/memory) it is bound over the real one.
A directory that both have (kernel, bus, ...) stays real and gets only the machine's parts, unless
the real one lacks a name: then the machine's covers it and links lead to the real other names.
"""

from __future__ import annotations

import os
import stat

from elfcorehdr.errors import KernelError
from fsmount.run.hostfs import Behind
from fsmount.tree.kernfs import Tree

SHARED = frozenset({"", "bus", "class", "devices", "devices/system", "fs", "kernel"})
"""Directories of /sys in which the real machine's other names stay."""

HIDDEN = frozenset(
    (
        *(f"kernel/{name}" for name in ("boot_params", "dlpar", "mobility", "notes", "vmcoreinfo")),
        *(
            f"{bus}/{name}"
            for bus in ("devices/system", "bus")
            for name in ("cpu", "memory", "node")
        ),
        "firmware",
    )
)
HIDDEN_FAMILIES = ("kernel/crash_", "kernel/fadump", "kernel/kexec")
"""Real names, and beginnings of names, that would speak for the emulated machine where it has none; they never show through."""


class SysPlan:
    """Paths below /sys, in the order in which to bind."""

    def __init__(self) -> None:
        self.covers: list[str] = []
        """Of the machine, over the real ones."""
        self.grafts: dict[str, Behind] = {}
        """What shows through a cover, by path in the tree."""


def plan(tree: Tree, real: str = "/sys") -> SysPlan:
    """Plan the covers for this tree over that /sys."""
    made = SysPlan()
    _plan(made, tree, real, "", covered=False)
    return made


def _is_hidden(path: str) -> bool:
    return path in HIDDEN or path.startswith(HIDDEN_FAMILIES)


def _join(rel: str, name: str) -> str:
    return f"{rel}/{name}" if rel else name


def _plan(made: SysPlan, tree: Tree, real: str, rel: str, *, covered: bool) -> None:
    ours = dict(tree.names(tree.lookup(f"sys/{rel}")))
    theirs = {entry.name: entry.is_dir() for entry in os.scandir(f"{real}/{rel}")}
    others = [name for name in theirs if name not in ours]
    hidden = [name for name in others if _is_hidden(_join(rel, name))]
    if covered or hidden or any(name not in theirs for name in ours):
        if not covered:
            made.covers.append(rel)
        others = [name for name in others if name not in hidden]
        made.grafts[f"sys/{rel}".rstrip("/")] = Behind(rel, others)
        covered = True
    for name, kind in ours.items():
        path = _join(rel, name)
        if kind == stat.S_IFDIR and path in SHARED and theirs.get(name):
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
