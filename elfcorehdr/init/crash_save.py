"""What a crash leaves in memory: notes, VMCOREINFO's last line, the crash image: kernel/crash_core.c, kernel/kexec_core.c (v7.2).

Imports mm.mm_init, so only a kernel that crashes imports this.
"""

from __future__ import annotations

from elfcorehdr.kernel.panic import Crash
from elfcorehdr.kernel.vmcore_info import vmcoreinfo_note
from elfcorehdr.mm.mm_init import LayoutOf, MemoryImage, core_note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel


def live_memory(kernel: Kernel, layout_of: LayoutOf) -> MemoryImage:
    """The memory of a kernel that runs, as it is now: nothing has been saved in notes, but VMCOREINFO is there."""
    image = MemoryImage(kernel, layout_of, kernel.vmcoreinfo_edits)
    image.save_vmcoreinfo(vmcoreinfo_note(kernel), None)
    size = kernel.arch.crash_note_bytes
    for cpu in kernel.cpus.possible:
        image.mem.put(kernel.arch.crash_note(kernel, cpu), size, bytes(size))
    loaded = kernel.kexec.crash_image
    for segment in loaded.segments if loaded is not None else ():
        content = bytes(segment.content)
        image.mem.put(segment.mem, len(content), content)
    return image


def crash_save(kernel: Kernel, crash: Crash, layout_of: LayoutOf) -> MemoryImage:
    """The memory of a kernel that crashes, as its capture kernel finds it: __crash_kexec()."""
    image = live_memory(kernel, layout_of)
    arch, layout = kernel.arch, image.layout
    real = image.image
    stacks = real.tasks.stacks if real is not None and real.tasks is not None else {}
    for cpu in kernel.cpus.possible:
        at = arch.crash_note(kernel, cpu)
        if cpu in kernel.cpus.online and cpu not in crash.stuck:
            crashed = cpu == crash.cpu
            stack = stacks.get(cpu, layout.va(at) & ~0x3FFF) + 0x3B98
            registers = list(layout.registers(cpu, stack, crashed=crashed))
            if real is not None and layout.pc >= 0:
                registers[layout.pc] = real.pc(crashed=crashed)
            pid = crash.pid if crashed else 0
            desc = layout.prstatus(arch.prstatus_bytes, pid, registers)
            image.mem.put(
                at, arch.crash_note_bytes, core_note(desc).ljust(arch.crash_note_bytes, b"\0")
            )
    image.save_vmcoreinfo(vmcoreinfo_note(kernel), crash.time or None)
    return image
