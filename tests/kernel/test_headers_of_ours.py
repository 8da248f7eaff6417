"""Every header this engine writes is read by readers that are not ours, and they agree with our printer."""

from __future__ import annotations

import io
import re
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from elfcorehdr import profiles
from elfcorehdr.elf import ElfCoreHdr
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from printer import parse
from printer.forms import kernel_text

ROW = re.compile(
    r"^0x([0-9a-f]+) +PT_(\w+) +0x([0-9a-f]+) +0x([0-9a-f]+) +0x([0-9a-f]+) +0x([0-9a-f]+) +0x([0-9a-f]+)"
)


def headers() -> list[tuple[str, bytes]]:
    found = []
    for name in profiles.names():
        kernel = Kernel.boot(profiles.load(name))
        kernel.kexec.file_load(None, None, b"", 2)
        header = kernel.kexec.elfcorehdr()
        assert header is not None
        found.append((f"{name}-loaded", header))
        for n in reversed(list(kernel.memory.block_ids())):
            block = kernel.memory.block(n)
            assert block is not None
            with suppress(KernelError):  # pinned, or boot memory of arm64
                kernel.memory_hotplug.offline(block)
                break
        after = kernel.kexec.elfcorehdr()
        assert after is not None
        found.append((f"{name}-offlined", after))
    return found


@pytest.fixture(scope="module")
def written() -> list[tuple[str, bytes]]:
    return headers()


def printed(header: bytes) -> list[tuple[str, int, int, int, int, int]]:
    rows = []
    for line in kernel_text.render(header).splitlines():
        if m := ROW.match(line):
            numbers = [int(g, 16) for g in m.groups()[2:]]
            rows.append((m.group(2), *numbers))
    return rows  # type: ignore[return-value]


def test_pyelftools_agrees(written: list[tuple[str, bytes]]) -> None:
    for name, header in written:
        elf = ELFFile(io.BytesIO(header))
        theirs = [
            (
                s["p_type"].removeprefix("PT_"),
                *(s[f"p_{f}"] for f in ("offset", "vaddr", "paddr", "filesz", "memsz")),
            )
            for s in elf.iter_segments()
        ]
        assert theirs == printed(header), name


def test_readelf_agrees(written: list[tuple[str, bytes]], tmp_path: Path) -> None:
    pattern = re.compile(r"^  (NOTE|LOAD) +0x(\w+) 0x(\w+) 0x(\w+) 0x(\w+) 0x(\w+)")
    for name, header in written:
        file = tmp_path / name
        file.write_bytes(header)
        done = subprocess.run(["readelf", "-lW", file], capture_output=True, text=True, check=True)
        rows = [pattern.match(line) for line in done.stdout.splitlines()]
        theirs = [(m.group(1), *(int(g, 16) for g in m.groups()[1:])) for m in rows if m]
        assert theirs == printed(header), name


def test_text_and_bytes_are_the_same_header(written: list[tuple[str, bytes]]) -> None:
    for name, header in written:
        text = kernel_text.render(header)
        again = parse(text)
        assert [p[:7] for p in again.phdrs] == [p[:7] for p in ElfCoreHdr.unpack(header).phdrs], (
            name
        )
