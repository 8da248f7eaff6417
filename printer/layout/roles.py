"""What each row of a header is for, found out from the header itself. Imports elfcorehdr.elf.

The order and the marks are those of crash_prepare_elf64_headers(), kernel/crash_core.c (v6.17):
notes of CPUs, the vmcoreinfo note, the kernel's image where it is mapped apart, then memory.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import Enum
from functools import cached_property
from itertools import compress
from operator import add, ne, sub

from elfcorehdr.elf import PT_LOAD, PT_NOTE
from elfcorehdr.lib.ranges import Range
from printer.inputs.source import Core, Form
from printer.layout.arches import U64, Arch, DirectMap, arch_of
from printer.layout.spans import Spans, ascending_from, nested

BACKUP_SRC_SIZE = 0x10000
"""The first 64 KiB that powerpc's purgatory saves (arch/powerpc/include/asm/crashdump-ppc64.h)."""
FIRMWARE_LIMIT = 256 << 20
"""A lone row of fewer bytes beside the backup region is taken for firmware: an LMB is 256 MiB."""
SMALLEST_LMB = 16 << 20
"""SECTION_SIZE_BITS 24: memory comes and goes in no smaller pieces (arch/powerpc/include/asm/sparsemem.h)."""
LEAST_VMCOREINFO = 4096
"""VMCOREINFO_BYTES is a page, so that its note is larger than any CPU's (include/linux/vmcore_info.h)."""


MANY_BASES = 32
"""Of so many different bases of the direct map the commonest are looked at: a header has one or two."""


class Role(Enum):
    """What a program header stands for.

    >>> Layout(read("elfcorehdr.bin")).roles[8:10]
    (<Role.VMCOREINFO: 'vmcoreinfo'>, <Role.BACKUP: 'backed-up memory'>)
    """

    CPU_NOTE = "CPU note"
    VMCOREINFO = "vmcoreinfo"
    NOTES = "notes"
    KERNEL = "kernel image"
    BACKUP = "backed-up memory"
    FIRST_64K = "first 64 KiB"
    MEMORY = "memory"
    OTHER = "other"


LOADS = (Role.MEMORY, Role.BACKUP, Role.FIRST_64K)
"""The roles of rows that describe memory, once."""


class Layout:
    """A core with the role of each of its rows.

    >>> layout = Layout(read("elfcorehdr.bin"))
    >>> layout.roles.count(Role.MEMORY), layout.what(0)
    (3, 'CPU 0 note')
    """

    def __init__(self, core: Core) -> None:
        """Nothing is found out before it is asked for."""
        self.core = core

    def __repr__(self) -> str:
        return f"<Layout of {self.core!r}>"

    @cached_property
    def arch(self) -> Arch | None:
        """The architecture, None if it is none of arches.ARCHES."""
        sizes = self.core.phdrs.p_memsz
        notes = self.core.phdrs.rows_of(PT_NOTE)
        return arch_of(self.core.ehdr.e_machine, (sizes[row] for row in notes))

    @cached_property
    def _loads(self) -> Sequence[int]:
        """Rows that describe memory with a physical address, the image among them."""
        phdrs = self.core.phdrs
        rows = phdrs.rows_of(PT_LOAD)
        if self.core.physical and not phdrs.p_memsz.count(0) and not phdrs.p_paddr.count(U64 - 1):
            return rows
        return [row for row in rows if self.core.physical and self._described(row)]

    def _described(self, row: int) -> bool:
        phdrs = self.core.phdrs
        return phdrs.p_memsz[row] > 0 and phdrs.p_paddr[row] != U64 - 1

    @cached_property
    def _stops(self) -> list[int]:
        """The addresses behind the rows of _loads."""
        phdrs = self.core.phdrs
        return list(
            map(add, picked(phdrs.p_paddr, self._loads), picked(phdrs.p_memsz, self._loads))
        )

    @cached_property
    def _ascending(self) -> int | None:
        """From which row of _loads on memory ascends without an overlap, see spans.ascending_from()."""
        return ascending_from(picked(self.core.phdrs.p_paddr, self._loads), self._stops)

    @cached_property
    def _nested(self) -> list[int]:
        """Loads that lie inside another one and are mapped elsewhere: the image, if all is well."""
        starts = picked(self.core.phdrs.p_paddr, self._loads)
        return [self._loads[n] for n in nested(starts, self._stops, self._ascending)]

    @cached_property
    def _mapping(self) -> tuple[int | None, DirectMap | None]:
        """Where physical 0 is mapped, and in which of the architecture's ways: what most bytes fit.

        Rows inside others have no vote but between ways (the image), nor have rows without a physical address
        (/proc/kcore). Without an architecture it is what most bytes say.
        """
        phdrs = self.core.phdrs
        skipped = set(self._nested)
        rows = [row for row in self._loads if row not in skipped] if skipped else self._loads
        vaddr, paddr, size = (
            picked(c, rows) for c in (phdrs.p_vaddr, phdrs.p_paddr, phdrs.p_memsz)
        )
        offsets = list(map(sub, vaddr, paddr))
        bases = dict.fromkeys(offsets[:1], len(offsets))
        if offsets and offsets.count(offsets[0]) < len(offsets):
            bases = dict(Counter(offsets).most_common(MANY_BASES))
        weights: dict[int, int] = {}
        groups: dict[int, tuple[int, int, int]] = {}
        for base in bases:
            same = range(len(offsets)) if len(bases) == 1 else rows_with(offsets, base)
            v, p, s = (picked(c, same) for c in (vaddr, paddr, size))
            weights[base % U64] = sum(s)
            groups[base % U64] = min(v), max(v), min(max(map(add, p, s)), U64)
        if self.arch is None:
            return max(weights, key=weights.__getitem__, default=None), None
        images = [phdrs.p_vaddr[row] for row in self._nested]
        fitting = [
            (weights[base], way.holds_image(images), -n, base)
            for n, way in enumerate(self.arch.maps)
            for base, (lowest, highest, end) in groups.items()
            if way.fits(base, lowest, highest, end)
        ]
        told = self._told_bases
        if told:  # the kernel itself says it: rows that say otherwise are wrong, however many
            fitting = [fit for fit in fitting if fit[3] in told]
            if not fitting:
                return told[0], None
        if not fitting:
            return None, None
        _, _, n, base = max(fitting)
        return base, self.arch.maps[-n]

    @cached_property
    def told(self) -> dict[str, int]:
        """What VMCOREINFO says in numbers, where the notes were read."""
        if not self.core.note_data or self.core.form is not Form.CORE:
            return {}
        from printer.layout.told import numbers

        return numbers(self.core)

    @property
    def _told_bases(self) -> list[int]:
        if not self.told or self.arch is None:
            return []
        from printer.layout.told import direct_maps

        first = self._nested[0] if self._nested else None
        image = None if first is None else self.core.phdrs.p_paddr[first]
        return direct_maps(self.arch.name, self.told, image)

    @cached_property
    def image_map(self) -> int | None:
        """Where physical 0 would be if it was mapped as VMCOREINFO says that the image is, modulo 2^64."""
        if not self.told or self.arch is None:
            return None
        from printer.layout.told import image_map

        return image_map(self.arch.name, self.told)

    @property
    def direct_map(self) -> int | None:
        """Where physical 0 is mapped, modulo 2^64; None if no row is mapped where it can be."""
        return self._mapping[0]

    @property
    def way(self) -> DirectMap | None:
        """In which of its ways the architecture maps memory here; None if that cannot be told."""
        return self._mapping[1]

    @cached_property
    def image(self) -> int | None:
        """The row of the kernel's image, where that is mapped apart from memory or twice."""
        rows = self._loads
        if not rows:
            return None
        ways = [self.way] if self.way else list(self.arch.maps if self.arch else ())
        windows = {way.image for way in ways if way.image}
        if self.arch and not windows:  # it runs in the direct map, and is listed twice all the same
            return rows[0] if self._nested[:1] == [rows[0]] else None
        phdrs = self.core.phdrs
        inside = [row for row in self._nested if self._mapped(row) != self.direct_map]
        if self.arch is None or (inside and inside[0] == rows[0]):
            return inside[0] if inside else None
        for row in [*inside, *(rows if len(windows) == 1 else ())]:
            v = phdrs.p_vaddr[row]
            if any(a <= v <= b for a, b in windows) and self._mapped(row) != self.direct_map:
                return row
        return None

    def _mapped(self, row: int) -> int:
        """Where physical 0 would be if all memory was mapped as this row is."""
        return (self.core.phdrs.p_vaddr[row] - self.core.phdrs.p_paddr[row]) % U64

    @cached_property
    def cpu_note_size(self) -> int:
        """p_memsz of a CPU's note: the architecture's, else that of the first PT_NOTE."""
        sizes = picked(self.core.phdrs.p_memsz, self.core.phdrs.rows_of(PT_NOTE))
        if self.arch and self.arch.note_size in sizes:
            return self.arch.note_size
        return sizes[0] if sizes else 0

    @cached_property
    def roles(self) -> tuple[Role, ...]:
        """The role of each row, in file order."""
        phdrs = self.core.phdrs
        found = [Role.OTHER] * len(phdrs)
        for row, role in self._note_roles():
            found[row] = role
        loads = self._loads if self.core.physical else ()
        if isinstance(loads, range):
            found[loads.start : loads.stop] = [Role.MEMORY] * len(loads)
        for row in () if isinstance(loads, range) else loads:
            found[row] = Role.MEMORY
        if self.core.form is Form.ELFCOREHDR and phdrs.p_offset != phdrs.p_paddr:
            for row in compress(range(len(phdrs)), map(ne, phdrs.p_offset, phdrs.p_paddr)):
                found[row] = Role.BACKUP if found[row] is Role.MEMORY else found[row]
        if self.expects_backup:
            for row in rows_with(phdrs.p_paddr, 0):
                if found[row] is Role.MEMORY and phdrs.p_memsz[row] == BACKUP_SRC_SIZE:
                    found[row] = Role.FIRST_64K
        if self.image is not None:
            found[self.image] = Role.KERNEL
        return tuple(found)

    def _note_roles(self) -> Iterable[tuple[int, Role]]:
        """The last note of an elfcorehdr is vmcoreinfo's, if it is larger than a CPU's can be."""
        rows = self.core.phdrs.rows_of(PT_NOTE)
        if self.core.form is Form.CORE:
            return ((row, Role.NOTES) for row in rows)
        found = dict.fromkeys(rows, Role.CPU_NOTE)
        if rows:
            size = self.core.phdrs.p_memsz[rows[-1]]
            if size > LEAST_VMCOREINFO or (not self.arch and size != self.cpu_note_size):
                found[rows[-1]] = Role.VMCOREINFO
        return found.items()

    @cached_property
    def cpus(self) -> dict[int, int]:
        """Row of each CPU note -> the CPU, counting the notes as the kernel writes them."""
        rows = [row for row, role in self._note_roles() if role is Role.CPU_NOTE]
        return {row: cpu for cpu, row in enumerate(rows)}

    @cached_property
    def memory_rows(self) -> Sequence[int]:
        """The rows that describe memory, without the kernel's image and without empty ones."""
        rows = self._loads
        if self.image is None:
            return rows
        if self.image == rows[0]:
            return rows[1:]
        return [row for row in rows if row != self.image]

    @cached_property
    def memory_stops(self) -> Sequence[int]:
        """The addresses behind the rows of memory_rows."""
        if self.image is None:
            return self._stops
        if self.image == self._loads[0]:
            return self._stops[1:]
        return [s for row, s in zip(self._loads, self._stops, strict=True) if row != self.image]

    @property
    def in_order(self) -> bool:
        """Whether memory_rows ascend and do not overlap."""
        skipped = int(self.image is not None and self.image == self._loads[0])
        return self._ascending is not None and self._ascending <= skipped

    @cached_property
    def memory(self) -> Spans:
        """The physical memory that the rows describe."""
        starts = picked(self.core.phdrs.p_paddr, self.memory_rows)
        return Spans.between(starts, self.memory_stops)

    @cached_property
    def crashkernel_gap(self) -> tuple[Range, ...]:
        """Where the crashkernel seems to be: the gap between loads that the backup region lies in.

        powerpc's firmware rows in it are passed over: RTAS or OPAL stand alone there, with a gap on
        either side, smaller than a memory block. There, if no row points at a backup region, it is the first
        gap: the reservation lies below all memory that can go (reserve_crashkernel(),
        arch/powerpc/kexec/core.c). Elsewhere empty then.
        """
        starts, stops = self.memory.starts, self.memory.stops
        if Role.BACKUP in self.roles:
            target = self.core.phdrs.p_offset[self.roles.index(Role.BACKUP)]
            before = bisect_right(starts, target) - 1
            if before >= 0 and stops[before] > target and not self._alone(before):
                return ()
        elif not self.expects_backup or self.core.live or not starts:
            return ()
        else:
            before = 0 if starts[0] == 0 else -1
        after = before + 1
        while before >= 0 and self._alone(before):
            before -= 1
        while after < len(starts) and self._alone(after):
            after += 1
        if after >= len(starts):
            return ()
        return (Range(stops[before] if before >= 0 else 0, starts[after] - 1),)

    def _alone(self, span: int) -> bool:
        """Whether a span of memory is taken for powerpc's firmware: small, with a gap on either side.

        What is left between the reservation and a block that went begins and ends where LMBs do.
        """
        starts, stops = self.memory.starts, self.memory.stops
        size = stops[span] - starts[span]
        odd = (starts[span] | stops[span]) % SMALLEST_LMB
        return bool(
            self.expects_backup and odd and 0 < span < len(starts) - 1 and size < FIRMWARE_LIMIT
        )

    def what(self, row: int) -> str:
        """A few words on a row, for a table."""
        role = self.roles[row]
        if role is Role.CPU_NOTE:
            return f"CPU {self.cpus[row]} note"
        if role is Role.BACKUP:
            return f"{Role.MEMORY.value}, read from backup at {self.core.phdrs.p_offset[row]:#x}"
        if role is Role.OTHER and self.core.phdrs.p_type[row] == PT_LOAD:
            return "no physical address" if self.core.phdrs.p_memsz[row] else "empty"
        return str(role.value)

    @property
    def expects_backup(self) -> bool:
        """Whether the backup region of powerpc is to be expected."""
        return self.arch is not None and self.arch.has_backup_region


def picked(column: Sequence[int], rows: Sequence[int]) -> Sequence[int]:
    """The values of some rows, a slice where they follow each other."""
    if isinstance(rows, range) and rows.step == 1:
        return column[rows.start : rows.stop]
    return [column[row] for row in rows]


def rows_with(column: Sequence[int], value: int) -> Sequence[int]:
    """The rows in which a column has a value, ascending."""
    found = column.count(value)
    if found == len(column):
        return range(len(column))
    if found < 2:
        return [column.index(value)] if found else []
    return [row for row, found in enumerate(column) if found == value]
