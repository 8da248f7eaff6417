"""print, json, readelf and pyelftools say the same of every header that a real kernel wrote."""

from __future__ import annotations

import gzip
import io
import json
import re
import shutil
import subprocess

import pytest
from elftools.elf.elffile import ELFFile

from printer import Layout, read
from printer.forms import as_json, kernel_text
from tests.headers import CAPTURED, VMCORE, VMCORE_PPC64_GZ, name

EVERY = [*CAPTURED, VMCORE]
READELF_ROW = re.compile(
    r"^  (\S+)\s+0x([0-9a-f]+) 0x([0-9a-f]+) 0x([0-9a-f]+) 0x([0-9a-f]+) 0x([0-9a-f]+) (.{3}) ?(\S+)$"
)


@pytest.fixture(scope="module")
def readelf():
    tool = shutil.which("readelf")
    if not tool:
        pytest.skip("readelf (binutils) is not installed")
    return tool


def rows_of_print(data: bytes) -> list[tuple]:
    text = kernel_text.render(data)
    rows = [line.split() for line in text.split("=" * 80 + "\n")[1].splitlines()]
    return [
        (kind.removeprefix("PT_"), *(int(n, 16) for n in numbers), flags)
        for _, kind, *numbers, flags in rows
    ]


def rows_of_json(path) -> list[tuple]:
    layout = Layout(read(str(path)))
    document = json.loads("".join(as_json.json_pieces([(layout, None, None)])))
    keys = ("p_offset", "p_vaddr", "p_paddr", "p_filesz", "p_memsz")
    return [
        (p["type"].removeprefix("PT_"), *(int(p[key], 16) for key in keys), p["flags"])
        for p in document["phdrs"]
    ]


def rows_of_pyelftools(data: bytes) -> list[tuple]:
    found = []
    for segment in ELFFile(io.BytesIO(data)).iter_segments():
        h = segment.header
        flags = "".join(c if h.p_flags & bit else "-" for c, bit in (("R", 4), ("W", 2), ("X", 1)))
        numbers = (h.p_offset, h.p_vaddr, h.p_paddr, h.p_filesz, h.p_memsz)
        found.append((h.p_type.removeprefix("PT_"), *numbers, flags))
    return found


def rows_of_readelf(tool: str, paths: list) -> dict[str, list[tuple]]:
    """readelf -lW of many files in one process: path -> rows."""
    done = subprocess.run(
        [tool, "-lW", *map(str, paths)], capture_output=True, text=True, check=False
    )
    found: dict[str, list[tuple]] = {}
    rows: list[tuple] = []
    for line in done.stdout.splitlines():
        if line.startswith("File: "):
            rows = found[line.removeprefix("File: ")] = []
        elif match := READELF_ROW.match(line):
            kind, *numbers, flags, _align = match.groups()
            letters = "".join(
                c if readelf_c in flags else "-"
                for c, readelf_c in (("R", "R"), ("W", "W"), ("X", "E"))
            )
            rows.append((kind, *(int(n, 16) for n in numbers), letters))
    return found


@pytest.mark.parametrize("path", EVERY, ids=name)
def test_print_json_and_pyelftools_agree(path):
    data = path.read_bytes()
    rows = rows_of_print(data)
    assert rows
    assert rows == rows_of_json(path)
    assert rows == rows_of_pyelftools(data)


def test_print_and_readelf_agree_on_every_header(readelf):
    theirs = rows_of_readelf(readelf, EVERY)
    assert len(theirs) == len(EVERY) > 150
    for path in EVERY:
        assert rows_of_print(path.read_bytes()) == theirs[str(path)], path


def test_all_agree_on_the_ppc64_vmcore(tmp_path, readelf):
    data = gzip.decompress(VMCORE_PPC64_GZ.read_bytes())
    path = tmp_path / "vmcore"
    path.write_bytes(data)
    other = tmp_path / "header"
    other.write_bytes(data[:4096])
    rows = rows_of_print(data)
    assert rows == rows_of_json(path) == rows_of_pyelftools(data)
    assert rows == rows_of_readelf(readelf, [path, other])[str(path)]
    assert [row[0] for row in rows] == ["NOTE"] + ["LOAD"] * 5
