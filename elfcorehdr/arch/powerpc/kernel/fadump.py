"""Firmware-assisted dump: arch/powerpc/kernel/fadump.c, platforms/{pseries/rtas,powernv/opal}-fadump.c (6.1 to 7.3).

What happens at a crash, and what the kernel that boots then finds, is in fadump_crash.py. Under OPAL no dump is taken.
"""

from __future__ import annotations

import errno
import itertools

from elfcorehdr import changes
from elfcorehdr.arch.powerpc.kernel.setup_common import radix_enabled
from elfcorehdr.arch.powerpc.platforms.pseries import rtas_fadump
from elfcorehdr.arch.powerpc.platforms.pseries.firmware import cpu_state_size
from elfcorehdr.arch.powerpc.platforms.pseries.rtas_fadump import Section
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.crash_reserve import phys_alloc_range
from elfcorehdr.kernel.crashkernel import Invalid, Parser, memparse
from elfcorehdr.kernel.kexec_file import align_down, align_up
from elfcorehdr.lib.kstrtox import kstrtoint
from elfcorehdr.lib.ranges import Range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.elf import ElfCoreHdr
    from elfcorehdr.init.main import Kernel

COMMAND_LINE_SIZE = 2048
MAX_BOOT_MEM_RATIO = 4
MIN_BOOT_MEM = {"pseries": 0x14000000, "powernv": 0x30000000}
"""RTAS_FADUMP_MIN_BOOT_MEM, OPAL_FADUMP_MIN_BOOT_MEM."""
MIN_RMA = 768 << 20
"""Up to where firmware and boot loader may use the real mode area, arch/powerpc/include/asm/prom.h."""
HASH_PARAM_AREA = (0x2A000000, 0x2E000000)
"""Where the parameters of a hash guest went at first."""
CRASH_INFO_HEAD, CRASH_INFO_HEAD_OLD, PT_REGS = 40, 24, 384
"""struct fadump_crash_info_header less its cpumask: since 6.10, before; sizeof(struct pt_regs)."""


class Fadump:
    """struct fw_dump: what was asked for, what is reserved, and whether firmware knows of it."""

    def __init__(self, kernel: Kernel, *, opal: bool = False) -> None:
        self._kernel = kernel
        self._opal = opal
        self.enabled, self._nocma = _early_fadump_param(kernel.cmdline)
        self.registered = False
        self.boot_memory_size = 0
        """Bytes that firmware copies: the memory that a capture kernel boots in."""
        self.area: Range | None = None
        """The reserved dump area; None: nothing is reserved."""
        self._param_area = 0
        """Where the capture kernel's further parameters are; 0: nowhere."""
        self._params = ""
        self.header: ElfCoreHdr | None = None
        """Before 6.10: the ELF header, made when it was registered."""
        self._active = _kernel_dump(kernel) if not opal else ()
        """The sections of the dump that waits to be taken (ibm,kernel-dump); none once it was released."""
        self.had_dump = bool(self._active)
        """Whether this kernel was booted with a dump that waits: release_mem exists."""

    @property
    def size(self) -> int:
        """mem_reserved: bytes of the dump area."""
        return self.area.size if self.area else 0

    @property
    def takes_crash(self) -> bool:
        """should_fadump_crash(); what OPAL does then is not emulated."""
        return self.registered and not self._opal

    @property
    def active(self) -> bool:
        """dump_active: whether memory above boot memory is kept for a dump."""
        return bool(self._active)

    @property
    def kept(self) -> Range | None:
        """Memory that nobody else gets: all above boot memory, later (or without CMA) the dump area."""
        if self._active:
            return Range(self.boot_memory_size, self._kernel.memblock.end_of_dram() - 1)
        if self.area is None or not (self._nocma or self.had_dump):
            return None
        page = self._kernel.page_size
        return Range(align_down(self.area.start, page), align_up(self.area.end + 1, page) - 1)

    @property
    def boot_mem_dest_addr(self) -> int:
        """Where firmware copies boot memory to: behind the CPUs' registers."""
        start = align_down(self.area.start, self._kernel.page_size) if self.area else 0
        return align_up(start + self._cpu_state_size(), self._kernel.page_size)

    # at boot

    def reserve(self) -> bool:
        """fadump_reserve_mem(): whether memory is reserved, so that there is none for kdump."""
        kernel, log = self._kernel, self._kernel.log
        if self._active:
            log.info("rtas fadump: Firmware-assisted dump is active.")
        if not self.enabled:
            return False
        if self._active:
            return self._reserve_crash_area()
        self.boot_memory_size = align_up(self._calculate_reserve_size(), kernel.page_size)
        if not self._nocma and not kernel.has(changes.FADUMP_CMA_LATE):
            align = kernel.arch.cma_align(kernel)
            self.boot_memory_size = align_up(self.boot_memory_size, align)
        least = self._bootmem_min()
        base = self._locate(self.boot_memory_size, self._area_size())
        if self.boot_memory_size < least:
            log.err(
                f"fadump: Can't enable fadump with boot memory size ({self.boot_memory_size:#x}) "
                f"less than {least:#x}"
            )
        elif base is None:
            log.err("fadump: Failed to find memory chunk for reservation!")
        else:
            self.area = base
            if self._opal:
                at = base.end + 1 - kernel.page_size
                log.info(f"opal fadump: Kernel metadata addr: {at:x}")
            log.info(
                f"fadump: Reserved {base.size >> 20}MB of memory at {base.start:#016x} "
                f"(System RAM: {kernel.memblock.total() >> 20}MB)"
            )
            return True
        self.enabled = False
        return False

    def _reserve_crash_area(self) -> bool:
        """rtas_fadump_get_config(), fadump_reserve_crash_area(): sizes are those of the kernel that crashed."""
        kernel, log = self._kernel, self._kernel.log
        for s in self._active:
            if s.kind == rtas_fadump.REAL_MODE_REGION:
                self.boot_memory_size += s.size
            elif s.kind == rtas_fadump.PARAM_AREA:
                self._param_area = s.destination
        start = next(s.destination for s in self._active if s.kind == rtas_fadump.CPU_STATE_DATA)
        self.area = Range.sized(start, self._area_size())
        if self._param_area:
            self._params = kernel.firmware_dump.params if kernel.firmware_dump else ""
            log.info(f"fadump: Updated cmdline: {kernel.cmdline}")
        log.info("fadump: Firmware-assisted dump is active.")
        for m in kernel.machine.memory:
            at = max(m.start, self.boot_memory_size)
            if at <= m.end:
                log.info(
                    f"fadump: Reserving {m.end + 1 - at >> 20}MB of memory at {at:#016x} "
                    "for preserving crash data"
                )
        return True

    def setup(self) -> None:
        """fadump_setup_param_area(), fadump_cma_init(), setup_fadump(): the rest of a boot."""
        if self._active:
            if self.enabled:
                self._process()
            return
        self._setup_param_area()
        if not self.enabled:
            return
        self._cma_init()
        self._register()

    def _process(self) -> None:
        """fadump_process(): /proc/vmcore, or the memory goes back."""
        from elfcorehdr.arch.powerpc.kernel.fadump_crash import useless

        kernel, dump = self._kernel, self._kernel.firmware_dump
        if useless(kernel, self._active) or dump is None:
            self._invalidate()
            return
        kernel.vmcore_init(dump.header, dump.read)
        kernel.memory_image = dump.memory

    def release_mem(self, buf: str) -> None:
        """release_mem_store(). KernelError: EPERM without a dump, EINVAL for anything but 1."""
        if not self._active:
            raise KernelError(errno.EPERM, "no dump is active")
        if kstrtoint(buf) != 1:
            raise KernelError(errno.EINVAL, "expected 1")
        self._invalidate()
        self._kernel.names_changed()

    def _invalidate(self) -> None:
        """vmcore_cleanup(), fadump_invalidate_release_mem()"""
        from elfcorehdr.arch.powerpc.kernel.fadump_crash import released

        kernel = self._kernel
        kernel.vmcore = kernel.memory_image = kernel.firmware_dump = None
        self._active = ()
        for start, end in released(kernel, self.boot_memory_size, self.area):
            kernel.log.info(f"fadump: freeing reserved memory ({start:#x} - {end:#x})")

    def _calculate_reserve_size(self) -> int:
        """fadump_calculate_reserve_size(): crashkernel='s size, else 5 % of memory in multiples of 256 MiB."""
        kernel, log = self._kernel, self._kernel.log
        total, bootvar = kernel.memblock.total(), 0
        for word in kernel.cmdline.split():
            if word.startswith("fadump_reserve_mem="):
                bootvar = memparse(word.partition("=")[2])[0]
        if bootvar:
            log.warning(
                "fadump: 'fadump_reserve_mem=' parameter is deprecated in favor of "
                "'crashkernel=' parameter."
            )
        parser = Parser(kernel)
        try:
            wanted = parser.plain(total)
            if wanted is not None and kernel.has(changes.GENERIC_RESERVATION):
                parser.judged(wanted, total)
        except Invalid:
            wanted = None
        if wanted is not None and wanted.size:
            if bootvar:
                log.info("fadump: Using 'crashkernel=' parameter for memory reservation.")
            most = total // MAX_BOOT_MEM_RATIO
            if wanted.size > most:
                log.info(f"fadump: Adjusted boot memory size to {most >> 20}MB")
            return min(wanted.size, most)
        if bootvar:
            return bootvar
        return max(align_down(total // 20, 256 << 20), self._bootmem_min())

    def _bootmem_min(self) -> int:
        """fadump_get_bootmem_min()"""
        return MIN_BOOT_MEM["powernv" if self._opal else "pseries"]

    def _cpu_state_size(self) -> int:
        """What firmware needs for the registers of all CPUs: ibm,configure-kernel-dump-sizes."""
        return 0 if self._opal else cpu_state_size(len(self._kernel.cpus.possible))

    def _area_size(self) -> int:
        """get_fadump_area_size(), or what the machine says."""
        kernel = self._kernel
        if kernel.machine.fadump_reserved:
            return kernel.machine.fadump_reserved
        page, new = kernel.page_size, kernel.has(changes.FADUMP_HOTPLUG_READY)
        size = align_up(self._cpu_state_size(), page) + self.boot_memory_size
        size += (CRASH_INFO_HEAD if new else CRASH_INFO_HEAD_OLD) + PT_REGS
        size += (kernel.cpus.nr_cpus + 63) // 64 * 8
        if not new:  # the ELF header, a note, and memory
            regions = 1 + sum(a.end + 1 != b.start for a, b in _pairs(kernel))
            size = align_up(size + 64 + 56 * (1 + regions + 2), page)
        return size + (page if self._opal else 0)

    def _locate(self, base: int, size: int) -> Range | None:
        """fadump_locate_reserve_mem(): the lowest place from the end of boot memory on."""
        end = self._kernel.memblock.end_of_dram()
        return phys_alloc_range(
            self._kernel, size, self._kernel.page_size, base, end, bottom_up=True, joined=True
        )

    def _setup_param_area(self) -> None:
        """fadump_setup_param_area(): radix anywhere in the upper half, hash where firmware does not go."""
        kernel = self._kernel
        late = kernel.has(changes.FADUMP_PARAM_AREA_OF_RMA)
        if not kernel.has(changes.FADUMP_BOOTARGS_APPEND) or self._opal:
            return
        if late and not self.enabled:
            return
        end = kernel.memblock.end_of_dram()
        if radix_enabled(kernel):
            start = end // 2
        else:
            from elfcorehdr.arch.powerpc.kexec.core import ppc64_rma_size

            rma = ppc64_rma_size(kernel)
            if rma < MIN_RMA:
                return
            start, end = (MIN_RMA, min(rma, self.boot_memory_size)) if late else HASH_PARAM_AREA
        found = phys_alloc_range(
            kernel, COMMAND_LINE_SIZE, COMMAND_LINE_SIZE, start, end, also=self.area
        )
        if found is None:
            kernel.log.warning(
                "fadump: WARNING: Could not setup area to pass additional parameters!"
            )
            return
        self._param_area = found.start

    def _cma_init(self) -> None:
        """fadump_cma_init(): what firmware would copy to is lent out meanwhile, as CMA."""
        kernel, area = self._kernel, self.area
        if self._nocma or area is None or not kernel.config("CMA"):
            return
        align = kernel.arch.cma_align(kernel)
        start = align_up(area.start, align)
        size = align_down(area.start + self.boot_memory_size, align) - start
        if kernel.has(changes.FADUMP_CMA_LATE):
            if size <= 0:
                kernel.log.warning("fadump: fadump_cma_init: Too less memory to give to CMA")
                return
            kernel.log.info(
                f"fadump: Initialized [{start:#x}, {size >> 20}MB] cma area from "
                f"[{area.start:#x}, {self.boot_memory_size >> 20}MB] bytes of memory reserved for "
                "firmware-assisted dump"
            )
        else:
            kernel.log.info(
                f"fadump: Initialized {self.boot_memory_size:#x} bytes cma area at "
                f"{area.start >> 20}MB from {area.size:#x} bytes of memory reserved for "
                "firmware-assisted dump"
            )

    def _register(self) -> None:
        """register_fadump(): firmware takes it."""
        prefix = "opal" if self._opal else "rtas"
        self._kernel.log.info(f"{prefix} fadump: Registration is successful!")
        self.registered = True
        if not self._kernel.has(changes.FADUMP_HOTPLUG_READY):
            from elfcorehdr.arch.powerpc.kernel.fadump_crash import header_of

            self.header = header_of(self._kernel)

    def sections(self) -> tuple[Section, ...]:
        """rtas_fadump_init_mem_struct(): what firmware is asked to copy; while a dump waits, what it has."""
        if self._active or self.area is None:
            return self._active
        at = align_down(self.area.start, self._kernel.page_size)
        state = self._cpu_state_size()
        made = [
            Section(rtas_fadump.CPU_STATE_DATA, 0, state, at),
            Section(rtas_fadump.HPTE_REGION, 0, 0, at + state),
            Section(
                rtas_fadump.REAL_MODE_REGION, 0, self.boot_memory_size, self.boot_mem_dest_addr
            ),
        ]
        if self._param_area:
            param = self._param_area
            made.append(Section(rtas_fadump.PARAM_AREA, param, COMMAND_LINE_SIZE, param))
        return tuple(made)

    # files

    def store(self, buf: str) -> None:
        """registered_store(): 1 registers (anew), 0 takes it back. KernelError: EPERM unless enabled, EINVAL."""
        self._may_change()
        value = kstrtoint(buf)
        if value not in (0, 1):
            raise KernelError(errno.EINVAL, "neither 0 nor 1")
        if value:
            self._register()
        else:
            self.registered = False

    def _may_change(self) -> None:
        if not self.enabled or self._active:
            raise KernelError(errno.EPERM, "fadump is not enabled, or a dump is active")

    @property
    def has_param_area(self) -> bool:
        """Whether bootargs_append exists."""
        return bool(self._param_area)

    def bootargs_append(self) -> str:
        """What the capture kernel's command line gets besides."""
        return self._params

    def append_bootargs(self, buf: str) -> None:
        """bootargs_append_store(). KernelError: EPERM unless enabled, EINVAL, ENOSPC if the line gets too long."""
        self._may_change()
        count = len(buf.encode(errors="surrogateescape"))
        if count >= COMMAND_LINE_SIZE:
            raise KernelError(errno.EINVAL, "longer than a command line")
        if len(self._kernel.cmdline.encode()) + count >= COMMAND_LINE_SIZE:
            self._kernel.log.err("fadump: Appending parameters exceeds cmdline size!")
            raise KernelError(errno.ENOSPC, "the command line would be too long")
        self._params = buf.removesuffix("\n").split("\0")[0]

    def region(self) -> str:
        """fadump_region of debugfs: what firmware is to copy where."""
        if not self.enabled or self.area is None:
            return ""
        text = ""
        for part in self.sections():
            end, size = part.destination + part.size - 1, part.size
            if part.kind == rtas_fadump.PARAM_AREA:
                where = f"{part.destination:#016x}-{end:#016x}"
                text += f"\n[{where}]: cmdline append: '{self._params}'\n"
            elif part.kind == rtas_fadump.REAL_MODE_REGION:
                text += (
                    f"DUMP: Src: {part.source:#016x}, Dest: {part.destination:#016x}, "
                    f"Size: {size:#x}, Dumped: {part.dumped:#x} bytes\n"
                )
            elif not self._opal:
                name = "CPU " if part.kind == rtas_fadump.CPU_STATE_DATA else "HPTE"
                text += (
                    f"{name}:[{part.destination:#016x}-{end:#016x}] {size:#x} bytes, "
                    f"Dumped: {part.dumped:#x}\n"
                )
        if self._active:
            top = self.boot_memory_size
            text += f"\nMemory above {top:#016x} is reserved for saving crash dump\n"
        return text

    # memory

    def keeps(self, start: int, size: int) -> bool:
        """is_fadump_memory_area(): whether DLPAR must leave this memory alone."""
        if not self.registered or self.area is None:
            return False
        # Quirk: the byte behind each counts too.
        in_area = start + size > self.area.start and start <= self.area.end + 1
        return in_area or start <= self.boot_memory_size


def _early_fadump_param(cmdline: str) -> tuple[bool, bool]:
    """Whether fadump is asked for, and whether without CMA. Quirk: what follows the word is not looked at."""
    enabled = nocma = False
    for word in cmdline.split():
        value = word.removeprefix("fadump=")
        if value == word:
            continue
        if value.startswith("on"):
            enabled = True
        elif value.startswith("off"):
            enabled = False
        elif value.startswith("nocma"):
            enabled = nocma = True
    return enabled, nocma


def _kernel_dump(kernel: Kernel) -> tuple[Section, ...]:
    """rtas_fadump_dt_scan(): the dump that waits."""
    said = kernel.machine.devicetree.get(rtas_fadump.PROPERTY, "")
    try:
        return rtas_fadump.unpack(bytes.fromhex(said.removeprefix("0x")))
    except ValueError:
        return ()


def _pairs(kernel: Kernel) -> list[tuple[Range, Range]]:
    """Each region of memory and the next."""
    rows = [Range(r.start, r.end) for r in kernel.memblock]
    return list(itertools.pairwise(rows))


def asked_in_vain(kernel: Kernel) -> None:
    """What a kernel says where firmware knows nothing of fadump."""
    if _early_fadump_param(kernel.cmdline)[0]:
        kernel.log.info("fadump: Firmware-Assisted Dump is not supported on this hardware")
