"""The files of a tree as text, in the form of the kernel's Documentation/ABI: from docstrings."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator

from fsmount.tree.kobject import Attribute, AttributeGroup, Declaration, Filesystem, Link

COLUMN = "\t\t"
"""Where Documentation/ABI/README and its files put the values."""


def abi_text(declarations: Iterable[Declaration], below: str = "") -> str:
    """An entry for every documented declaration whose path begins with `below`, by path.

    Object directories stand as X: /sys/devices/system/memory/memoryX/state.
    """
    entries = {
        what: text
        for declaration in declarations
        for what, text in _entries(declaration)
        if what.startswith(below)
    }
    return "\n".join(entries[what] for what in sorted(entries))


def _entries(declaration: Declaration) -> Iterator[tuple[str, str]]:
    prefix = "" if declaration.fs is Filesystem.CONTROL else "/"
    directory = f"{prefix}{declaration.fs.value}/{declaration.path}".rstrip("/").replace("*", "X")
    if isinstance(declaration, AttributeGroup):
        for alternatives in declaration.attributes.values():
            attribute = next((one for one in alternatives if one.doc), None)
            if attribute is not None:
                what = f"{directory}/{attribute.name}"
                yield what, _entry(what, access(attribute), attribute.doc)
    if declaration.doc:
        kind = "link" if isinstance(declaration, Link) else "directory"
        yield directory, _entry(directory, kind, declaration.doc)


def access(attribute: Attribute[object]) -> str:
    """Access and mode, e.g. `RW (0644)`."""
    readable = "R" if attribute.show or attribute.open else ""
    writable = "W" if attribute.store or attribute.open else ""
    return f"{readable}{writable} ({attribute.mode:04o})"


def _entry(what: str, kind: str, doc: str) -> str:
    lines = inspect.cleandoc(doc).splitlines()
    described = "".join(f"{COLUMN}{line}".rstrip() + "\n" for line in lines)
    return f"What:{COLUMN}{what}\nAccess:{COLUMN}{kind}\nDescription:\n{described}"
