"""The files of a tree as text, in the form of the kernel's Documentation/ABI (see its README): from docstrings.

A docstring may end in lines `Date:`, `KernelVersion:`, `Contact:`, `Users:`; that of the module gives them
for all of its files.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from fsmount.tree.kobject import Attribute, AttributeGroup, Declaration, Filesystem, Link

FIELDS = ("Date", "KernelVersion", "Contact", "Users")
"""Besides What and Description, in the order of Documentation/ABI/README but for Users, which comes last."""
_FIELD = re.compile(rf"({'|'.join(FIELDS)}):\s*(.*)")
WIDTH = 64
COLUMN = "\t\t"
"""Where Documentation/ABI/README and its files put the values."""


class Text(NamedTuple):
    """A docstring: what it describes, and the fields at its end."""

    description: str
    fields: dict[str, str]


def text_of(doc: str) -> Text:
    """A docstring, taken apart."""
    lines = inspect.cleandoc(doc).splitlines()
    fields: dict[str, str] = {}
    while lines and (found := _FIELD.fullmatch(lines[-1])):
        fields = {found[1]: found[2], **fields}
        lines.pop()
    while lines and not lines[-1]:
        lines.pop()
    return Text("\n".join(lines), fields)


def abi_text(
    declarations: Iterable[Declaration],
    where: str = "",
    *,
    of: Iterable[tuple[Declaration, Mapping[str, str]]] = (),
) -> str:
    """An entry for every documented declaration at or below the path `where`, by path; empty if there is none.

    Object directories stand as X: /sys/devices/system/memory/memoryX/state is also found as
    .../memory30/state. Later declarations of a path replace earlier ones; `of` come last, each with
    the fields of its module.
    """
    entries: dict[str, str] = {}
    given = [*((one, {}) for one in declarations), *of]
    for declaration, fields in given:
        found = _entries(declaration, fields)
        entries.update((path, entry) for path, entry in found if _below(path, where))
    return "\n".join(entries[path] for path in sorted(entries))


def _below(path: str, where: str) -> bool:
    """Whether a declared path, with its `*`, is that path or below it."""
    wanted = [part for part in where.split("/") if part]
    parts = [part for part in path.split("/") if part]
    if len(wanted) > len(parts):
        return False
    return all(fnmatchcase(one, part) for one, part in zip(wanted, parts, strict=False))


def what(path: str) -> str:
    """A declared path as ABI texts write it: memory* is memoryX, a `*` alone is <N>."""
    parts = ("<N>" if part == "*" else part.replace("*", "X") for part in path.split("/"))
    return "/".join(parts)


def path_of(declaration: Declaration, name: str = "") -> str:
    """The declared path of a directory, link or file, with its `*`."""
    prefix = "" if declaration.fs is Filesystem.CONTROL else "/"
    parts = (declaration.fs.value, declaration.path, name)
    return prefix + "/".join(part for part in parts if part)


def _entries(declaration: Declaration, fields: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if isinstance(declaration, AttributeGroup):
        for alternatives in declaration.attributes.values():
            attribute = next((one for one in alternatives if one.doc or one.store_doc), None)
            if attribute is not None:
                path = path_of(declaration, attribute.name)
                yield path, _file_entry(path, attribute, fields)
    if declaration.doc:
        path = path_of(declaration)
        kind = "link" if isinstance(declaration, Link) else "directory"
        text = text_of(declaration.doc)
        yield path, _entry(path, f"({kind}) {text.description}", {**fields, **text.fields})


def access(attribute: Attribute[object]) -> str:
    """`RO`, `WO` or `RW`, with the mode if it is not the usual one."""
    readable, writable = attribute.show or attribute.open, attribute.store or attribute.open
    word = "RW" if readable and writable else "RO" if readable else "WO"
    usual = {"RO": 0o444, "WO": 0o200, "RW": 0o644}[word]
    return word if attribute.mode == usual else f"{word}, mode {attribute.mode:04o}"


def _file_entry(path: str, attribute: Attribute[object], fields: Mapping[str, str]) -> str:
    read, write = text_of(attribute.doc), text_of(attribute.store_doc)
    described = read.description
    if write.description:
        described = "\n\n".join(filter(None, (described, f"Writing: {write.description}")))
    found = {**fields, **read.fields, **write.fields}
    return _entry(path, f"({access(attribute)}) {described}", found)


def _filled(text: str) -> Iterator[str]:
    """The lines, filled to 80 columns where a paragraph is longer; one with indented lines stays as it is."""
    for n, paragraph in enumerate(text.split("\n\n")):
        if n:
            yield ""
        lines = paragraph.splitlines()
        if all(len(line) <= WIDTH for line in lines) or any(line[:1] == " " for line in lines):
            yield from lines
        else:
            yield from textwrap.wrap(paragraph, WIDTH, break_long_words=False)


def _entry(path: str, described: str, fields: Mapping[str, str]) -> str:
    lines = [f"What:{COLUMN}{what(path)}"]
    for name in FIELDS[:-1]:
        if fields.get(name):
            tabs = "\t" if len(name) > 6 else COLUMN
            lines.append(f"{name}:{tabs}{fields[name]}")
    lines.append("Description:")
    lines += (f"{COLUMN}{line}".rstrip() for line in _filled(described))
    if fields.get("Users"):
        lines.append(f"Users:{COLUMN}{fields['Users']}")
    return "\n".join(lines) + "\n"
