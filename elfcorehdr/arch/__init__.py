"""One class per architecture, and the table ARCHES."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from elfcorehdr.errors import ProfileError

if TYPE_CHECKING:
    from elfcorehdr.arch.base import Arch

ARCHES = {
    "ppc64": ("powerpc.kexec.crash", "Ppc64"),
    "x86_64": ("x86.kernel.setup", "X8664"),
    "arm64": ("arm64.kernel.setup", "Arm64"),
    "riscv64": ("riscv.kernel.setup", "Riscv64"),
}
"""Where the class of each architecture is; imported when a machine has it."""


@cache
def arch_of(name: str) -> Arch:
    """The architecture of that name; ProfileError lists those there are."""
    if name == "s390x":
        raise ProfileError(
            "arch 's390x': its capture kernel makes its own header, so there is none to show"
        )
    if name not in ARCHES:
        raise ProfileError(f"arch {name!r}: expected one of {', '.join(sorted(ARCHES))}")
    module, class_name = ARCHES[name]
    arch: Arch = getattr(import_module(f".{module}", __name__), class_name)()
    return arch
