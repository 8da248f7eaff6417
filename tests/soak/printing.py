"""One input for `elfcorehdr`: read in every way, printed in every form, judged, drawn, compared with the one before.

Anything raised but ElfFormatError and ProfileError is wrong, and so are a message of more than one line, and
a header that does not survive text -> header -> text. scripts/fuzz_elfcorehdr finds inputs by coverage.
"""

from __future__ import annotations

import os

from elfcorehdr.errors import ElfFormatError, ProfileError
from printer.forms import kernel_text
from printer.forms.as_sarif import sarif
from printer.forms.check_views import check_pieces
from printer.forms.diff_views import diff_pieces
from printer.forms.print_views import Shape, print_pieces
from printer.inputs import scan
from printer.inputs.kernel_text_parser import parse
from printer.inputs.source import Core, read
from printer.judge.checks import check
from printer.judge.diff import compare
from printer.judge.machines import read_machine
from printer.judge.surroundings import Surroundings, count_cpus, read_iomem
from printer.layout.notes import notes_of
from printer.layout.roles import Layout
from printer.pictures import blocks
from printer.pictures import text as drawing

LAZY = (scan,)  # imported above so that they are instrumented there
FD = os.memfd_create("input")
NAME = f"/proc/self/fd/{FD}"
previous: list[Core] = []


def one_sentence(error: Exception) -> None:
    """What a person sees must be one line."""
    text = str(error)
    if not text or "\n" in text or len(text) > 4096:
        raise AssertionError(f"not one sentence: {text!r}")


def consume(core: Core, machine: Surroundings | None) -> None:
    """Everything that can be done with a header."""
    layout = Layout(core)
    text = b"".join(kernel_text.render_rows(core.phdrs, range(core.phnum))).decode("ascii")
    again = parse(text)
    if kernel_text.render(again.pack()) != text:
        raise AssertionError("text -> header -> text is not the identity")
    for fmt in ("json", "table", "csv", "latex", "raw", "pairs"):
        "".join(print_pieces([(layout, None)], Shape(fmt=fmt)))
    found = check(core, machine)
    for fmt in ("text", "json"):
        "".join(check_pieces([(layout, found)], fmt))
    sarif([(layout, found)])
    layouts = [layout, *map(Layout, previous)]
    picture = blocks.picture(layouts, machine)
    list(drawing.draw(picture, 80, colour=False, unicode=True))
    for other in previous:
        "".join(diff_pieces(compare(core, other), "text"))
        "".join(diff_pieces(compare(other, core), "json"))
    previous[:] = [core]
    if core.note_data is not None and notes_of(core):
        "".join(print_pieces([(layout, None)], Shape(fmt="json", notes=True)))
        "".join(print_pieces([(layout, None)], Shape(notes=True)))


def machine_of(data: bytes) -> Surroundings | None:
    """A machine, if the input describes one."""
    found = None
    for reader in (read_iomem, read_machine):
        try:
            found = reader(NAME)
        except ProfileError as error:
            one_sentence(error)
    try:
        count_cpus("--possible", data[:40].decode("ascii", "replace"))
    except ProfileError as error:
        one_sentence(error)
    return found


machines: list[Surroundings] = []


def one_input(data: bytes) -> None:
    """All of it; what is wrong is raised."""
    os.ftruncate(FD, 0)
    os.pwrite(FD, data, 0)
    if machine := machine_of(data):
        machines[:] = [machine]
    for search in (False, True):
        try:
            core = read(NAME, scan=search, notes=True)
            consume(core, machines[0] if machines else None)
        except (ElfFormatError, ProfileError) as error:
            one_sentence(error)
    try:
        kernel_text.render(data)
    except ElfFormatError as error:
        one_sentence(error)
