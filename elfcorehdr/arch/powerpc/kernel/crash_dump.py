"""The machine that ppc64's capture kernel finds, and memory's first 64 KiB: arch/powerpc/kernel/crash_dump.c,
arch/powerpc/purgatory/trampoline_64.S, kexec/core_64.c (v7.2).

At the lowest addresses are the exception vectors. The bytes here are ours: lines that name their address; where a
real kernel's bytes depend on how it was started, they say by whom it was (golden ppc64/B, 853 bytes in 212 places).
"""

from __future__ import annotations

from elfcorehdr.arch import crash_dump, dumpstack
from elfcorehdr.arch.powerpc.kexec.ranges import BACKUP_SRC_SIZE
from elfcorehdr.arch.powerpc.mm.layout import PpcLayout
from elfcorehdr.kernel.kexec_core import Kimage
from elfcorehdr.lib.ranges import Range
from elfcorehdr.machine import Machine, MemoryRange
from elfcorehdr.mm.physmem import LINE, PhysMem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel
    from elfcorehdr.kernel.panic import Crash
    from elfcorehdr.kernel.vmcoreinfo.text import VmcoreInfo

_SLAVE = ((1, 1), (3, 2), (7, 3), (0xB, 3), (0xF, 3), (0x13, 7), (0x1B, 7), (0x23, 10), (0x2F, 3), (0x33, 1), (0x38, 2), (0x3F, 2))  # fmt: skip
"""Where kexec copies its slave start code over: offset, bytes."""
_ENTRY = ((0x38, 2), (0x3B, 1), (0x3F, 2))
"""__secondary_hold_spinloop's neighbours: the address that the kernel runs at."""
_REAL = (0x124, 0x284, 0x324, 0x3A4, 0x424, 0x4A4, 0x51C, 0x624, 0x784, 0x824, 0x91C, 0x9A4, 0xA1C, 0xC08, 0xD24, 0x1324, 0x1524, 0x1724, 0x1924, 0x1994, 0x19F8, 0x1A68, 0x1AC8, 0x1B28, 0x1B84, 0x1BD4, 0x1C24, 0x1C78, 0x1CD8, 0x1D38, 0x1D98)  # fmt: skip
"""Vectors of real mode that are patched: by the flushes that a processor needs, and where they branch to."""
_VIRTUAL = (0x4324, 0x43A4, 0x4424, 0x44A4, 0x451C, 0x4624, 0x4724, 0x4824, 0x491C, 0x49A4, 0x4A1C, 0x4C08, 0x4D24, 0x5324, 0x5724, 0x5928, 0x5998, 0x59F8, 0x5A54, 0x5AA4, 0x5AF4, 0x5B48, 0x5BA8, 0x5C08, 0x5C68)  # fmt: skip


def _sites() -> list[tuple[int, int]]:
    sites = list(_ENTRY)
    for at in _REAL:
        sites += [(at, 2), (at + 3, 1), (at + 0xC, 5 if at == 0x1D98 else 6), (at + 0x13, 5)]
    for at in _VIRTUAL:
        sites += [(at, 2), (at + 3, 1), (at + 0xC, 12)]
    return sites


def vectors(started_by: bytes) -> bytes:
    """The first 64 KiB of a kernel: started_by stands in the places that tell kernels apart."""
    lines = (b"%016x vector       \n"[:LINE] % (n * LINE) for n in range(BACKUP_SRC_SIZE // LINE))
    made = bytearray(b"".join(line[: LINE - 1].ljust(LINE - 1) + b"\n" for line in lines))
    for at, size in _sites():
        made[at : at + size] = (started_by * size)[:size]
    return bytes(made)


LIVING, CAPTURE, SLAVE = b"LPAR", b"kexec", b"slave"


def crashed(kernel: Kernel, mem: PhysMem) -> None:
    """The slave start code goes over the lowest bytes, then purgatory copies 64 KiB into the backup region."""
    low = bytearray(vectors(LIVING))
    image = kernel.kexec.crash_image
    if image is not None:
        for at, size in _SLAVE:
            low[at : at + size] = (SLAVE * 2)[:size]
    mem.put(0, len(low), bytes(low))
    start = backup_start(image) if image is not None else 0
    if start:
        mem.put(start, len(low), bytes(low))


def backup_start(image: Kimage) -> int:
    """Where purgatory copies to: what the kernel knows, else what kexec-tools' own header said."""
    return image.backup_start or image.backup_by_user


def captured(mem: PhysMem) -> None:
    """The capture kernel's own vectors."""
    mem.put(0, BACKUP_SRC_SIZE, vectors(CAPTURE))


def capture_machine(kernel: Kernel, image: Kimage) -> Machine:
    """RAM from 0 to the end of the reservation."""
    machine, region = kernel.machine, kernel.kexec.crashk_res
    end = region.end if region is not None else kernel.memblock.end_of_dram() - 1
    living = [MemoryRange(r.start, r.end - r.start + 1, r.node) for r in kernel.memblock]
    memory = tuple(crash_dump.clipped(living, [Range(0, end)]))
    cmdline = crash_dump.command_line(kernel, image)
    loaded = crash_dump.kernel_segment(image)
    header = image.elfcorehdr()
    start = region.start if region is not None else 0
    tree = dict(machine.devicetree)
    tree["chosen/linux,booted-from-kexec"] = "0x"
    tree["chosen/linux,memory-limit"] = f"0x{end + 1:016x}"
    if image.file_mode:
        tree["chosen/linux,usable-memory-range"] = f"0x{start:016x}{end + 1 - start:016x}"
        if header is not None:
            tree["chosen/linux,elfcorehdr"] = f"0x{header.mem:016x}{header.memsz:016x}"
    tree[f"memory@{machine.memory[0].start:x}/linux,usable-memory"] = f"0x{0:016x}{end + 1:016x}"
    if loaded is not None:
        behind = -(-(loaded.mem + loaded.memsz) // kernel.page_size) * kernel.page_size
        tree["chosen/linux,kernel-end"] = f"0x{behind:016x}"
    return crash_dump.captured(
        machine,
        memory=memory,
        cmdline=cmdline,
        cpus=crash_dump.cpus(machine.cpus, cmdline, whole_cores=True),
        kernel_end=min(loaded.mem + loaded.memsz if loaded else machine.kernel_end, end),
        devicetree=tree,
        rma_size=0,
    )


class PpcDump(crash_dump.ArchDump):
    """What stands in this file, in mm/ and in dumpstack.py."""

    def header_on_tree(self, image: Kimage) -> bool:
        """With kexec_file_load; kexec-tools writes it on the command line alone (golden identity)."""
        return image.file_mode

    def memory_layout(self, kernel: Kernel, info: VmcoreInfo) -> PpcLayout:
        """Of mm/."""
        return PpcLayout(kernel, info)

    def capture_machine(self, kernel: Kernel, image: Kimage) -> Machine:
        """See above."""
        return capture_machine(kernel, image)

    def dump_stack(self, kernel: Kernel, crash: Crash) -> list[str]:
        """Of dumpstack.py."""
        return dumpstack.powerpc(kernel, crash)

    def shutdown(self, kernel: Kernel) -> list[str]:
        """crash_kexec_prepare_cpus(), default_machine_kexec(), arch/powerpc/kexec/{crash,core_64}.c"""
        others = len(kernel.cpus.online) > 1
        stopping = ["Sending IPI to other CPUs", "IPI complete"] if others else []
        return [*stopping, "kexec: Starting switchover sequence."]

    def crashed(self, kernel: Kernel, mem: PhysMem) -> None:
        """The slave start code and the backup region."""
        crashed(kernel, mem)

    def captured(self, mem: PhysMem) -> None:
        """The first 64 KiB."""
        captured(mem)
