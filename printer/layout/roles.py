"""What each row of a header is for, found out from the header itself. Imports elfcorehdr.elf.

The order and the marks are those of crash_prepare_elf64_headers(), kernel/crash_core.c (v6.17):
notes of CPUs, the vmcoreinfo note, the kernel's image where it is mapped apart, then memory.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from elfcorehdr.elf import PT_LOAD, PT_NOTE, Phdr
from elfcorehdr.lib.ranges import Range
from printer.inputs.source import Core, Form
from printer.layout.arches import Arch, arch_of
from printer.layout.spans import U64, loaded, subtract

BACKUP_SRC_SIZE = 0x10000
"""The first 64 KiB that powerpc's purgatory saves (arch/powerpc/include/asm/crashdump-ppc64.h)."""


FIRMWARE_LIMIT = 256 << 20
"""A lone row of fewer bytes beside the backup region is taken for firmware: an LMB is 256 MiB."""


class Role(Enum):
    """What a program header stands for."""

    CPU_NOTE = "CPU note"
    VMCOREINFO = "vmcoreinfo"
    NOTES = "notes"
    KERNEL = "kernel image"
    BACKUP = "backed-up memory"
    FIRST_64K = "first 64 KiB"
    MEMORY = "memory"
    OTHER = "other"


@dataclass(frozen=True)
class Layout:
    """A core with the role of each of its rows."""

    core: Core

    @cached_property
    def arch(self) -> Arch | None:
        """The architecture, None if it is none of arches.ARCHES."""
        return arch_of(self.core.ehdr.e_machine, self.core.phdrs)

    @cached_property
    def direct_map(self) -> int:
        """p_vaddr - p_paddr, modulo 2^64, of most of the loaded bytes: where physical 0 is mapped."""
        fixed = self.arch.direct_map if self.arch else None
        if fixed is not None:
            return fixed
        weights: Counter[int] = Counter()
        kernel = self.arch.kernel_map if self.arch else None
        for p in self.core.phdrs:
            if p.p_type == PT_LOAD and not (kernel and kernel[0] <= p.p_vaddr <= kernel[1]):
                weights[(p.p_vaddr - p.p_paddr) % U64] += min(p.p_memsz, 1 << 56)
        return max(weights, key=weights.__getitem__, default=0)

    @cached_property
    def cpu_note_size(self) -> int:
        """p_memsz of a CPU's note: the architecture's, else that of the first PT_NOTE."""
        notes = [p.p_memsz for p in self.core.phdrs if p.p_type == PT_NOTE]
        if self.arch and self.arch.note_size in notes:
            return self.arch.note_size
        return notes[0] if notes else 0

    @cached_property
    def roles(self) -> tuple[Role, ...]:
        """The role of each row, in file order."""
        return tuple(map(self._role, self.core.phdrs))

    @cached_property
    def cpus(self) -> dict[int, int]:
        """Row of each CPU note -> the CPU, counting the notes as the kernel writes them."""
        rows = [i for i, role in enumerate(self.roles) if role is Role.CPU_NOTE]
        return {row: cpu for cpu, row in enumerate(rows)}

    @cached_property
    def crashkernel_gap(self) -> tuple[Range, ...]:
        """Where the crashkernel seems to be: the gap between loads that the backup region lies in.

        powerpc's firmware rows in it are passed over: RTAS or OPAL stand alone there, with a gap on
        either side, smaller than a memory block. Empty if no row points at a backup region.
        """
        rows = zip(self.core.phdrs, self.roles, strict=True)
        target = next((p.p_offset for p, role in rows if role is Role.BACKUP), None)
        if target is None:
            return ()
        spans = loaded(self.core.phdrs)
        if self.expects_backup:
            neighbours = zip(spans[1:], spans, [*spans[2:], None], strict=False)
            alone = {
                span
                for span, before, after in neighbours
                if after and span.size < FIRMWARE_LIMIT and before.end + 1 < span.start
            }
            spans = [span for span in spans if span not in alone]
        gaps = subtract([Range(0, spans[-1].end)], spans) if spans else iter(())
        gap = next((g for g in gaps if g.start <= target <= g.end), None)
        return (gap,) if gap else ()

    def what(self, row: int) -> str:
        """A few words on a row, for a table."""
        role, phdr = self.roles[row], self.core.phdrs[row]
        if role is Role.CPU_NOTE:
            return f"CPU {self.cpus[row]} note"
        if role is Role.BACKUP:
            return f"{Role.MEMORY.value}, read from backup at {phdr.p_offset:#x}"
        return str(role.value)

    def _role(self, phdr: Phdr) -> Role:
        if phdr.p_type == PT_NOTE:
            if self.core.form is Form.CORE:
                return Role.NOTES
            return Role.CPU_NOTE if phdr.p_memsz == self.cpu_note_size else Role.VMCOREINFO
        if phdr.p_type != PT_LOAD or phdr.p_paddr == U64 - 1:  # /proc/kcore: no physical address
            return Role.OTHER
        kernel = self.arch.kernel_map if self.arch else None
        if kernel and kernel[0] <= phdr.p_vaddr <= kernel[1]:
            mapped = (phdr.p_vaddr - phdr.p_paddr) % U64
            if self.arch and not (self.arch.kernel_map_holds_memory and mapped == self.direct_map):
                return Role.KERNEL
        if self.core.form is Form.ELFCOREHDR and phdr.p_offset != phdr.p_paddr:
            return Role.BACKUP
        if phdr.p_paddr == 0 and phdr.p_memsz == BACKUP_SRC_SIZE and self.expects_backup:
            return Role.FIRST_64K
        return Role.MEMORY

    @property
    def expects_backup(self) -> bool:
        """Whether the backup region of powerpc is to be expected."""
        return self.arch is not None and self.arch.has_backup_region
