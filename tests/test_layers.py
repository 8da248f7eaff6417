"""Imports go downwards only, and each library is known to one file (style of this house)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent


def imports(path: Path) -> Iterator[str]:
    """Modules that a file imports anywhere, those for types only included, as absolute names."""
    package = path.relative_to(ROOT).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: -node.level]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            yield from (f"{module}.{alias.name}" for alias in node.names)
            yield module


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def test_the_engine_imports_nothing_but_the_standard_library() -> None:
    for path in files("elfcorehdr"):
        for name in imports(path):
            top = name.partition(".")[0]
            assert top not in ("printer", "fsmount", "click", "fuse", "tabulate", "os"), path


def test_the_printer_imports_only_the_codec_of_the_engine() -> None:
    allowed = ("elfcorehdr.elf", "elfcorehdr.lib", "elfcorehdr.errors")
    for path in files("printer"):
        for name in imports(path):
            assert not name.startswith("fsmount"), path
            if name.startswith("elfcorehdr") and name != "elfcorehdr":
                assert name.startswith(allowed), f"{path}: {name}"


def test_each_library_is_known_to_one_file() -> None:
    homes = {
        "fuse": {"fsmount/fuse/libfuse.py"},
        "tabulate": {"printer/forms/tables.py"},
    }
    for package in ("elfcorehdr", "printer", "fsmount"):
        for path in files(package):
            for name in imports(path):
                top = name.partition(".")[0]
                where = str(path.relative_to(ROOT))
                assert top not in homes or where in homes[top], f"{where} imports {name}"


def test_declarations_know_nothing_of_fuse_or_mounts() -> None:
    for path in [*files("fsmount/sysfs"), *files("fsmount/procfs")]:
        for name in imports(path):
            assert "fuse" not in name, path
            assert "mount" not in name.removeprefix("fsmount"), path


def test_no_architecture_is_asked_for_by_name_outside_arch() -> None:
    for package in ("elfcorehdr", "fsmount", "printer"):
        for path in files(package):
            if "arch" in path.parts:
                continue
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Compare):
                    text = ast.unparse(node)
                    assert "arch.name" not in text, f"{path}: {text}"
                    assert "machine.arch" not in text, f"{path}: {text}"
