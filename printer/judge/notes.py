"""Whether the notes are those that a kernel of the architecture and a machine of so many CPUs has."""

from __future__ import annotations

from collections.abc import Iterator

from elfcorehdr.elf import PT_NOTE
from elfcorehdr.errors import ElfFormatError
from printer.inputs.source import Form
from printer.judge.rules import Finding, found
from printer.judge.surroundings import Surroundings
from printer.layout.notes import notes_of, of_a_hypervisor
from printer.layout.roles import Layout, Role
from printer.layout.sizes import range_text

MAX_NOTE_BYTES = 1024
"""What kexec-tools writes where the kernel has no crash_notes_size, before v3.9 (kexec/crashdump.h)."""


def check_notes(layout: Layout, machine: Surroundings) -> Iterator[Finding]:
    """Findings about PT_NOTEs: of an elfcorehdr where they lie, of a core what they hold."""
    if layout.core.form is Form.ELFCOREHDR:
        yield from _of_elfcorehdr(layout, machine)
    else:
        yield from _of_core(layout, machine)


def _of_elfcorehdr(layout: Layout, machine: Surroundings) -> Iterator[Finding]:
    phdrs = layout.core.phdrs
    known: dict[int, int] = {}
    loaded = layout.memory
    for row in phdrs.rows_of(PT_NOTE):
        at, size = phdrs.p_paddr[row], phdrs.p_memsz[row]
        if at in known:
            yield found("note-repeated", f"{at:#x} is also that of row {known[at]:#x}", row)
        known.setdefault(at, row)
        if loaded and not loaded.covers(at, at + max(size, 1)):
            yield found("note-not-loaded", f"{range_text(at, size)} in no load", row)
        if row in layout.cpus:
            yield from _size(layout, row, size)
    yield from _count(len(layout.cpus), machine, present_suffice=False)
    if Role.VMCOREINFO not in layout.roles:
        yield found("vmcoreinfo-missing", "no PT_NOTE beside those of CPUs")


def _size(layout: Layout, row: int, size: int) -> Iterator[Finding]:
    expected = layout.arch.note_size if layout.arch else size
    if size not in (expected, MAX_NOTE_BYTES):
        name = layout.arch.name if layout.arch else ""
        yield found("note-size", f"size {size:#x}, expected {expected:#x} on {name}", row)


def _count(cpus: int, machine: Surroundings, *, present_suffice: bool) -> Iterator[Finding]:
    if machine.possible is None:
        return
    if cpus < machine.possible and not present_suffice:
        text = f"{cpus} CPU notes for {machine.possible} possible CPUs"
        yield found("cpu-notes-missing", text)
    if cpus > machine.possible:
        text = f"{cpus} CPU notes for {machine.possible} possible CPUs"
        yield found("cpu-notes-too-many", text)


def _of_core(layout: Layout, machine: Surroundings) -> Iterator[Finding]:
    core = layout.core
    rows = core.phdrs.rows_of(PT_NOTE)
    if core.live or of_a_hypervisor(core):
        return
    if not rows:
        yield found("vmcoreinfo-missing", "no row is a PT_NOTE")
    elif core.note_data is not None and None not in core.note_data:
        try:
            notes = notes_of(core)
        except ElfFormatError as error:
            yield found("note-damaged", str(error).removeprefix(f"{core.name}: "))
            return
        if not any(note.name.startswith("VMCOREINFO") for note in notes):
            yield found("vmcoreinfo-missing", "no note of that name", rows[0])
        registers = sum(note.cpu is not None for note in notes)
        yield from _count(registers, machine, present_suffice=True)
