"""Find what is wrong with a header: check() runs every rule of rules.py.

The rules know what kernels write (crash_prepare_elf64_headers(), kernel/crash_core.c) and which
mistakes kernels made. Imports elfcorehdr.elf and .ranges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

from elfcorehdr.elf import ELFCLASS64, ET_CORE, EV_CURRENT, PN_XNUM, PT_LOAD, PT_NOTE, Phdr
from elfcorehdr.errors import ElfFormatError
from elfcorehdr.lib.ranges import Range
from printer.inputs.source import Core, Form
from printer.judge.rules import BY_ID, Finding
from printer.judge.surroundings import Surroundings
from printer.layout.roles import BACKUP_SRC_SIZE, Layout, Role
from printer.layout.sizes import range_text, size_text
from printer.layout.spans import U64, loaded, subtract, touching, union, within

PAGE = 4096
"""Smallest page of the architectures: what is unaligned here is unaligned everywhere."""
LOW_MEMORY = 1 << 20
"""Below it x86's BIOS and kexec-tools' backup live; the kernel leaves it out (arch/x86/kernel/crash.c)."""
_LOADS = (Role.MEMORY, Role.BACKUP, Role.FIRST_64K)


def check(core: Core, machine: Surroundings | None = None) -> list[Finding]:
    """Everything found, by row, the whole's first; an empty list if nothing is wrong.

    With machine also what only a look at the machine can tell: memory that no row loads, memory
    of the capture kernel that one does, CPUs without a note.
    """
    checker = _Check(Layout(core), machine or Surroundings())
    found = list(checker.findings())
    order = {rule: n for n, rule in enumerate(BY_ID)}
    found.sort(key=lambda f: (-1 if f.row is None else f.row, order[f.rule.id]))
    return found


class _Check:
    def __init__(self, layout: Layout, machine: Surroundings) -> None:
        self.layout = layout
        self.machine = machine
        self.phdrs = layout.core.phdrs
        self.elfcorehdr = layout.core.form is Form.ELFCOREHDR

    @cached_property
    def loads(self) -> list[tuple[int, Phdr]]:
        """Rows of memory, without the kernel's image."""
        roles = self.layout.roles
        return [(i, p) for i, p in enumerate(self.phdrs) if roles[i] in _LOADS]

    @cached_property
    def loaded(self) -> list[Range]:
        return loaded(p for _, p in self.loads)

    @cached_property
    def in_memory(self) -> Callable[[int, int], bool]:
        """Whether any byte of start..end (included) is loaded from where it lies."""
        rows = (p for row, p in self.loads if self.layout.roles[row] is Role.MEMORY)
        return touching(loaded(rows))

    @cached_property
    def has_vaddr(self) -> bool:
        """Whether virtual addresses are given at all: a hypervisor's dump leaves them 0."""
        return any(p.p_vaddr for _, p in self.loads)

    @cached_property
    def firmware(self) -> list[Range]:
        """RTAS and OPAL as the machine says, in whole 64 KiB pages: kexec-tools lists them so."""
        return union(sorted(Range(r.start & ~0xFFFF, r.end | 0xFFFF) for r in self.machine.rtas))

    def findings(self) -> Iterator[Finding]:
        yield from self._header()
        if not self.elfcorehdr and self._of_a_process():
            yield _found("process-core", "p_paddr is 0 in every PT_LOAD")
            return
        yield from self._cut_off()
        for row, phdr in self.loads:
            yield from self._one_load(row, phdr)
        yield from self._order()
        yield from self._backup()
        yield from self._notes()
        yield from self._around()

    def _of_a_process(self) -> bool:
        loads = [p for p in self.phdrs if p.p_type == PT_LOAD]
        return len(loads) > 1 and not any(p.p_paddr for p in loads)

    def _header(self) -> Iterator[Finding]:
        ehdr = self.layout.core.ehdr
        for name, value, expected in (
            ("e_type", ehdr.e_type, ET_CORE),
            ("EI_VERSION", ehdr.ei_version, EV_CURRENT),
            ("e_version", ehdr.e_version, EV_CURRENT),
            ("e_ehsize", ehdr.e_ehsize, 64 if ehdr.ei_class == ELFCLASS64 else 52),
        ):
            if value != expected:
                yield _found("header-not-sane", f"{name} is {value}, expected {expected}")
        if not self.phdrs:
            yield _found("header-not-sane", "e_phnum is 0, expected at least one program header")
        elif not any(p.p_type == PT_LOAD for p in self.phdrs):
            yield _found("no-load", "no row is a PT_LOAD")
        if len(self.phdrs) >= PN_XNUM:
            yield _found("phnum-limit", f"{len(self.phdrs)} rows, expected at most {PN_XNUM - 1}")

    def _cut_off(self) -> Iterator[Finding]:
        size = self.layout.core.size
        if self.elfcorehdr or size is None:
            return
        for row, p in enumerate(self.phdrs):
            if p.p_filesz and p.p_offset + p.p_filesz > size:
                missing = p.p_offset + p.p_filesz - max(size, p.p_offset)
                yield _found(
                    "file-cut-off",
                    f"{size_text(missing)} of {size_text(p.p_filesz)} lie beyond the file's end "
                    f"({size:#x})",
                    row,
                )

    def _one_load(self, row: int, p: Phdr) -> Iterator[Finding]:
        if p.p_paddr + p.p_memsz > U64:
            yield _found(
                "size-wraps", f"size {p.p_memsz:#x} at {p.p_paddr:#x} ends beyond 2^64", row
            )
        elif p.p_memsz % PAGE == 1 and p.p_memsz > PAGE:
            yield _found(
                "size-one-byte-long", f"size {p.p_memsz:#x} is {size_text(p.p_memsz)}", row
            )
        elif p.p_memsz % PAGE and not any(r.start == p.p_paddr for r in self.machine.rtas):
            yield _found("unaligned-size", f"size {p.p_memsz:#x} is no number of pages", row)
        if p.p_paddr % PAGE:
            yield _found("unaligned-start", f"begins at {p.p_paddr:#x}", row)
        if p.p_filesz != p.p_memsz and self.elfcorehdr:
            yield _found(
                "filesz-not-memsz", f"p_filesz is {p.p_filesz:#x}, p_memsz {p.p_memsz:#x}", row
            )
        expected = (p.p_paddr + self.layout.direct_map) % U64
        if p.p_vaddr != expected and self.has_vaddr:
            yield _found(
                "vaddr-not-direct-map",
                f"{p.p_paddr:#x} is mapped at {p.p_vaddr:#x}, expected {expected:#x}",
                row,
            )
        yield from self._in_crashkernel(row, p)

    def _in_crashkernel(self, row: int, p: Phdr) -> Iterator[Finding]:
        end = min(p.p_paddr + p.p_memsz, U64) - 1
        for crash in self.machine.crashkernel:
            if not p.p_memsz or not crash.overlaps(p.p_paddr, end):
                continue
            inside = Range(max(crash.start, p.p_paddr), min(crash.end, end))
            if any(f.start <= inside.start and inside.end <= f.end for f in self.firmware):
                continue
            # Without its place from the machine's description, what lies wholly inside and is not
            # at an edge is taken for firmware: powerpc lists RTAS and OPAL there.
            firmware = (
                self.layout.expects_backup
                and not self.machine.rtas
                and crash.start < p.p_paddr
                and end <= crash.end
            )
            yield _found(
                "firmware-in-crashkernel" if firmware else "load-in-crashkernel",
                f"{range_text(inside.start, inside.size)} of the crashkernel "
                f"({crash.start:#x}-{crash.end:#x})",
                row,
            )

    def _order(self) -> Iterator[Finding]:
        previous = -1
        for row, p in self.loads:
            if p.p_paddr < previous:
                yield _found("not-ascending", f"{p.p_paddr:#x} follows {previous:#x}", row)
            previous = p.p_paddr
        reach, by = 0, -1
        last: Phdr | None = None
        for row, p in sorted(self.loads, key=lambda load: (load[1].p_paddr, load[0])):
            end = p.p_paddr + p.p_memsz
            if last and (last.p_paddr, last.p_memsz) == (p.p_paddr, p.p_memsz):
                yield _found("duplicate-load", f"the same memory as row {by:#x}", row)
            elif p.p_memsz and p.p_paddr < reach:
                both = range_text(p.p_paddr, min(end, reach) - p.p_paddr)
                yield _found("overlapping-loads", f"{both} also in row {by:#x}", row)
            if end > reach:
                reach, by, last = end, row, p

    def _backup(self) -> Iterator[Finding]:
        for row, p in self.loads:
            role = self.layout.roles[row]
            if role is Role.FIRST_64K and self.elfcorehdr and p.p_offset == 0:
                yield _found("backup-offset-zero", "p_offset is 0, expected the backup region", row)
            if role is not Role.BACKUP:
                continue
            if p.p_paddr >= LOW_MEMORY:
                yield _found(
                    "offset-not-paddr", f"{p.p_paddr:#x} is read from {p.p_offset:#x}", row
                )
            else:
                yield from self._backup_place(row, p)

    def _backup_place(self, row: int, p: Phdr) -> Iterator[Finding]:
        place = Range.sized(p.p_offset, max(p.p_memsz, 1))
        known = self.machine.crashkernel
        if known:
            if not any(c.start <= place.start and place.end <= c.end for c in known):
                spans = ", ".join(f"{c.start:#x}-{c.end:#x}" for c in known)
                yield _found(
                    "backup-outside-crashkernel",
                    f"backup region at {p.p_offset:#x}, the crashkernel is {spans}",
                    row,
                )
            return
        if self.in_memory(place.start, place.end):
            yield _found(
                "backup-outside-crashkernel",
                f"backup region at {p.p_offset:#x} lies in memory that is loaded itself",
                row,
            )

    def _notes(self) -> Iterator[Finding]:
        notes = [(i, p) for i, p in enumerate(self.phdrs) if p.p_type == PT_NOTE]
        if not self.elfcorehdr:
            yield from self._core_notes(notes)
            return
        seen: dict[int, int] = {}
        inside = within(self.loaded)
        for row, p in notes:
            if p.p_paddr in seen:
                at = seen[p.p_paddr]
                yield _found("note-repeated", f"{p.p_paddr:#x} is also that of row {at:#x}", row)
            seen.setdefault(p.p_paddr, row)
            if not inside(p.p_paddr, p.p_paddr + max(p.p_memsz, 1) - 1):
                yield _found(
                    "note-not-loaded", f"{range_text(p.p_paddr, p.p_memsz)} in no load", row
                )
        cpus = len(self.layout.cpus)
        if self.machine.possible is not None and cpus < self.machine.possible:
            yield _found(
                "cpu-notes-missing", f"{cpus} CPU notes for {self.machine.possible} possible CPUs"
            )
        if Role.VMCOREINFO not in self.layout.roles:
            yield _found("vmcoreinfo-missing", "no PT_NOTE beside those of CPUs")

    def _core_notes(self, notes: list[tuple[int, Phdr]]) -> Iterator[Finding]:
        from printer.layout.notes import notes_of

        data = self.layout.core.note_data
        if not notes:
            yield _found("vmcoreinfo-missing", "no row is a PT_NOTE")
        elif data is not None and None not in data:
            try:
                names = {note.name for note in notes_of(self.layout.core)}
            except ElfFormatError as error:
                yield _found("note-damaged", str(error).removeprefix(f"{self.layout.core.name}: "))
                return
            if not any(name.startswith("VMCOREINFO") for name in names):
                yield _found("vmcoreinfo-missing", "no note of that name", notes[0][0])

    def _around(self) -> Iterator[Finding]:
        """What is memory and not loaded, and the other way round."""
        if not self.machine.memory:
            return
        memory = union(sorted(self.machine.memory))
        crashkernel = self.machine.crashkernel or self.layout.crashkernel_gap
        left_out = sorted(crashkernel)
        if self.layout.arch and self.layout.arch.low_memory:
            left_out = sorted([Range(0, self.layout.arch.low_memory - 1), *left_out])
        wanted = list(subtract(memory, union(left_out)))
        # /proc/iomem of powerpc does not list the crashkernel (arch_add_crash_res_to_iomem()).
        unless = (
            ""
            if crashkernel or not self.layout.expects_backup
            else ", unless it is the crashkernel"
        )
        for span in subtract(wanted, self.loaded):
            yield _found(
                "memory-not-loaded", f"{range_text(span.start, span.size)} is in no load{unless}"
            )
        known = union(sorted([*memory, *self.firmware]))
        for row, p in self.loads:
            span = Range(p.p_paddr, min(p.p_paddr + p.p_memsz, U64) - 1)
            if p.p_memsz % PAGE == 1:  # size-one-byte-long says so already
                span = Range(span.start, span.end - 1)
            outside = list(subtract([span] if p.p_memsz > 1 else [], known))
            if outside and not (p.p_paddr == 0 and p.p_memsz == BACKUP_SRC_SIZE):
                size = sum(r.size for r in outside)
                yield _found(
                    "load-not-memory", f"{range_text(outside[0].start, size)} is no memory", row
                )


def _found(rule: str, message: str, row: int | None = None) -> Finding:
    return Finding(BY_ID[rule], message, row)
