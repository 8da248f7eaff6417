"""ppc64, little endian, pseries and powernv: arch/powerpc/kexec/{crash,core,file_load_64,elf_64,ranges}.c (v7.1)."""

from __future__ import annotations

import errno
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from elfcorehdr import changes, iomem
from elfcorehdr.crash_core import crash_prepare_elf64_headers
from elfcorehdr.crash_reserve import (
    parse_crashkernel,
    parse_suffix,
    reserve_crashkernel_cma,
)
from elfcorehdr.dlpar import Action, IdType, Request, Resource
from elfcorehdr.elf import EHDR_SIZE, ELFMAG, EM_PPC64, PHDR, PHDR_SIZE
from elfcorehdr.errors import KernelError
from elfcorehdr.header_cache import RangeSource, Splice, SplicedHeader, kept_header
from elfcorehdr.hotplug_cpu import DRC_CPU
from elfcorehdr.kexec_core import HpAction, KexecSegment, Kimage
from elfcorehdr.kexec_file import (
    FileArg,
    KexecBuf,
    Segment,
    align_up,
    elf_load_phdrs,
    locate_mem_hole,
)
from elfcorehdr.machine import LoadSegment
from elfcorehdr.notifier import MemoryNotify
from elfcorehdr.ranges import Range

from . import ppc64_devicetree, ppc64_kexec_tools
from .base import Arch
from .ppc64_ranges import MemRanges, joined_seams

if TYPE_CHECKING:
    from elfcorehdr.cpu import Cpu
    from elfcorehdr.kernel import Kernel

PAGE_OFFSET = 0xC000000000000000
BACKUP_SRC_SIZE = 0x10000
"""BACKUP_SRC_START is 0: the first 64 KiB, whatever the page size."""
COMMAND_LINE_SIZE = 2048
PN_MAX = 0xFFFF
FDT_MAGIC = b"\xd0\x0d\xfe\xed"
PPC_FEATURE2_EBB = 32 + 28
_POWER9 = (
    *(0x01, 0x06, 0x07, 0x08, 0x0A, 0x0D, 0x0E, 0x1A, 0x1B, 0x1C, 0x1E, 0x1F),
    *(0x34, 0x35, 0x36, 0x37, 0x39, 0x3A, 0x3B, PPC_FEATURE2_EBB, 0x3D, 0x3F),
)
HWCAP = {"power9": _POWER9, "power10": (*_POWER9, 0x31, 0x32)}
"""The features of a CPU type: bits of AT_HWCAP, then of AT_HWCAP2 from 32 on (golden ppc64/A and D)."""
_Log = Callable[[str], None]
P_OFFSET, P_PADDR = 8, 24
"""Where these fields lie in an Elf64_Phdr."""


class Ppc64(Arch):
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

    def vas(self, kernel: Kernel, pas: Sequence[int]) -> list[int]:
        """__va() of each."""
        return [pa | PAGE_OFFSET for pa in pas]

    # ranges, ranges.c

    def _ranges(self, kernel: Kernel) -> MemRanges:
        if not kernel.debugging("ranges"):
            return MemRanges()
        return MemRanges(lambda text: kernel.debug("ranges", f"kexec ranges: {text}"))

    def _add_firmware(self, kernel: Kernel, ranges: MemRanges) -> None:
        """add_rtas_mem_range(), add_opal_mem_range(): with the sizes of the device tree, not page rounded."""
        for firmware in (kernel.machine.rtas, kernel.machine.opal):
            if firmware is not None:
                ranges.add(firmware.start, firmware.size)

    def crash_ranges(self, kernel: Kernel) -> MemRanges:
        """get_crash_memory_ranges(): memblock region by region, less the reservation, plus firmware and backup.

        The backup range [0, 64 KiB) is an entry of its own, next to the one that follows it.
        """
        ranges = self._ranges(kernel)
        for region in kernel.memblock:
            start = region.start
            if start == 0:
                if region.end < BACKUP_SRC_SIZE:
                    continue
                start = BACKUP_SRC_SIZE
            ranges.add(start, region.end - start + 1)
            if ranges.full:
                ranges.sort(merge=True)
        if ranges.full:
            ranges.grow()
        kexec = kernel.kexec
        for cut in (kexec.crashk_res, *kexec.crashk_cma_ranges):
            if cut is not None:
                if ranges.full:
                    ranges.grow()
                ranges.exclude(cut.start, cut.end, continues=kernel.has(changes.EXCLUDE_CONTINUES))
        self._add_firmware(kernel, ranges)
        ranges.add(0, BACKUP_SRC_SIZE)
        ranges.sort()
        return ranges

    def crash_ranges_source(self, kernel: Kernel) -> RangeSource | None:
        """memblock's journal; None while ranges.c logs them, and where firmware lies at a seam of memblock."""
        memblock, machine, kexec = kernel.memblock, kernel.machine, kernel.kexec
        put_in = [Range(0, BACKUP_SRC_SIZE - 1)]
        put_in += [f.range for f in (machine.rtas, machine.opal) if f is not None]
        if kernel.debugging("ranges") or not len(memblock) or memblock[0].end < BACKUP_SRC_SIZE:
            return None
        seams = memblock.seams
        for r in put_in:
            if bisect_left(seams, r.start) < bisect_right(seams, r.end + 1):
                return None
        cuts = [r for r in (kexec.crashk_res, *kexec.crashk_cma_ranges) if r is not None]
        return RangeSource(memblock.edits, (*put_in, *cuts), joined_seams(memblock))

    def _exclude_ranges(self, kernel: Kernel) -> list[Range]:
        """get_exclude_memory_ranges(): what no segment may touch."""
        ranges = self._ranges(kernel)
        ranges.add(0, kernel.machine.kernel_end)
        self._add_firmware(kernel, ranges)
        ranges.sort(merge=True)
        return ranges.ranges

    def insert_crashkernel_resources(self, kernel: Kernel) -> None:
        """None; on 6.16 to 6.18 one that kept every System RAM row it overlaps from being there."""
        region = kernel.kexec.crashk_res
        if region is None or not kernel.has(changes.IOMEM_CRASH_ROW_PPC64):
            return
        for level, r, name in list(kernel.iomem.rows()):
            row = kernel.iomem.find(r.start, r.end, name)
            if level == 0 and r.overlaps(region.start, region.end) and row is not None:
                kernel.iomem.release(row)
        row = iomem.Resource(region.start, region.end, iomem.CRASH_KERNEL)
        kernel.iomem.insert(row)

    # sizes

    def crash_get_elfcorehdr_size(self, kernel: Kernel) -> int:
        """64 + 56 * (possible CPUs + vmcoreinfo + CONFIG_CRASH_MAX_MEMORY_RANGES), without rounding."""
        phdrs = len(kernel.cpus.possible) + 1 + kernel.machine.crash_max_memory_ranges
        return EHDR_SIZE + phdrs * PHDR_SIZE

    def _extra_elfcorehdr_size(self, kernel: Kernel, nr_ranges: int) -> int:
        """get_extra_elfcorehdr_size(): room for ranges that hotplug may bring."""
        maximum = kernel.machine.crash_max_memory_ranges
        if not self.crash_hotplug(kernel):
            return 0
        if maximum > PN_MAX:
            kernel.log.warning(f"Number of Phdrs {maximum} exceeds max")
        if nr_ranges >= maximum:
            kernel.log.warning("Configured crash mem ranges may not be enough")
            return 0
        return (maximum - nr_ranges) * PHDR_SIZE

    # reservation, core.c

    def reserve_crashkernel(self, kernel: Kernel) -> None:
        """arch_reserve_crashkernel(): base from the parameter, else from the real mode area."""
        log, machine = kernel.log, kernel.machine
        total = kernel.memblock.total()
        wanted = parse_crashkernel(kernel.cmdline, total, log.warning)
        if not wanted.size:
            return
        size = align_up(wanted.size, kernel.page_size)
        wanted_base = self._default_base(kernel) if not wanted.base else wanted.base
        base = align_up(wanted_base, kernel.page_size)
        if base != wanted_base:
            log.warning(f"Crash kernel base must be aligned to {kernel.page_size:#x}")
        if base < machine.kernel_end:
            log.warning("Crash kernel can not overlap current kernel")
            return
        end = base + size - 1
        if not kernel.memblock.covers(base, end):
            generic = kernel.has(changes.GENERIC_RESERVATION_PPC64)
            log.warning(
                "crashkernel reservation failed - memory is in use."
                if generic
                else "Failed to reserve memory for crashkernel!"
            )
            return
        if kernel.has(changes.GENERIC_RESERVATION_PPC64):
            log.info(f"crashkernel reserved: {base:#018x} - {end + 1:#018x} ({size >> 20} MB)")
        else:
            log.info(
                f"Reserving {size >> 20}MB of memory at {base >> 20}MB for crashkernel "
                f"(System RAM: {total >> 20}MB)"
            )
        kernel.kexec.crashk_res = Range(base, end)
        if kernel.has(changes.CMA_CRASHKERNEL_PPC64):
            size = parse_suffix(kernel.cmdline, ",cma", log.warning) or 0
            reserve_crashkernel_cma(kernel, size)

    def _rma(self, kernel: Kernel) -> int:
        """ppc64_rma_size"""
        return kernel.machine.rma_size or kernel.memblock.total()

    def _default_base(self, kernel: Kernel) -> int:
        """Half of the real mode area, but not above 512 MiB (LPAR) or 128 MiB (bare metal, old kernels)."""
        lpar = kernel.platform == "pseries" and kernel.has(changes.BASE_LPAR_512M)
        return min(self._rma(kernel) // 2, (512 if lpar else 128) << 20)

    # loading, elf_64.c and file_load_64.c

    def kexec_file_load(
        self, kernel: Kernel, image: Kimage, kernel_file: FileArg | None, initrd: FileArg | None
    ) -> None:
        """elf64_load(): kernel, purgatory, backup, elfcorehdr, initrd, device tree, in this order."""
        kdump = kernel.machine.kdump
        parts = kdump.kernel or (LoadSegment(kernel.machine.kernel_end),)
        if kernel_file is not None:
            parts = tuple(
                LoadSegment(p.p_memsz, p.p_filesz, max(p.p_align, 1), p.p_paddr)
                for p in elf_load_phdrs(kernel_file.data)
            )
        if not image.crash:
            return
        log = kernel.log.info if kernel.kexec_debug else _quiet
        size = kernel_file.length if kernel_file else sum(p.filesz or p.memsz for p in parts)
        log(f"kexec_file: kernel: {kernel.hashed_pointer(size)} kernel_size: {size:#x}")
        placer = _Placer(self, kernel, image)
        for part in parts:
            at = placer.add(
                KexecBuf(part.memsz, part.filesz or part.memsz, part.align, buf_min=part.paddr)
            )
        log(f"kexec_elf: Loaded the kernel at {image.segments[0].mem:#x}")
        at = placer.add(KexecBuf(kdump.purgatory, kdump.purgatory, top_down=True))
        image.entry = at
        log(f"kexec_elf: Loaded purgatory at {at:#x}")
        align = parts[-1].align
        zeros = bytes(BACKUP_SRC_SIZE)
        image.backup_start = placer.add(
            KexecBuf(BACKUP_SRC_SIZE, BACKUP_SRC_SIZE, align, content=zeros)
        )
        log(f"Loaded the backup region at {image.backup_start:#x}")
        at, bufsz, memsz = self._load_elfcorehdr(kernel, image, placer, align)
        log(f"Loaded elf core header at {at:#x}, bufsz={bufsz:#x} memsz={memsz:#x}")
        self._setup_cmdline(kernel, image, at)
        length = initrd.length if initrd else kdump.initrd
        if length:
            at = placer.add(KexecBuf(length, length, kernel.page_size))
            log(f"kexec_elf: Loaded initrd at {at:#x}")
        self._log_usable_memory(kernel, log)
        fdt = max(kdump.fdt, 8)
        content = FDT_MAGIC + struct.pack(">I", fdt)
        at = placer.add(KexecBuf(fdt, fdt, kernel.page_size, top_down=True, content=content))
        log(f"kexec_elf: Loaded device tree at {at:#x}")

    def kexec_tools_segments(
        self,
        kernel: Kernel,
        kernel_file: FileArg | None,
        initrd: FileArg | None,
        cmdline: bytes,
        *,
        hotplug: bool,
    ) -> tuple[int, list[Segment]]:
        """Placed by the kernel's own rules (kexec-tools' are alike); the header is kexec-tools' own."""
        image = Kimage(crash=True, cmdline=cmdline)
        self.kexec_file_load(kernel, image, kernel_file, initrd)
        header = ppc64_kexec_tools.header(kernel, image.backup_start)
        segments: list[Segment] = []
        for s in image.segments:
            content = header if s.content[:4] == ELFMAG else bytes(s.content)
            segments.append((content, len(content), s.mem, s.memsz))
        return image.entry, segments

    def _load_elfcorehdr(
        self, kernel: Kernel, image: Kimage, placer: _Placer, align: int
    ) -> tuple[int, int, int]:
        """load_elfcorehdr_segment(): address, bufsz, memsz."""
        ranges = self.crash_ranges(kernel)
        header = crash_prepare_elf64_headers(kernel, ranges)
        if kernel.has(changes.BACKUP_OFFSET_AT_LOAD):
            self._sync_backup_region_phdr(kernel, image, header, to_kimage=False)
        memsz = len(header) + self._extra_elfcorehdr_size(kernel, len(ranges))
        at = placer.add(KexecBuf(memsz, len(header), align, content=bytes(header)))
        return at, len(header), align_up(memsz, kernel.page_size)

    def _setup_cmdline(self, kernel: Kernel, image: Kimage, elfcorehdr: int) -> None:
        """setup_kdump_cmdline(): KernelError(EINVAL) where the address does not fit in front."""
        prefix = f"elfcorehdr={elfcorehdr:#x} ".encode()
        if len(prefix) + len(image.cmdline) + 1 > COMMAND_LINE_SIZE:
            kernel.log.err("Appending elfcorehdr=<addr> exceeds cmdline size")
            kernel.log.err("kexec_elf: Setting up cmdline for kdump kernel failed")
            raise KernelError(errno.EINVAL, "command line too long")
        image.cmdline = prefix + image.cmdline

    def _log_usable_memory(self, kernel: Kernel, log: _Log) -> None:
        """What setup_new_fdt_ppc64() says on the way: reserved and usable ranges, memory nodes."""
        region = kernel.kexec.crashk_res
        reserved = self._ranges(kernel)
        self._add_firmware(kernel, reserved)
        usable = self._ranges(kernel)
        if region is not None:
            usable.add(0, region.end + 1)
        self._add_firmware(kernel, usable)
        for m in kernel.machine.memory:
            log(f"Memory node path: /memory@{m.start:x}")

    def machine_kexec_post_load(self, kernel: Kernel, image: Kimage) -> None:
        """Learn the backup region that kexec-tools chose from the header it brought (the second patch)."""
        if not image.crash or not kernel.has(changes.BACKUP_OFFSET_AT_EVENT):
            return
        for segment in image.segments:
            if segment.content[:4] == ELFMAG:
                self._sync_backup_region_phdr(kernel, image, segment.content, to_kimage=True)

    def _sync_backup_region_phdr(
        self, kernel: Kernel, image: Kimage, header: bytearray, *, to_kimage: bool
    ) -> None:
        """sync_backup_region_phdr(): the first program header with p_paddr 0, whatever its type.

        to_kimage takes its p_offset as the backup region; else the image's backup region is put in.
        """
        phnum = int.from_bytes(header[56:58], "little")
        end = min(len(header), EHDR_SIZE + phnum * PHDR_SIZE)
        for at in range(EHDR_SIZE, end - PHDR_SIZE + 1, PHDR_SIZE):
            if header[at + P_PADDR : at + P_PADDR + 8] != bytes(8):
                continue
            if to_kimage:
                image.backup_start = PHDR.unpack_from(header, at)[2]
                return
            offset = at + P_OFFSET
            header[offset : offset + 8] = image.backup_start.to_bytes(8, "little")
            if kernel.kexec_debug:
                kernel.log.info(f"Backup region offset updated to {image.backup_start:#x}")
            return

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
        kernel.hotplug_nodes.append((Range.sized(start, size), node))
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
        core = cpu.id // threads if cpu.id in kernel.machine.present_cpus else 0
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
        return ppc64_devicetree.devicetree(kernel)


class _Placer:
    """kexec_add_buffer() for a crash image of ppc64."""

    def __init__(self, arch: Ppc64, kernel: Kernel, image: Kimage) -> None:
        region = kernel.kexec.crashk_res
        if region is None:
            raise KernelError(errno.EADDRNOTAVAIL, "nothing is reserved for a crash kernel")
        self._window = region
        self._page_size = kernel.page_size
        self._image = image
        rma = arch._rma(kernel)
        self._buf_max = region.end if region.end < rma else rma - 1
        self._excluded = arch._exclude_ranges(kernel)

    def add(self, buf: KexecBuf) -> int:
        """Place buf and make it the next segment; its address. KernelError(EADDRNOTAVAIL) without room."""
        buf.buf_max = min(buf.buf_max, self._buf_max)
        placed = [s.range for s in self._image.segments]
        at = locate_mem_hole(buf, self._window, self._page_size, placed, self._excluded)
        self._image.segments.append(KexecSegment(at, buf.memsz, bytearray(buf.content), buf.bufsz))
        return at


def _quiet(text: str) -> None:
    """What a load without KEXEC_FILE_DEBUG says."""
