"""A PC of any size that can crash, as the TOML that `kdumpfs mount -m` takes."""

from __future__ import annotations

from pathlib import Path


def toml(gib: int, cpus: int = 4) -> str:
    """A pc whose memory ends there: 2 GiB below 4 GiB, the rest above."""
    rows = [(0x1000, 0x9EC00), (0x100000, 0x7FF00000), (1 << 32, (gib - 4) << 30)]
    memory = "".join(
        f"[[memory]]\nstart = {start:#x}\nsize = {size:#x}\n" for start, size in rows if size > 0
    )
    return (
        'name = "bench"\nsource = "made by the benchmark"\narch = "x86_64"\nplatform = "pc"\n'
        'kernel = "6.1.176"\n'  # every makedumpfile gets it right
        f"memory_block_size = {0x8000000 if gib < 64 else 0x80000000:#x}\nnr_cpus = {max(cpus, 64)}\n"
        'cmdline = "crashkernel=256M"\ndirect_map_base = 0xffff888000000000\n'
        "kernel_text = { paddr = 0x1000000, vaddr = 0xffffffff81000000, size = 0x3430000 }\n"
        "vmcoreinfo = 0x5638000\n"
        f'[cpus]\npossible = "0-{cpus - 1}"\n'
        "[kdump]\nkernel = [{ memsz = 0x3e4e000, filesz = 0xdd07c0, align = 0x200000, setup = 0x5000 }]\n"
        "initrd = 0x10bb7d\n" + memory
    )


def write(directory: Path, gib: int, cpus: int = 4) -> str:
    """toml() as a file; its path."""
    path = directory / f"pc-{gib}-{cpus}.toml"
    path.write_text(toml(gib, cpus))
    return str(path)
