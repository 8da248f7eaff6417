"""One class per architecture, and the table ARCHES."""

from __future__ import annotations

from elfcorehdr.errors import ProfileError

from .arm64 import Arm64
from .base import Arch
from .ppc64 import Ppc64
from .riscv64 import Riscv64
from .x86_64 import X8664

ARCHES: dict[str, Arch] = {arch.name: arch for arch in (Ppc64(), X8664(), Arm64(), Riscv64())}


def arch_of(name: str) -> Arch:
    """The architecture of that name; ProfileError lists those there are."""
    if name == "s390x":
        raise ProfileError(
            "arch 's390x': its capture kernel makes its own header, so there is none to show"
        )
    if name not in ARCHES:
        raise ProfileError(f"arch {name!r}: expected one of {', '.join(sorted(ARCHES))}")
    return ARCHES[name]


__all__ = ["ARCHES", "Arch", "arch_of"]
