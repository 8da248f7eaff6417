"""What an architecture allows of a machine, before any kernel is there to ask.

Kconfig ranges and arch/*/include/asm/sparsemem.h of Linux 6.1 to 7.3; NR_CPUS is Debian's.
"""

from __future__ import annotations

from elfcorehdr.lib.record import Record


class Facts(Record):
    """Bounds of one architecture; sizes in bytes."""

    platforms: tuple[str, ...]
    page_sizes: tuple[int, ...]
    """The first is that of a machine that does not say."""
    block: int
    """Size of a memory block where a machine does not say."""
    block_min: int
    block_max: int
    physmem_bits: int
    """MAX_PHYSMEM_BITS"""
    nr_cpus: int
    """CONFIG_NR_CPUS"""
    nr_cpus_max: int
    """What Kconfig allows."""
    nodes: int
    """MAX_NUMNODES"""
    threads: int
    """CPUs of a core, at most."""
    note_bytes: int
    """CRASH_CORE_NOTE_BYTES"""
    powerpc: bool = False
    """Whether it is powerpc: RTAS, OPAL, LMBs, fadump, a device tree; memory from 0 on in whole blocks, cores
    that come whole."""
    kernel_at: int = -1
    """Where the kernel lies that has no kernel_text; -1: it has to be said."""
    four_level_bits: int = 0
    """MAX_PHYSMEM_BITS without a fifth level of page tables, where that makes a difference."""
    block_64k: int = 0
    """Size of a memory block with pages of 64 KiB, where it is another."""
    nr_cpus_default: bool = False
    """Whether there is a CONFIG_NR_CPUS_DEFAULT."""
    zones: tuple[str, ...] = ("DMA", "DMA32", "Normal", "Movable")
    """Zones that its kernels are built with: CONFIG_ZONE_DMA, CONFIG_ZONE_DMA32."""
    text: tuple[int, int] = (1 << 63, 1 << 64)
    """Where _text can be, the end not included."""
    entry: tuple[int, int] | None = None
    """_text without KASLR: how far behind a border of 2 MiB, and its virtual address (START_KERNEL_map, KIMAGE_VADDR,
    KERNEL_LINK_ADDR); None where the image is mapped with the rest of memory."""
    one_image: bool = False
    """Whether the capture kernel's file is one piece: bzImage, Image."""

    def block_of(self, page_size: int) -> tuple[int, int, int]:
        """The size of a memory block with such pages: where a machine does not say, least, most."""
        if self.block_64k and page_size == 0x10000:
            return self.block_64k, self.block_64k, self.block_64k
        return self.block, self.block_min, self.block_max


M = 1 << 20
FACTS = {
    "ppc64": Facts(
        platforms=("pseries", "powernv"),
        page_sizes=(0x10000, 0x1000),
        block=256 * M,
        block_min=16 * M,
        block_max=1 << 36,
        physmem_bits=51,
        nr_cpus=2048,
        nr_cpus_max=8192,
        nodes=256,
        threads=8,
        note_bytes=536,
        powerpc=True,
        kernel_at=0,
        zones=("Normal", "Movable"),  # ZONE_DMA is Book3E's, arch/powerpc/Kconfig
        text=(0xC << 60, (0xC << 60) + (1 << 30)),  # it copies itself to 0: head_64.S
    ),
    "x86_64": Facts(
        platforms=("pc",),
        page_sizes=(0x1000,),
        block=128 * M,
        block_min=128 * M,
        block_max=2048 * M,
        physmem_bits=52,
        nr_cpus=8192,
        nr_cpus_max=8192,
        nodes=1024,
        threads=2,
        note_bytes=368,
        kernel_at=16 * M,
        four_level_bits=46,
        nr_cpus_default=True,
        entry=(0, 0xFFFFFFFF81000000),
        text=(0xFFFFFFFF80000000, 0xFFFFFFFFC0000000),  # __START_KERNEL_map, KERNEL_IMAGE_SIZE
        one_image=True,
    ),
    "arm64": Facts(
        platforms=("virt", "laptop", "server", "board"),
        page_sizes=(0x1000, 0x4000, 0x10000),
        block=128 * M,
        block_min=128 * M,
        block_max=128 * M,
        physmem_bits=52,
        nr_cpus=512,
        nr_cpus_max=4096,
        nodes=1024,
        threads=4,
        note_bytes=424,
        entry=(0, 0xFFFF800080000000),
        one_image=True,
        block_64k=512 * M,  # SECTION_SIZE_BITS is 29, arch/arm64/include/asm/sparsemem.h
    ),
    "riscv64": Facts(
        platforms=("virt", "laptop", "server", "board"),
        page_sizes=(0x1000,),
        block=128 * M,
        block_min=128 * M,
        block_max=128 * M,
        physmem_bits=56,
        nr_cpus=256,
        nr_cpus_max=512,
        nodes=1024,
        threads=4,
        note_bytes=408,
        zones=("DMA32", "Normal", "Movable"),
        entry=(0x2000, 0xFFFFFFFF80002000),
        text=(0xFFFFFFFF80000000, 1 << 64),  # KERNEL_LINK_ADDR
    ),
}

OTHER_NAMES = {
    **dict.fromkeys(("ppc64le", "ppc64el", "powerpc", "powerpc64", "powerpc64le"), "ppc64"),
    **dict.fromkeys(("amd64", "x86-64", "x86", "x64"), "x86_64"),
    **dict.fromkeys(("aarch64", "arm", "armv8"), "arm64"),
    **dict.fromkeys(("riscv", "rv64", "riscv64gc"), "riscv64"),
}
"""What else people call an architecture."""

BLOCKS_MAX = 1 << 23
"""Memory blocks from address 0 to the end of memory, at most: a byte is kept for each."""

STATES = ("online", "offline")
POLICIES = ("offline", "online", "online_kernel", "online_movable")
"""What auto_online_blocks can read: online_type_to_str[], drivers/base/memory.c."""
REGION_FLAGS = ("", "NOMAP", "DRV_MNG", "HOTPLUG", "MIRROR")
"""memblock's, as /sys/kernel/debug/memblock/memory prints them, less NONE."""
CRASH_KINDS = ("crashk_res", "crashk_low_res", "cma")
CRASHK_CMA_RANGES_MAX = 4
COMMAND_LINE_SIZE = 2048

CONFIG = frozenset(
    [
        "BUILD_SALT",
        "CMA",
        "CPU_FREQ",
        "CRASH_DM_CRYPT",
        "HUGETLB_PAGE",
        "IOMMU_SUPPORT",
        "KSM",
        "LOCKUP_DETECTOR",
        "MEMORY_BALLOON",
        "MEMORY_FAILURE",
        "NO_HZ_FULL",
        "NUMA_BALANCING",
        "PM",
        "PM_ADVANCED_DEBUG",
        "PPC_PERF_CTRS",
        "PPC_UV",
        "LPARCFG",
        "PROFILING",
        "SWAP",
        "TRANSPARENT_HUGEPAGE",
        "UNACCEPTED_MEMORY",
        "ZSMALLOC",
        "ZSWAP",
    ]
)
"""The options that `config` may name."""

LPARCFG = frozenset(
    (
        *("BoundThrds", "CapInc", "DisWheRotPer", "MinEntCap", "MinEntCapPerVP", "MinMem"),
        *("MinProcs", "DesEntCap", "DesMem", "DesProcs", "DesVarCapWt", "DedDonMode"),
        *("partition_max_entitled_capacity", "system_potential_processors", "HostThrs"),
        *("partition_entitled_capacity", "group", "system_active_processors", "pool"),
        *("pool_capacity", "pool_idle_time", "pool_num_procs", "unallocated_capacity_weight"),
        *("capacity_weight", "capped", "unallocated_capacity"),
        *("physical_procs_allocated_to_virtualization", "max_proc_capacity_available"),
        *("entitled_proc_capacity_available", "entitled_memory", "entitled_memory_group_number"),
        *("entitled_memory_pool_number", "entitled_memory_weight"),
        *("unallocated_entitled_memory_weight", "unallocated_io_mapping_entitlement"),
        *("entitled_memory_loan_request", "partition_affinity_score", "shared_processor_mode"),
        "security_flavor",
    )
)
"""Rows that are firmware's: what a machine's `[lparcfg]` may say."""

VULNERABILITIES = frozenset(
    (
        *("gather_data_sampling", "ghostwrite", "indirect_target_selection", "itlb_multihit"),
        *("l1tf", "mds", "meltdown", "mmio_stale_data", "old_microcode"),
        *("reg_file_data_sampling", "retbleed", "spec_rstack_overflow", "spec_store_bypass"),
        *("spectre_v1", "spectre_v2", "srbds", "tsa", "tsx_async_abort", "vmscape"),
    )
)
"""Files of cpu/vulnerabilities (drivers/base/cpu.c, v7.3)."""
CACHE_TYPES = frozenset(("Data", "Instruction", "Unified"))
"""What a cache can hold."""
