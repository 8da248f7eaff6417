"""docs/files.md: every file that a machine has, of the declarations: mode, where it is, what writing does, the kernel's source."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from itertools import islice
from typing import Any, NamedTuple

from elfcorehdr.changes.change import RELEASES
from fsmount.cli.boot import declarations_of
from fsmount.propose.abi import text_of
from fsmount.tree.kobject import Declaration, Filesystem, Link, Subtree
from pages.markdown import GENERATED, escaped, one_line, table
from pages.seen import PLATFORMS, Where, objects, seen, where

ROOMS = {
    "fsmount.sysfs": "/sys",
    "fsmount.procfs": "/proc",
    "fsmount.devfs": "/dev",
    "fsmount.control": "control/, below a mount and at /run/kdumpfs/fuse in a run",
}
"""Where declarations are, and what they make."""
_SOURCE = re.compile(r"[\w/-]*(?:\{[\w,-]+\}|[\w*-]+)\.[ch]\b|\bfs/proc/\*")


class Row(NamedTuple):
    """One file, link or directory; the directories where it is, if it is in several."""

    path: str
    mode: str
    where: str
    text: str
    writes: str


def files_page() -> str:
    """docs/files.md."""
    at = where()
    machines = ", ".join(f"{platform} `{name}`" for platform, name in PLATFORMS.items())
    parts = [
        GENERATED,
        "# Emulated files\n\n",
        "Every file, link and directory of a machine, by the kernel's source that it follows. `*` stands for each object's name: "
        "`memory*` for memory0, memory1, ... *Where* is asked of machines that are shipped, "
        f"booted as each release that `kdumpfs kernels` lists: {machines}; it is empty where all have it, `from 6.19` names the first "
        f"of {', '.join(RELEASES)} with it. A stable series may have it earlier: `kdumpfs changes`. Errors are those that reading or "
        "writing gives. What differs from a real kernel is in [fidelity](fidelity.md); files of your own come from "
        "[a module](proposing.md), `kdumpfs abi PATH` prints any of these as Documentation/ABI has it.\n",
    ]
    found = _sections(at)
    for room, title in ROOMS.items():
        parts.append(f"\n## {title}\n")
        for home, rows in found.items():
            if home.rpartition(".")[0] != room:
                continue
            parts += ["\n", *_section(home, rows)]
    return "".join(parts)


def control_rows() -> list[Row]:
    """The files of control/, as any machine has them."""
    from fsmount.control.requests import GROUPS

    nowhere = Where({}, {})
    return [row for one in GROUPS for _, row in _rows(one, "fsmount.control.requests", nowhere)]


def _section(home: str, rows: list[Row]) -> Iterator[str]:
    heading, source = described(home)
    yield f"### {escaped(heading)}\n\n"
    if source:
        yield f"Source: {', '.join(f'`{name}`' for name in source)}.\n\n"
    merged: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        folder, _, name = row.path.rpartition("/")
        merged.setdefault((name, *row[1:]), []).append(folder)
    many = sorted({tuple(folders) for folders in merged.values() if len(folders) > 3})
    many = many if len(many) == 1 else []  # else it would be of two places that one speaks
    for folders in many:
        common = [f"`{folder}`" for folder in folders]
        yield f"`…/` is each of {', '.join(common)}.\n\n"
    cells = [
        [
            f"`…/{name}`" if tuple(folders) in many else "<br>".join(f"`{f}/{name}`" for f in folders),
            *map(escaped, rest),
        ]
        for (name, *rest), folders in merged.items()
    ]  # fmt: skip
    yield from table(["file", "mode", "where", "reading", "writing"], cells)


def described(home: str) -> tuple[str, list[str]]:
    """What a file of declarations mirrors: its heading, and the kernel's sources."""
    doc = inspect.cleandoc(import_module(home).__doc__ or "")
    source = [name for name in dict.fromkeys(_SOURCE.findall(doc)) if "/" in name]
    first = doc.splitlines()[0]
    heading = re.split(": | as functions", first)[0]
    return re.sub(r" \(v[\d.]+\)\.?$", "", heading), source


def _sections(at: Where) -> dict[str, list[Row]]:
    """Rows by the module of ours that has the method, in the order of the declarations."""
    found: dict[str, list[Row]] = {}
    homes = _homes()
    for declared in declarations_of():
        home = homes[id(declared)]
        for owner, row in _rows(declared, home, at):
            rows = found.setdefault(owner, [])
            if row not in rows:
                rows.append(row)
    return found


def _homes() -> dict[int, str]:
    """The module whose GROUPS has a declaration."""
    homes: dict[int, str] = {}
    for room in ROOMS:
        package = import_module(room)
        names = [
            *(f"{room}.{name}" for name, value in vars(package).items() if inspect.ismodule(value)),
            f"{room}.kmsg",
            f"{room}.requests",
        ]
        for name in names:
            try:
                module = import_module(name)
            except ModuleNotFoundError:
                continue
            for declared in getattr(module, "GROUPS", [getattr(module, "dev", None)]):
                homes.setdefault(id(declared), name)
    return homes


def _rows(declared: Declaration, home: str, at: Where) -> Iterator[tuple[str, Row]]:
    place = declared.fs.value
    base = "/".join(filter(None, (place, declared.path)))
    base = base if declared.fs is Filesystem.CONTROL else f"/{base}"
    if isinstance(declared, Link):
        yield home, Row(base, "link", seen(at, declared, None), f"→ {_target(declared, at)}", "")
    elif isinstance(declared, Subtree):
        text = one_line(declared.doc) or "A tree of directories and binary files."
        yield home, Row(base, "tree", seen(at, declared, None), text, "")
    elif not declared.attributes:
        yield home, Row(base, "directory", seen(at, declared, None), one_line(declared.doc), "")
    else:
        for name, alternatives in declared.attributes.items():
            for one in alternatives:
                method = one.show or one.store or one.open
                owner = getattr(method, "__module__", home)
                if owner.rpartition(".")[0] not in ROOMS:
                    owner = home
                read, write = one.doc, one.store_doc
                if not (one.show or one.open):
                    read, write = "", read
                elif one.open:
                    read, _, write = read.partition("Writing: ")
                elif one.store is None:
                    write = ""
                yield (
                    owner,
                    Row(
                        f"{base}/{name}",
                        f"{one.mode:04o}" + (" binary" if one.binary else ""),
                        seen(at, declared, one),
                        one_line(text_of(read).description),
                        one_line(text_of(write).description),
                    ),
                )


def _target(link: Link[Any], at: Where) -> str:
    """Where a link leads; of one for each object, where the first one leads."""
    root = (
        "" if isinstance(link.target, str) and link.target.startswith("/") else f"/{link.fs.value}/"
    )
    if isinstance(link.target, str):
        return f"`{root}{link.target}`"
    for kernel in [*at.states.values(), *at.plain.values()]:
        for obj in islice(objects(kernel, link.kset), 1000):
            if link.is_visible is None or link.is_visible(kernel, obj):
                return f"such as `{root}{link.target(obj)}`"
    return "its device"
