"""Machines as TOML, shipped as package data; shipped.py, made of them by scripts/machines, spares a start the reading."""

from __future__ import annotations

from elfcorehdr.errors import ProfileError
from elfcorehdr.lib.package_data import package_data
from elfcorehdr.machine import LONGEST, Machine

DEFAULT = "pseries-16g"
"""The seed's LPAR."""


def names() -> list[str]:
    """The machines that are shipped, by name, ascending."""
    from importlib.resources import files

    found = (file.name for file in files(__name__).iterdir())
    return sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml"))


def text(name: str) -> str:
    """The TOML of a shipped machine; ProfileError for another name."""
    return _shipped(name).decode()


def fingerprint(content: bytes) -> int:
    """A number that an edit changes, without importing what hashes."""
    return int.from_bytes(content, "little") % ((1 << 61) - 1)


def load(name_or_path: str) -> Machine:
    """A shipped machine by name, or one described in a file; ProfileError says what is wrong."""
    if "/" in name_or_path or name_or_path.endswith(".toml"):
        try:
            content, file = _read(name_or_path), name_or_path
        except OSError as error:
            raise ProfileError(f"{name_or_path}: {error.strerror}") from None
    else:
        content, file = _shipped(name_or_path), f"{name_or_path}.toml"
        from elfcorehdr.profiles.shipped import MACHINES

        mark, make = MACHINES.get(name_or_path, (-1, None))
        if make is not None and mark == fingerprint(content):
            return make()
    from elfcorehdr.machine.reader import from_toml

    try:
        toml = content.decode()
    except UnicodeDecodeError:
        raise ProfileError(f"{file}: not UTF-8 text, expected TOML") from None
    return from_toml(toml, file)


def _shipped(name: str) -> bytes:
    if "/" not in name:
        try:
            return package_data(__name__, f"{name}.toml")
        except OSError:
            pass
    import difflib

    near = difflib.get_close_matches(name, names(), n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise ProfileError(
        f"machine {name!r}: neither shipped{hint} nor a file; `kdumpfs machines` lists those shipped"
    )


def _read(file: str) -> bytes:
    with open(file, "rb") as opened:
        return opened.read(LONGEST + 1)  # of what never ends, such as /dev/zero
