"""arm64, load only: arch/arm64/kernel/{machine_kexec_file,kexec_image}.c, mm/{init,mmu}.c (v7.1).

Headers follow memblock; no event changes one (golden arm64/B).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from elfcorehdr import changes
from elfcorehdr.arch.base import Arch
from elfcorehdr.arch.image import image_size
from elfcorehdr.elf import EM_AARCH64
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.crash_core import crash_prepare_elf64_headers
from elfcorehdr.kernel.crash_reserve import reserve_crashkernel
from elfcorehdr.kernel.kexec_core import Kimage
from elfcorehdr.kernel.kexec_file import FileArg, KexecBuf, align_down
from elfcorehdr.kernel.notifier import MemAction, MemoryNotify
from elfcorehdr.lib.ranges import CrashMem, Range
from elfcorehdr.mm.memblock import NOMAP

if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

PAGE_OFFSET = 0xFFFF000000000000
"""With 48 bits of virtual addresses."""
MEMSTART_ALIGN = 1 << 30
IMAGE_MAGIC = b"ARM\x64"
KERNEL_SIZE = 0x850000
"""_end - _text of the lab's kernel (golden arm64/B), where the machine names no other."""
SZ_2M, SZ_64K, SZ_4G = 2 << 20, 64 << 10, 4 << 30


class Arm64(Arch):
    """Crash ranges are memblock's regions, one by one, less those that are not mapped."""

    name = "arm64"
    uts_machine = "aarch64"
    e_machine = EM_AARCH64
    prstatus_bytes = 392
    nr_cpus = 512
    has_topology_die = False
    cpu_modalias = "cpu:type:aarch64:feature:,"
    has_cpu_modalias = True

    def va(self, kernel: Kernel, pa: int) -> int:
        """__phys_to_virt(): the linear map begins with RAM, rounded down to 1 GiB; NOMAP counts."""
        base = kernel.machine.direct_map_base
        if not base:
            first = min(m.start for m in kernel.machine.memory)
            base = PAGE_OFFSET - align_down(first, MEMSTART_ALIGN)
        return (pa + base) & ((1 << 64) - 1)

    def max_physmem_bits(self, kernel: Kernel) -> int:
        """CONFIG_ARM64_PA_BITS"""
        return 48

    def zones_of(self, kernel: Kernel, start: int, end: int) -> list[str]:
        """DMA below 4 GiB, then Normal (golden arm64/B)."""
        return ["DMA"] * (start < SZ_4G) + ["Normal"] * (end >= SZ_4G)

    def zone_limits(self, kernel: Kernel, zone: str) -> Range:
        """As zones_of()."""
        return Range(SZ_4G, (1 << 64) - 1) if zone == "Normal" else Range(0, SZ_4G - 1)

    def reserve_crashkernel(self, kernel: Kernel) -> None:
        """arch_reserve_crashkernel()"""
        reserve_crashkernel(kernel, cma=kernel.has(changes.CMA_CRASHKERNEL_ARM64))

    def crash_ranges(self, kernel: Kernel) -> CrashMem:
        """prepare_elf_headers(), machine_kexec_file.c"""
        kexec, continues = kernel.kexec, kernel.has(changes.EXCLUDE_CONTINUES)
        ranges = CrashMem(Range(r.start, r.end) for r in kernel.memblock if NOMAP not in r.flags)
        for cut in (kexec.crashk_res, kexec.crashk_low_res, *kexec.crashk_cma_ranges):
            if cut is not None:
                ranges.exclude(cut.start, cut.end, continues=continues)
        return ranges

    def kexec_file_load(
        self, kernel: Kernel, image: Kimage, kernel_file: FileArg | None, initrd: FileArg | None
    ) -> None:
        """image_load(), load_other_segments(): kernel at the bottom, the header at the top, initrd, dtb."""
        given, kdump = kernel.machine.kdump.kernel, kernel.machine.kdump
        memsz = given[0].memsz if given else KERNEL_SIZE
        if kernel_file is not None:
            memsz = image_size(kernel_file, IMAGE_MAGIC)
        if not image.crash:
            return
        log = kernel.kexec.dprintk
        image.entry = at = self.add_buffer(kernel, image, KexecBuf(memsz, memsz, SZ_2M))
        log(f"kexec_file: Loaded kernel at {at:#x} bufsz={memsz:#x} memsz={memsz:#x}")
        header = crash_prepare_elf64_headers(kernel, self.crash_ranges(kernel))
        size = len(header)
        buf = KexecBuf(size, size, SZ_64K, top_down=True, content=bytes(header))
        at = self.add_buffer(kernel, image, buf)
        log(f"Loaded elf core header at {at:#x} bufsz={size:#x} memsz={buf.memsz:#x}")
        length = initrd.length if initrd else kdump.initrd
        if length:
            low = image.segments[0].range.end + 1
            at = self.add_buffer(kernel, image, KexecBuf(length, length, buf_min=low))
            log(f"Loaded initrd at {at:#x} bufsz={length:#x} memsz={length:#x}")
        fdt = max(kdump.fdt, 8)
        at = self.add_buffer(kernel, image, KexecBuf(fdt, fdt, SZ_2M, top_down=True))
        log(f"Loaded dtb at {at:#x} bufsz={fdt:#x} memsz={fdt:#x}")

    def booted(self, kernel: Kernel) -> None:
        """prevent_bootmem_remove_init(), arch/arm64/mm/mmu.c: what was there at boot stays online."""
        boot = list(kernel.memblock)

        def notifier(action: MemAction, notify: MemoryNotify) -> None:
            if action is MemAction.GOING_OFFLINE and any(
                r.start <= notify.start <= r.end for r in boot
            ):
                kernel.log.warning(
                    f"Boot memory [{notify.start:x} {notify.end + 1:x}] offlining attempted"
                )
                raise KernelError(errno.EPERM, "boot memory")

        kernel.memory_chain.register(notifier)

    def cpu_stopped(self, kernel: Kernel, cpu: int) -> None:
        """cpu_psci_cpu_kill()"""
        kernel.log.info(f"psci: CPU{cpu} killed (polled 0 ms)")
