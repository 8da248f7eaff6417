"""The program headers of the loaded elfcorehdr in debugfs, a line each: no page limit, no promise.

Contact: kexec@lists.infradead.org
Date: Mar 2026
"""

from collections.abc import Iterator

from kdumpfs.module import (
    AttributeGroup,
    Filesystem,
    Kernel,
    ProgramHeaders,
    flags_text,
    singleton,
    type_text,
)

kdump = AttributeGroup("kdump", singleton, fs=Filesystem.DEBUGFS)


@kdump.show(mode=0o400)
def elfcorehdr_show(kernel: Kernel) -> Iterator[str]:
    """One line a program header: index, type, offset, virtual and physical address, sizes, flags."""
    for index, phdr in enumerate(ProgramHeaders(kernel.kexec.elfcorehdr() or b"")):
        yield (
            f"{index} {type_text(phdr)} {phdr.p_offset:#x} {phdr.p_vaddr:#x} {phdr.p_paddr:#x} "
            f"{phdr.p_filesz:#x} {phdr.p_memsz:#x} {flags_text(phdr)}\n"
        )
