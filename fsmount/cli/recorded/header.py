"""What an ELF core header, or a vmcore, tells of the machine it is of, as a recording: `machines --from vmcore`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from elfcorehdr.elf import PT_LOAD, PT_NOTE
from elfcorehdr.errors import ElfFormatError, ProfileError
from elfcorehdr.machine.derive.files import TREE
from fsmount.host.recordings.entry import Recorded
from fsmount.host.recordings.recording import Recording

if TYPE_CHECKING:
    from printer import Core

UNAME = {62: "x86_64", 183: "aarch64", 21: "ppc64le", 243: "riscv64"}
"""uname -m by e_machine, include/uapi/linux/elf-em.h."""
PPC64 = 21


def is_header(path: str) -> bool:
    """Whether a file begins as ELF files do."""
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def recording_of_header(path: str, iomem: str | None) -> Recording:
    """The CPUs, notes, memory and mappings of a header; with the machine's /proc/iomem also what is not in it.

    ProfileError names what is wrong with either file.
    """
    from printer import notes_of, read

    try:
        core = read(path, notes=True)
    except ElfFormatError as error:
        raise ProfileError(str(error)) from None
    found = Recording(path)
    notes = [p for p in core.phdrs if p.p_type == PT_NOTE]
    loads = [p for p in core.phdrs if p.p_type == PT_LOAD and p.p_memsz]
    if core.ehdr.e_machine not in UNAME or not loads:
        what = "PT_LOADs" if not loads else f"e_machine {core.ehdr.e_machine}"
        raise ProfileError(
            f"{path}: {what}: expected the header of an x86_64, ppc64, arm64 or riscv64 kernel, with memory"
        )
    found.head = {
        "uname": {"machine": UNAME[core.ehdr.e_machine], "release": _said(core, "OSRELEASE")},
        "kcore": core.header.pack().hex(),
    }
    if (page := _said(core, "PAGESIZE")).isdecimal():
        found.head["page_size"] = int(page)
    if core.note_data and any(not note.p_paddr for note in notes):  # a core: the notes are merged
        count = sum(one.cpu is not None for one in notes_of(core))
        text = {"sys/devices/system/cpu/possible": f"0-{max(count - 1, 0)}\n"}
    else:
        cpus, rest = notes[:-1], notes[-1:]
        text = {"sys/devices/system/cpu/possible": f"0-{max(len(cpus) - 1, 0)}\n"}
        for n, note in enumerate(cpus):
            text[f"sys/devices/system/cpu/cpu{n}/crash_notes"] = f"{note.p_paddr:x}\n"
        for last in rest:
            text["sys/kernel/vmcoreinfo"] = f"0x{last.p_paddr:016x} {last.p_memsz:x}\n"
    text["proc/iomem"] = (
        _reserved(core, _iomem(iomem)) if iomem is not None else _loads_as_iomem(core)
    )
    for name, content in text.items():
        found.add(name, Recorded(content.encode()))
    for name, value in _rtas(core).items():
        found.add(f"{TREE}/rtas/{name}", Recorded(value.to_bytes(4, "big")))
    return found


def _rtas(core: Core) -> dict[str, int]:
    """Properties of /rtas: firmware that a ppc64 header lists inside of the reservation, which it leaves out. OPAL looks the same."""
    from printer import Layout

    gaps = Layout(core).crashkernel_gap
    if core.ehdr.e_machine != PPC64 or not gaps:
        return {}
    inside = [
        p
        for p in core.phdrs
        if p.p_type == PT_LOAD and gaps[0].start < p.p_paddr < gaps[-1].end and p.p_memsz < 1 << 28
    ]
    if len(inside) != 1 or inside[0].p_paddr >= 1 << 32:
        return {}
    return {"linux,rtas-base": inside[0].p_paddr, "rtas-size": inside[0].p_memsz}


def _said(core: Core, key: str) -> str:
    """A line of VMCOREINFO, of a vmcore; "" of a header alone."""
    for data in core.note_data or ():
        if data and (m := re.search(rb"(?m)^%s=(.*)$" % key.encode(), data)):
            return m[1].decode("ascii", "replace")
    return ""


def _iomem(name: str) -> str:
    try:
        return Path(name).read_text("utf-8", "replace")
    except OSError as error:
        raise ProfileError(f"{name}: {error.strerror}, expected a captured /proc/iomem") from None


def _reserved(core: Core, iomem: str) -> str:
    """/proc/iomem with a row for the reservation: ppc64 had none before 6.16, and the header shows where it is."""
    from printer import Layout

    gaps = Layout(core).crashkernel_gap
    if not gaps or " : Crash kernel\n" in iomem:
        return iomem
    first, last = gaps[0].start, gaps[-1].end
    lines = []
    for line in iomem.splitlines(keepends=True):
        lines.append(line)
        m = re.match(r"([0-9a-f]+)-([0-9a-f]+) : System RAM$", line)
        if m and int(m[1], 16) <= first and last <= int(m[2], 16):
            lines.append(f"  {first:08x}-{last:08x} : Crash kernel\n")
    return "".join(lines)


def _loads_as_iomem(core: Core) -> str:
    """System RAM as the header lists it, rows that touch joined; what it leaves out below its end is the reservation."""
    from printer import Layout

    # The byte too many of powerpc's remove_mem_range() (v6.19 to v7.2, `elfcorehdr check`) is no memory.
    spans = {
        (p.p_paddr, p.p_paddr + p.p_memsz - (2 if p.p_memsz % 4096 == 1 else 1))
        for p in core.phdrs
        if p.p_type == PT_LOAD and p.p_memsz > 1
    }
    gaps = Layout(core).crashkernel_gap
    spans |= {(gap.start, gap.end) for gap in gaps}
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    lines = []
    for start, end in joined:
        lines.append(f"{start:08x}-{end:08x} : System RAM\n")
        within = [gap for gap in gaps if start <= gap.start and gap.end <= end]
        if within:
            lines.append(f"  {within[0].start:08x}-{within[-1].end:08x} : Crash kernel\n")
    return "".join(lines)
