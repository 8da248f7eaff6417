"""One value a file: /sys/kernel/kexec/crash_elfcorehdr/0/p_offset, a directory for each program header.

Contact: kexec@lists.infradead.org
Date: Mar 2026
"""

from kdumpfs.module import (
    AttributeGroup,
    Kernel,
    Phdr,
    ProgramHeaders,
    State,
    flags_text,
    indexed,
    on_kexec,
    type_text,
)

state = State(rows=ProgramHeaders(b""))


def init(kernel: Kernel) -> None:
    changed(kernel)


@on_kexec
def changed(kernel: Kernel) -> None:
    before = len(state.rows)
    state.rows = ProgramHeaders(kernel.kexec.elfcorehdr() or b"")
    if len(state.rows) != before:
        kernel.names_changed()


phdr = AttributeGroup("kernel/kexec/crash_elfcorehdr/*", indexed(lambda kernel: state.rows))


@phdr.show
def p_type_show(row: Phdr) -> str:
    """PT_NOTE or PT_LOAD."""
    return f"{type_text(row)}\n"


@phdr.show(mode=0o400)
def p_offset_show(row: Phdr) -> str:
    """Where the capture kernel finds it: a physical address, hex."""
    return f"{row.p_offset:#x}\n"


@phdr.show(mode=0o400)
def p_vaddr_show(row: Phdr) -> str:
    """Its virtual address in the crashed kernel, hex; 0 of a note."""
    return f"{row.p_vaddr:#x}\n"


@phdr.show(mode=0o400)
def p_paddr_show(row: Phdr) -> str:
    """Its physical address in the crashed kernel, hex."""
    return f"{row.p_paddr:#x}\n"


@phdr.show
def p_filesz_show(row: Phdr) -> str:
    """Its size in the dump in bytes, hex."""
    return f"{row.p_filesz:#x}\n"


@phdr.show
def p_memsz_show(row: Phdr) -> str:
    """Its size in memory in bytes, hex."""
    return f"{row.p_memsz:#x}\n"


@phdr.show
def p_flags_show(row: Phdr) -> str:
    """RWX, with - for what is not set."""
    return f"{flags_text(row)}\n"
