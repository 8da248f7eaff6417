"""A machine as it boots: frozen, described in TOML (reader.py, checks.py) or made by code. Holds no state.

Every address and size is in bytes; ranges are given as start and size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from elfcorehdr.lib.ranges import Range, ids_of, parse_ids
from elfcorehdr.lib.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NONE: Mapping[Any, Any] = MappingProxyType({})
"""A table that is not given."""

LONGEST = 16 << 20
"""Characters of a machine's file, at most; the largest benchmark's has a tenth of it."""

Bytes = int
"""An address or a size: in a file a number, or a text such as "16G"."""


class MemoryRange(Record):
    """RAM at boot: one memblock region (ppc64, arm64) or top-level System RAM resource (x86_64, riscv64)."""

    start: Bytes
    """Its first byte."""
    size: Bytes
    """Its length."""
    node: int = 0
    """NUMA node."""
    flags: str = ""
    """memblock's: NOMAP, DRV_MNG, HOTPLUG or MIRROR."""
    name: str = "System RAM"
    """What /proc/iomem calls it."""

    @property
    def end(self) -> int:
        """The last byte."""
        return self.start + self.size - 1


class Region(Record):
    """A stretch of physical memory with a name (firmware, a resource)."""

    start: Bytes
    """Its first byte."""
    size: Bytes
    """Its length."""
    name: str = ""
    """What it is called, in /proc/iomem for one."""

    @property
    def range(self) -> Range:
        """start..end, both included."""
        return Range.sized(self.start, self.size)


class CrashRegion(Record):
    """A crashkernel reservation that is known, not computed; kind is crashk_res, crashk_low_res or cma."""

    start: Bytes
    """Its first byte."""
    size: Bytes
    """Its length."""
    kind: str = "crashk_res"
    """crashk_res, crashk_low_res or cma."""


class LoadSegment(Record):
    """One PT_LOAD of the capture kernel's vmlinux: sizes and alignment, in bytes."""

    memsz: Bytes
    """p_memsz."""
    filesz: Bytes = 0
    """p_filesz, at most memsz; the rest is zeros."""
    align: Bytes = 0x10000
    """p_align."""
    paddr: Bytes = 0
    """p_paddr."""
    setup: Bytes = 0x5000
    """x86_64: bytes of real-mode code in front, in the file alone."""


class KdumpFiles(Record):
    """What `kdumpfs load` loads when it is given no files: sizes of the capture kernel's parts, in bytes."""

    kernel: tuple[LoadSegment, ...] = ()
    """The segments of its image."""
    purgatory: Bytes = 0x10000
    """Size of kexec-tools' or the kernel's purgatory."""
    initrd: Bytes = 0
    """Size of the initrd."""
    fdt: Bytes = 0
    """Size of the flattened device tree."""


class Lmbs(Record):
    """A run of logical memory blocks in the device tree's table, ibm,dynamic-memory-v2."""

    count: int
    """How many LMBs, each as large as a memory block."""
    start: Bytes
    """Address of the first."""
    drc: int = 0
    """DRC index of the first; 0: none."""
    flags: int = 0
    """Theirs: 0x8 assigned, 0x80 reserved."""

    ASSIGNED = 0x8
    """DRCONF_MEM_ASSIGNED"""
    RESERVED = 0x80
    """DRCONF_MEM_RESERVED: boot memory that DLPAR never touches."""


class KernelText(Record):
    """The running kernel's image: _text and _end - _text."""

    paddr: Bytes
    """Physical address of _text."""
    vaddr: Bytes
    """Virtual address of _text."""
    size: Bytes
    """_end - _text."""


class CpuTopology(Record):
    """Which CPUs there can be, are, and run, and how they form cores. Lists as the kernel prints them."""

    possible: str
    """CPUs that there can be, such as 0-7."""
    present: str = ""
    """CPUs that there are at boot; empty: all that are possible."""
    online: str = ""
    """CPUs that run at boot; empty: all that are present."""
    threads: int = 1
    """CPUs (hardware threads) per core."""
    node: Mapping[int, int] = NONE
    """NUMA node of a CPU; 0 where not listed."""
    refuse: Mapping[int, str] = NONE
    """The errno that stopping a CPU gives, for one that does not stop: EBUSY, ENOSPC, ..."""
    boot_cpu: int = 0
    """x86_64: the hardware number of CPU 0, which a capture kernel is started by; those below follow."""
    cores_per_package: int = 0
    """x86_64: cores of a package; 0: one package a node."""
    type: str = "PowerPC,POWER10"
    """ppc64: name of a core's node in the device tree."""
    compatible: str = ""
    """arm64, riscv64: a CPU node's compatible in the device tree; empty without one."""
    modalias: str = ""
    """What cpu/modalias reads; empty: the architecture's."""


class CacheLeaf(Record):
    """A cache, as an index directory of a CPU tells it; what is 0 is not told."""

    level: int
    """1, 2, 3."""
    type: str
    """Data, Instruction or Unified."""
    size: Bytes = 0
    """Its size; 0: not told."""
    line: int = 0
    """Bytes of a line."""
    ways: int = 0
    """Ways of associativity."""
    sets: int = 0
    """How many sets."""
    cores: int = 1
    """How many cores share it; 0: all of their package."""
    sharing: int = 0
    """x86_64: how many CPUs cpuid says share it, which makes its id; 0: as many as do."""


class BlockState(Record):
    """Blocks that are not as the rest at boot: a list of block numbers, their state and zones."""

    blocks: str
    """Their numbers, such as 0-7,9."""
    state: str = "online"
    """online or offline."""
    valid_zones: str = ""
    """What their valid_zones reads: none, DMA, DMA32, Normal, Movable; empty: computed."""
    node: int = -1
    """Their NUMA node, where the memory range around them spans several; -1: that of the range."""


PAGE_KINDS = (
    *("kernel", "free", "cache", "private-cache", "anon", "slab", "hugetlb", "offline", "hwpoison"),
)
"""What a page can be used for."""


class MemoryUse(Record):
    """What memory is used for, where it is not the mixture that a dump shows otherwise (mm/page_use.py)."""

    start: Bytes
    """First byte."""
    size: Bytes
    """Length."""
    kind: str = "kernel"
    """One of PAGE_KINDS."""
    order: int = 0
    """log2 of the pages of a block: of free memory (at most what the page allocator has), of a folio, a slab or a huge page;
    offline and hwpoison are of single pages."""
    content: str = ""
    """zero, address (lines that name the page), file:PATH, or a text that repeats; empty: free pages are
    zero, the others name their address."""


class Machine(Record):
    """One machine at boot. Where a field is absent, the architecture computes what a kernel computes."""

    name: str
    """Its name."""
    source: str
    """Where the numbers come from."""
    arch: str
    """ppc64, x86_64, arm64 or riscv64."""
    memory: tuple[MemoryRange, ...]
    """Its memory at boot, ascending."""
    cpus: CpuTopology
    """Its CPUs."""
    description: str = ""
    """One sentence for `kdumpfs machines`."""
    platform: str = ""
    """Whose firmware: ppc64 pseries or powernv, x86_64 pc, arm64 and riscv64 virt, laptop, server, board; empty: the first of these."""
    page_size: Bytes = 4096
    """Size of a page; not given: the architecture's."""
    memory_block_size: Bytes = 0x10000000
    """Size of a block of /sys/devices/system/memory; not given: the architecture's."""
    cmdline: str = ""
    """The kernel's command line."""
    kernel_end: Bytes = 0x2000000
    """ppc64, x86_64: physical address behind the running kernel's _end, where kernel_text does not say it."""
    rma_size: Bytes = 0
    """pseries: real mode area of an LPAR; 0 for all of memory."""
    rtas: Region | None = None
    """pseries: where RTAS lies."""
    opal: Region | None = None
    """powernv: where OPAL lies."""
    crash_notes: Mapping[int, Bytes] = NONE
    """Physical address of a CPU's crash note, where known."""
    crash_notes_first: Bytes = 0
    """Address of CPU 0's note, the others follow at crash_notes_step; 0: computed."""
    crash_notes_step: Bytes = 0
    """How far apart the notes of crash_notes_first are; 0: computed."""
    vmcoreinfo: Bytes = 0
    """Physical address of the vmcoreinfo note; 0: computed."""
    use: tuple[MemoryUse, ...] = ()
    """What some of the memory is used for; the rest holds a stated mixture."""
    kdump: KdumpFiles = KdumpFiles()
    """The capture kernel's parts."""
    lmbs: tuple[Lmbs, ...] = ()
    """pseries: the LMB table; empty: one LMB a block of boot memory, DRC indexes from 0x80000000."""
    pinned: tuple[Region, ...] = ()
    """Memory that cannot be taken offline, besides what the kernel itself needs."""
    crashkernel: tuple[CrashRegion, ...] = ()
    """Pinned reservation; empty: computed from crashkernel= on the command line."""
    pinned_for: str = ""
    """The crashkernel= words of the command line that the reservation is pinned for, on `kernel`; with any other
    it is computed. Empty: the words of `cmdline`."""
    resources: tuple[Region, ...] = ()
    """The other rows of /proc/iomem; of two with the same bytes the second lies in the first."""
    nested_memory: tuple[MemoryRange, ...] = ()
    """System RAM below another resource of /proc/iomem."""
    system_ram: tuple[MemoryRange, ...] = ()
    """arm64, ppc64: the System RAM rows of /proc/iomem, where they differ from memory."""
    build_id: str = ""
    """Build ID of the vmlinux that `kernel` names, in hex; empty: made up. --vmlinux FILE has to have it."""
    kernel_text: KernelText | None = None
    """Where the running kernel lies; not given: where one without KASLR does, 16 MiB of it (ppc64: from 0 on)."""
    direct_map_base: Bytes = 0
    """x86_64, arm64, riscv64: virtual address of physical 0 in the direct map, modulo 2^64; 0: the architecture's."""
    nr_cpus: int = 0
    """CONFIG_NR_CPUS; 0: the architecture's in a distribution's kernel."""
    nr_cpus_default: int = 8192
    """x86_64: CONFIG_NR_CPUS_DEFAULT."""
    crash_max_memory_ranges: int = 8192
    """CONFIG_CRASH_MAX_MEMORY_RANGES."""
    blocks: tuple[BlockState, ...] = ()
    """Memory blocks that are not as the rest."""
    auto_online_blocks: str = ""
    """Policy at boot; empty: the kernel version's default."""
    kexec_file: bool = True
    """CONFIG_KEXEC_FILE."""
    config: Mapping[str, bool] = NONE
    """Options that differ from a distribution's kernel, without CONFIG_: PM, PM_ADVANCED_DEBUG,
    MEMORY_FAILURE, HUGETLB_PAGE, TRANSPARENT_HUGEPAGE, SWAP, ZSMALLOC, NUMA_BALANCING,
    IOMMU_SUPPORT, UNACCEPTED_MEMORY, NO_HZ_FULL, CPU_FREQ, PROFILING, LOCKUP_DETECTOR, BUILD_SALT; ppc64:
    PPC_PERF_CTRS, PPC_UV, LPARCFG; CMA, KSM, ZSWAP, MEMORY_BALLOON, CRASH_DM_CRYPT. All are on where not named."""
    fadump: bool = False
    """ppc64: firmware has ibm,configure-kernel-dump (or OPAL's MPIPL)."""
    fadump_reserved: Bytes = 0
    """ppc64: what fadump reserves; 0: computed."""
    fadump_dump: str = ""
    """ppc64: complete or incomplete: whether firmware saves the CPUs' registers after a crash; empty: QEMU does not, as
    captured, PowerVM (another `model` in devicetree) does."""
    devicetree: Mapping[str, str] = NONE
    """ppc64: extra device-tree properties: path below base, value as text or 0x hex bytes."""
    cpuinfo: Mapping[str, str] = NONE
    """Rows of /proc/cpuinfo that all CPUs share, by the kernel's words; else those of the architecture's capture."""
    caches: tuple[CacheLeaf, ...] = ()
    """Caches of each CPU, index0 first; else those of the architecture's capture."""
    vulnerabilities: Mapping[str, str] = NONE
    """Files of cpu/vulnerabilities, by name; else what the kernel says of the CPU of the architecture's capture."""
    lparcfg: Mapping[str, int] = NONE
    """pseries: rows of /proc/powerpc/lparcfg that are firmware's; else what QEMU or PowerVM says of such a machine."""
    kernel: str = ""
    """The kernel version this machine was seen with; empty: the default."""
    without: tuple[str, ...] = ()
    """Changes (`kdumpfs changes`) that its kernel lacks, though others of that version have them."""

    @property
    def possible_cpus(self) -> Sequence[int]:
        """cpu_possible_mask, ascending."""
        return ids_of(self.cpus.possible)

    @property
    def present_cpus(self) -> Sequence[int]:
        """cpu_present_mask at boot, ascending; all possible ones where not said."""
        return ids_of(self.cpus.present or self.cpus.possible)

    @property
    def online_cpus(self) -> Sequence[int]:
        """cpu_online_mask at boot, ascending; all present ones where not said."""
        return ids_of(self.cpus.online) if self.cpus.online else self.present_cpus

    def block_nodes(self) -> dict[int, int]:
        """The NUMA node of the memory blocks that name theirs."""
        return {n: g.node for g in self.blocks if g.node >= 0 for n in parse_ids(g.blocks)}

    def summary(self) -> str:
        """One line: architecture, platform, memory, CPUs."""
        total = sum(m.size for m in self.memory)
        gib = (total + (1 << 29)) >> 30
        what = f"{self.arch} {self.platform}".rstrip()
        return f"{what}, {gib} GiB, {len(self.possible_cpus)} CPUs"
