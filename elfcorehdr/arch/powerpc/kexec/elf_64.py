"""Loading an ELF kernel as a crash image: arch/powerpc/kexec/elf_64.c (v7.1)."""

from __future__ import annotations

import struct

from elfcorehdr import changes
from elfcorehdr.arch.image import elf_loads
from elfcorehdr.arch.powerpc.kexec.crash import FDT_MAGIC
from elfcorehdr.arch.powerpc.kexec.file_load import setup_kdump_cmdline
from elfcorehdr.arch.powerpc.kexec.file_load_64 import (
    Placer,
    load_crashdump_segments_ppc64,
    setup_new_fdt_ppc64,
)
from elfcorehdr.kernel.kexec_core import Kimage
from elfcorehdr.kernel.kexec_file import FileArg, KexecBuf, or_say
from elfcorehdr.machine import LoadSegment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel


def elf64_load(
    kernel: Kernel, image: Kimage, kernel_file: FileArg | None, initrd: FileArg | None
) -> None:
    """Kernel, purgatory, backup, elfcorehdr, initrd, device tree, in this order."""
    kdump = kernel.machine.kdump
    parts = kdump.kernel or (LoadSegment(kernel.machine.kernel_end),)
    if kernel_file is not None:
        parts = tuple(
            LoadSegment(p.p_memsz, min(p.p_filesz, p.p_memsz), max(p.p_align, 1), p.p_paddr)
            for p in elf_loads(kernel_file)
        )
    if not image.crash:
        return
    log = kernel.kexec.dprintk
    placer = Placer(kernel, image)
    for part in parts:
        at = placer.add(
            KexecBuf(part.memsz, part.filesz or part.memsz, part.align, buf_min=part.paddr)
        )
    log(f"kexec_elf: Loaded the kernel at {image.segments[0].mem:#x}")
    with or_say(kernel, "kexec_elf: Loading purgatory failed."):
        at = placer.add(KexecBuf(kdump.purgatory, kdump.purgatory, top_down=True))
    image.entry = at
    log(f"kexec_elf: Loaded purgatory at {at:#x}")
    align = parts[-1].align
    with or_say(kernel, "kexec_elf: Failed to load kdump kernel segments"):
        at = load_crashdump_segments_ppc64(kernel, image, placer, align, log)
    kernel.dm_crypt_keys.crash_load()
    setup_kdump_cmdline(kernel, image, at)
    if kernel.has(changes.FILE_LOAD_CMDLINE_PPC64):
        log(f"kexec_elf: Command line: {image.cmdline.decode(errors='surrogateescape')}")
    length = initrd.length if initrd else kdump.initrd
    if length:
        at = placer.add(KexecBuf(length, length, kernel.page_size))
        log(f"kexec_elf: Loaded initrd at {at:#x}")
    setup_new_fdt_ppc64(kernel, log)
    fdt = max(kdump.fdt, 8)
    content = FDT_MAGIC + struct.pack(">I", fdt)
    at = placer.add(KexecBuf(fdt, fdt, kernel.page_size, top_down=True, content=content))
    log(f"kexec_elf: Loaded device tree at {at:#x}")
