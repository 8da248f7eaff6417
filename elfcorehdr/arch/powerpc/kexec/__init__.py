"""arch/powerpc/kexec/: core reserves, elf_64 loads by file_load and file_load_64, crash follows hotplug, ranges lists
memory.

The seed's two fixes: changes.BACKUP_OFFSET_AT_LOAD in file_load_64.py, BACKUP_OFFSET_AT_EVENT in crash.py, both by
crash.sync_backup_region_phdr(). Start with crash.py.
"""
