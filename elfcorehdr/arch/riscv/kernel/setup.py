"""riscv64, load only: arch/riscv/kernel/{machine_kexec_file,kexec_image,kexec_elf}.c, mm/init.c (v7.2).

Headers follow the resource tree; no event changes one (golden riscv64/A).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from elfcorehdr.arch.base import Arch
from elfcorehdr.arch.image import image_size
from elfcorehdr.elf import ELFMAG, EM_RISCV
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.crash_core import crash_prepare_elf64_headers
from elfcorehdr.kernel.crash_reserve import reserve_crashkernel
from elfcorehdr.kernel.kexec_core import Kimage
from elfcorehdr.kernel.kexec_file import FileArg, KexecBuf, align_down, align_up, elf_load_phdrs
from elfcorehdr.lib.ranges import CrashMem, Range

if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

PAGE_OFFSET = 0xFFFFAF8000000000
"""PAGE_OFFSET_L4: four page-table levels, sv48."""
IMAGE_MAGIC = b"RSC\x05"
COMMAND_LINE_SIZE = 2048
KERNEL_MEMSZ, KERNEL_BUFSZ, PURGATORY, FDT = 0xD87000, 0xD39000, 0x20D8, 0x13FD
"""Sizes of a capture kernel's parts where the machine does not say (golden riscv64/A, step 1)."""
PMD_SIZE, SZ_4G = 2 << 20, 4 << 30


class Riscv64(Arch):
    """Crash ranges are the System RAM resources."""

    name = "riscv64"
    uts_machine = "riscv64"
    e_machine = EM_RISCV
    prstatus_bytes = 376
    nr_cpus = 256
    has_topology_die = False
    smt_control = "notimplemented"

    def va(self, kernel: Kernel, pa: int) -> int:
        """linear_mapping_pa_to_va(): from phys_ram_base, which is a multiple of 2 MiB."""
        base = kernel.machine.direct_map_base
        if not base:
            base = PAGE_OFFSET - align_down(kernel.machine.memory[0].start, PMD_SIZE)
        return (pa + base) & ((1 << 64) - 1)

    def max_physmem_bits(self, kernel: Kernel) -> int:
        """arch/riscv/include/asm/sparsemem.h"""
        return 56

    def zones_of(self, kernel: Kernel, start: int, end: int) -> list[str]:
        """DMA32 below 4 GiB, then Normal."""
        return ["DMA32"] * (start < SZ_4G) + ["Normal"] * (end >= SZ_4G)

    def zone_limits(self, kernel: Kernel, zone: str) -> Range:
        """As zones_of()."""
        return Range(SZ_4G, (1 << 64) - 1) if zone == "Normal" else Range(0, SZ_4G - 1)

    def reserve_crashkernel(self, kernel: Kernel) -> None:
        """arch_reserve_crashkernel(): no CMA."""
        reserve_crashkernel(kernel, cma=False)

    def crash_ranges(self, kernel: Kernel) -> CrashMem:
        """prepare_elf_headers(), machine_kexec_file.c"""
        ranges = CrashMem(kernel.iomem.system_ram())
        for cut in (kernel.kexec.crashk_res, kernel.kexec.crashk_low_res):
            if cut is not None:
                ranges.exclude(cut.start, cut.end)
        return ranges

    def kexec_file_load(
        self, kernel: Kernel, image: Kimage, kernel_file: FileArg | None, initrd: FileArg | None
    ) -> None:
        """The kernel at the bottom; the header, purgatory, initrd and device tree from the top down."""
        elf = kernel_file is not None and kernel_file.data[:4] == ELFMAG
        kdump = kernel.machine.kdump
        memsz = kdump.kernel[0].memsz if kdump.kernel else KERNEL_MEMSZ
        bufsz = (kdump.kernel[0].filesz if kdump.kernel else 0) or KERNEL_BUFSZ
        if elf and kernel_file is not None:
            loads = elf_load_phdrs(kernel_file.data)
            memsz = max(p.p_paddr + p.p_memsz for p in loads) - min(p.p_paddr for p in loads)
            memsz = bufsz = max(memsz, kernel_file.length)
        elif kernel_file is not None:
            memsz, bufsz = image_size(kernel_file, IMAGE_MAGIC), kernel_file.length
        if not image.crash:
            return
        try:
            at = self.add_buffer(kernel, image, KexecBuf(memsz, bufsz, PMD_SIZE))
        except KernelError as error:
            if not elf:
                kernel.log.err(f"kexec_file(Image): Error add kernel image ret={-error.errno}")
            raise
        if not elf:
            memsz = align_up(memsz, kernel.page_size)
            kernel.kexec.dprintk(
                f"kexec_file(Image): Loaded kernel at {at:#x} bufsz={bufsz:#x} memsz={memsz:#x}"
            )
        self._load_extra_segments(kernel, image, initrd)
        if elf:
            # Golden riscv64/J: a program for user space fails after the header was placed.
            raise KernelError(errno.EADDRNOTAVAIL, "the kernel's own address is not in the region")

    def _load_extra_segments(self, kernel: Kernel, image: Kimage, initrd: FileArg | None) -> None:
        """load_extra_segments(), machine_kexec_file.c"""
        kdump = kernel.machine.kdump
        log = kernel.kexec.dprintk
        header = crash_prepare_elf64_headers(kernel, self.crash_ranges(kernel))
        size = len(header)
        at = self.add_buffer(
            kernel, image, KexecBuf(size, size, top_down=True, content=bytes(header))
        )
        log(f"Loaded elf core header at {at:#x} bufsz={size:#x} memsz={size:#x}")
        prefix = f"elfcorehdr={at:#x} ".encode()
        if len(prefix) + len(image.cmdline) + 1 > COMMAND_LINE_SIZE:
            kernel.log.err("Appending elfcorehdr=<addr> exceeds cmdline size")
            kernel.log.err("Setting up cmdline for kdump kernel failed")
            raise KernelError(errno.EINVAL, "command line too long")
        image.cmdline = prefix + image.cmdline
        image.entry = at = self.add_buffer(
            kernel, image, KexecBuf(PURGATORY, PURGATORY, top_down=True)
        )
        log(f"Loaded purgatory at {at:#x}")
        length = initrd.length if initrd else kdump.initrd
        if length:
            at = self.add_buffer(kernel, image, KexecBuf(length, length, top_down=True))
            log(f"Loaded initrd at {at:#x}")
        fdt = kdump.fdt or FDT
        at = self.add_buffer(kernel, image, KexecBuf(fdt, fdt, top_down=True))
        log(f"Loaded device tree at {at:#x}")

    def cpu_stopped(self, kernel: Kernel, cpu: int) -> None:
        """arch_cpuhp_cleanup_dead_cpu()"""
        kernel.log.info(f"CPU{cpu}: off")
