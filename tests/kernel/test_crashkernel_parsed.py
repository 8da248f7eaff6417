"""The parsers of crashkernel= against the kernels' own, compiled for user space (tests/golden/ours/crashkernel-parsed.json)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from elfcorehdr import profiles
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.crashkernel import HIGH, LOW, Invalid, Parser, Wanted
from elfcorehdr.lib.record import replace

ROWS = json.loads(
    (Path(__file__).parents[1] / "golden/ours/crashkernel-parsed.json").read_text(encoding="utf-8")
)["rows"]
MACHINE = profiles.load("pc-2g")
LOW_DEFAULT = 128 << 20
Answer = tuple[int, ...]


def logged(kernel: Kernel, before: int) -> list[str]:
    return [record.text for record in kernel.log][before:]


def of_6_1(parser: Parser, kind: str, ram: int) -> Answer:
    """Return value, size, base of one of its three parsers; zero bytes are none."""
    try:
        found = {
            "P": lambda: parser.plain(ram),
            "H": lambda: parser.suffix(HIGH),
            "L": lambda: parser.suffix(LOW),
        }[kind]()
    except Invalid:
        return (-22,)
    if found is None:
        return (-2,)
    return (0, found.size, found.base) if isinstance(found, Wanted) else (0, found, 0)


def of_all(parser: Parser, ram: int, *, cma: bool) -> Answer:
    """Return value, size, base, low, cma, high."""
    try:
        w = parser.generic(ram, LOW_DEFAULT, cma=cma)
    except Invalid:
        return (-22,)
    return (0, w.size, w.base, w.low_size if w.high else 0, w.cma_size, int(w.high))


@pytest.mark.parametrize("version", ["6.1", "6.12", "7.2", "7.3"])
def test_every_string_is_parsed_as_the_kernel_itself_does(version: str) -> None:
    kernel = Kernel.boot(MACHINE, version)
    assert len(ROWS) > 180
    for row in ROWS:
        kernel.cmdline = row["cmdline"]
        parser = Parser(kernel)
        for answer in row[version]:
            kind, *rest = answer.split(" ", 4 if version == "6.1" else 7)
            numbers, text = [int(n) for n in rest[: 3 if version == "6.1" else 6]], rest[-1]
            before = len(list(kernel.log))
            if version == "6.1":
                ours = of_6_1(parser, kind, row["ram"])
                if numbers[:2] == [0, 0] and ours == (-22,):  # found out a step later
                    numbers[0] = -22
            else:
                ours = of_all(parser, row["ram"], cma=version != "6.12")
            theirs = tuple(numbers) if not numbers[0] else (numbers[0],)
            assert ours == theirs, (version, row["cmdline"], answer)
            lines = [line for line in text.split("\\n") if line]
            assert logged(kernel, before) == lines, (version, row["cmdline"])


def test_a_wrong_cma_size_is_complained_of_and_taken() -> None:
    machine = replace(MACHINE, cmdline="crashkernel=128M crashkernel=256MB,cma", crashkernel=())
    kernel = Kernel.boot(machine, "7.3")
    assert "crashkernel: unrecognized char: B" in [record.text for record in kernel.log]
    assert sum(r.size for r in kernel.kexec.crashk_cma_ranges) == 256 << 20
