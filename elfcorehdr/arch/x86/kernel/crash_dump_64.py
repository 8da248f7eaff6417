"""The machine that x86_64's capture kernel finds: its e820 map is what crash_setup_memmap_entries() made (v7.2)."""

from __future__ import annotations

from elfcorehdr.arch import crash_dump, dumpstack
from elfcorehdr.arch.x86.kernel.crash import crash_setup_memmap_entries
from elfcorehdr.arch.x86.kernel.setup import cores_per_package
from elfcorehdr.arch.x86.mm.layout import X86Layout
from elfcorehdr.kernel.kexec_core import Kimage
from elfcorehdr.lib.ranges import Range
from elfcorehdr.lib.record import replace
from elfcorehdr.machine import Machine, MemoryRange, Region

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel
    from elfcorehdr.kernel.panic import Crash
    from elfcorehdr.kernel.vmcoreinfo.text import VmcoreInfo

RAM = 1
ALIGN = 2 << 20


def capture_machine(kernel: Kernel, image: Kimage) -> Machine:
    """Low memory, the reservations less the header, and DIMMs that ACPI shows again; all else of iomem stays."""
    machine = kernel.machine
    usable = [r for r, kind in crash_setup_memmap_entries(kernel, image) if kind == RAM]
    usable += [Range(r.start, r.end) for r in kernel.memblock if r.start >= kernel.memory.boot_end]
    usable.sort()
    known = [MemoryRange(r.start, r.end - r.start + 1, r.node) for r in kernel.memblock]
    memory = [
        MemoryRange(
            r.start,
            r.size,
            next((m.node for m in known if m.start <= r.end and r.start <= m.end), 0),
        )
        for r in usable
    ]
    cmdline = crash_dump.command_line(kernel, image)
    old, text = kernel.arch.kernel_image(kernel), machine.kernel_text
    loaded = crash_dump.kernel_segment(image)
    moved = 0
    if loaded is not None and text is not None:
        moved = -(-loaded.mem // ALIGN) * ALIGN - text.paddr
        text = replace(text, paddr=text.paddr + moved)
    resources = [*crash_dump.rows(machine, memory, moved, old)]
    resources += _ram_buffers(memory, [r.range for r in resources])
    return crash_dump.captured(
        machine,
        memory=tuple(memory),
        resources=tuple(resources),
        cmdline=cmdline,
        cpus=replace(
            crash_dump.cpus(machine.cpus, cmdline),
            boot_cpu=_crashing(kernel),
            cores_per_package=cores_per_package(kernel),
        ),
        kernel_text=text,
        kernel_end=text.paddr + text.size if text else machine.kernel_end,
    )


def _crashing(kernel: Kernel) -> int:
    """The APIC id of the CPU that crashed."""
    crash = kernel.panic.crash
    cpu = kernel.cpus.cpu(crash.cpu) if crash is not None else None
    return cpu.hard_id if cpu is not None else 0


def _ram_buffers(memory: list[MemoryRange], taken: list[Range]) -> list[Region]:
    """e820__reserve_resources_late(): what is no RAM between the end of RAM and a rounder address."""
    buffers = []
    for m in memory:
        end = m.end + 1
        mib = end >> 20
        align = 64 << 10 if not mib else 1 << 20 if mib < 16 else 64 << 20
        last = -(-end // align) * align - 1
        inside = [
            r.start for r in [*taken, *(Range(x.start, x.end) for x in memory)] if r.start >= end
        ]
        last = min([last, *(start - 1 for start in inside)])
        if last >= end:
            buffers.append(Region(end, last - end + 1, "RAM buffer"))
    return buffers


class X86Dump(crash_dump.ArchDump):
    """What stands in this file, in mm/ and in dumpstack.py."""

    def header_on_tree(self, image: Kimage) -> bool:
        """There is no tree."""
        return False

    def memory_layout(self, kernel: Kernel, info: VmcoreInfo) -> X86Layout:
        """Of mm/."""
        return X86Layout(kernel, info)

    def capture_machine(self, kernel: Kernel, image: Kimage) -> Machine:
        """See above."""
        return capture_machine(kernel, image)

    def dump_stack(self, kernel: Kernel, crash: Crash) -> list[str]:
        """Of dumpstack.py."""
        return dumpstack.x86(kernel, crash)
