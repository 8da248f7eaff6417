"""/proc/kcore and /proc/kallsyms: fs/proc/kcore.c, kernel/kallsyms.c. Headers; memory reads as zeros.

kexec(8) takes the kernel's virtual address from the headers (classic load), and refuses a file
without a readable note. The emulated machine has no memory contents, so tools that follow
pointers (crash, drgn, makedumpfile --mem-usage) find nothing.
"""

from __future__ import annotations

import errno
import struct

from elfcorehdr.elf import NT_PRSTATUS, PF_R, PF_W, PF_X, PT_LOAD, PT_NOTE, Ehdr, pack_phdrs
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.kexec_file import align_up
from fsmount.tree.kobject import (
    CAP_SYSLOG,
    AttributeGroup,
    Caller,
    Declaration,
    Filesystem,
    singleton,
)

CAP_SYS_RAWIO = 17
SIZE = 1 << 47
"""st_size; the real one is that of the virtual address space. Offsets must stay positive."""
_OFFSET_MASK = (1 << 46) - 1
_PRSTATUS_SIZE = 336
"""sizeof(struct elf_prstatus) on x86_64; what is in it nobody reads here."""

proc = AttributeGroup("", singleton, fs=Filesystem.PROCFS)


def headers(kernel: Kernel) -> bytes:
    """ELF header, PT_NOTE, a PT_LOAD for the kernel's text and one for each range of RAM, the note.

    Mirrors get_kcore_size() and read_kcore_iter(): p_offset is the address within the kernel's half
    (kc_vaddr_to_offset()) behind the headers, which end on a page.
    """
    note = (
        struct.pack("<3I", 5, _PRSTATUS_SIZE, NT_PRSTATUS) + b"CORE\0\0\0\0" + bytes(_PRSTATUS_SIZE)
    )
    areas = []
    text = kernel.machine.kernel_text
    if text is not None:
        areas.append((text.vaddr, text.paddr, text.size))
    for _, ram, name in kernel.iomem.rows():
        if name == "System RAM":
            areas.append((kernel.arch.va(kernel, ram.start), ram.start, ram.size))
    behind = align_up(64 + 56 * (len(areas) + 1) + len(note), kernel.page_size)
    phdrs = [(PT_NOTE, 0, 64 + 56 * (len(areas) + 1), 0, 0, len(note), 0, 0)]
    flags = PF_R | PF_W | PF_X
    for vaddr, paddr, size in areas:
        offset = (vaddr & _OFFSET_MASK) + behind
        phdrs.append((PT_LOAD, flags, offset, vaddr, paddr, size, size, kernel.page_size))
    ehdr = Ehdr(e_machine=kernel.arch.e_machine, e_phnum=len(phdrs)).pack()
    return ehdr + pack_phdrs(phdrs) + note


class Kcore:
    """An open /proc/kcore."""

    def __init__(self, kernel: Kernel) -> None:
        self._headers = headers(kernel)

    def read(self, size: int, offset: int, flags: int = 0) -> bytes:
        """The headers, then zeros."""
        return self._headers[offset : offset + size].ljust(max(0, min(size, SIZE - offset)), b"\0")

    def write(self, buf: bytes, offset: int, flags: int = 0) -> int:
        """Never."""
        raise KernelError(errno.EIO)


@proc.open(name="kcore", mode=0o400, size=SIZE)
def kcore_open(kernel: Kernel, caller: Caller, flags: int) -> Kcore:
    """The kernel's memory as an ELF core: headers only. EPERM without CAP_SYS_RAWIO."""
    if not caller.capable(CAP_SYS_RAWIO):
        raise KernelError(errno.EPERM)
    return Kcore(kernel)


@proc.show
def kallsyms_show(kernel: Kernel, caller: Caller) -> str:
    """Where the kernel's image begins and ends; every address is 0 without CAP_SYSLOG."""
    text = kernel.machine.kernel_text
    if text is None:
        return ""
    shown = caller.capable(CAP_SYSLOG)
    rows = (
        ("T", "_text", text.vaddr),
        ("T", "_stext", text.vaddr),
        ("B", "_end", text.vaddr + text.size),
    )
    return "".join(f"{addr if shown else 0:016x} {kind} {name}\n" for kind, name, addr in rows)


GROUPS: tuple[Declaration, ...] = (proc,)
