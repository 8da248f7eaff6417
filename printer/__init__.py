"""Bytes to text: reads, shows, compares and checks ELF core headers of crashed kernels.

    from printer import check, read, read_iomem

    for finding in check(read("/proc/vmcore"), read_iomem("/proc/iomem")):
        print(finding.level.word, finding.row, finding.message)

Everything named here is imported when it is used. Imports elfcorehdr.elf, .ranges and .errors alone.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from printer.forms.as_json import document as document
    from printer.forms.kernel_text import render as render
    from printer.inputs.kernel_text_parser import parse as parse
    from printer.inputs.source import Core as Core
    from printer.inputs.source import Form as Form
    from printer.inputs.source import from_bytes as from_bytes
    from printer.inputs.source import from_header as from_header
    from printer.inputs.source import read as read
    from printer.judge.checks import check as check
    from printer.judge.diff import Change as Change
    from printer.judge.diff import Diff as Diff
    from printer.judge.diff import compare as compare
    from printer.judge.machines import read_machine as read_machine
    from printer.judge.rules import Finding as Finding
    from printer.judge.rules import Level as Level
    from printer.judge.surroundings import Surroundings as Surroundings
    from printer.judge.surroundings import read_iomem as read_iomem
    from printer.layout.notes import Note as Note
    from printer.layout.notes import notes_of as notes_of
    from printer.layout.roles import Layout as Layout
    from printer.layout.roles import Role as Role
    from printer.pictures.blocks import picture as picture
    from printer.pictures.plot import save as save
    from printer.pictures.text import draw as draw
    from printer.version import __version__ as __version__


_HOME = {
    "__version__": "version",
    "document": "forms.as_json",
    "parse": "inputs.kernel_text_parser",
    "render": "forms.kernel_text",
    "check": "judge.checks",
    "Change": "judge.diff",
    "Diff": "judge.diff",
    "compare": "judge.diff",
    "Finding": "judge.rules",
    "Level": "judge.rules",
    "Surroundings": "judge.surroundings",
    "read_iomem": "judge.surroundings",
    "read_machine": "judge.machines",
    "draw": "pictures.text",
    "picture": "pictures.blocks",
    "save": "pictures.plot",
    "Note": "layout.notes",
    "notes_of": "layout.notes",
    "Layout": "layout.roles",
    "Role": "layout.roles",
    "Core": "inputs.source",
    "Form": "inputs.source",
    "from_bytes": "inputs.source",
    "from_header": "inputs.source",
    "read": "inputs.source",
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
