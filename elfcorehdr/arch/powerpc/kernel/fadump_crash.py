"""The crash of a kernel whose dump firmware takes, and the boot after it: arch/powerpc/kernel/fadump.c (v7.3, v6.1).

Firmware copies boot memory and the CPUs' registers into the dump area and boots the same kernel, which keeps its hands
off all memory above; the ELF header is made there (before 6.10 by the kernel that registered). Only such a crash imports this.
"""

from __future__ import annotations

import itertools

from elfcorehdr import changes
from elfcorehdr.arch.powerpc.platforms.pseries import rtas_fadump
from elfcorehdr.arch.powerpc.platforms.pseries.rtas_fadump import (
    CPU_STATE_DATA,
    PARAM_AREA,
    REAL_MODE_REGION,
    Section,
)
from elfcorehdr.elf import NT_PRSTATUS, PF_R, PF_W, PF_X, PT_LOAD, PT_NOTE, Ehdr, ElfCoreHdr, Phdr
from elfcorehdr.kernel.kexec_file import align_down, align_up
from elfcorehdr.kernel.vmcore_info import vmcoreinfo_note
from elfcorehdr.lib.ranges import Range, format_ids
from elfcorehdr.lib.record import NamedTuple, replace
from elfcorehdr.machine import Machine, MemoryRange
from elfcorehdr.mm.mm_init import MemoryImage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel
    from elfcorehdr.kernel.panic import Crash

EF_PPC64_ABI_V2 = 2
PT_TRAP = 40
"""Its place among the registers of a note."""


class Dump(NamedTuple):
    """What firmware has of a kernel that crashed: memory, its ranges, notes, and where VMCOREINFO was copied to."""

    memory: MemoryImage
    header: bytes
    notes: tuple[int, bytes]
    """Where the booting kernel has them, and what they are."""
    params: str
    """What was to be appended to its command line."""

    def read(self, address: int, size: int) -> bytes:
        """Memory as /proc/vmcore reads it; notes are the booting kernel's own."""
        at, notes = self.notes
        if at <= address < at + len(notes):
            return notes[address - at : address - at + size].ljust(size, b"\0")
        return self.memory.mem.read(address, size)


def header_of(kernel: Kernel) -> ElfCoreHdr:
    """fadump_populate_elfcorehdr(): CPU notes that are not there yet, VMCOREINFO, boot memory where it is copied to,
    and the rest of RAM.

    Before 6.10 ranges that touch were one, and it was made when fadump was registered
    (fadump_setup_crash_memory_ranges()).
    """
    fadump = kernel.platform.fadump
    assert fadump is not None
    assert fadump.area is not None
    boot, area, dest = fadump.boot_memory_size, fadump.area, fadump.boot_mem_dest_addr
    where, size = vmcoreinfo_note(kernel)
    where += dest if where < boot else 0  # fadump_relocate()
    rows = [_note(0, 0), _note(where, size), _load(kernel, 0, boot, dest)]
    found: list[tuple[int, int]] = []
    for region in kernel.memblock:
        start, end = max(region.start, boot), region.end + 1
        for a, b in ((start, min(end, area.start)), (max(start, area.end + 1), end)):
            if a < b:
                found.append((a, b))
    if not kernel.has(changes.FADUMP_HOTPLUG_READY):
        found = _folded(found)
    rows += [_load(kernel, a, b - a, a) for a, b in found]
    return ElfCoreHdr(Ehdr(kernel.arch.e_machine, e_flags=EF_PPC64_ABI_V2), tuple(rows))


def _folded(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    made = ranges[:1]
    for start, end in ranges[1:]:
        if made[-1][1] == start:
            made[-1] = (made[-1][0], end)
        else:
            made.append((start, end))
    return made


def _note(address: int, size: int) -> Phdr:
    return Phdr(PT_NOTE, 0, address, 0, address, size, size, 0)


def _load(kernel: Kernel, start: int, size: int, offset: int) -> Phdr:
    return Phdr(PT_LOAD, PF_R | PF_W | PF_X, offset, kernel.arch.va(kernel, start), start, size, size, 0)  # fmt: skip


def taken(kernel: Kernel, crash: Crash, memory: MemoryImage) -> Dump:
    """crash_fadump() and what firmware does: boot memory is copied into the dump area, which nothing else keeps."""
    fadump = kernel.platform.fadump
    assert fadump is not None
    boot, dest, mem = fadump.boot_memory_size, fadump.boot_mem_dest_addr, memory.mem
    layout, arch = memory.layout, kernel.arch
    notes = b""
    for cpu in sorted(kernel.cpus.online):
        stack = layout.va(arch.crash_note(kernel, cpu)) & ~0x3FFF | 0x3B98
        registers = [*layout.registers(cpu, stack, crashed=cpu == crash.cpu)]
        registers[PT_TRAP] = 0
        # Quirk: pid 0, whoever crashed: fadump_regs_to_elf_notes() does not know the process.
        desc = layout.prstatus(arch.prstatus_bytes, 0, registers)
        notes += b"".join(n.to_bytes(4, "little") for n in (5, len(desc), NT_PRSTATUS))
        notes += b"CORE\0\0\0\0" + desc
    notes = (notes + bytes(12)).ljust(align_up(len(notes) + 12, kernel.page_size), b"\0")
    # alloc_pages() of the booting kernel: from the end of what it has.
    at = align_down(boot - len(notes), kernel.page_size)
    header = fadump.header or header_of(kernel)
    rows = (_note(at, len(notes)), *header.phdrs[1:])
    mem.put(dest, boot, lambda offset, length: mem.read(offset, length))
    return Dump(memory, replace(header, phdrs=rows).pack(), (at, notes), fadump.bootargs_append())


def next_machine(kernel: Kernel) -> Machine:
    """What the same kernel is booted from after the crash: memory and CPUs that are there now, and the dump's property."""
    fadump, machine = kernel.platform.fadump, kernel.machine
    assert fadump is not None
    end = kernel.memory.boot_end
    rows = []
    for (
        region
    ) in kernel.memblock:  # LMBs that were plugged are marked as removable: regions of their own
        for start, behind in ((region.start, min(region.end + 1, end)), (max(region.start, end), region.end + 1)):  # fmt: skip
            if start < behind:
                rows.append(MemoryRange(start, behind - start, region.node))
    merged = [MemoryRange(a, b - a) for a, b in _folded([(m.start, m.end + 1) for m in rows])]
    sections = [dumped(s, complete=complete(machine)) for s in fadump.sections()]
    tree = {**machine.devicetree, rtas_fadump.PROPERTY: f"0x{rtas_fadump.pack(sections).hex()}"}
    present = format_ids(sorted(kernel.cpus.present))
    step = machine.crash_notes_step or max(2 * kernel.page_size, 0x20000)
    first = align_down(fadump.boot_memory_size - len(kernel.cpus.possible) * step, step) - step
    cmdline = kernel.production.cmdline
    if any(s.kind == PARAM_AREA for s in sections):  # fadump_append_bootargs()
        cmdline = f"{cmdline} {fadump.bootargs_append()}"
    return replace(
        machine,
        memory=tuple(rows),
        system_ram=tuple(merged),
        cpus=replace(machine.cpus, present=present, online=""),
        crash_notes={},
        crash_notes_first=first,
        blocks=(),
        cmdline=cmdline,
        devicetree=tree,
    )


def complete(machine: Machine) -> bool:
    """Whether firmware saves the CPUs' registers, without which no kernel takes the dump.

    Unless the machine says so, QEMU does not, as captured (golden ppc64/FA), and PowerVM does.
    """
    if machine.fadump_dump:
        return machine.fadump_dump == "complete"
    model = machine.devicetree.get("model", "emulated by qemu")
    return "emulated by qemu" not in model


def dumped(section: Section, *, complete: bool) -> Section:
    """A section as firmware leaves it."""
    return section._replace(dumped=section.size) if complete else section


def useless(kernel: Kernel, sections: tuple[Section, ...]) -> bool:
    """rtas_fadump_process(): whether the dump is of no use, which the log then tells."""
    log = kernel.log
    for n, s in enumerate(sections):
        if s.kind == PARAM_AREA or s.whole:
            continue
        if not kernel.has(changes.FADUMP_BOOTARGS_APPEND):
            if s.kind in (CPU_STATE_DATA, REAL_MODE_REGION):
                log.err("rtas fadump: Dump taken by platform is incomplete")
                return True
            continue
        log.err(f"rtas fadump: Dump taken by platform is incomplete ({n})")
        log.warning(
            f"rtas fadump: Region type: {s.kind} src addr: {s.source:#x} dest addr: {s.destination:#x}"
        )
        return True
    if kernel.firmware_dump is None:  # a property that a machine has from its beginning
        log.err("rtas fadump: Unable to read register save area.")
        return True
    return False


def released(kernel: Kernel, begin: int, area: Range | None) -> list[tuple[int, int]]:
    """fadump_release_memory(): what goes back to the page allocator, all from begin on but the dump area."""
    page, end = kernel.page_size, kernel.memblock.end_of_dram()
    holes = [(begin, area.start), (area.end + 1, end)] if area is not None else [(begin, end)]
    ram = _folded([(r.start, r.end + 1) for r in kernel.memblock])
    found = []
    for (a, b), (low, high) in itertools.product(holes, ram):
        start = max(align_down(a, page), align_up(low, page))
        stop = align_down(min(b, high), page)
        if start < stop:
            found.append((start, stop))
    return found
