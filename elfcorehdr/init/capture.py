"""From the kernel that crashed into its capture kernel: kernel/crash_core.c, fs/proc/vmcore.c vmcore_init() (v7.2).

Only a kernel that crashes imports this.
"""

from __future__ import annotations

from collections.abc import Callable

from elfcorehdr import changes
from elfcorehdr.arch import dump_of
from elfcorehdr.arch.crash_dump import elfcorehdr_addr
from elfcorehdr.elf import EHDR_SIZE, PHDR_SIZE
from elfcorehdr.errors import ElfFormatError
from elfcorehdr.fs.proc.kcore import ProcKcore
from elfcorehdr.fs.proc.vmcore import ProcVmcore
from elfcorehdr.init.crash_save import crash_save, live_memory
from elfcorehdr.kernel.panic import Crash
from elfcorehdr.kernel.printk import KERN_EMERG
from elfcorehdr.mm.mm_init import MemoryImage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel


def kcore(kernel: Kernel) -> ProcKcore:
    """The file as it is when it is opened."""
    image = live_memory(kernel, dump_of(kernel.arch.name).memory_layout)
    return ProcKcore(
        image,
        [(r.start, r.end + 1) for r in kernel.iomem.system_ram()],
        cmdline=kernel.cmdline,
        e_machine=kernel.arch.e_machine,
        prstatus=kernel.arch.prstatus_bytes,
    )


def dump_stack(kernel: Kernel, crash: Crash) -> None:
    """What a panic says of where it was."""
    for line in dump_of(kernel.arch.name).dump_stack(kernel, crash):
        kernel.log.emit(KERN_EMERG, line)


def crash_kexec(kernel: Kernel, crash: Crash) -> None:
    """Save what a crash saves, then start the capture kernel in the same machine."""
    image = kernel.kexec.crash_image
    assert image is not None
    dump = dump_of(kernel.arch.name)
    for line in dump.shutdown(kernel):
        kernel.log.info(line)
    memory = crash_save(kernel, crash, dump.memory_layout)
    dump.crashed(kernel, memory.mem)
    machine = dump.capture_machine(kernel, image)
    on_tree = dump.header_on_tree(image)
    at = elfcorehdr_addr(machine.cmdline, image, devicetree=on_tree)
    segment = next((s for s in image.segments if s.mem == at), None)
    dump.captured(memory.mem)
    kernel.restart(machine)
    if on_tree and segment is not None:
        size = f"{max(segment.memsz >> 10, 1)} KiB"
        kernel.log.info(f"OF: fdt: Reserving {size} of memory at {segment.mem:#x} for elfcorehdr")
    _say_memory(kernel)
    kernel.memory_image = memory
    if at is None:
        return
    vmcore_init(kernel, _header(memory, at), memory.mem.read)


def vmcore_init(kernel: Kernel, header: bytes, read: Callable[[int, int], bytes]) -> None:
    """/proc/vmcore, of an ELF core header and the memory that it speaks of."""
    align = 4 if kernel.has(changes.VMCORE_NOTE_ALIGN) else 0
    try:
        made = ProcVmcore(header, kernel.page_size, read, align)
    except ElfFormatError:
        kernel.log.warning("vmcore: Warning: Core image elf header not sane")
        kernel.log.warning("Kdump: vmcore not initialized")
        return
    for _ in range(made.empty_notes):
        kernel.log.warning("vmcore: Warning: Zero PT_NOTE entries found")
    kernel.vmcore = made
    kernel.names_changed()


def crash_fadump(kernel: Kernel, crash: Crash) -> None:
    """crash_fadump(), arch/powerpc/kernel/fadump.c: the same kernel boots, and finds what firmware has kept."""
    from elfcorehdr.arch.powerpc.kernel.fadump_crash import next_machine, taken

    dump = dump_of(kernel.arch.name)
    memory = crash_save(kernel, crash, dump.memory_layout)
    dump.crashed(kernel, memory.mem)
    kept = taken(kernel, crash, memory)
    kernel.restart(next_machine(kernel), kept)


def _header(memory: MemoryImage, at: int) -> bytes:
    """The ELF core header in memory, to its last program header."""
    start = memory.mem.read(at, EHDR_SIZE)
    phoff, phnum = int.from_bytes(start[32:40], "little"), int.from_bytes(start[56:58], "little")
    return memory.mem.read(at, min(phoff, EHDR_SIZE) + phnum * PHDR_SIZE)


def _say_memory(kernel: Kernel) -> None:
    """smp_init() and mem_init_print_info()"""
    nodes, cpus = len(kernel.nodes.ids()), len(kernel.cpus.online)
    plural = "s" if nodes > 1 else ""
    kernel.log.info(f"smp: Brought up {nodes} node{plural}, {cpus} CPU{'s' if cpus > 1 else ''}")
    total = kernel.memblock.total()
    free = sum(kernel.nodes.memory(n)[1] for n in kernel.nodes.ids())
    kernel.log.info(
        f"Memory: {free >> 10}K/{total >> 10}K available ({(total - free) >> 10}K reserved, 0K cma-reserved)"
    )
