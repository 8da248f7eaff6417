"""Find what is wrong with a header: check() runs every rule of rules.py.

The rules know what kernels write (crash_prepare_elf64_headers(), kernel/crash_core.c) and which
mistakes kernels and tools made. Rows are looked at column by column: only those that are out of the ordinary are
looked at one by one. Imports elfcorehdr.elf and .lib.ranges.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, reduce
from operator import add, or_

from elfcorehdr.elf import ELFCLASS64, ET_CORE, EV_CURRENT, PN_XNUM, PT_LOAD, PT_NOTE, Phdr
from elfcorehdr.lib.ranges import Range
from printer.inputs.source import Core, Form
from printer.judge.mappings import check_mappings
from printer.judge.notes import check_notes
from printer.judge.rules import BY_ID, Finding, Level, found
from printer.judge.surroundings import Surroundings
from printer.layout.roles import BACKUP_SRC_SIZE, Layout, Role, picked
from printer.layout.sizes import range_text, size_text
from printer.layout.spans import U64, Spans

PAGE = 4096
"""Smallest page of the architectures: what is unaligned here is unaligned everywhere."""
ASKED = 64
"""Stretches of memory whose blocks a mounted tree is asked about."""
LOW_MEMORY = 1 << 20
"""Below it x86's BIOS and kexec-tools' backup live; the kernel leaves it out (arch/x86/kernel/crash.c)."""


def check(core: Core, machine: Surroundings | None = None) -> list[Finding]:
    """Everything found, by row, the whole's first; an empty list if nothing is wrong.

    With machine also what only a look at the machine can tell: memory that no row loads, memory
    of the capture kernel that one does, CPUs without a note.

    >>> [f"{f.level.word}: {f.message}" for f in check(read("bad.bin"), read_iomem("iomem"))]
    ['error: p_offset is 0, expected the backup region']
    """
    return check_layout(Layout(core), machine or Surroundings())


def check_layout(layout: Layout, machine: Surroundings) -> list[Finding]:
    """check() of a header whose rows' roles somebody else wants to know, too."""
    findings = list(_Check(layout, machine).findings())
    order = {rule: n for n, rule in enumerate(BY_ID)}
    findings.sort(key=lambda f: (-1 if f.row is None else f.row, order[f.rule.id]))
    return findings


class _Check:
    def __init__(self, layout: Layout, machine: Surroundings) -> None:
        self.layout = layout
        self.machine = machine
        self.core = layout.core
        self.phdrs = layout.core.phdrs
        self.rows = layout.memory_rows
        self.paddr = picked(self.phdrs.p_paddr, self.rows)
        self.memsz = picked(self.phdrs.p_memsz, self.rows)
        self.stops = layout.memory_stops
        self.elfcorehdr = layout.core.form is Form.ELFCOREHDR

    @property
    def loads(self) -> Iterator[tuple[int, int, int]]:
        """(row, address, address behind) of the memory rows."""
        return zip(self.rows, self.paddr, self.stops, strict=True)

    @cached_property
    def firmware(self) -> Spans:
        """RTAS and OPAL as the machine says, in whole 64 KiB pages: kexec-tools lists them so."""
        return Spans.of(Range(r.start & ~0xFFFF, r.end | 0xFFFF) for r in self.machine.rtas)

    def findings(self) -> Iterator[Finding]:
        yield from self._header()
        if not self.core.physical and not self.core.live:
            yield found("process-core", "p_paddr is 0 in every PT_LOAD")
            return
        yield from self._cut_off()
        yield from self._loads()
        yield from check_mappings(self.layout, self.machine)
        yield from self._order()
        yield from self._crashkernel()
        yield from self._backup()
        yield from check_notes(self.layout, self.machine)
        yield from self._around()

    def _header(self) -> Iterator[Finding]:
        ehdr = self.core.ehdr
        for name, value, expected in (
            ("e_type", ehdr.e_type, ET_CORE),
            ("EI_VERSION", ehdr.ei_version, EV_CURRENT),
            ("e_version", ehdr.e_version, EV_CURRENT),
            ("e_ehsize", ehdr.e_ehsize, 64 if ehdr.ei_class == ELFCLASS64 else 52),
        ):
            if value != expected:
                yield found("header-not-sane", f"{name} is {value}, expected {expected}")
        loads = self.phdrs.rows_of(PT_LOAD)
        if not self.phdrs:
            yield found("header-not-sane", "e_phnum is 0, expected at least one program header")
        elif not loads:
            yield found("no-load", "no row is a PT_LOAD")
        elif not any(self.phdrs.p_memsz[row] for row in loads):
            yield found("no-load", f"{len(loads)} PT_LOADs, all of size 0")
        if len(self.phdrs) >= PN_XNUM:
            yield found("phnum-limit", f"{len(self.phdrs)} rows, expected at most {PN_XNUM - 1}")

    def _cut_off(self) -> Iterator[Finding]:
        size = self.core.size
        offset, filesz = self.phdrs.p_offset, self.phdrs.p_filesz
        if self.elfcorehdr or size is None or max(map(add, offset, filesz), default=0) <= size:
            return
        loads = [row for row in self.phdrs.rows_of(PT_LOAD) if filesz[row]]
        rows = [*self.phdrs.rows_of(PT_NOTE), *loads]
        if loads and size <= min(offset[row] for row in loads):
            text = "nothing of the memory is in the file: a copy of the headers alone"
            yield found("file-cut-off", text, level=Level.NOTE)
            rows = [row for row in rows if offset[row] < size]
        for row in rows:
            if filesz[row] and offset[row] + filesz[row] > size:
                missing = offset[row] + filesz[row] - max(size, offset[row])
                yield found(
                    "file-cut-off",
                    f"{size_text(missing)} of {size_text(filesz[row])} lie beyond the file's end "
                    f"({size:#x})",
                    row,
                )

    def _loads(self) -> Iterator[Finding]:
        """What a row says by itself, apart from where it is mapped."""
        filesz = picked(self.phdrs.p_filesz, self.rows)
        odd: list[int] = []
        if (reduce(or_, self.paddr, 0) | reduce(or_, self.memsz, 0)) % PAGE or filesz != self.memsz:
            columns = zip(self.rows, self.paddr, self.memsz, filesz, strict=True)
            odd = [row for row, p, m, f in columns if (p | m) & PAGE - 1 or f != m]
        if max(self.stops, default=0) > U64:
            odd += [row for row, _, stop in self.loads if stop > U64]
        for row in dict.fromkeys(odd):
            yield from self._one_load(row, self.phdrs[row])

    def _one_load(self, row: int, p: Phdr) -> Iterator[Finding]:
        if p.p_paddr + p.p_memsz > U64:
            yield found(
                "size-wraps", f"size {p.p_memsz:#x} at {p.p_paddr:#x} ends beyond 2^64", row
            )
        elif p.p_memsz % PAGE == 1 and p.p_memsz > PAGE:
            yield found("size-one-byte-long", f"size {p.p_memsz:#x} is {size_text(p.p_memsz)}", row)
        elif p.p_memsz % PAGE and not any(r.start == p.p_paddr for r in self.machine.rtas):
            yield found("unaligned-size", f"size {p.p_memsz:#x} is no number of pages", row)
        if p.p_paddr % PAGE:
            yield found("unaligned-start", f"begins at {p.p_paddr:#x}", row)
        if p.p_filesz != p.p_memsz and self.elfcorehdr:
            text = f"p_filesz is {p.p_filesz:#x}, p_memsz {p.p_memsz:#x}"
            yield found("filesz-not-memsz", text, row)

    def _crashkernel(self) -> Iterator[Finding]:
        if self.core.live:  # a running kernel sees its own reservation
            return
        for crash in self.machine.crashkernel:
            for row, start, stop in self.loads:
                if start <= crash.end and stop > crash.start:
                    yield from self._in_crashkernel(row, start, stop, crash)

    def _in_crashkernel(self, row: int, start: int, stop: int, crash: Range) -> Iterator[Finding]:
        inside = Range(max(crash.start, start), min(crash.end, stop - 1))
        if self.firmware.covers(inside.start, inside.end + 1):
            return
        # Without its place from the machine's description, what lies wholly inside and is not
        # at an edge is taken for firmware: powerpc lists RTAS and OPAL there.
        firmware = (
            self.layout.expects_backup
            and not self.machine.rtas
            and crash.start < start
            and stop <= crash.end + 1
        )
        yield found(
            "firmware-in-crashkernel" if firmware else "load-in-crashkernel",
            f"{range_text(inside.start, inside.size)} of the crashkernel "
            f"({crash.start:#x}-{crash.end:#x})",
            row,
        )

    def _order(self) -> Iterator[Finding]:
        if self.layout.in_order:
            return
        if not self.core.live:
            previous = -1
            for row, start, _ in self.loads:
                if start < previous:
                    yield found("not-ascending", f"{start:#x} follows {previous:#x}", row)
                previous = start
        reach, by = 0, -1
        last = (-1, -1)
        for row, start, stop in sorted(self.loads, key=lambda load: (load[1], load[0])):
            if last == (start, stop):
                yield found("duplicate-load", f"the same memory as row {by:#x}", row)
            elif start < reach:
                both = range_text(start, min(stop, reach) - start)
                yield found("overlapping-loads", f"{both} also in row {by:#x}", row)
            if stop > reach:
                reach, by, last = stop, row, (start, stop)

    def _backup(self) -> Iterator[Finding]:
        roles = self.layout.roles
        for row in [row for row in self.rows if roles[row] is not Role.MEMORY]:
            role = roles[row]
            if role is Role.FIRST_64K and self.elfcorehdr and self.phdrs.p_offset[row] == 0:
                yield found("backup-offset-zero", "p_offset is 0, expected the backup region", row)
            if role is not Role.BACKUP:
                continue
            p = self.phdrs[row]
            if p.p_paddr >= LOW_MEMORY:
                text = f"{p.p_paddr:#x} is read from {p.p_offset:#x}"
                yield found("offset-not-paddr", text, row)
            else:
                yield from self._backup_place(row, p)

    def _backup_place(self, row: int, p: Phdr) -> Iterator[Finding]:
        place = Range.sized(p.p_offset, max(p.p_memsz, 1))
        if known := self.machine.crashkernel:
            if not any(c.start <= place.start and place.end <= c.end for c in known):
                spans = ", ".join(f"{c.start:#x}-{c.end:#x}" for c in known)
                text = f"backup region at {p.p_offset:#x}, the crashkernel is {spans}"
                yield found("backup-outside-crashkernel", text, row)
            return
        roles = self.layout.roles
        touched = (r for r, start, stop in self.loads if start <= place.end and stop > place.start)
        if any(roles[r] is Role.MEMORY for r in touched):
            text = f"backup region at {p.p_offset:#x} lies in memory that is loaded itself"
            yield found("backup-outside-crashkernel", text, row)

    def _online(self, missing: Spans) -> Spans:
        """Without the blocks that are known to be offline, as far as they can be asked about."""
        for span, _ in zip(missing, range(ASKED), strict=False):
            missing -= Spans.of(self.machine.offline(span))
        return missing

    def _around(self) -> Iterator[Finding]:
        """What is memory and not loaded, and the other way round."""
        if not self.machine.memory:
            return
        memory = Spans.of(self.machine.memory)
        # /proc/iomem of powerpc does not list the crashkernel (arch_add_crash_res_to_iomem()).
        left_out = [*(self.machine.crashkernel or self.layout.crashkernel_gap)]
        if self.layout.arch and self.layout.arch.low_memory:
            left_out.append(Range(0, self.layout.arch.low_memory - 1))
        wanted = (memory - Spans.of(left_out)).whole_pages(PAGE)
        for span in self._online(wanted - self.layout.memory):
            text = f"{range_text(span.start, span.size)} is in no load"
            yield found("memory-not-loaded", text, place=span.start)
        known = Spans.of([*memory, *self.firmware])
        if not (self.layout.memory - known):
            return
        for row, start, stop in self.loads:
            # size-one-byte-long says already that a byte is too many
            whole = min(stop, U64) - ((stop - start) % PAGE == 1)
            outside = Spans.between([start], [whole]) - known
            if outside and (start, stop) != (0, BACKUP_SRC_SIZE):
                text = f"{range_text(outside.starts[0], outside.size)} is no memory"
                yield found("load-not-memory", text, row)
