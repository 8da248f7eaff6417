"""The emulated kernel: the machine, its memory and CPUs, and the ELF core header that it builds.

    from elfcorehdr import Kernel, load

    kernel = Kernel.boot(load("pseries-16g"))

Laid out as Linux is; each room says what is in it. The names below are imported when they are used.
Standard library only, asks nothing of the host; no text, no FUSE. Start with init/main.py.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.changes.change import Change as Change
    from elfcorehdr.elf import ElfCoreHdr as ElfCoreHdr
    from elfcorehdr.errors import ElfFormatError as ElfFormatError
    from elfcorehdr.errors import KernelError as KernelError
    from elfcorehdr.errors import ProfileError as ProfileError
    from elfcorehdr.init.main import Kernel as Kernel
    from elfcorehdr.machine import Machine as Machine
    from elfcorehdr.profiles import load as load

_HOME = {
    "Change": "changes",
    "ElfCoreHdr": "elf",
    "ElfFormatError": "errors",
    "KernelError": "errors",
    "ProfileError": "errors",
    "Kernel": "init.main",
    "Machine": "machine",
    "load": "profiles",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> object:
    """Import a public name from its module when it is first asked for (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
