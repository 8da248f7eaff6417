"""What differs between architectures, laid out as Linux's arch/: one class each, and the table ARCHES.

base.py has the defaults; platform.py what firmware does, which Arch.platforms lists for each architecture.
May import all of elfcorehdr/ but init/. Start with base.py, then <architecture>/kernel/setup.py.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from elfcorehdr.errors import ProfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.arch.base import Arch
    from elfcorehdr.arch.crash_dump import ArchDump
    from elfcorehdr.arch.platform import Platform
    from elfcorehdr.machine import Machine

ARCHES = {
    "ppc64": ("powerpc.kernel.setup", "Ppc64"),
    "x86_64": ("x86.kernel.setup", "X8664"),
    "arm64": ("arm64.kernel.setup", "Arm64"),
    "riscv64": ("riscv.kernel.setup", "Riscv64"),
}
"""Where the class of each architecture is; imported when a machine has it."""

DUMPS = {
    "ppc64": ("powerpc.kernel.crash_dump", "PpcDump"),
    "x86_64": ("x86.kernel.crash_dump_64", "X86Dump"),
    "arm64": ("arm64.kernel.crash_dump", "Arm64Dump"),
    "riscv64": ("riscv.kernel.crash_dump", "RiscvDump"),
}
"""Where the class is that knows how each architecture crashes; imported when a machine does."""


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


@cache
def dump_of(name: str) -> ArchDump:
    """How an architecture crashes."""
    module, class_name = DUMPS[name]
    made: ArchDump = getattr(import_module(f".{module}", __name__), class_name)()
    return made


def platform_of(arch: Arch, name: str) -> type[Platform]:
    """The platform of that name (empty: the architecture's first); ProfileError lists those there are."""
    platforms = arch.platforms
    if name and name not in platforms:
        known = ", ".join(sorted(platforms))
        raise ProfileError(f"platform {name!r}: expected one of {known} for arch {arch.name!r}")
    module, class_name = platforms[name or next(iter(platforms))]
    found: type[Platform] = getattr(import_module(f".{module}", __name__), class_name)
    return found


def check_cpuinfo(arch: Arch, machine: Machine) -> None:
    """ProfileError if the machine says a row that the architecture's /proc/cpuinfo has not."""
    rows = arch.cpuinfo_rows()
    for key in machine.cpuinfo:
        if key not in rows:
            raise ProfileError(
                f"machine {machine.name}: cpuinfo.{key!r}: no such row on {arch.name}, "
                f"expected one of {', '.join(sorted(rows))}"
            )
