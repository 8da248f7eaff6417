"""What is compared, and what no replay can know."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from elfcorehdr.elf import ElfCoreHdr
from elfcorehdr.errors import ElfFormatError
from elfcorehdr.fs.proc.vmcore import note_size, vmcore
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.kexec_file import align_up
from elfcorehdr.kexec_tools import x86_64 as kexec_tools
from elfcorehdr.machine import Region
from tests.replay.machine import Json, number
from tests.replay.verdict import Verdict

UNKNOWABLE = (
    (r"page: refcount|flags: 0x|raw: |page_type: ", "content of a struct page"),
    (
        r"calibrate_delay_direct\(\)|Probably due to long platform",
        "timing of the emulated hardware",
    ),
    (
        r"Fallback order for Node|Built \d+ zonelists|Policy zone:",
        "page counts of the running system",
    ),
    (
        r"machine_kexec_post_load:\d+:|  kexec kimage info:|    (type|head|kern_reloc|el2_vectors):",
        "debug messages of arm64's machine_kexec.c: a line of the source, addresses of code",
    ),
    (r"(page|head|memcg|aops|anon|ksm|pfn|memcg): ?[0-9a-f(]|page->", "content of a struct page"),
    (
        r"hrtimer: interrupt took|.* polled \d+ ms|HART\d* ?.* isn't stopped|.*unaligned access",
        "timing of the emulated hardware",
    ),
    (r"clocksource: |tsc: |sched_clock: ", "timing of the emulated hardware"),
    (r"head: |memcg:", "content of a struct page"),
    (r"gt \(\d+\) read from|note: gt\[", "the capture's own program"),
    (r"kexec_file: kernel: \S+ kernel_size", "size of the file, which is not that of its segment"),
    (r"zone_movable|Using GB pages|ACPI: (?!CPU\d)|acpi |pci |virtio|SMP alternatives", "devices"),
    (
        r"Detected PIPT I-cache|GICv3: CPU|CPU\d+: Booted secondary|RNG is not init",
        "arm64 hardware",
    ),
    (r"kexec_file: kexec_file_load: type", "entry point of purgatory, from its own ELF file"),
)
"""Lines that depend on what a case does not say; each with the reason."""


ARM64_LOG_LIMIT = 40
"""The arm64 cases keep the first 40 lines of a step's log (their steps.json has all)."""

KNOWN = {
    *("errno", "errno_at", "ret", "value", "reads", "log", "uevents", "environment", "refused"),
    *("memory", "system_ram", "nested_memory", "resources", "crashkernel", "blocks", "valid_zones"),
    *(
        "header",
        "changed",
        "rebuilds",
        "segment_sha256",
        "segment_rest_zero",
        "stale_tail",
        "vmcore",
    ),
    *("crash_loaded", "crash_hotplug", "crash_size", "crash_elfcorehdr_size"),
    *("cpus_online", "cpus_present", "onlined", "offlined"),
}
"""What is compared, or arranged before a step (environment, refused)."""


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
    kinds = r"@/devices/(system/(memory|cpu|node|machinecheck|container)|virtual/thermal)/"
    kept = [e for e in events if re.search(kinds, e)]
    return [re.sub(r"(/container/PNP0A06):\w+", r"\1:#", e) for e in kept]  # the firmware's number


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
    if seen.get("segment_rest_zero"):
        header = len(kernel.kexec.elfcorehdr() or b"")
        verdict.check("segment_rest_zero", True, not any(whole[header : align_up(header, 4096)]))
    if "stale_tail" in seen:
        tail = (case_dir / seen["stale_tail"]["file"]).read_bytes()
        at = number(seen["stale_tail"]["offset"])
        verdict.check("stale_tail", tail.hex(), whole[at : at + len(tail)].hex())


def check_memory(verdict: Verdict, kernel: Kernel, rows: list[Json]) -> None:
    """memblock.memory (ppc64, arm64) region by region, or the System RAM resources (x86_64, riscv64)."""
    expected = [
        (number(r["start"]), number(r["size"]), r.get("nodes") or [r.get("node", 0)]) for r in rows
    ]
    if kernel.machine.arch in ("x86_64", "riscv64"):
        ram = [r for level, r, name in kernel.iomem.rows() if not level and name == "System RAM"]
        got = [(r.start, r.size, kernel.nodes.of(r.start, r.end)) for r in ram]
    else:
        got = [(r.start, r.end - r.start + 1, [r.node]) for r in kernel.memblock]
    verdict.check("memory", expected, got)


def check_nested(verdict: Verdict, kernel: Kernel, rows: list[Json]) -> None:
    """System RAM below another resource."""
    expected = [(r["start"], r["size"], r.get("name", "System RAM")) for r in rows]
    got = [
        (hex(r.start), hex(r.size), name)
        for level, r, name in kernel.iomem.rows()
        if level and name.startswith("System RAM")
    ]
    verdict.check("nested_memory", expected, got)


def check_system_ram(verdict: Verdict, kernel: Kernel, rows: list[Json]) -> None:
    """arm64: the top-level System RAM rows of /proc/iomem."""
    expected = [(r["start"], r["size"]) for r in rows]
    top = [r for level, r, name in kernel.iomem.rows() if not level and name == "System RAM"]
    verdict.check("system_ram", expected, [(hex(r.start), hex(r.size)) for r in top])


def check_kexec_tools(
    verdict: Verdict, kernel: Kernel, do: Json, header: bytes, memsz: int
) -> None:
    """x86_64: the header that kexec-tools made, and where it put that and the backup region."""
    backup, made = kexec_tools.crash_segments(kernel, hotplug=bool(do.get("hotplug")))
    verdict.check("backup", number(do["backup"]), backup[2])
    verdict.check("elfcorehdr at", number(do["elfcorehdr"]["start"]), made[2])
    verdict.check("memsz", memsz, made[3])
    trimmed = made[0][: 64 + 56 * int.from_bytes(made[0][56:58], "little")]
    if trimmed == header:
        verdict.agreed.append("kexec-tools' header")
    else:
        verdict.differs.append(f"kexec-tools' header: {header_difference(header, trimmed)}")


def check_resources(verdict: Verdict, kernel: Kernel, rows: list[Json]) -> None:
    """The other top-level resources."""
    expected = [(r["start"], r["size"], r["name"]) for r in rows]
    got = [
        (hex(r.start), hex(r.size), name)
        for level, r, name in kernel.iomem.rows()
        if not level and name != "System RAM"
    ]
    verdict.check("resources", expected, got)


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
        self._kernel.page_isolation.pinned += self._pinned
        self._kernel.kexec.locked = self._locked
        if self._kernel.platform.dlpar is not None:
            self._kernel.platform.dlpar.firmware.refuses = self._firmware

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._kernel.kexec.locked = False
        for r in self._pinned:
            self._kernel.page_isolation.pinned.remove(r)
        if self._kernel.platform.dlpar is not None:
            self._kernel.platform.dlpar.firmware.refuses = False


def check_vmcore(
    verdict: Verdict, case_dir: Path, header: bytes | None, file: str, page_size: int
) -> None:
    """/proc/vmcore's header, from the last ELF core header and the notes that the capture kernel found."""
    assert header is not None
    captured = (case_dir / file).read_bytes()
    expected = ElfCoreHdr.unpack(captured)
    note = expected.phdrs[0]
    saved = note_size(captured[note.p_offset :].ljust(note.p_filesz, b"\0"))
    made = vmcore(header, saved, page_size)
    verdict.check("vmcore header", expected, made.header)
    length = 64 + 56 * len(expected.phdrs)
    verdict.check("vmcore header bytes", captured[:length].hex(), made.header.pack()[:length].hex())
    told = case_dir / "vmcore.json"
    if told.is_file() and (size := json.loads(told.read_text()).get("ls", "").split()[4:5]):
        verdict.check("vmcore size", int(size[0]), made.size)
