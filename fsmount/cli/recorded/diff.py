"""A tree against a recording, file by file: what `kdumpfs diff-tree` says."""

from __future__ import annotations

import os
import re
import stat

from elfcorehdr.errors import KernelError
from fsmount.host.recordings.record import SKIPPED, TREES
from fsmount.host.recordings.recording import Recording
from fsmount.tree.kernfs import Node, Tree

LIVE = re.compile(
    r"sys/kernel/(uevent_seqnum|notes)|sys/devices/system/node/node\d+/(meminfo|vmstat|numastat)"
    r"|proc/(stat|uptime|loadavg|interrupts|softirqs|meminfo|vmstat|zoneinfo|buddyinfo|pagetypeinfo"
    r"|slabinfo|schedstat|vmallocinfo|version|cpuinfo|sys/kernel/.*|p(ower)?pc(64)?/lparcfg)"
    r"|sys/devices/system/cpu/cpu\d+/(idle_)?s?purr|.*/power/runtime_.*"
)
"""Files whose numbers are those of the moment: their form is compared."""
IN_PART = {"proc"} | {
    "/".join(tree.split("/")[:depth]) for tree in TREES for depth in range(1, tree.count("/") + 1)
}
"""Directories of which not all is recorded."""
LONGEST = 60
"""Characters of a content that are shown."""


def differences(tree: Tree, recording: Recording) -> tuple[int, list[str], list[str]]:
    """How many files agree; a line for each that differs; the recorded paths that the tree has not.

    Names that only the tree has are differences in directories that it and the recording have.
    """
    agreed, lines, unknown = 0, [], []
    for path, one in sorted(recording.paths()):
        node = _node(tree, path)
        if node is None:
            unknown.append(path)
        elif one.directory:
            lines += _only_here(tree, node, path, recording)
        elif one.target is not None:
            found = tree.readlink(node) if stat.S_ISLNK(node.type) else None
            if found == one.target:
                agreed += 1
            else:
                lines.append(
                    f"{path}: recorded as a link to {one.target}, here {found or 'no link'}"
                )
        else:
            line = _content(tree, node, path, one.content or b"", recording)
            agreed += line is None
            lines += [line] if line is not None else []
    return agreed, lines, unknown


def _only_here(tree: Tree, node: Node, path: str, recording: Recording) -> list[str]:
    """What a recorded directory has not, but for what is never recorded of it."""
    if not stat.S_ISDIR(node.type):
        return [f"{path}: recorded as a directory"]
    names = recording.directory(path) or {}
    return [
        f"{path}/{name}: only emulated"
        for name, _ in (() if path in IN_PART else tree.names(node))
        if name not in names and not SKIPPED.match(f"{path}/{name}")
    ]


def _node(tree: Tree, path: str) -> Node | None:
    try:
        return tree.lookup(path)
    except KernelError:
        return None


def _content(
    tree: Tree, node: Node, path: str, expected: bytes, recording: Recording
) -> str | None:
    if not stat.S_ISREG(node.type):
        return f"{path}: recorded as a file"
    failed = recording.errors.get(path)
    try:
        got = tree.content(node)
    except KernelError as error:
        name = os.strerror(error.errno)
        unreadable = failed is not None or not expected
        return None if unreadable else f"{path}: {_shown(expected)} was recorded, here {name}"
    if failed is not None:
        return f"{path}: {failed} was recorded, here {_shown(got)}"
    if LIVE.fullmatch(path):
        return None if form(expected) == form(got) else f"{path}: other rows than were recorded"
    if got != expected:
        return f"{path}: {_shown(expected)} was recorded, here {_shown(got)}"
    return None


def form(content: bytes) -> list[str]:
    """The words of a text without its numbers."""
    return [
        re.sub(r"^[0-9a-f]+$|\b(0x)?[0-9a-f]*[0-9][0-9a-f.]*\b", "N", line).split(":")[0].strip()
        for line in content.decode("latin-1").splitlines()
    ]


def _shown(content: bytes) -> str:
    text = content.decode("utf-8", "backslashreplace")
    return repr(text if len(text) <= LONGEST else text[:LONGEST] + "...")
