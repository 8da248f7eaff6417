"""A C file that is being made: what its parts leave for its beginning and its end."""

from __future__ import annotations

import re
from typing import Any

from fsmount.tree.kobject import Attribute, AttributeGroup
from fsmount.tree.modules import Module

BIN_CONST = (6, 17)
"""The release from which bin_attribute methods take a const attribute."""


class Unit:
    """The file of one module; existing are the directories of /sys that the kernel has."""

    def __init__(self, module: Module, existing: frozenset[str], release: tuple[int, int]) -> None:
        self._module = module
        self._existing = existing
        self._const = "const " if release >= BIN_CONST else ""
        self._name = identifier(module.file.rpartition("/")[2].removesuffix(".py"))
        self._init: list[str] = []
        self._exit: list[str] = []
        self._variables: list[str] = []
        self._c_names: dict[tuple[int, str], str] = {}

    def _c_name(self, group: AttributeGroup[Any], attr: Attribute[Any]) -> str:
        """The C name of a file's functions: its own, unless another file has that already."""
        key = id(group), attr.name
        if key not in self._c_names:
            name = identifier(attr.name)
            while name in self._c_names.values():
                name = f"{identifier(group.path.rpartition('/')[2])}_{name}"
            self._c_names[key] = name
        return self._c_names[key]


def identifier(name: str) -> str:
    """A C identifier for any name."""
    made = re.sub(r"\W", "_", name.replace("*", ""), flags=re.ASCII).strip("_") or "root"
    return f"_{made}" if made[0].isdigit() else made


def octal(mode: int) -> str:
    """A mode as C writes it."""
    return f"{mode:04o}"
