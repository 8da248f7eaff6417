"""/proc/cpuinfo of riscv64: arch/riscv/kernel/cpu.c c_show() (v7.3; v6.1, v6.12 as said below)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from elfcorehdr.changes import in_sysfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

SINGLE = "imafdqcbkjpvh"
"""base_riscv_exts[] of v6.1: the single letters, in their order."""
EXTENSIONS_6_1 = ("sscofpmf", "sstc", "svinval", "svpbmt", "zicbom", "zihintpause")
"""isa_ext_arr[] of v6.1: what that kernel prints of the others, in its order."""
DEFAULTS: Mapping[str, str] = {
    "isa": "rv64imafdch_zicntr_zicsr_zifencei_zihintpause_zihpm_zaamo_zalrsc_zca_zcd_zba_zbb_zbc_zbs_sstc",
    "mvendorid": "0x0",
    "marchid": "0x70216",
    "mimpid": "0x70216",
}
"""The rv64 of QEMU 7.2 (golden riscv64/A, /proc/cpuinfo of 7.2.13)."""
ROWS = frozenset(("isa", "mmu", "uarch", "mvendorid", "marchid", "mimpid", "hart isa"))
"""What a machine may say of its harts."""


def isa_6_1(isa: str) -> str:
    """print_isa() of v6.1: the letters that it knows, then the extensions that it knows."""
    first, *rest = isa.removeprefix("rv64").split("_")
    letters = "".join(letter for letter in SINGLE if letter in first)
    return "_".join((f"rv64{letters}", *(name for name in EXTENSIONS_6_1 if name in rest)))


def mmu(kernel: Kernel) -> str:
    """print_mmu(): how many levels of page tables, told by where the direct map is."""
    page_offset = kernel.arch.va(kernel, kernel.machine.memory[0].start)
    # PAGE_OFFSET_L5, _L4 and _L3, arch/riscv/include/asm/page.h and init.c: ff60..., ffffaf80..., ffffffd6...
    if page_offset < 0xFFFF000000000000:
        return "sv57"
    return "sv48" if page_offset < 0xFFFFFFC000000000 else "sv39"


def cpuinfo(kernel: Kernel) -> Iterator[str]:
    """A paragraph for each running CPU, ascending."""
    known = {**DEFAULTS, "mmu": mmu(kernel), **kernel.machine.cpuinfo}
    isa = known["isa"]
    compatible = known.get("uarch") or kernel.machine.cpus.compatible
    uarch = f"uarch\t\t: {compatible}\n" if compatible not in ("", "riscv") else ""
    ids = "".join(
        f"{row}: {known[row.rstrip(chr(9))]}\n"
        for row in ("mvendorid\t", "marchid\t\t", "mimpid\t\t")
    )
    hart_isa = ""
    if kernel.has(in_sysfs.RISCV_HART_ISA):
        hart_isa = f"hart isa\t: {known.get('hart isa', isa)}\n"
    else:
        isa = isa_6_1(isa)
    each = f"isa\t\t: {isa}\nmmu\t\t: {known['mmu']}\n{uarch}{ids}{hart_isa}\n"
    for n in kernel.cpus.online:
        yield f"processor\t: {n}\nhart\t\t: {n}\n{each}"
