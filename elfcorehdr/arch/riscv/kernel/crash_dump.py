"""The machine that riscv64's capture kernel finds: the reservation alone is its RAM (golden riscv64/K, v7.2)."""

from __future__ import annotations

from elfcorehdr.arch import crash_dump, dumpstack
from elfcorehdr.arch.riscv.mm.layout import RiscvLayout
from elfcorehdr.kernel.kexec_core import Kimage
from elfcorehdr.lib.ranges import Range
from elfcorehdr.lib.record import replace
from elfcorehdr.machine import Machine, MemoryRange, Region

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel
    from elfcorehdr.kernel.panic import Crash
    from elfcorehdr.kernel.vmcoreinfo.text import VmcoreInfo

PMD = 2 << 20


def capture_machine(kernel: Kernel, image: Kimage) -> Machine:
    """The kernel runs where it was put; the direct map begins with the reservation."""
    machine, region = kernel.machine, kernel.kexec.crashk_res
    assert region is not None
    known = [MemoryRange(r.start, r.end - r.start + 1, r.node) for r in kernel.memblock]
    memory = tuple(crash_dump.clipped(known, [region]))
    cmdline = crash_dump.command_line(kernel, image)
    text, old = machine.kernel_text, kernel.arch.kernel_image(kernel)
    loaded, header = crash_dump.kernel_segment(image), image.elfcorehdr()
    moved = 0
    if loaded is not None and text is not None:
        moved = loaded.mem + (text.paddr % PMD) - text.paddr
        text = replace(text, paddr=text.paddr + moved)
    before = machine.memory[0].start // PMD * PMD
    resources = [*crash_dump.rows(machine, memory, moved, old)]
    if header is not None:
        resources.append(Region(header.mem, header.memsz, "ELF Core hdr"))
    return crash_dump.captured(
        machine,
        memory=memory,
        resources=tuple(resources),
        cmdline=cmdline,
        cpus=crash_dump.cpus(machine.cpus, cmdline),
        kernel_text=text,
        kernel_end=Range.sized(text.paddr, text.size).end + 1 if text else region.start,
        direct_map_base=kernel.arch.va(kernel, before - region.start // PMD * PMD),
    )


class RiscvDump(crash_dump.ArchDump):
    """What stands in this file, in mm/ and in dumpstack.py."""

    def memory_layout(self, kernel: Kernel, info: VmcoreInfo) -> RiscvLayout:
        """Of mm/."""
        return RiscvLayout(kernel, info)

    def capture_machine(self, kernel: Kernel, image: Kimage) -> Machine:
        """See above."""
        return capture_machine(kernel, image)

    def dump_stack(self, kernel: Kernel, crash: Crash) -> list[str]:
        """Of dumpstack.py."""
        return dumpstack.plain(kernel, crash)
