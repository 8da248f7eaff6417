"""The contents of PT_NOTEs: CPU registers and VMCOREINFO. Imports elfcorehdr.elf and .errors.

Walks notes as the capture kernel does (update_note_header_size_elf64(), fs/proc/vmcore.c, v6.17):
name and description padded to 4 bytes, the end at a note without a name.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from elfcorehdr.elf import ELFCLASS64, ELFDATA2MSB, NT_PRSTATUS, PT_NOTE, Ehdr
from elfcorehdr.errors import ElfFormatError
from elfcorehdr.lib.record import NamedTuple
from printer.inputs.source import Core
from printer.layout.arches import arch_of

MAX_NOTES = 1 << 17
"""More notes are refused: CONFIG_NR_CPUS is 8,192 at most on the architectures known here."""

_CORE_TYPES = {
    1: "NT_PRSTATUS",
    2: "NT_PRFPREG",
    3: "NT_PRPSINFO",
    4: "NT_TASKSTRUCT",
    6: "NT_AUXV",
    0x46494C45: "NT_FILE",
    0x53494749: "NT_SIGINFO",
}


class Note(NamedTuple):
    """One ELF note of a program header.

    >>> cpu, _ = notes_of(read("vmcore", notes=True))
    >>> cpu.pid, hex(dict(cpu.registers)["ip"])
    (1, '0xffffffff814ba7bd')
    """

    row: int
    """Index of the PT_NOTE it lies in."""
    name: str
    n_type: int
    desc: bytes
    cpu: int | None = None
    """NT_PRSTATUS: in an elfcorehdr the CPU; in a core the how manyth CPU that saved registers."""
    pid: int | None = None
    registers: tuple[tuple[str, int], ...] = ()
    """NT_PRSTATUS of a known architecture: names and values in the kernel's order."""

    @property
    def type_name(self) -> str:
        """NT_PRSTATUS and the like; VMCOREINFO and unknown types show as the number."""
        core = _CORE_TYPES.get(self.n_type) if self.name == "CORE" else None
        return core or f"{self.n_type:#x}"

    @property
    def text(self) -> str | None:
        """VMCOREINFO's lines, anything that is not printable ASCII as `?`; None for other notes."""
        if not self.name.startswith("VMCOREINFO"):
            return None
        return "".join(chr(c) if 32 <= c < 127 or c == 10 else "?" for c in self.desc.rstrip(b"\0"))


def notes_of(core: Core) -> list[Note]:
    """Every note of a core read with notes=True, in file order.

    A PT_NOTE whose bytes the input has not got gives none. ElfFormatError if sizes overrun.

    >>> [note.name for note in notes_of(read("vmcore", notes=True))]
    ['CORE', 'VMCOREINFO']
    """
    rows = core.phdrs.rows_of(PT_NOTE)
    found: list[Note] = []
    cpus = 0
    for row, data in zip(rows, core.note_data or (), strict=False):
        for name, n_type, desc in _walk(data or b"", core.ehdr, row, core.name):
            note = Note(row, name, n_type, desc)
            if name == "CORE" and n_type == NT_PRSTATUS:
                note = _prstatus(note, core, cpus)
                cpus += 1
            found.append(note)
            if len(found) > MAX_NOTES:
                raise ElfFormatError(f"{core.name}: more than {MAX_NOTES} notes")
    return found


def of_a_hypervisor(core: Core) -> bool:
    """Whether a hypervisor wrote the core (dump-guest-memory): its notes say so, or memory is not mapped.

    QEMU names the note with the rest of a CPU's state QEMU (target/i386/arch_dump.c, QEMU 9).
    """
    return any(b"QEMU\0" in (data or b"")[: 1 << 16] for data in core.note_data or ())


def _walk(data: bytes, ehdr: Ehdr, row: int, name: str) -> Iterator[tuple[str, int, bytes]]:
    head = struct.Struct(">III" if ehdr.ei_data == ELFDATA2MSB else "<III")
    at = 0
    while at + head.size <= len(data):
        namesz, descsz, n_type = head.unpack_from(data, at)
        if not namesz:
            return
        desc_at = at + head.size + (namesz + 3 & ~3)
        end = desc_at + (descsz + 3 & ~3)
        if desc_at + descsz > len(data):
            raise ElfFormatError(
                f"{name}: program header {row:#x}: byte {at:#x}: n_namesz {namesz:#x} and n_descsz "
                f"{descsz:#x} reach beyond its {len(data):#x} bytes"
            )
        raw = data[at + head.size : at + head.size + min(namesz, 64)]
        word = raw.rstrip(b"\0").decode("ascii", "replace")
        yield (
            "".join(c if c.isprintable() else "?" for c in word),
            n_type,
            data[desc_at : desc_at + descsz],
        )
        at = end


def _prstatus(note: Note, core: Core, cpu: int) -> Note:
    """Fill in what struct elf_prstatus says: pr_pid, and pr_reg where the architecture is known."""
    order = ">" if core.ehdr.ei_data == ELFDATA2MSB else "<"
    wide = core.ehdr.ei_class == ELFCLASS64
    pid_at, regs_at = (32, 112) if wide else (24, 72)
    pid = None
    if len(note.desc) >= pid_at + 4:
        (pid,) = struct.unpack_from(order + "i", note.desc, pid_at)
    registers: tuple[tuple[str, int], ...] = ()
    arch = arch_of(core.ehdr.e_machine, ())
    if wide and arch and len(note.desc) >= regs_at + 8 * len(arch.registers):
        values = struct.unpack_from(f"{order}{len(arch.registers)}Q", note.desc, regs_at)
        registers = tuple(
            pair for pair in zip(arch.registers, values, strict=True) if pair[0] != "-"
        )
    return Note(note.row, note.name, note.n_type, note.desc, cpu, pid, registers)
