"""What a capture kernel is booted from, on every architecture: arch/*/kernel/crash_dump.c, kernel/crash_dump.c (v7.2).

The old kernel's loaded image becomes the new machine. Only a kernel that crashes imports this.
"""

from __future__ import annotations

import errno
import re
import struct
from collections.abc import Iterable, Iterator

from elfcorehdr.elf import PT_LOAD, ElfCoreHdr
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.kexec_core import KexecSegment, Kimage
from elfcorehdr.lib.ranges import Range, format_ids, ids_of
from elfcorehdr.lib.record import replace
from elfcorehdr.machine import CpuTopology, Machine, MemoryRange, Region

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel
    from elfcorehdr.kernel.panic import Crash
    from elfcorehdr.kernel.vmcoreinfo.text import VmcoreInfo
    from elfcorehdr.mm.layout import Layout
    from elfcorehdr.mm.physmem import PhysMem


class ArchDump:
    """How a kernel of an architecture crashes, and what its capture kernel finds; one subclass each, no state."""

    def header_on_tree(self, image: Kimage) -> bool:
        """Whether a capture kernel finds its header by the device tree too (linux,elfcorehdr)."""
        return True

    def memory_layout(self, kernel: Kernel, info: VmcoreInfo) -> Layout:
        """Where the kernel's virtual memory lies."""
        raise KernelError(errno.EOPNOTSUPP, f"the memory of {kernel.arch.name} is not known here")

    def capture_machine(self, kernel: Kernel, image: Kimage) -> Machine:
        """What the capture kernel of a loaded image is booted from."""
        raise KernelError(
            errno.EOPNOTSUPP, f"{kernel.arch.name}'s capture kernel is not known here"
        )

    def dump_stack(self, kernel: Kernel, crash: Crash) -> list[str]:
        """dump_stack() of a panic."""
        return []

    def shutdown(self, kernel: Kernel) -> list[str]:
        """What stopping the other CPUs and leaving for the capture kernel says: machine_crash_shutdown()."""
        return []

    def crashed(self, kernel: Kernel, mem: PhysMem) -> None:
        """What the way into the capture kernel changes in memory: machine_kexec(), purgatory.

        Purgatory of kexec-tools copies low memory to where the header says that it will be.
        """
        image = kernel.kexec.crash_image
        header = image.elfcorehdr() if image is not None else None
        if image is None or image.file_mode or header is None:
            return
        for p in ElfCoreHdr.unpack(bytes(header.content)).phdrs:
            if p.p_type == PT_LOAD and p.p_offset != p.p_paddr:
                copied = mem.read(p.p_paddr, p.p_filesz)
                mem.put(p.p_offset, len(copied), copied)

    def captured(self, mem: PhysMem) -> None:
        """What of the memory that a header may point to is the capture kernel's own."""


FDT_MAGIC = b"\xd0\x0d\xfe\xed"


def captured(machine: Machine, **changed: object) -> Machine:
    """The machine as its capture kernel finds it: no reservation, nothing pinned, and what `changed` says."""
    fresh: dict[str, object] = {
        "nested_memory": (),
        "system_ram": (),
        "crashkernel": (),
        "blocks": (),
        "pinned": (),
        "use": (),
        "crash_notes": {},
        "crash_notes_first": 0,
        "vmcoreinfo": 0,
    }
    return replace(machine, **fresh | changed)


def command_line(kernel: Kernel, image: Kimage) -> str:
    """What the capture kernel is told: kexec_file_load's line, or that in the memory of kexec_load's segments.

    Where those have none (a load that brought no device tree), the old kernel's less crashkernel=, and
    elfcorehdr= at its end, as kexec-tools writes it.
    """
    if image.cmdline:
        return image.cmdline.decode(errors="surrogateescape").rstrip("\n")
    for segment in image.segments:
        found = _bootargs(bytes(segment.content)) if segment.content[:4] == FDT_MAGIC else None
        if found is not None:
            return found
    for segment in image.segments:
        at = segment.content.find(b"elfcorehdr=")
        if at >= 0:
            start = segment.content.rfind(b"\0", 0, at) + 1
            line = bytes(segment.content[start : segment.content.find(b"\0", at)])
            return line.decode(errors="surrogateescape")
    header = image.elfcorehdr()
    words = [w for w in kernel.cmdline.split(" ") if not w.startswith("crashkernel=")]
    return " ".join([*words, f"elfcorehdr={header.mem >> 10}K" if header else ""]).rstrip()


def _bootargs(fdt: bytes) -> str | None:
    """/chosen/bootargs of a flattened device tree; None if it has none, or is none: who loads it may write anything."""
    try:
        return _read_bootargs(fdt)
    except (struct.error, ValueError, IndexError):
        return None


def _read_bootargs(fdt: bytes) -> str | None:
    structs, strings = struct.unpack_from(">2I", fdt, 8)
    at, path = structs, list[bytes]()
    while at + 4 <= len(fdt):
        (token,) = struct.unpack_from(">I", fdt, at)
        at += 4
        if token == 1:
            end = fdt.index(b"\0", at)
            path.append(fdt[at:end])
            at = end + 4 & ~3
        elif token == 2:
            path.pop()
        elif token == 3:
            length, name = struct.unpack_from(">2I", fdt, at)
            at += 8
            if path[-1:] == [b"chosen"] and fdt.startswith(b"bootargs\0", strings + name):
                return fdt[at : at + length].rstrip(b"\0").decode(errors="surrogateescape")
            at = at + length + 3 & ~3
        elif token == 9:
            return None
    return None


def elfcorehdr_addr(cmdline: str, image: Kimage, *, devicetree: bool) -> int | None:
    """elfcorehdr=[size[KMG]@]offset[KMG] of the command line, else the device tree's; None without one."""
    found = re.search(r"(?:^|\s)elfcorehdr=(?:\S+@)?(0[xX][0-9a-fA-F]+|\d+)([kKmMgG]?)", cmdline)
    if found:
        shift = {"": 0, "k": 10, "m": 20, "g": 30}[found[2].lower()]
        return int(found[1], 0) << shift
    header = image.elfcorehdr()
    return header.mem if devicetree and header is not None else None


def cpus(topology: CpuTopology, cmdline: str, *, whole_cores: bool = False) -> CpuTopology:
    """The CPUs that nr_cpus= and maxcpus= leave: the one that crashed starts the new kernel as CPU 0.

    whole_cores: nr_cpus is raised to the threads of a core (ppc64), and one thread of each runs.
    """
    words = dict(w.partition("=")[::2] for w in cmdline.split())

    def number(name: str) -> int | None:
        value = words.get(name, "")
        return int(value) if value.isdecimal() else None

    have = list(ids_of(topology.possible))
    present = list(ids_of(topology.present or topology.possible))
    possible = number("nr_cpus")
    if possible:
        if whole_cores:
            possible = -(-possible // topology.threads) * topology.threads
        have = have[:possible]
        present = [n for n in present if n in set(have)]
    most = number("maxcpus")
    online = present if most is None else present[: max(most, 1)]
    if whole_cores and possible:
        online = online[:1]
    node = {n: topology.node[n] for n in topology.node if n in set(have)}
    return replace(
        topology,
        possible=format_ids(have),
        present=format_ids(present),
        online=format_ids(online),
        node=node,
    )


def kernel_segment(image: Kimage) -> KexecSegment | None:
    """The segment that the capture kernel runs from: the largest."""
    return max(image.segments, key=lambda s: s.memsz, default=None)


def clipped(memory: Iterable[MemoryRange], to: Iterable[Range]) -> Iterator[MemoryRange]:
    """What of the old kernel's memory lies in the ranges, with its nodes."""
    rows = list(memory)
    for r in to:
        for m in rows:
            start, end = max(m.start, r.start), min(m.end, r.end)
            if start <= end:
                yield MemoryRange(start, end - start + 1, m.node)


def rows(
    machine: Machine, memory: Iterable[MemoryRange], moved: int, image: Range
) -> Iterator[Region]:
    """The other rows of /proc/iomem: those outside RAM stay, the kernel's move with it by `moved` bytes.

    image: the old kernel's image.
    """
    ram = [Range(m.start, m.end) for m in machine.memory]
    mine = list(memory)
    for region in machine.resources:
        r = region.range
        if region.name.startswith("Kernel ") and r.overlaps(image.start, image.end):
            at = region.start + moved
            if any(m.start <= at and at + region.size - 1 <= m.end for m in mine):
                yield replace(region, start=at)
        elif not any(x.overlaps(r.start, r.end) for x in ram):
            yield region
