"""What is compared, and what no replay can know."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from elfcorehdr.elf import ElfCoreHdr
from elfcorehdr.errors import ElfFormatError
from elfcorehdr.kernel import Kernel
from elfcorehdr.machine import Region
from tests.replay.machine import Json, number

if TYPE_CHECKING:
    from tests.replay.run import Verdict

UNKNOWABLE = (
    (r"page: refcount|flags: 0x|raw: ", "content of a struct page"),
    (
        r"Fallback order for Node|Built \d+ zonelists|Policy zone:",
        "page counts of the running system",
    ),
    (r"gt \(\d+\) read from|note: gt\[", "the capture's own program"),
    (r"kexec_file: kernel: \S+ kernel_size", "size of the file, which is not that of its segment"),
    (r"zone_movable|Using GB pages|ACPI: |acpi |pci |virtio|smpboot|SMP alternatives", "devices"),
)
"""Lines that depend on what a case does not say; each with the reason."""


def log_lines(texts: Iterable[str]) -> list[str]:
    """Log lines that a replay can know, hashed pointers made alike; a record may be several lines."""
    lines = []
    for text in texts:
        for line in text.split("\n"):
            if any(re.match(pattern, line) for pattern, _ in UNKNOWABLE):
                continue
            line = re.sub(r"\b(phdr=|buf=0x)[0-9a-f]{16}\b", r"\1#", line)
            lines.append(line.rstrip())
    return [line for line in lines if line]


def uevents(events: Iterable[str]) -> list[str]:
    """Events of the devices that are emulated."""
    return [e for e in events if re.search(r"@/devices/system/(memory|cpu|node)/", e)]


def header_difference(expected: bytes, got: bytes | None) -> str:
    """Where two headers differ first, in words."""
    if got is None:
        return f"expected {len(expected)} bytes, got none"
    try:
        want, have = ElfCoreHdr.unpack(expected), ElfCoreHdr.unpack(got)
    except ElfFormatError as error:
        return str(error)
    if want.ehdr != have.ehdr:
        return f"ELF header: expected {want.ehdr}, got {have.ehdr}"
    for i, (a, b) in enumerate(zip(want.phdrs, have.phdrs, strict=True)):
        if a != b:
            return f"row {i:#x}: expected {[hex(v) for v in a]}, got {[hex(v) for v in b]}"
    return f"expected {len(expected)} bytes, got {len(got)}"


def check_segment(verdict: Verdict, kernel: Kernel, case_dir: Path, seen: Json) -> None:
    """The whole elfcorehdr segment: its hash, and stale bytes behind the header."""
    image = kernel.kexec.crash_image
    segment = image.elfcorehdr() if image else None
    if segment is None:
        return
    whole = bytes(segment.content[: segment.memsz]).ljust(segment.memsz, b"\0")
    if "segment_sha256" in seen:
        verdict.check("segment_sha256", seen["segment_sha256"], hashlib.sha256(whole).hexdigest())
    if "stale_tail" in seen:
        tail = (case_dir / seen["stale_tail"]["file"]).read_bytes()
        at = number(seen["stale_tail"]["offset"])
        verdict.check("stale_tail", tail.hex(), whole[at : at + len(tail)].hex())


def check_memory(verdict: Verdict, kernel: Kernel, rows: list[Json]) -> None:
    """memblock.memory (ppc64, arm64), region by region."""
    expected = [(number(r["start"]), number(r["size"]), r.get("node", 0)) for r in rows]
    got = [(r.start, r.end - r.start + 1, r.node) for r in kernel.memblock]
    verdict.check("memory", expected, got)


def check_crashkernel(verdict: Verdict, kernel: Kernel, rows: list[Json]) -> None:
    """The reservation."""
    kexec = kernel.kexec
    got = [(r.start, r.size, "crashk_res") for r in [kexec.crashk_res] if r]
    got += [(r.start, r.size, "crashk_low_res") for r in [kexec.crashk_low_res] if r]
    got += [(r.start, r.size, "cma") for r in kexec.crashk_cma_ranges]
    expected = [(number(r["start"]), number(r["size"]), r["kind"]) for r in rows]
    verdict.check("crashkernel", sorted(expected), sorted(got))


class Surroundings:
    """For the time of one step: memory that something keeps, firmware that refuses, a lock left held."""

    def __init__(
        self, kernel: Kernel, pinned: list[Region], firmware: bool, locked: bool = False
    ) -> None:
        self._kernel = kernel
        self._pinned = pinned
        self._firmware = firmware
        self._locked = locked

    def __enter__(self) -> None:
        self._kernel.pinned += self._pinned
        self._kernel.kexec.locked = self._locked
        if self._kernel.dlpar is not None:
            self._kernel.dlpar.firmware.refuses = self._firmware

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._kernel.kexec.locked = False
        for r in self._pinned:
            self._kernel.pinned.remove(r)
        if self._kernel.dlpar is not None:
            self._kernel.dlpar.firmware.refuses = False
