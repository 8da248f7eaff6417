"""Each row of a capture against the tree of its machine; what differs must stand in the table (table.py)."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.kexec_file import KEXEC_FILE_ON_CRASH
from elfcorehdr.kernel.panic import Crash
from fsmount.cli.boot import declarations_of
from fsmount.tree.kernfs import Node, Tree
from tests.identity.capture import rows_of
from tests.identity.machine import machine_of
from tests.identity.table import LIVE, TABLE
from tests.replay.machine import Json
from tests.sysfs_dump import TYPES, Difference, content_of, form
from tests.sysfs_dump_table import Entry

CAPTURE = "capture"


@dataclass(slots=True)
class Identity:
    """A capture against its machine: how many paths agree, what differs, which entries explain it."""

    capture: Path
    arch: str
    agreed: int = 0
    live: int = 0
    explained: list[tuple[Difference, Entry]] = field(default_factory=list)
    unexplained: list[Difference] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.capture.name}: {self.agreed} paths agree ({self.live} by form), "
            f"{len(self.explained)} differences are in the table, {len(self.unexplained)} are not"
        )


def tree_of(capture: Path, rows: dict[str, Json]) -> Tree:
    """The capture's machine, booted."""
    machine = machine_of(capture, rows)
    kernel = Kernel.boot(machine)
    return Tree(kernel, declarations_of())


def compare(capture: Path) -> Identity:
    """Every path of a capture against the tree, and the names that only the tree has."""
    rows = rows_of(capture)
    return against(tree_of(capture, rows), rows, capture)


def capture_tree_of(capture: Path, cpu: int) -> Tree:
    """Its capture kernel: the capture's machine, loaded with the command line that was seen, crashed on a CPU."""
    tree = tree_of(capture, rows_of(capture))
    said = (capture / CAPTURE / "proc/cmdline").read_text().removesuffix("\n")
    cmdline = re.sub(r"^elfcorehdr=\S+ ", "", said)
    tree.kernel.kexec.file_load(None, None, cmdline.encode(), KEXEC_FILE_ON_CRASH)
    tree.kernel.panic.sysrq("c", Crash(cpu=cpu))
    return tree


def against(tree: Tree, rows: dict[str, Json], capture: Path) -> Identity:
    """Every path of some rows against a tree, and the names that only the tree has."""
    result = Identity(capture, tree.kernel.arch.name)
    for path, row in sorted(rows.items()):
        live = next((entry for entry in LIVE if entry.is_about(result.arch, path)), None)
        differences = list(_row(tree, path, row, live))
        result.agreed += not differences
        result.live += live is not None and not differences
        _file(result, differences)
    _file(result, list(_extra(tree, rows)))
    return result


def _file(result: Identity, differences: list[Difference]) -> None:
    for difference in differences:
        for entry in TABLE:
            if entry.what == difference.what and entry.is_about(result.arch, difference.path):
                result.explained.append((difference, entry))
                break
        else:
            result.unexplained.append(difference)


def _node(tree: Tree, path: str) -> Node | None:
    """The tree's node; links on the way are followed."""
    at, parts = "", [p for p in path.split("/") if p]
    try:
        for i, name in enumerate(parts):
            at = f"{at}/{name}"
            node = tree.lookup(at)
            if node.type == stat.S_IFLNK and i < len(parts) - 1:
                target = tree.readlink(node)
                at = os.path.normpath(os.path.join(os.path.dirname(at), target))
        return tree.lookup(at)
    except KernelError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise


def _row(tree: Tree, path: str, row: Json, live: Entry | None) -> Iterator[Difference]:
    node = _node(tree, path)
    if node is None:
        yield Difference(path, "missing")
        return
    found = tree.getattr(node)
    kind = TYPES[stat.S_IFMT(found.mode)]
    if kind != row["type"]:
        yield Difference(path, "type", row["type"], kind)
        return
    mode = f"{stat.S_IMODE(found.mode):04o}"
    if mode != row.get("mode", mode) and kind != "link":
        yield Difference(path, "mode", row["mode"], mode)
    if found.size != row.get("size", found.size):
        yield Difference(path, "size", row["size"], found.size)
    if kind == "link" and tree.readlink(node) != row.get("target", tree.readlink(node)):
        yield Difference(path, "target", row["target"], tree.readlink(node))
    if kind == "file" and ("text" in row or "b64" in row):
        expected: object = content_of(row)
        try:
            got: object = tree.content(node)
        except KernelError as error:
            got = errno.errorcode[error.errno]
        if live is not None:
            expected, got = (form(v, live) if isinstance(v, bytes) else v for v in (expected, got))
        if expected != got:
            yield Difference(path, "content", expected, got)


def _extra(tree: Tree, rows: dict[str, Json]) -> Iterator[Difference]:
    """Names that the tree has and the capture has not, in directories that the capture lists."""
    listed: dict[str, set[str]] = {}
    for path in rows:
        parent, _, name = path.rpartition("/")
        listed.setdefault(parent, set()).add(name)
    for path, row in rows.items():
        if row.get("type") != "dir" or path not in listed:
            continue
        node = _node(tree, path)
        if node is None or node.type != stat.S_IFDIR:
            continue
        for name, _ in sorted(tree.names(node)):
            if name not in listed[path]:
                yield Difference(f"{path}/{name}", "extra")
