"""The mail's own file: the program headers of the loaded elfcorehdr as a table, in one sysfs file.

Contact: kexec@lists.infradead.org
Date: Mar 2026
"""

from collections.abc import Iterator

from kdumpfs.module import (
    AttributeGroup,
    Kernel,
    ProgramHeaders,
    flags_text,
    singleton,
    type_text,
)

kexec = AttributeGroup("kernel/kexec", singleton)


@kexec.show
def crash_elfcorehdr_print_show(kernel: Kernel) -> str:
    """The program headers of the loaded ELF core header, as a table; empty without a crash image.

    What does not fit into a page is cut.
    """
    return "".join(table(ProgramHeaders(kernel.kexec.elfcorehdr() or b"")))


def table(phdrs: ProgramHeaders) -> Iterator[str]:
    """crash_print_elfcorehdr() of the debug patch, line by line."""
    if not phdrs:
        return
    kinds = [type_text(phdr) for phdr in phdrs]
    loads, notes = kinds.count("PT_LOAD"), kinds.count("PT_NOTE")
    yield "ELF Program Header Summary:\n"
    yield f"  Total Program Headers: {len(phdrs)} ({len(phdrs):#x})\n"
    yield f"  PT_LOAD segments:      {loads} ({loads:#x})\n"
    yield f"  PT_NOTE segments:      {notes} ({notes:#x})\n"
    yield "\nProgram Headers:\n"
    yield f"{'Index':5} {'Type':18} {'Offset':18} {'VirtAddr':18} "
    yield f"{'PhysAddr':12} {'FileSize':12} {'MemSize':8} {'Flags':8}\n"
    yield "=" * 80 + "\n"
    for index, phdr in enumerate(phdrs):
        numbers = (phdr.p_offset, phdr.p_vaddr, phdr.p_paddr, phdr.p_filesz, phdr.p_memsz)
        columns = " ".join(f"0x{number:<16x}" for number in numbers)
        yield f"0x{index:<3x} {type_text(phdr):18} {columns} {flags_text(phdr)}\n"
