"""The words of a program header's type and flags, for every room of the printer. Imports nothing."""

from __future__ import annotations

PT_NAMES = {
    0: "PT_NULL",
    1: "PT_LOAD",
    2: "PT_DYNAMIC",
    3: "PT_INTERP",
    4: "PT_NOTE",
    5: "PT_SHLIB",
    6: "PT_PHDR",
    7: "PT_TLS",
    0x6474E550: "PT_GNU_EH_FRAME",
    0x6474E551: "PT_GNU_STACK",
    0x6474E552: "PT_GNU_RELRO",
}
"""p_type as include/uapi/linux/elf.h names it; any other prints as hex."""


def type_name(p_type: int) -> str:
    """PT_LOAD, PT_NOTE, ... as printed in the Type column; hex for a type without a name."""
    return PT_NAMES.get(p_type) or f"{p_type:#x}"


def flags_text(p_flags: int) -> str:
    """The three letters R, W, X in that order, `-` for a clear bit; other bits do not show."""
    return (
        ("R" if p_flags & 4 else "-")
        + ("W" if p_flags & 2 else "-")
        + ("X" if p_flags & 1 else "-")
    )
