"""Machines of any size, as the TOML that `kdumpfs mount -m` takes, or booted here."""

from __future__ import annotations

from pathlib import Path

from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.kexec_file import KEXEC_FILE_ON_CRASH
from elfcorehdr.machine.reader import from_toml

BLOCK = 1 << 28
RESERVED = 12
"""Blocks (3 GiB) at the start of every machine: kernel, reservation, notes."""


THREADS = 8


def toml(blocks: int, cpus: int = 8, *, nodes: int = 1, gaps: bool = False) -> str:
    """A pseries with so many memory blocks, CPUs and nodes; with gaps no two blocks touch."""
    rows = []
    if gaps:
        rows = [(0, RESERVED, 0)]
        rows += [(RESERVED + 1 + 2 * n, 1, n % nodes) for n in range(blocks - RESERVED)]
    else:
        size = blocks // nodes
        rows = [(n * size, size, n) for n in range(nodes)]
    memory = "".join(
        f"[[memory]]\nstart = {at * BLOCK:#x}\nsize = {count * BLOCK:#x}\nnode = {node}\n"
        for at, count, node in rows
    )
    node_of = (n // THREADS * THREADS * nodes // cpus for n in range(cpus))
    of_cpus = "".join(f"{n} = {node}\n" for n, node in enumerate(node_of)) if nodes > 1 else ""
    return (
        'name = "bench"\nsource = "made by the benchmark"\narch = "ppc64"\nplatform = "pseries"\n'
        f"page_size = 0x10000\nmemory_block_size = {BLOCK:#x}\n"
        'cmdline = "crashkernel=1G"\nkernel_end = 0x2f40000\nrma_size = 0x40000000\n'
        f"nr_cpus = {max(cpus, 2048)}\ncrash_max_memory_ranges = 65000\n"
        # Where the notes keep no block that is taken offline here from going.
        "vmcoreinfo = 0x3000000\ncrash_notes_first = 0x4000000\ncrash_notes_step = 0x800\n"
        f'[cpus]\npossible = "0-{cpus - 1}"\nthreads = {THREADS}\n'
        + (f"[cpus.node]\n{of_cpus}" if of_cpus else "")
        + "[kdump]\nkernel = [{ memsz = 0x2f40000, align = 0x10000 }]\n"
        + memory
    )


def write(
    directory: Path, blocks: int, cpus: int = 8, nodes: int = 1, *, gaps: bool = False
) -> str:
    """toml() as a file; its path."""
    path = directory / f"bench-{blocks}-{cpus}-{nodes}{'-gaps' * gaps}.toml"
    if not path.exists():
        path.write_text(toml(blocks, cpus, nodes=nodes, gaps=gaps))
    return str(path)


def booted(blocks: int, cpus: int = 8, *, nodes: int = 1, gaps: bool = False) -> Kernel:
    """Such a machine's kernel, with kdump loaded."""
    machine = from_toml(toml(blocks, cpus, nodes=nodes, gaps=gaps), "bench.toml")
    kernel = Kernel.boot(machine)
    kernel.kexec.file_load(None, None, b"", KEXEC_FILE_ON_CRASH)
    return kernel
