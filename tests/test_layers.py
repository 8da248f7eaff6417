"""The house: each room imports only from rooms below it, files make no circles, each library is known to one file.

A new arrow upwards fails with a sentence that names both files and the room in which what is
imported belongs. Imports inside functions and those for types count too.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("elfcorehdr", "printer", "fsmount", "kdumpfs", "benchmarks", "pages")
KERNEL = "elfcorehdr.init.main"
"""Where Kernel is: the parts of a kernel may name it as a type, because in C they would be globals."""

ENGINE = "elfcorehdr"
"""Any room of the engine."""
VALUES = {"elfcorehdr", "elfcorehdr.lib"}
"""Files directly in elfcorehdr/ (the codec, errors, machines, changes), and plain values."""

ROOMS: dict[str, set[str]] = {
    # the emulated kernel
    "elfcorehdr": {"elfcorehdr.lib", "elfcorehdr.init", "elfcorehdr.profiles"},
    "elfcorehdr.lib": {"elfcorehdr"},
    "elfcorehdr.profiles": VALUES,
    "elfcorehdr.kernel": VALUES,
    "elfcorehdr.mm": {*VALUES, "elfcorehdr.kernel", "elfcorehdr.drivers"},
    "elfcorehdr.drivers": {*VALUES, "elfcorehdr.kernel"},
    "elfcorehdr.fs": {*VALUES, "elfcorehdr.kernel", "elfcorehdr.mm"},
    "elfcorehdr.kexec_tools": {
        *VALUES,
        "elfcorehdr.kernel",
        "elfcorehdr.mm",
        "elfcorehdr.arch",
    },
    "elfcorehdr.arch": {
        *VALUES,
        "elfcorehdr.kernel",
        "elfcorehdr.mm",
        "elfcorehdr.drivers",
    },
    "elfcorehdr.init": {ENGINE},
    # bytes to text
    "printer.version": set(),
    "printer.words": VALUES,
    "printer.lacking": set(),
    "printer.inputs": {*VALUES, "printer.words"},
    "printer.layout": {*VALUES, "printer.words", "printer.inputs"},
    "printer.judge": {
        *VALUES,
        "printer.words",
        "printer.inputs",
        "printer.layout",
        # machines.py boots a machine to know what it reserves
        "elfcorehdr.init",
        "elfcorehdr.profiles",
    },
    "printer.forms": {
        *VALUES,
        "printer.version",
        "printer.words",
        "printer.inputs",
        "printer.layout",
        "printer.judge",
    },
    "printer.pictures": {
        *VALUES,
        "printer.lacking",
        "printer.words",
        "printer.inputs",
        "printer.layout",
        "printer.judge",
        "printer.forms",
    },
    "printer.cli": {*VALUES, "printer"},
    "printer": {
        "printer.version",
        "printer.inputs",
        "printer.layout",
        "printer.judge",
        "printer.forms",
        "printer.pictures",
    },
    # the tree
    "fsmount": set(),
    "fsmount.host": VALUES,
    "fsmount.tree": {*VALUES, "elfcorehdr.kernel"},
    "fsmount.sysfs": {ENGINE, "fsmount.tree", "printer", "printer.forms"},
    "fsmount.procfs": {ENGINE, "fsmount.tree"},
    "fsmount.devfs": {ENGINE, "fsmount.tree"},
    "fsmount.control": {ENGINE, "fsmount.tree", "fsmount.host"},
    "fsmount.fuse": {*VALUES, "elfcorehdr.kernel", "fsmount.tree", "fsmount.host"},
    "fsmount.foreign": {*VALUES, "fsmount.host"},
    "fsmount.run.inside": {"elfcorehdr", "elfcorehdr.lib", "fsmount.host", "fsmount.foreign"},
    "fsmount.run": {
        "fsmount.run.inside",
        "fsmount.foreign",
        ENGINE,
        "fsmount.tree",
        "fsmount.devfs",
        "fsmount.host",
        "fsmount.fuse",
    },
    "fsmount.propose": {*VALUES, "fsmount.tree"},
    "fsmount.cli": {
        "fsmount.foreign",
        "fsmount.propose",
        "printer.version",
        ENGINE,
        "fsmount.tree",
        "fsmount.sysfs",
        "fsmount.procfs",
        "fsmount.devfs",
        "fsmount.control",
        "fsmount.host",
        "fsmount.fuse",
        "fsmount.run",
        "printer",
        "printer.cli",
        # `kdumpfs web` is imported when it is asked for
        "kdumpfs.web",
    },
    # over all
    "kdumpfs.web": {ENGINE, "fsmount", "printer", "kdumpfs"},
    "kdumpfs": {ENGINE, "fsmount", "printer"},
    "benchmarks": {ENGINE, "fsmount", "printer"},
    "pages": {ENGINE, "fsmount", "printer", "kdumpfs"},
}
"""A room to the rooms that its files may import from, besides itself."""

FACES = {"kdumpfs", "kdumpfs.web", "benchmarks", "pages", "printer.cli"}
"""Rooms for which any package's name stands for all its rooms."""
NARROW = {room for room, may in ROOMS.items() if ENGINE in may and "elfcorehdr.lib" in may}
"""Rooms that may import the files directly in elfcorehdr/ and no other room for that."""

HOMES = {
    "fuse": {"benchmarks/"},
    "tabulate": {"printer/forms/tables.py"},
    "matplotlib": {"printer/pictures/plot.py"},
    "click": {"printer/cli", "fsmount/cli", "pages/"},
    "starlette": {"kdumpfs/web/server.py"},
    "uvicorn": {"kdumpfs/web/server.py"},
}
"""Each library, and the file or room that knows it."""


def module_of(path: Path, root: Path = ROOT) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


@functools.cache
def modules(root: Path = ROOT) -> dict[str, Path]:
    """Every module of ours, by name."""
    return {
        module_of(path, root): path
        for package in PACKAGES
        for path in sorted((root / package).rglob("*.py"))
    }


def imported(path: Path, root: Path = ROOT) -> Iterator[str]:
    """Names that a file imports anywhere, absolute: of a module's member `module.member`."""
    package = path.relative_to(root).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: -node.level]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            yield from (f"{module}.{alias.name}" for alias in node.names)


def arrows(root: Path = ROOT) -> dict[str, set[str]]:
    """Each module of ours to those of ours that it imports."""
    known = modules(root)

    def target(name: str) -> str | None:
        while name and name not in known:
            name = name.rpartition(".")[0]
        return name or None

    return {
        module: {found for name in imported(path, root) if (found := target(name))} - {module}
        for module, path in known.items()
    }


def room_of(module: str) -> str:
    """The room that a module is in: the longest of the table."""
    parts = module.split(".")
    while parts and ".".join(parts) not in ROOMS:
        parts.pop()
    return ".".join(parts)


def allowed(room: str, other: str) -> bool:
    """Whether files of a room may import from another."""
    may = ROOMS[room]
    package = other.partition(".")[0]
    whole = (package == ENGINE and room not in NARROW) or room in FACES
    return other == room or other in may or (whole and package in may)


def upward(graph: Mapping[str, set[str]]) -> Iterator[str]:
    """A sentence for every arrow that the table has not."""
    for module, targets in sorted(graph.items()):
        room = room_of(module)
        for target in sorted(targets):
            if target == KERNEL and room.startswith(f"{ENGINE}."):
                continue
            other = room_of(target)
            if not allowed(room, other):
                below = ", ".join(sorted(ROOMS[room])) or "nothing"
                yield (
                    f"{module} imports {target}: {room} may import {below}; "
                    f"what both need belongs in one of these, or {module} belongs above {other}"
                )


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other (Tarjan), arrows to Kernel left out."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in sorted(graph[module] - {KERNEL}):
            if target not in index:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], index[target])
        if low[module] == index[module]:
            at = stack.index(module)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for module in sorted(graph):
        if module not in index:
            visit(module)
    return found


def test_every_room_is_in_the_table() -> None:
    for module in modules():
        assert room_of(module), f"{module} is in no room of the table"


def test_rooms_import_downwards() -> None:
    assert "\n".join(upward(arrows())) == ""


def test_files_make_no_circles() -> None:
    assert circles(arrows()) == []


def test_kernel_is_imported_for_its_type_alone_by_its_parts() -> None:
    for module, path in modules().items():
        if not module.startswith(f"{ENGINE}.") or module == KERNEL:
            continue
        tree = ast.parse(path.read_text("utf-8"))
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and node.module == KERNEL:
                pytest.fail(f"{module} imports {KERNEL} when it runs: only its parts' types may")


def test_an_arrow_upwards_is_told_with_both_files() -> None:
    graph = {"fsmount.tree.kernfs": {"fsmount.fuse.direct"}}
    (said,) = upward(graph)
    assert "fsmount.tree.kernfs imports fsmount.fuse.direct" in said
    assert "belongs" in said


def test_a_circle_put_in_by_hand_is_found(tmp_path: Path) -> None:
    room = tmp_path / "printer"
    room.mkdir()
    (room / "one.py").write_text("from printer import two\n")
    (room / "two.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from printer.one import x\n"
    )
    assert circles(arrows(tmp_path)) == [["printer.one", "printer.two"]]


@pytest.mark.parametrize("library", HOMES)
def test_each_library_is_known_to_one_place(library: str) -> None:
    for module, path in modules().items():
        if module.startswith("benchmarks"):
            continue
        where = str(path.relative_to(ROOT))
        if any(name.partition(".")[0] == library for name in imported(path)):
            assert where.startswith(tuple(HOMES[library])), f"{where} imports {library}"


def test_the_engine_imports_nothing_but_the_standard_library() -> None:
    import sys

    for module, path in modules().items():
        if module.startswith(ENGINE):
            for name in imported(path):
                top = name.partition(".")[0]
                assert top == ENGINE or top in sys.stdlib_module_names, f"{module}: {name}"
                assert top != "os", f"{module}: the engine asks nothing of the host"


def compares(path: Path) -> Iterable[str]:
    """Every comparison in a file, as text."""
    return (
        ast.unparse(node)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Compare)
    )


def test_no_architecture_is_asked_for_by_name_outside_arch() -> None:
    for module, path in modules().items():
        if module.startswith("benchmarks") or ".arch" in module:
            continue
        for text in compares(path):
            assert "arch.name" not in text, f"{module}: {text}"
            assert "machine.arch" not in text, f"{module}: {text}"


def test_no_room_is_crowded_and_no_file_has_outgrown_its_subject() -> None:
    for package in PACKAGES:
        for folder in {path.parent for path in (ROOT / package).rglob("*.py")}:
            files = sorted(folder.glob("*.py"))
            assert len(files) <= 18, f"{folder.relative_to(ROOT)} has {len(files)} files"
        for path in (ROOT / package).rglob("*.py"):
            lines = len(path.read_text("utf-8").splitlines())
            assert lines <= 450, f"{path.relative_to(ROOT)} has {lines} lines"
    for package, most in (("elfcorehdr", 14), ("fsmount", 12)):
        entries = [
            p for p in (ROOT / package).iterdir() if p.name not in ("__pycache__", "py.typed")
        ]
        assert len(entries) <= most, f"{package}/ has {len(entries)} entries"
