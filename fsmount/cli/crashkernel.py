"""What a crashkernel= string reserves on a machine and kernel: a row for `kdumpfs crashkernel`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from elfcorehdr.init.main import Kernel
from elfcorehdr.lib.ranges import Range
from elfcorehdr.machine.quick import with_cmdline
from elfcorehdr.machine.sizes import size_text
from fsmount.cli.boot import BootOptions, machine_of

NAME = "crashkernel="


def asked(options: BootOptions, string: str) -> dict[str, Any]:
    """One answer; addresses and sizes in bytes, as hex strings, ends included. ProfileError.

    The machine's own command line is kept but for its crashkernel=.
    """
    words = string.split()
    if not any(word.startswith(NAME) for word in words):
        words = [NAME + word for word in words] or [NAME]
    machine = machine_of(options)
    kept = [word for word in machine.cmdline.split() if not word.startswith(NAME)]
    machine = with_cmdline(machine, " ".join([*kept, *words]))
    kernel = Kernel.boot(machine, options.kernel)
    return {
        "machine": machine.name,
        "arch": machine.arch,
        "kernel": kernel.release,
        "crashkernel": " ".join(words),
        "reserved": [
            {"kind": kind, "start": hex(r.start), "end": hex(r.end), "size": hex(r.size)}
            for kind, r in _regions(kernel)
        ],
        "log": list(kernel.kexec.reserve_said),
        "nothing": kernel.kexec.nothing or None,
    }


def _regions(kernel: Kernel) -> Iterable[tuple[str, Range]]:
    kexec = kernel.kexec
    for kind, r in (("crashk_res", kexec.crashk_res), ("crashk_low_res", kexec.crashk_low_res)):
        if r is not None:
            yield kind, r
    for r in kexec.crashk_cma_ranges:
        yield "cma", r


_SHORT = {"crashk_res": "", "crashk_low_res": "low ", "cma": "cma "}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as text: a line each, then what the kernel said and why there is nothing."""
    cells = [("machine", "kernel", "crashkernel", "reserved")]
    for row in rows:
        regions = [
            f"{_SHORT[r['kind']]}{size_text(int(r['size'], 16))} at {r['start']}"
            for r in row["reserved"]
        ]
        words = row["crashkernel"].replace(NAME, "")
        cells.append((row["machine"], row["kernel"], words, ", ".join(regions) or "nothing"))
    widths = [min(max(len(cell[i]) for cell in cells), 48) for i in range(3)]
    lines = []
    for cell, of in zip(cells, [None, *rows], strict=True):
        texts = [text.ljust(width) for text, width in zip(cell, widths, strict=False)]
        lines.append("  ".join([*texts, cell[3]]).rstrip())
        if of is not None:
            lines += [f"    {line}" for line in of["log"]]
            lines += [f"    ({of['nothing']})"] if of["nothing"] else []
    return "".join(f"{line}\n" for line in lines)
