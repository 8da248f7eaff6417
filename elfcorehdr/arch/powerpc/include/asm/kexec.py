"""What arch/powerpc/include/asm/kexec.h declares (v7.1, and the seed's patches), and where it is defined."""

from __future__ import annotations

from elfcorehdr.arch.powerpc.kexec.crash import (
    arch_crash_get_elfcorehdr_size,
    arch_crash_handle_hotplug_event,
    crash_ranges_source,
    machine_kexec_post_load,
    sync_backup_region_phdr,
)
from elfcorehdr.arch.powerpc.kexec.elf_64 import elf64_load
from elfcorehdr.arch.powerpc.kexec.file_load import setup_kdump_cmdline
from elfcorehdr.arch.powerpc.kexec.file_load_64 import (
    load_crashdump_segments_ppc64,
    setup_new_fdt_ppc64,
)

__all__ = [
    "arch_crash_get_elfcorehdr_size",
    "arch_crash_handle_hotplug_event",
    "crash_ranges_source",
    "elf64_load",
    "load_crashdump_segments_ppc64",
    "machine_kexec_post_load",
    "setup_kdump_cmdline",
    "setup_new_fdt_ppc64",
    "sync_backup_region_phdr",
]
