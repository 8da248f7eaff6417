"""One class per architecture, and the table ARCHES."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from elfcorehdr.errors import ProfileError

if TYPE_CHECKING:
    from .base import Arch

ARCHES = {
    "ppc64": "Ppc64",
    "x86_64": "X8664",
    "arm64": "Arm64",
    "riscv64": "Riscv64",
}
"""The module of each architecture, named as it is, and its class; imported when a machine has it."""


@cache
def arch_of(name: str) -> Arch:
    """The architecture of that name; ProfileError lists those there are."""
    if name == "s390x":
        raise ProfileError(
            "arch 's390x': its capture kernel makes its own header, so there is none to show"
        )
    if name not in ARCHES:
        raise ProfileError(f"arch {name!r}: expected one of {', '.join(sorted(ARCHES))}")
    arch: Arch = getattr(import_module(f".{name}", __name__), ARCHES[name])()
    return arch
