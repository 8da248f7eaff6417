"""Small valid ELF64 cores of an x86-64 kernel, as a few rows of bytes."""

import struct
from collections.abc import Sequence

OFFSET = 0x1000
KERNEL, DIRECT = 0xFFFFFFFF80000000, 0xFFFF888000000000
"""Where the kernel's image and all memory are mapped."""


def note(name: bytes, kind: int, desc: bytes, align: int = 4) -> bytes:
    """A note whose descriptor, and what follows it, begin at a multiple of align (gABI: 4, or 8)."""
    head = struct.pack("<3I", len(name) + 1, len(desc), kind) + name + b"\0"
    head += b"\0" * (-len(head) % align)
    return head + desc + b"\0" * (-len(desc) % align)


def prstatus(pid: int, align: int = 4) -> bytes:
    """An NT_PRSTATUS of x86-64: 336 bytes, the pid at 32."""
    return note(b"CORE", 1, bytes(32) + pid.to_bytes(4, "little") + bytes(300), align)


def vmcoreinfo(align: int = 4) -> bytes:
    text = b"OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(swapper_pg_dir)=ffffffff82a0a000\nNUMBER(phys_base)=0\nKERNELOFFSET=0\n"
    return note(b"VMCOREINFO", 0, text, align)


def for_makedumpfile() -> tuple[bytes, bytes]:
    """What makedumpfile walks to learn the release: memory from 0x2000 on (page tables and utsname), VMCOREINFO."""
    pgd, pud, uts = bytearray(4096), bytearray(4096), bytearray(4096)
    struct.pack_into("<Q", pgd, 511 * 8, 0x3003)
    struct.pack_into("<Q", pud, 510 * 8, 0x83)
    for n, text in enumerate((b"Linux", b"host", b"6.1.0", b"#1", b"x86_64", b"none")):
        struct.pack_into("65s", uts, 65 * n, text)
    struct.pack_into("<Q", uts, 0x800, DIRECT + 0x5000)
    lines = f"""OSRELEASE=6.1.0
PAGESIZE=4096
SYMBOL(init_uts_ns)={KERNEL + 0x4000:x}
OFFSET(uts_namespace.name)=0
SYMBOL(_stext)={KERNEL + 0x1000000:x}
SYMBOL(init_top_pgt)={KERNEL + 0x2000:x}
SYMBOL(swapper_pg_dir)={KERNEL + 0x2000:x}
SYMBOL(mem_map)={KERNEL + 0x4800:x}
SIZE(page)=64
OFFSET(page.flags)=0
OFFSET(page._refcount)=52
OFFSET(page.mapping)=24
OFFSET(page.lru)=8
OFFSET(page._mapcount)=48
OFFSET(page.private)=40
OFFSET(page.compound_head)=8
NUMBER(phys_base)=0
NUMBER(sme_mask)=0
KERNELOFFSET=0
"""
    return bytes(pgd + pud + uts), note(b"VMCOREINFO", 0, lines.encode())


def core(
    path: str, notes: bytes, loads: Sequence[tuple[int, bytes, int]], note_align: int = 4
) -> None:
    """Writes path: a PT_NOTE, then a PT_LOAD for each (p_vaddr and p_paddr, bytes of the file, p_memsz)."""
    rows, body = [], notes + b"\0" * (-len(notes) % 4096)
    rows.append(struct.pack("<2I6Q", 4, 0, OFFSET, 0, 0, len(notes), len(notes), note_align))
    for address, data, size in loads:
        rows.append(
            struct.pack("<2I6Q", 1, 7, OFFSET + len(body), address, address, len(data), size, 0)
        )
        body += data
    ehdr = (
        b"\x7fELF\2\1\1"
        + bytes(9)
        + struct.pack("<2HI3QI6H", 4, 62, 1, 0, 64, 0, 0, 64, 56, len(rows), 0, 0, 0)
    )
    with open(path, "wb") as file:
        file.write((ehdr + b"".join(rows)).ljust(OFFSET, b"\0") + body)
