"""A CPU's caches: arch/x86/kernel/cpu/cacheinfo.c (v7.3). What QEMU's CPUs have is as captured (golden identity x86_64)."""

from __future__ import annotations

from elfcorehdr.arch.x86.kernel.proc import INTEL, vendor
from elfcorehdr.machine import CacheLeaf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.drivers.base.cpu import Cpu
    from elfcorehdr.init.main import Kernel

# Quirk: QEMU tells AMD's CPUs that each cache is one thread's, whoever shares it.
OF_AMD = (
    CacheLeaf(1, "Data", 0x10000, 64, 2, 512, sharing=1),
    CacheLeaf(1, "Instruction", 0x10000, 64, 2, 512, sharing=1),
    CacheLeaf(2, "Unified", 0x80000, 64, 16, 512, sharing=1),
    CacheLeaf(3, "Unified", 0x1000000, 64, 16, 16384, cores=0, sharing=1),
)
OF_INTEL = (
    CacheLeaf(1, "Data", 0x8000, 64, 8, 64),
    CacheLeaf(1, "Instruction", 0x8000, 64, 8, 64),
    CacheLeaf(2, "Unified", 0x400000, 64, 16, 4096),
    CacheLeaf(3, "Unified", 0x1000000, 64, 16, 16384, cores=0),
)


def default_caches(kernel: Kernel) -> tuple[CacheLeaf, ...]:
    """Those of QEMU's CPUs, by vendor."""
    return OF_INTEL if vendor(kernel.machine) == INTEL["vendor_id"] else OF_AMD


def cache_id(cpu: Cpu, leaf: CacheLeaf) -> int:
    """The APIC number less the bits that tell those apart that share the cache."""
    kernel = cpu.kernel
    machine = kernel.machine
    if leaf.sharing:
        return cpu.hard_id >> (leaf.sharing - 1).bit_length()
    cores = leaf.cores or machine.cpus.cores_per_package
    if not cores:
        packages = max(len(kernel.nodes.ids()), 1)
        cores = max(len(kernel.cpus.possible) // machine.cpus.threads // packages, 1)
    return cpu.hard_id >> (cores * machine.cpus.threads - 1).bit_length()
