"""Bytes to text: reads, shows, compares and checks ELF core headers of crashed kernels.

    from printer import read, compare, check
    core = read("/proc/vmcore", notes=True)

Everything named here is imported when it is used. Imports elfcorehdr.elf, .ranges and .errors alone.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .as_json import document as document
    from .checks import check as check
    from .diff import Change as Change
    from .diff import Diff as Diff
    from .diff import compare as compare
    from .kernel_text import parse as parse
    from .kernel_text import render as render
    from .memmap import draw as draw
    from .memmap import picture as picture
    from .notes import Note as Note
    from .notes import notes_of as notes_of
    from .plot import save as save
    from .roles import Layout as Layout
    from .roles import Role as Role
    from .rules import Finding as Finding
    from .rules import Level as Level
    from .source import Core as Core
    from .source import Form as Form
    from .source import from_bytes as from_bytes
    from .source import from_header as from_header
    from .source import read as read
    from .surroundings import Surroundings as Surroundings
    from .surroundings import read_iomem as read_iomem
    from .surroundings import read_machine as read_machine

__version__ = "0.1.0"

_HOME = {
    "document": "as_json",
    "parse": "kernel_text",
    "render": "kernel_text",
    "check": "checks",
    "Change": "diff",
    "Diff": "diff",
    "compare": "diff",
    "Finding": "rules",
    "Level": "rules",
    "Surroundings": "surroundings",
    "read_iomem": "surroundings",
    "read_machine": "surroundings",
    "draw": "memmap",
    "picture": "memmap",
    "save": "plot",
    "Note": "notes",
    "notes_of": "notes",
    "Layout": "roles",
    "Role": "roles",
    "Core": "source",
    "Form": "source",
    "from_bytes": "source",
    "from_header": "source",
    "read": "source",
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
