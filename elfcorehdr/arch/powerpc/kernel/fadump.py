"""Firmware-assisted dump: arch/powerpc/kernel/fadump.c, platforms/{pseries/rtas,powernv/opal}-fadump.c (6.1 to 7.3).

What firmware does after a crash is not emulated: no dump is ever active.
"""

from __future__ import annotations

import errno
import itertools

from elfcorehdr import changes
from elfcorehdr.arch.powerpc.kernel.setup_common import radix_enabled
from elfcorehdr.arch.powerpc.platforms.pseries.firmware import cpu_state_size
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.crash_reserve import phys_alloc_range
from elfcorehdr.kernel.crashkernel import Invalid, Parser, memparse
from elfcorehdr.kernel.kexec_file import align_down, align_up
from elfcorehdr.lib.kstrtox import kstrtoint
from elfcorehdr.lib.ranges import Range

TYPE_CHECKING = False
if TYPE_CHECKING:
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

    @property
    def size(self) -> int:
        """mem_reserved: bytes of the dump area."""
        return self.area.size if self.area else 0

    # at boot

    def reserve(self) -> bool:
        """fadump_reserve_mem(): whether memory is reserved, so that there is none for kdump."""
        kernel, log = self._kernel, self._kernel.log
        if not self.enabled:
            return False
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

    def setup(self) -> None:
        """fadump_setup_param_area(), fadump_cma_init(), setup_fadump(): the rest of a boot."""
        self._setup_param_area()
        if not self.enabled:
            return
        self._cma_init()
        self._register()

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

    # files

    def store(self, buf: str) -> None:
        """registered_store(): 1 registers (anew), 0 takes it back. KernelError: EPERM unless enabled, EINVAL."""
        if not self.enabled:
            raise KernelError(errno.EPERM, "fadump is not enabled")
        value = kstrtoint(buf)
        if value not in (0, 1):
            raise KernelError(errno.EINVAL, "neither 0 nor 1")
        if value:
            self._register()
        else:
            self.registered = False

    @property
    def has_param_area(self) -> bool:
        """Whether bootargs_append exists."""
        return bool(self._param_area)

    def bootargs_append(self) -> str:
        """What the capture kernel's command line gets besides."""
        return self._params

    def append_bootargs(self, buf: str) -> None:
        """bootargs_append_store(). KernelError: EPERM unless enabled, EINVAL, ENOSPC if the line gets too long."""
        if not self.enabled:
            raise KernelError(errno.EPERM, "fadump is not enabled")
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
        at, size = align_down(self.area.start, self._kernel.page_size), self.boot_memory_size
        text = ""
        if not self._opal:
            state = self._cpu_state_size()
            for name, length in (("CPU ", state), ("HPTE", 0)):
                text += (
                    f"{name}:[{at:#016x}-{at + length - 1:#016x}] {length:#x} bytes, Dumped: 0x0\n"
                )
                at += length
            at = align_up(at, self._kernel.page_size)
        text += f"DUMP: Src: {0:#016x}, Dest: {at:#016x}, Size: {size:#x}, Dumped: 0x0 bytes\n"
        if self._param_area:
            end = self._param_area + COMMAND_LINE_SIZE - 1
            text += f"\n[{self._param_area:#016x}-{end:#016x}]: cmdline append: '{self._params}'\n"
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


def _pairs(kernel: Kernel) -> list[tuple[Range, Range]]:
    """Each region of memory and the next."""
    rows = [Range(r.start, r.end) for r in kernel.memblock]
    return list(itertools.pairwise(rows))


def asked_in_vain(kernel: Kernel) -> None:
    """What a kernel says where firmware knows nothing of fadump."""
    if _early_fadump_param(kernel.cmdline)[0]:
        kernel.log.info("fadump: Firmware-Assisted Dump is not supported on this hardware")
