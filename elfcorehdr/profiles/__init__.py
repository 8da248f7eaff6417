"""Machines as TOML, shipped as package data."""

from __future__ import annotations

from elfcorehdr.errors import ProfileError
from elfcorehdr.machine import Machine
from elfcorehdr.machine.reader import LONGEST, from_toml

_HERE = __file__.rpartition("/")[0]  # importlib.resources imports tempfile, random and hashlib

DEFAULT = "pseries-16g"
"""The seed's LPAR."""


def names() -> list[str]:
    """The machines that are shipped, by name, ascending."""
    from pathlib import Path

    return sorted(file.stem for file in Path(_HERE).glob("*.toml"))


def text(name: str) -> str:
    """The TOML of a shipped machine; ProfileError for another name."""
    if "/" not in name:
        try:
            return _read(f"{_HERE}/{name}.toml")
        except OSError:
            pass
    import difflib

    near = difflib.get_close_matches(name, names(), n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise ProfileError(
        f"machine {name!r}: neither shipped{hint} nor a file; `kdumpfs machines` lists those shipped"
    )


def _read(file: str) -> str:
    with open(file, "rb") as opened:
        content = opened.read(LONGEST + 1)  # of what never ends, such as /dev/zero
    return content.decode()


def load(name_or_path: str) -> Machine:
    """A shipped machine by name, or one described in a file; ProfileError says what is wrong."""
    if "/" in name_or_path or name_or_path.endswith(".toml"):
        try:
            content = _read(name_or_path)
        except OSError as error:
            raise ProfileError(f"{name_or_path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ProfileError(f"{name_or_path}: not UTF-8 text, expected TOML") from None
        return from_toml(content, name_or_path)
    return from_toml(text(name_or_path), f"{name_or_path}.toml")
