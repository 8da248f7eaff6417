"""The machine that arm64's capture kernel finds: the reservation alone is its RAM (golden identity arm64, v7.2)."""

from __future__ import annotations

from elfcorehdr.arch import crash_dump, dumpstack
from elfcorehdr.arch.arm64.mm.layout import Arm64Layout
from elfcorehdr.kernel.kexec_core import Kimage
from elfcorehdr.lib.record import replace
from elfcorehdr.machine import Machine, MemoryRange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel
    from elfcorehdr.kernel.panic import Crash
    from elfcorehdr.kernel.vmcoreinfo.text import VmcoreInfo

GIB = 1 << 30


def capture_machine(kernel: Kernel, image: Kimage) -> Machine:
    """The device tree says all: linux,usable-memory-range, linux,elfcorehdr; nothing is on the command line."""
    machine, region = kernel.machine, kernel.kexec.crashk_res
    assert region is not None
    known = [MemoryRange(r.start, r.end - r.start + 1, r.node) for r in kernel.memblock]
    low = kernel.kexec.crashk_low_res
    memory = tuple(crash_dump.clipped(known, [r for r in (low, region) if r is not None]))
    cmdline = crash_dump.command_line(kernel, image)
    text, old = machine.kernel_text, kernel.arch.kernel_image(kernel)
    loaded = crash_dump.kernel_segment(image)
    moved = 0
    if loaded is not None and text is not None:
        moved = loaded.mem - text.paddr
        text = replace(text, paddr=text.paddr + moved)
    before, now = (rows[0].start // GIB * GIB for rows in (machine.memory, memory))
    return crash_dump.captured(
        machine,
        memory=memory,
        resources=tuple(crash_dump.rows(machine, memory, moved, old)),
        cmdline=cmdline,
        cpus=crash_dump.cpus(machine.cpus, cmdline),
        kernel_text=text,
        direct_map_base=kernel.arch.va(kernel, before - now),
    )


class Arm64Dump(crash_dump.ArchDump):
    """What stands in this file, in mm/ and in dumpstack.py."""

    def memory_layout(self, kernel: Kernel, info: VmcoreInfo) -> Arm64Layout:
        """Of mm/."""
        return Arm64Layout(kernel, info)

    def capture_machine(self, kernel: Kernel, image: Kimage) -> Machine:
        """See above."""
        return capture_machine(kernel, image)

    def dump_stack(self, kernel: Kernel, crash: Crash) -> list[str]:
        """Of dumpstack.py."""
        return dumpstack.plain(kernel, crash)

    def shutdown(self, kernel: Kernel) -> list[str]:
        """crash_smp_send_stop(), machine_kexec(), arch/arm64/kernel/{smp,machine_kexec}.c"""
        stopping = ["SMP: stopping secondary CPUs"] if len(kernel.cpus.online) > 1 else []
        return [*stopping, "Starting crashdump kernel...", "Bye!"]
