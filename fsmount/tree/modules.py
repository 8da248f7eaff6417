"""A user's own attributes: `--module FILE.py`, a file of declarations as fsmount/sysfs/ has them.

Every AttributeGroup, Link and Subtree that the file makes at its top level is taken, in order.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from elfcorehdr.errors import ProfileError
from fsmount.tree.entries import compiled
from fsmount.tree.kobject import AttributeGroup, Declaration, Link, Subtree


def load_module(path: str, known: Sequence[Declaration]) -> list[Declaration]:
    """The declarations of a user's file, to be added to the known ones.

    ProfileError, one sentence, if the file cannot be read or imported, declares nothing, has a
    method of the wrong name or signature, or redefines a file of the tree.
    """
    declared = _declarations(path, _imported(path))
    taken = {id(declaration) for declaration in known}
    new = [declaration for declaration in declared if id(declaration) not in taken]
    if not new:
        raise ProfileError(
            f"{path}: declares nothing; expected an AttributeGroup, Link or Subtree at its top level"
        )
    try:
        compiled([*known, *new])
    except ValueError as error:
        raise ProfileError(f"{path}: {error}; expected a name that is free") from None
    return new


def _imported(path: str) -> dict[str, object]:
    name = f"kdumpfs_module_{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ProfileError(f"{path}: is not a Python file; expected FILE.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    litter, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # his directory is not ours
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise ProfileError(f"{path}: line {error.lineno}: {error.msg}; expected Python") from None
    except (
        Exception,
        SystemExit,
    ) as error:  # whatever a stranger's file does wrong is his input, not our bug
        raise ProfileError(f"{path}: {_where(error, path)}{_what(error)}") from None
    finally:
        sys.dont_write_bytecode = litter
        del sys.modules[name]
    return vars(module)


def _where(error: BaseException, path: str) -> str:
    """The last line of the user's file on the way to the error."""
    line, at = 0, error.__traceback__
    while at is not None:
        if at.tb_frame.f_code.co_filename == path:
            line = at.tb_lineno
        at = at.tb_next
    return f"line {line}: " if line else ""


def _what(error: BaseException) -> str:
    if isinstance(error, ValueError):
        return str(error)
    if isinstance(error, FileNotFoundError):
        return "no such file"
    return f"cannot be imported: {type(error).__name__}: {error}"


def _declarations(path: str, names: dict[str, object]) -> list[Declaration]:
    found: list[Declaration] = []
    for value in names.values():
        values = value if isinstance(value, list | tuple) else [value]
        found += (
            one
            for one in values
            if isinstance(one, AttributeGroup | Link | Subtree) and one not in found
        )
    return found
