"""Small valid ELF64 cores of an x86-64 kernel, as a few rows of bytes."""

import struct
from collections.abc import Sequence

OFFSET = 0x1000


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
