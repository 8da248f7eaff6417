"""An ELF core header as a value to compare: what is different is told row by row."""

from __future__ import annotations

from functools import cached_property

from elfcorehdr.elf import Phdr
from kdumpfs.header import ProgramHeaders


class Header:
    """The bytes of an elfcorehdr. Two are equal if their bytes are; rows are phdrs."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        """The bytes."""

    @cached_property
    def phdrs(self) -> list[Phdr]:
        """Its program headers."""
        return list(ProgramHeaders(self.data))

    @property
    def text(self) -> str:
        """As crash_elfcorehdr_print shows it."""
        from printer.forms.kernel_text import render

        return render(self.data)

    def differences(self, other: Header) -> list[str]:
        """What is different in `other`, as `elfcorehdr diff` tells it: a sentence, then the rows; [] if nothing."""
        from printer.forms.diff_views import diff_pieces
        from printer.inputs.source import from_bytes
        from printer.judge.diff import compare

        found = compare(from_bytes(self.data, "left"), from_bytes(other.data, "right"))
        if found:
            return "".join(diff_pieces(found, "text")).splitlines()
        return [] if self == other else ["bytes differ, program headers do not"]

    def findings(self) -> list[str]:
        """What `elfcorehdr check` says is wrong with it, a line each."""
        from printer.inputs.source import from_bytes
        from printer.judge.checks import check

        return [f"{one.level.word}: {one.message}" for one in check(from_bytes(self.data))]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Header) and self.data == other.data

    def __hash__(self) -> int:
        return hash(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return f"<Header: {len(self.phdrs)} program headers, {len(self.data)} bytes>"
