"""docs/api.md: every public name of the Python API, of the docstrings and of the texts below attributes."""

from __future__ import annotations

import ast
import enum
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from typing import NamedTuple

from elfcorehdr import Kernel, Machine, load
from pages.markdown import GENERATED, escaped, one_line, table

MODULES = {
    "kdumpfs.module": "for who proposes files: what a module for `--module FILE.py` imports",
    "kdumpfs.testing": "for who tests: machines, mounts and runs; its three fixtures are in [testing](testing.md)",
    "printer": "for who reads headers: what `elfcorehdr` does, as functions",
    "elfcorehdr": "the emulated kernel itself, for programs",
}
"""The four faces; names of other modules may move."""
GIVEN = frozenset(
    {"Kernel", "Cpu", "MemoryBlock", "Node", "Caller", "MemoryNotify", "Phdr", "Machine", "Mounted"}
    | {"Lack", "Diff", "Finding", "Note", "Core", "Range", "Change"}
)
"""Classes whose objects a user is given and does not make: what makes them is not told."""
OF_KERNEL = ("boot", "has", "config", "names_changed")
OF_PARTS = {
    "kexec": ("crash_image", "elfcorehdr", "reserved", "crash_size", "crash_hotplug"),
    "crash_hp": ("rebuilds",),
    "memory": ("block", "block_ids", "offline_ids", "count", "blocks_of", "block_size", "boot_end"),
    "memory_hotplug": ("online", "offline"),
    "cpus": ("cpu", "possible", "present", "online", "node_of", "core_of", "up", "down"),
    "nodes": ("ids", "block_ids", "span", "memory"),
    "log": ("info", "warning", "err", "emit"),
    "platform": ("plug_memory", "unplug_memory", "plug_cpu", "unplug_cpu"),
}
"""What modules and programs use of a kernel and its parts; the rest may move."""


class Member(NamedTuple):
    """A method, property, field or word of a class."""

    words: str
    text: str


class Name(NamedTuple):
    """One public name."""

    name: str
    words: str
    """As it is called; empty for a value."""
    doc: str
    members: list[Member]


def names(module: str) -> list[Name]:
    """The public names of a face, in the order of its `__all__`."""
    face = import_module(module)
    return [_name(module, name) for name in face.__all__]


def _name(module: str, name: str) -> Name:
    value = getattr(import_module(module), name)
    if inspect.isclass(value):
        tree = _tree(value)
        if value is Machine:  # its fields are the keys of a file
            doc = f"{inspect.getdoc(value)} Its fields are the keys of [its file](machine.md)."
            return Name(name, "", doc, [*_methods(tree)])
        members = [*_fields(tree, value), *_methods(tree)]
        if value is Kernel:
            members = [m for m in members if _called(m) in OF_KERNEL]
            members += [*_plain_parts(), *_parts()]
        words = "" if name in GIVEN else _constructor(tree, value, name)
        doc = inspect.getdoc(value) or ""
        bare = [f"`{m.words[1:]}`" for m in members if not m.text and m.words[1:] not in words]
        doc += f"\n\nFields: {', '.join(bare)}." if bare else ""
        return Name(name, words, doc, [m for m in members if m.text])
    if inspect.isfunction(value):
        made = ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]
        assert isinstance(made, ast.FunctionDef)
        return Name(name, f"{name}{_signature(made)}", inspect.getdoc(value) or "", [])
    return Name(name, "", _text_below(module, name), [])


def _tree(cls: type) -> ast.ClassDef:
    made = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(made, ast.ClassDef)
    return made


def _signature(made: ast.FunctionDef, *, bound: bool = False) -> str:
    """Arguments with types and defaults, and what comes back, as they are written."""
    made = ast.parse(ast.unparse(made)).body[0]  # type: ignore[assignment]  # a copy to change
    if bound:
        for of in (made.args.posonlyargs, made.args.args):
            if of:
                del of[0]
                break
    back = "" if made.returns is None else ast.unparse(made.returns).strip("'\"")
    given = re.sub(r"(?<=mode: int=)\d+", lambda m: f"{int(m[0]):#o}", ast.unparse(made.args))
    return f"({given})" + (f" -> {back}" if back not in ("", "None") else "")


def _constructor(tree: ast.ClassDef, cls: type, name: str) -> str:
    if issubclass(cls, enum.Enum) or getattr(cls, "_is_protocol", False):
        return ""
    for one in tree.body:
        if isinstance(one, ast.FunctionDef) and one.name == "__init__":
            return f"{name}{_signature(one, bound=True)}"
    if hasattr(cls, "_fields"):
        given = [
            ast.unparse(one)
            for one in tree.body
            if isinstance(one, ast.AnnAssign) and not ast.unparse(one.target).startswith("_")
        ]
        return f"{name}({', '.join(given)})" if len(given) < 9 else ""
    return ""


def _fields(tree: ast.ClassDef, cls: type) -> Iterator[Member]:
    """Annotated and assigned names with the text below them; those of __init__ only if they have one."""
    for n, one in enumerate(tree.body):
        text = _string(tree.body[n + 1]) if n + 1 < len(tree.body) else ""
        if isinstance(one, ast.AnnAssign):
            name = ast.unparse(one.target)
            hint = ast.unparse(one.annotation).strip("'")
            if not name.startswith("_"):
                yield Member(f".{name}: {hint}", text)
        elif isinstance(one, ast.Assign) and issubclass(cls, enum.Enum):
            name = ast.unparse(one.targets[0])
            if not name.startswith("_"):
                yield Member(f".{name}", text or f"`{ast.unparse(one.value)}`")
        elif isinstance(one, ast.FunctionDef) and one.name in ("__init__", "_build"):
            for m, line in enumerate(one.body[:-1]):
                target = line.targets[0] if isinstance(line, ast.Assign) else None
                target = line.target if isinstance(line, ast.AnnAssign) else target
                text = _string(one.body[m + 1])
                found = target.elts if isinstance(target, ast.Tuple) else [target]
                public = [
                    a.attr for a in found if isinstance(a, ast.Attribute) and a.attr[0] != "_"
                ]
                if public and text:
                    yield Member(", ".join(f".{attr}" for attr in public), text)


def _methods(tree: ast.ClassDef) -> Iterator[Member]:
    seen = set()
    for one in tree.body:
        if not isinstance(one, ast.FunctionDef) or one.name.startswith("_"):
            continue
        marks = {ast.unparse(mark) for mark in one.decorator_list}
        text = _first(ast.get_docstring(one) or "")
        if marks & {"overload"} or one.name in seen or any(m.endswith(".setter") for m in marks):
            continue
        seen.add(one.name)
        if marks & {"property", "functools.cached_property", "cached_property"}:
            hint = "" if one.returns is None else f": {ast.unparse(one.returns)}"
            yield Member(f".{one.name}{hint}", text)
        else:
            yield Member(f".{one.name}{_signature(one, bound='staticmethod' not in marks)}", text)


def _called(member: Member) -> str:
    return re.split(r"\W", member.words[1:])[0]


def _plain_parts() -> Iterator[Member]:
    """What a kernel has that is no part: of its machine."""
    yield Member(".machine", "The Machine that it was booted from, with its fields.")
    yield Member(".arch.name", "ppc64, x86_64, arm64 or riscv64.")
    yield Member(".page_size", "Bytes of a page.")
    yield Member(".release", "What uname says.")
    yield Member(".cmdline", "Its command line.")


def _parts() -> Iterator[Member]:
    """What is used of the parts of a kernel, as the class says it that has it first."""
    kernel = Kernel.boot(load("pseries-16g"))
    for part, wanted in OF_PARTS.items():
        found: dict[str, Member] = {}
        for cls in type(getattr(kernel, part)).__mro__[:-1]:
            tree = _tree(cls)
            members = [*_fields(tree, cls), *_methods(tree)]
            found |= {_called(member): member for member in members if member.text}
        for name in wanted:
            yield Member(f".{part}{found[name].words}", found[name].text)


def _text_below(module: str, name: str) -> str:
    """The text below a value, in the file that makes it."""
    home, own = _home(module, name)
    body = ast.parse(inspect.getsource(import_module(home))).body
    for one, after in pairwise(body):
        targets = one.targets if isinstance(one, ast.Assign) else [getattr(one, "target", None)]
        if any(isinstance(t, ast.Name) and t.id == own for t in targets):
            return _string(after)
    return ""


def _home(module: str, name: str) -> tuple[str, str]:
    """The module that makes a name of a face, and the name there."""
    for one in ast.walk(ast.parse(inspect.getsource(sys.modules[module]))):
        if isinstance(one, ast.ImportFrom) and one.module:
            for alias in one.names:
                if (alias.asname or alias.name) == name:
                    return one.module, alias.name
    return module, name


def _string(one: ast.stmt) -> str:
    if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant):
        return one_line(str(one.value.value)) if isinstance(one.value.value, str) else ""
    return ""


def _first(doc: str) -> str:
    return one_line(inspect.cleandoc(doc).split("\n\n")[0])


LEAD = (
    "Names on this page stay; those of other modules may move. Everything is typed (`py.typed`). `help(kdumpfs.module)` and "
    "its like say the same at a prompt."
)


def api_page() -> str:
    """docs/api.md."""
    parts = [GENERATED, f"# Python API\n\n{LEAD}\n\n"]
    parts += [
        f"- [`{module}`](#{module.replace('.', '')}): {text}\n" for module, text in MODULES.items()
    ]
    told: dict[int, str] = {}
    for module in MODULES:
        parts.append(f"\n## {module}\n\n{module_doc(module).rstrip()}\n")
        for one in names(module):
            parts.append(f"\n### {escaped(one.name)}\n\n")
            value = id(getattr(import_module(module), one.name))
            if value in told:
                parts.append(f"The same as [{told[value]}'s](#{one.name.lower()}).\n")
                continue
            told[value] = module
            if one.words:
                parts.append(f"`{one.words}`\n\n")
            parts.append("".join(_markdown_doc(one.doc)).rstrip() + "\n")
            if one.members:
                rows = [[f"`{m.words}`", escaped(m.text)] for m in one.members]
                parts += ["\n", *table(["member", "what"], rows)]
    return "".join(parts)


def module_doc(module: str) -> str:
    """The docstring of a face; its indented examples as blocks."""
    return "".join(_markdown_doc(inspect.getdoc(import_module(module)) or ""))


DOCTEST = "<!-- not run: doctest runs it where it stands, in tests/printer/test_face.py -->\n"


def split_doc(doc: str) -> list[tuple[str, str]]:
    """A docstring in pieces: text, code, doctest, or table; what is indented is code."""
    pieces: list[tuple[str, str]] = []
    for paragraph in re.split(r"\n\s*\n", doc):
        if re.match(r" {4}", paragraph):
            text = textwrap.dedent(paragraph).rstrip()
            if pieces and pieces[-1][0] == "code":
                gap = "\n\n\n" if text.startswith(("@", "def ", "class ")) else "\n\n"
                text = f"{pieces.pop()[1]}{gap}{text}"
            pieces.append(("code", text))
        elif paragraph.startswith(">>> "):
            pieces.append(("doctest", paragraph))
        elif paragraph.startswith("|"):
            pieces.append(("table", paragraph))
        elif paragraph:
            pieces.append(("text", one_line(paragraph)))
    return pieces


def _markdown_doc(doc: str) -> Iterator[str]:
    """A docstring: paragraphs, tables as they are, examples as blocks."""
    for kind, text in split_doc(doc):
        if kind == "code":
            part = "kdump_machine" in text or "/proc/vmcore" in text
            mark = "<!-- not run: a fixture, a capture kernel are elsewhere -->\n" if part else ""
            yield f"{mark}```python\n{text}\n```\n\n"
        elif kind == "doctest":
            yield f"{DOCTEST}```pycon\n{text}\n```\n\n"
        else:
            yield f"{text if kind == 'table' else escaped(text)}\n\n"
