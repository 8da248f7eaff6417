"""The files of an emulated machine as a recording, and laid down in a directory to be recorded from there."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from elfcorehdr.errors import KernelError
from fsmount.host.recordings.entry import DIRECTORY, Recorded
from fsmount.host.recordings.record import FILES, KCORE_HEAD, SKIPPED, TREES, maps_of
from fsmount.host.recordings.recording import Recording
from fsmount.tree.kernfs import Tree

LEFT_OUT = ("proc/sysrq-trigger", "proc/kcore", "proc/kallsyms", "sys/kernel/debug/tracing")


def written(tree: Tree, top: Path, below: tuple[str, ...] = ("sys", "proc")) -> None:
    """Write all that can be read; what cannot is left out, as a mount's files of mode 0200 would be empty."""

    def down(path: str) -> None:
        node = tree.lookup(path)
        full = top / path
        if stat.S_ISDIR(node.type):
            full.mkdir(parents=True, exist_ok=True)
            for name, _ in tree.names(node):
                if f"{path}/{name}" not in LEFT_OUT:
                    down(f"{path}/{name}")
        elif stat.S_ISLNK(node.type):
            full.symlink_to(tree.readlink(node))
        else:
            try:
                full.write_bytes(content_of(tree, path))
            except KernelError:
                return

    for path in below:
        down(path)


def recording_of(tree: Tree, name: str) -> Recording:
    """What `kdumpfs record` would have in its archive, of the tree as it is."""
    found = Recording(name)

    def down(path: str) -> None:
        node = tree.lookup(path)
        if stat.S_ISDIR(node.type):
            found.add(path, DIRECTORY)
            for below, _ in tree.names(node):
                if not SKIPPED.match(f"{path}/{below}"):
                    down(f"{path}/{below}")
        elif stat.S_ISLNK(node.type):
            found.add(path, Recorded(target=tree.readlink(node)))
        else:
            mode, content = stat.S_IMODE(tree.getattr(node).mode), b""
            try:
                if mode & 0o444:
                    content = content_of(tree, path)
            except KernelError as error:
                found.errors[path] = errno.errorcode[error.errno]
            found.add(path, Recorded(content, mode=mode))

    for top in (*TREES, *(f"proc/{name}" for name in FILES)):
        try:
            tree.lookup(top)
        except KernelError:
            continue
        down(top)
    try:
        kcore = tree.open(tree.lookup("proc/kcore"), os.O_RDONLY).read(KCORE_HEAD, 0)
    except KernelError:
        kcore = b""
    found.head = {"kcore": maps_of(kcore)}
    return found


def content_of(tree: Tree, path: str) -> bytes:
    """A file's whole content; KernelError."""
    return tree.content(tree.lookup(path))
