"""ppc64, little endian, pseries and powernv: hotplug, arch/powerpc/kexec/crash.c, and what else differs (v7.1)."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from elfcorehdr import changes
from elfcorehdr.arch.powerpc.kexec.file_load_64 import FDT_MAGIC, Ppc64Kexec
from elfcorehdr.arch.powerpc.kexec.ranges import MemRanges
from elfcorehdr.arch.powerpc.platforms.pseries.dlpar import Action, IdType, Request, Resource
from elfcorehdr.arch.powerpc.platforms.pseries.hotplug_cpu import DRC_CPU
from elfcorehdr.elf import EM_PPC64, P_OFFSET
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.crash_core import crash_prepare_elf64_headers
from elfcorehdr.kernel.kexec_core import HpAction, Kimage
from elfcorehdr.kernel.notifier import MemoryNotify
from elfcorehdr.lib.ranges import Range

if TYPE_CHECKING:
    from elfcorehdr.drivers.base.cpu import Cpu
    from elfcorehdr.init.main import Kernel
    from elfcorehdr.kernel.header_cache import SplicedHeader

PAGE_OFFSET = 0xC000000000000000
PPC_FEATURE2_EBB = 32 + 28
_POWER9 = (
    *(0x01, 0x06, 0x07, 0x08, 0x0A, 0x0D, 0x0E, 0x1A, 0x1B, 0x1C, 0x1E, 0x1F),
    *(0x34, 0x35, 0x36, 0x37, 0x39, 0x3A, 0x3B, PPC_FEATURE2_EBB, 0x3D, 0x3F),
)
HWCAP = {"power9": _POWER9, "power10": (*_POWER9, 0x31, 0x32)}
"""The features of a CPU type: bits of AT_HWCAP, then of AT_HWCAP2 from 32 on (golden ppc64/A and D)."""


class Ppc64(Ppc64Kexec):
    """Crash ranges come from memblock, and the first 64 KiB from the backup region."""

    name = "ppc64"
    uts_machine = "ppc64le"
    platform = "pseries"
    e_machine = EM_PPC64
    prstatus_bytes = 504
    note_align = 1024
    need_kernel_map = False
    has_iomem_crash_row = False
    kernel_rows_in_iomem = False
    cpu_dirs_for_possible = True
    has_memory_probe = True
    has_topology_cluster = False
    has_cpu_modalias = True
    shrink_oopses = True
    boot_allocations = 0

    def va(self, kernel: Kernel, pa: int) -> int:
        """__va(): the direct map is the address with the top bits set."""
        return pa | PAGE_OFFSET

    # hotplug, crash.c

    def crash_hotplug(self, kernel: Kernel) -> bool:
        """CONFIG_CRASH_HOTPLUG, since 6.10."""
        return kernel.has(changes.CRASH_HOTPLUG_PPC64)

    def crash_handle_hotplug_event(
        self, kernel: Kernel, image: Kimage, notify: MemoryNotify | None
    ) -> None:
        """Memory: rebuild the header. A new CPU: its node in the device tree. A CPU that goes: nothing."""
        match image.hp_action:
            case HpAction.ADD_MEMORY | HpAction.REMOVE_MEMORY:
                assert notify is not None
                self._update_elfcorehdr(kernel, image, notify)
            case HpAction.ADD_CPU:
                if not any(s.content[:4] == FDT_MAGIC for s in image.segments):
                    kernel.crash_hp.err("Unable to locate FDT segment.")
            case _:
                pass

    def _update_elfcorehdr(self, kernel: Kernel, image: Kimage, notify: MemoryNotify) -> None:
        """update_crash_elfcorehdr(): any failure leaves the old header in place."""
        # A block that goes offline is still in memblock: it is cut out of this one list.
        block = Range(notify.start, notify.end)
        gone = block if image.hp_action is HpAction.REMOVE_MEMORY else None
        header: bytearray | SplicedHeader | None
        try:
            header = self._spliced_header(kernel, image, gone)
            if header is None:
                header = self._rebuilt_header(kernel, image, gone)
        except KernelError:
            kernel.crash_hp.err("Failed to prepare elf header")
            return
        memsz = image.segments[image.elfcorehdr_index].memsz
        if len(header) > memsz:
            kernel.crash_hp.err(f"Updated crash elfcorehdr elfsz {len(header)} > memsz {memsz}")
            return
        kernel.crash_hp.replace(image, header)

    def node_for_probe(self, kernel: Kernel, address: int) -> int:
        """hot_add_scn_to_nid(): the node of an LMB that is assigned and not reserved, else the first."""
        if kernel.dlpar is not None:
            lmb = kernel.dlpar.lmbs.by_base(address)
            if lmb is None or not kernel.dlpar.lmbs.removable(lmb.row):
                return kernel.node_ids()[0]
        return kernel.node_for_new(address)

    def _rebuilt_header(self, kernel: Kernel, image: Kimage, gone: Range | None) -> bytearray:
        """The header from memblock, less a block that goes offline."""
        ranges = self.crash_ranges(kernel)
        if gone is not None:
            self._cut(kernel, ranges, gone)
        header = crash_prepare_elf64_headers(kernel, ranges)
        if kernel.has(changes.BACKUP_OFFSET_AT_EVENT):
            self._sync_backup_region_phdr(kernel, image, header, to_kimage=False)
        return header

    def _spliced_header(
        self, kernel: Kernel, image: Kimage, gone: Range | None
    ) -> SplicedHeader | None:
        """The same bytes from the last event's header; None where it has to be built anew."""
        from elfcorehdr.kernel.header_cache import Splice, kept_header

        kept = kept_header(kernel)
        if kept is None or (gone is not None and kept.touches_pinned(gone.start, gone.end)):
            return None
        splice = Splice()
        if gone is not None:
            first, stop = kept.overlapping(gone.start, gone.end)
            around = MemRanges.of(kept.range(i) for i in range(first, stop))
            tails = self._cut(kernel, around, gone)
            left = len(around) - tails
            splice = Splice(first, stop, around.ranges[:left], around.ranges[left:])
        header = kept.header(splice)
        at = kept.zero_paddr_at()
        if at is not None and kernel.has(changes.BACKUP_OFFSET_AT_EVENT):
            header.patch(at + P_OFFSET, image.backup_start.to_bytes(8, "little"))
        return header

    def _cut(self, kernel: Kernel, ranges: MemRanges, gone: Range) -> int:
        """Take a block out; how many ranges that left at the end of the list, behind all others."""
        if kernel.has(changes.GENERIC_EXCLUDE_PPC64):
            ranges.max_nr_ranges = None
            ranges.exclude(gone.start, gone.end)
            return 0
        before = len(ranges)
        ranges.remove(gone.start, gone.size, wraps=not kernel.has(changes.SPLIT_NOT_WRAPPED))
        return max(0, len(ranges) - before)

    def plug_memory(self, kernel: Kernel, start: int, size: int, node: int, how: str) -> None:
        """The hypervisor's event is a DLPAR request for a run of LMBs."""
        kernel.hotplug_nodes.put(start, start + size - 1, node)
        self._dlpar_memory(kernel, Action.ADD, start, size)

    def unplug_memory(
        self, kernel: Kernel, start: int, size: int, how: str, order: Iterable[int]
    ) -> None:
        """As plug_memory()."""
        self._dlpar_memory(kernel, Action.REMOVE, start, size)

    def _dlpar_memory(self, kernel: Kernel, action: Action, start: int, size: int) -> None:
        if kernel.dlpar is None:
            raise KernelError(errno.EOPNOTSUPP, "no DLPAR on this platform")
        lmb, count = kernel.dlpar.lmbs.by_base(start), size // kernel.memory.block_size
        if lmb is None or not lmb.drc:
            raise KernelError(errno.EINVAL, f"no LMB with a DRC index begins at {start:#x}")
        kernel.dlpar.handle(Request(Resource.MEMORY, action, IdType.INDEXED_COUNT, count, lmb.drc))

    def plug_cpu(self, kernel: Kernel, slot: int, node: int) -> list[int]:
        """A core: a DLPAR request for its DRC index."""
        if kernel.dlpar is None:
            raise KernelError(errno.EOPNOTSUPP, "no DLPAR on this platform")
        return kernel.dlpar.cpu.add(DRC_CPU + slot)

    def unplug_cpu(self, kernel: Kernel, cpu: int) -> None:
        """The core that the CPU is a thread of."""
        if kernel.dlpar is None:
            raise KernelError(errno.EOPNOTSUPP, "no DLPAR on this platform")
        kernel.dlpar.cpu.remove(DRC_CPU + kernel.cpus.core_of(cpu))

    def memory_added(self, kernel: Kernel, r: Range) -> None:
        """radix__create_section_mapping(): the pages that a new range is mapped with."""
        if kernel.platform not in ("pseries", "powernv"):
            return
        size, words = (
            (1 << 30, "1.00 GiB")
            if not (r.start | r.end + 1) & (1 << 30) - 1
            else (
                2 << 20,
                "2.00 MiB",
            )
        )
        if not (r.start | r.end + 1) & size - 1:
            kernel.log.info(
                f"radix-mmu: Mapped {r.start:#018x}-{r.end + 1:#018x} with {words} pages"
            )

    def unmovable(self, kernel: Kernel, start: int, end: int) -> str | None:
        """RTAS and OPAL."""
        for name, firmware in (("RTAS", kernel.machine.rtas), ("OPAL", kernel.machine.opal)):
            if firmware is not None and firmware.range.overlaps(start, end):
                return name
        return None

    def cpu_uevent(self, kernel: Kernel, cpu: Cpu) -> tuple[tuple[str, str], ...]:
        """The device-tree part of a CPU's uevent (golden ppc64 dumps, cpuN/uevent).

        Quirk: a CPU that has stopped has no node, and MODALIAS ends with a newline of its own.
        """
        modalias = ("MODALIAS", kernel.cpu_modalias + "\n")
        if cpu.id in kernel.cpus.node_dropped:
            return (modalias,)
        name, node = kernel.machine.cpus.type, self.cpu_node(kernel, cpu)
        if cpu.id in kernel.cpus.node_regained:
            node = f"{name}@{self.core_id(cpu):x}"
        return (
            ("OF_NAME", name),
            ("OF_FULLNAME", f"/cpus/{node}"),
            ("OF_TYPE", "cpu"),
            ("OF_COMPATIBLE_N", "0"),
            modalias,
        )

    def cpu_node(self, kernel: Kernel, cpu: Cpu) -> str:
        """Name of the device-tree node that cpuN/of_node points to.

        Quirk: a CPU that was not present at boot has the first core's (golden ppc64/B, cpu2).
        """
        threads = kernel.machine.cpus.threads
        core = cpu.id // threads if cpu.id in kernel.cpus.present_at_boot else 0
        return f"{kernel.machine.cpus.type}@{core * threads:x}"

    def modalias(self, kernel: Kernel) -> str:
        """print_cpu_modalias(): the type, and AT_HWCAP and AT_HWCAP2 bit by bit.

        Event based branches (PPC_FEATURE2_EBB) are there once the counters' driver is.
        """
        name = kernel.machine.cpus.type.removeprefix("PowerPC,").lower().rstrip("+")
        bits = set(HWCAP.get(name, ()))
        if not kernel.config("PPC_PERF_CTRS"):
            bits.discard(PPC_FEATURE2_EBB)
        return f"cpu:type:{name}:feature:" + "".join(f",{bit:04X}" for bit in sorted(bits))

    def vmlinux_note(self, kernel: Kernel) -> tuple[str, int, bytes] | None:
        """PPC_ELFNOTE_CAPABILITIES, arch/powerpc/kernel/note.S: bit 0 is PPCCAP_ULTRAVISOR_BIT."""
        return "PowerPC", 1, struct.pack("<I", kernel.config("PPC_UV"))

    def topology_die(self, kernel: Kernel) -> bool:
        """Since some release between 6.12 and 7.2."""
        return kernel.has(changes.TOPOLOGY_DIE_PPC64)

    def l1_caches(self, kernel: Kernel) -> tuple[tuple[str, int, int], ...]:
        """32 KiB each, lines of 128 bytes: what QEMU says of POWER9 and POWER10 (systemcfg in the ppc64 dumps)."""
        return (("Data", 0x8000, 128), ("Instruction", 0x8000, 128))

    def cpuinfo(self, kernel: Kernel) -> str:
        """A paragraph a running CPU, then the machine; the clock is not known."""
        name = kernel.machine.cpus.type.removeprefix("PowerPC,")
        cpus = "".join(
            f"processor\t: {n}\ncpu\t\t: {name} (architected), altivec supported\n\n"
            for n in sorted(kernel.cpus.online)
        )
        platform = {"pseries": "pSeries", "powernv": "PowerNV"}.get(kernel.platform, "")
        return f"{cpus}timebase\t: 512000000\nplatform\t: {platform}\nMMU\t\t: Radix\n"

    def devicetree(self, kernel: Kernel) -> Mapping[str, Any]:
        """What kexec-tools, makedumpfile and drmgr read of it."""
        from elfcorehdr.arch.powerpc.kernel import prom as ppc64_devicetree

        return ppc64_devicetree.devicetree(kernel)
