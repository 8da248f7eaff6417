"""What the page draws of one machine, out of its files: the picture, the header's rows, what is wrong with it."""

from __future__ import annotations

import json
from typing import Any

from kdumpfs.web.files import Files
from printer.forms.kernel_text import RULE, render_rows
from printer.inputs.source import from_bytes
from printer.judge.checks import check
from printer.judge.diff import compare
from printer.layout.roles import Layout

MOST_ROWS = 400
"""Rows of a header that the page gets at once; of a longer one the page asks for those it shows."""
FIRST_ROWS = 40
"""How many of them are the first ones; the others are the last, where the memory is."""


def state(files: Files) -> dict[str, Any]:
    """The machine as it is now; addresses in bytes, the ends excluded."""
    told: dict[str, Any] = json.loads(files.read("/control/picture"))
    header = files.read_bytes("/control/elfcorehdr")
    told["header"] = rows_of(header) if header else None
    told["modules"] = files.read("/control/modules").splitlines()
    told["vmcore"] = json.loads(files.read("/control/vmcore")) if told["captured"] else None
    return told


def rows_of(header: bytes, first: int = 0) -> dict[str, Any]:
    """MOST_ROWS rows of a header: as the kernel prints them, and what they are for; findings of the whole."""
    core = from_bytes(header)
    layout = Layout(core)
    phdrs = core.phdrs
    wanted = [*range(first, min(first + MOST_ROWS, len(phdrs)))]
    if not first and len(phdrs) > MOST_ROWS:
        wanted = [*range(FIRST_ROWS), *range(len(phdrs) - MOST_ROWS + FIRST_ROWS, len(phdrs))]
    text = b"".join(render_rows(phdrs, wanted)).decode("ascii")
    head, _, lines = text.partition(RULE)
    rows = [
        {
            "n": n,
            "line": line,
            "role": layout.roles[n].name,
            "what": layout.what(n),
            "offset": phdrs[n].p_offset,
            "start": phdrs[n].p_paddr,
            "size": phdrs[n].p_memsz,
            "type": phdrs[n].p_type,
        }
        for n, line in zip(wanted, lines.splitlines(), strict=True)
    ]
    findings = [
        {"level": one.level.word, "row": one.row, "text": one.message, "rule": one.rule.id}
        for one in check(core)
    ]
    return {"total": len(phdrs), "head": head + RULE, "rows": rows, "findings": findings}


def difference(before: bytes, after: bytes) -> str:
    """What `elfcorehdr diff` says in a sentence; of a header that came or went, that."""
    if before == after:
        return ""
    if not before or not after:
        return "the header is there" if after else "the header is gone"
    return compare(from_bytes(before), from_bytes(after)).sentence()
