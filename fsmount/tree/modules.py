"""A user's own attributes: `--module FILE.py`, a file of declarations as fsmount/sysfs/ has them.

Every AttributeGroup, Link and Subtree that the file makes at its top level is taken, in order; so are
its State, `init`, `exit`, and the functions that events call (hooks.py).
"""

from __future__ import annotations

import importlib.util
import linecache
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import FunctionType

from elfcorehdr.errors import ProfileError
from fsmount.tree.authors import Author, defined_at, line_in
from fsmount.tree.entries import compiled
from fsmount.tree.hooks import HOOK, LIFE, State
from fsmount.tree.journal import Journal
from fsmount.tree.kobject import AttributeGroup, Declaration, Link, Subtree, arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

METHODS = ("_show", "_store", "_open")


class Module:
    """A user's file that was imported: what it declares (guarded), its state, and what is called when."""

    def __init__(self, path: str, author: Author) -> None:
        self.path = path
        """As the user named it."""
        self.file = os.path.abspath(path)
        self.author = author
        self.names: dict[str, object] = {}
        self.declared: list[Declaration] = []
        """As the file has them."""
        self.declarations: list[Declaration] = []
        """With guards: what a tree takes."""
        self.doc = ""

    @property
    def states(self) -> dict[str, State]:
        """Its State variables, by name."""
        return {name: value for name, value in self.names.items() if isinstance(value, State)}

    def hooks(self, event: str) -> list[Callable[..., Any]]:
        """The functions that an event calls."""
        return [
            value
            for value in self.names.values()
            if isinstance(value, FunctionType) and getattr(value, HOOK, "") == event
        ]

    def life(self, name: str) -> Callable[..., Any] | None:
        """`init` or `exit`, if the file itself has it."""
        method = self.names.get(name)
        return method if isinstance(method, FunctionType) and self.defines(method) else None

    def undocumented(self) -> Iterator[str]:
        """A sentence for each method that has no docstring though its file has no other text."""
        for one in self.declared:
            for alternatives in one.attributes.values() if isinstance(one, AttributeGroup) else ():
                for attr in alternatives:
                    if not attr.doc and not attr.store_doc:
                        method = attr.show or attr.store or attr.open
                        yield (
                            f"{self.path}: {defined_at(method)}{attr.name} has no docstring; expected "
                            "what Documentation/ABI is to say of it"
                        )

    def defines(self, method: FunctionType) -> bool:
        """Whether a function's text is in the file."""
        return method.__code__.co_filename == self.path


def load_module(
    path: str,
    known: Sequence[Declaration],
    journal: Journal | None = None,
    text: str | None = None,
) -> Module:
    """A user's file (with text, what is in it), its declarations to be added to the known ones.

    ProfileError, one sentence, if the file cannot be read or imported, declares nothing, has a
    method of the wrong name or signature, or one that no group declares.
    """
    module = Module(path, Author(path, journal if journal is not None else Journal()))
    module.names = _imported(module, text)
    module.doc = str(module.names.get("__doc__") or "")
    declared = _declarations(module.names)
    taken = {id(declaration) for declaration in known}
    module.declared = [declaration for declaration in declared if id(declaration) not in taken]
    _check(module, known)
    module.declarations = [module.author.guarded(one) for one in module.declared]
    try:
        compiled([*known, *module.declarations])
    except ValueError as error:
        raise ProfileError(f"{path}: {error}; expected a name that is free") from None
    return module


def replaced(module: Module, known: Iterable[Declaration]) -> Iterator[str]:
    """The files of a module that stand in place of known ones: paths such as /sys/kernel/kexec/loaded."""
    files = {
        (_place(one), name)
        for one in known
        if isinstance(one, AttributeGroup)
        for name in one.attributes
    }
    for one in module.declared:
        if isinstance(one, AttributeGroup):
            for name in one.attributes:
                if (_place(one), name) in files:
                    yield f"/{_place(one)}/{name}"


def _place(declaration: Declaration) -> str:
    return f"{declaration.fs.value}/{declaration.path}".rstrip("/")


def _imported(module: Module, text: str | None) -> dict[str, object]:
    path = module.path
    name = f"kdumpfs_module_{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ProfileError(f"{path}: is not a Python file; expected FILE.py")
    made = importlib.util.module_from_spec(spec)
    vars(made)["print"] = module.author.print
    litter, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # his directory is not ours
    directory, before = os.path.dirname(module.file), set(sys.modules)
    sys.modules[name] = made
    sys.path.insert(0, directory)
    try:
        text = Path(path).read_text("utf-8") if text is None else text
        # As it is now: a traceback shows these lines even if the file is being edited.
        linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
        exec(compile(text, path, "exec"), vars(made))
    except SyntaxError as error:
        raise ProfileError(f"{path}: line {error.lineno}: {error.msg}; expected Python") from None
    except (
        Exception,
        SystemExit,
    ) as error:  # whatever a stranger's file does wrong is his input, not our bug
        number = line_in(path, error)
        where = f"line {number}: " if number else ""
        raise ProfileError(f"{path}: {where}{_what(error)}") from None
    finally:
        sys.dont_write_bytecode = litter
        sys.path.remove(directory)
        for one in set(sys.modules) - before:  # so that a reload reads his other files anew, too
            file = getattr(sys.modules[one], "__file__", None) or ""
            if one == name or os.path.dirname(file) == directory:
                vars(sys.modules[one]).setdefault("print", module.author.print)
                del sys.modules[one]
    return vars(made)


def _what(error: BaseException) -> str:
    if isinstance(error, ValueError) and not isinstance(error, UnicodeError):
        return str(error)
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, UnicodeError):
        return "is not UTF-8 text; expected Python"
    return f"cannot be imported: {type(error).__name__}: {error}"


def _declarations(names: dict[str, object]) -> list[Declaration]:
    found: list[Declaration] = []
    for value in names.values():
        values = value if isinstance(value, list | tuple) else [value]
        found += (
            one
            for one in values
            if isinstance(one, AttributeGroup | Link | Subtree) and one not in found
        )
    return found


def _wrong_set(declaration: Declaration, known: Iterable[Declaration]) -> str:
    """What is wrong with the set of a path whose objects are there already; empty if nothing."""
    chain, path = declaration.kset.chain(), declaration.path.split("/")
    ends = [n for n, part in enumerate(path, 1) if "*" in part]
    for one in known:
        other = one.path.split("/")
        there = [n for n, part in enumerate(other, 1) if "*" in part]
        for n, (end, its_end) in enumerate(zip(ends, there, strict=False)):
            same = one.fs is declaration.fs and end == its_end and path[:end] == other[:end]
            whole = not isinstance(one, Link) or end < len(other)
            if same and whole and one.kset.chain()[n] is not chain[n]:
                return (
                    f"{'/'.join(path[:end])}: the objects of another set are there, expected that set "
                    "(memory_blocks, cpus, nodes)"
                )
    return ""


def _check(module: Module, known: Sequence[Declaration]) -> None:
    """ProfileError for what the author forgot."""
    functions = [
        (name, value)
        for name, value in module.names.items()
        if isinstance(value, FunctionType) and module.defines(value)
    ]
    used = {
        id(method)
        for one in module.declared
        if isinstance(one, AttributeGroup)
        for alternatives in one.attributes.values()
        for attr in alternatives
        for method in (attr.show, attr.store, attr.open)
    }
    for name, function in functions:
        where = f"{module.path}: {defined_at(function)}{name}"
        kind = next((kind for kind in METHODS if name.endswith(kind)), "")
        if kind and not name.startswith("_") and id(function) not in used:
            raise ProfileError(
                f"{where} is declared by no group; expected `@GROUP.{kind[1:]}` above it, or a "
                "name that begins with _ if it is a helper"
            )
        if name in LIFE and arguments(function) != 1:
            raise ProfileError(
                f"{where} takes {arguments(function)} argument(s), expected {name}(kernel)"
            )
    for declaration in module.declared:
        wrong = _wrong_set(declaration, known)
        if wrong:
            raise ProfileError(f"{module.path}: {wrong}")
    if not module.declared and not any(getattr(f, HOOK, "") for _, f in functions):
        raise ProfileError(
            f"{module.path}: declares nothing; expected an AttributeGroup, Link or Subtree at its top level"
        )
