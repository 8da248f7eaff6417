"""What differs between kernels: one named change a row; a version is the set of changes it has.

Code asks kernel.has(BACKUP_OFFSET_AT_LOAD), never for a version number. A version "7.1" is the
release as Linus tagged it; "6.12.107" also has what that stable series took up to then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum

from elfcorehdr.errors import ProfileError
from elfcorehdr.lib.record import Record

Version = tuple[int, ...]
"""A release as numbers: (6, 12) is 6.12, (6, 12, 107) is 6.12.107."""

NEVER: Version = (1 << 16,)
"""Not in any release: a proposal, or a kernel bug that is off unless asked for."""


class Kind(Enum):
    """What a change is to somebody who reads `kdumpfs changes`."""

    MERGED = "merged"
    PROPOSED = "proposed"
    BUG = "bug"
    CONFIG = "config"


class Change(Record):
    """One observable difference between kernels.

    since: the first mainline release with it (NEVER: none); stable: the first release of each
    stable series that has it, or the earliest one seen with it; source: commit, mail or golden
    case; alters: one sentence on what a user sees.
    """

    name: str
    source: str
    since: Version
    alters: str
    stable: tuple[Version, ...] = ()
    kind: Kind = Kind.MERGED

    __eq__ = object.__eq__  # there is one of each, and kernels are asked for them at every turn
    __hash__ = object.__hash__

    def in_release(self, version: Version) -> bool:
        """Whether the release has this change, by mainline or by its stable series."""
        if version[:2] >= self.since[:2]:
            return True
        return any(version[:2] == s[:2] and version >= s for s in self.stable)


BASE_LPAR_512M = Change(
    "crashkernel-base-512m",
    "arch/powerpc/kexec/core.c reserve_crashkernel()",
    (5, 18),
    "An LPAR without a crashkernel base gets min(RMA/2, 512 MiB), not min(RMA/2, 128 MiB).",
)
SHRINK_LOW = Change(
    "crash-size-low",
    "commit 16c6006af4d4 (kexec: enable kexec_crash_size to support two crash kernel regions)",
    (6, 5),
    "crash_size counts and shrinks the low region too; before, the high one alone.",
)
OOPS_COUNTS = Change(
    "oops-counts",
    "kernel/exit.c oops_count_show(), kernel/panic.c warn_count_show(): commits 9db89b411170, 8b05aa263361",
    (6, 2),
    "/sys/kernel/oops_count and warn_count exist.",
    stable=((6, 1, 8),),
)
CPU_BYTEORDER = Change(
    "cpu-byteorder",
    "Documentation/ABI/testing/sysfs-kernel-cpu_byteorder; golden x86_64 6.12 has it, 6.1 not",
    (6, 2),
    "/sys/kernel/cpu_byteorder exists.",
)
ADDRESS_BITS = Change(
    "address-bits",
    "Documentation/ABI/testing/sysfs-kernel-address_bits; golden x86_64 6.12 has it, 6.1 not",
    (6, 3),
    "/sys/kernel/address_bits exists.",
)
CMDLINE_SIZE = Change(
    "proc-cmdline-size",
    "fs/proc/cmdline.c (proc: give /proc/cmdline size); golden x86_64 6.1 has 0, 6.12 the length",
    (6, 2),
    "st_size of /proc/cmdline is its length; before, 0.",
)
UNACCEPTED_MEMORY = Change(
    "unaccepted-memory",
    "mm/vmstat.c vmstat_text[], CONFIG_UNACCEPTED_MEMORY of x86_64; golden x86_64 6.12 has it, 6.1 not",
    (6, 5),
    "nodeN/vmstat has nr_unaccepted, nodeN/meminfo Unaccepted, on x86_64.",
)
LOAD_LIMITS = Change(
    "kexec-load-limits",
    "commit a42aaad2e47b (kexec: introduce sysctl parameters kexec_load_limit_*)",
    (6, 3),
    "/proc/sys/kernel/kexec_load_limit_{panic,reboot} exist and count loads down.",
)
POSSIBLE_CPUS = Change(
    "possible-cpus",
    "crash_prepare_elf64_headers(), kernel/crash_core.c; golden x86_64/k6.1-hotplug-file has present CPUs",
    (6, 6),
    "The header has one PT_NOTE per possible CPU; before, one per present CPU.",
)
CRASH_HOTPLUG_X86 = Change(
    "crash-hotplug-x86",
    "commit 247262756121 (crash: add generic infrastructure for crash hotplug support)",
    (6, 6),
    "x86_64 rewrites the header on hotplug; crash_hotplug and crash_elfcorehdr_size exist there.",
)
GENERIC_RESERVATION_X86 = Change(
    "generic-reservation-x86",
    "commit 9c08a2a139fe (x86: kdump: use generic interface to simplify crashkernel reservation code)",
    (6, 7),
    "The reservation on x86_64 logs `crashkernel reserved: 0x...`; before, `Reserving %ldMB of memory at ...`.",
)
EXCLUDE_CONTINUES = Change(
    "exclude-continues",
    "crash_exclude_mem_range(), kernel/crash_core.c",
    (6, 8),
    "Taking a range out goes on over the following ranges; before, it stopped after the first partial overlap.",
)
FILE_DEBUG_FLAG = Change(
    "kexec-file-debug-flag",
    "commit cbc2fe9d9cb2 (kexec_file: add kexec_file flag to control debug printing)",
    (6, 8),
    "kexec_file_load takes KEXEC_FILE_DEBUG (0x8), and then says what it does; before, dynamic debug did.",
)
CRASH_HOTPLUG_PPC64 = Change(
    "crash-hotplug-ppc64",
    "commit b741092d5976 (powerpc/crash: add crash CPU hotplug support) and following",
    (6, 10),
    "ppc64 rewrites the header on memory hotplug; crash_hotplug and crash_elfcorehdr_size exist there.",
)
KEXEC_CRASH_HOTPLUG_FLAG = Change(
    "kexec-crash-hotplug-flag",
    "commit 79365026f869 (crash: add a new kexec flag for hotplug support)",
    (6, 10),
    "kexec_load takes KEXEC_CRASH_HOTPLUG_SUPPORT (0x8); before, only KEXEC_UPDATE_ELFCOREHDR (0x4).",
)
FADUMP_HOTPLUG_READY = Change(
    "fadump-hotplug-ready",
    "Documentation/ABI/testing/sysfs-kernel-fadump",
    (6, 10),
    "/sys/kernel/fadump/hotplug_ready exists and reads 1.",
)
CPU_NUMBER_OF_TOPOLOGY = Change(
    "cpu-number-of-topology",
    "the topology rework of x86, arch/x86/kernel/cpu/topology.c; golden k6.12 slot 5 is cpu5, k6.1 cpu3",
    (6, 9),
    "A CPU that is plugged into an x86_64 gets the number of its slot; before, the next one that was never used.",
)
ACPI_PROCESSOR_PREFIX = Change(
    "acpi-processor-prefix",
    "pr_fmt of drivers/acpi/acpi_processor.c; golden k6.12 has it, k6.1 not",
    (6, 12),
    "`ACPI: CPU2 has been hot-added`; before, without `ACPI: `.",
)
SMP_BOOT_LOG = Change(
    "smp-boot-log",
    "arch/x86/kernel/smpboot.c, drivers/acpi/processor_driver.c; golden k6.1 has the lines, k6.12 not",
    (6, 12),
    "Starting CPU 1 no longer logs `x86: Booting SMP configuration:`, nor a new CPU `Will online and init hotplugged CPU`.",
)
CONTAINER_ONLINE = Change(
    "container-online",
    "drivers/acpi/scan.c; golden k6.12 has it, k6.1 not",
    (6, 12),
    "Plugging a DIMM into an x86_64 ends with an online uevent of the ACPI container it is in.",
)
CPU_ENABLED = Change(
    "cpu-enabled",
    "commit 4e1a7df45480 (cpumask: Add enabled cpumask for present CPUs that can be brought online); golden k6.12 has it, k6.1 not",
    (6, 11),
    "/sys/devices/system/cpu/enabled exists.",
)
GENERIC_RESERVATION_PPC64 = Change(
    "generic-reservation-ppc64",
    "commit e3185ee438c2 (powerpc/crash: use generic crashkernel reservation)",
    (6, 16),
    "The reservation on ppc64 logs `crashkernel reserved: 0x...`; before, `Reserving %ldMB of memory at ...`.",
)
FILE_NO_CMA_FLAG = Change(
    "kexec-file-no-cma-flag",
    "include/uapi/linux/kexec.h KEXEC_FILE_NO_CMA; golden ppc64/F step 17 (7.2.13) takes flag 0x10",
    (6, 17),
    "kexec_file_load takes KEXEC_FILE_NO_CMA (0x10).",
)
IOMEM_CRASH_ROW_PPC64 = Change(
    "iomem-crash-row-ppc64",
    "by accident of the generic reservation; undone by arch_add_crash_res_to_iomem()",
    NEVER,
    "/proc/iomem on ppc64 has a `Crash kernel` row and lacks the System RAM rows that overlap it (6.16 to 6.18).",
    kind=Kind.BUG,
)
CMA_CRASHKERNEL_PPC64 = Change(
    "crashkernel-cma-ppc64",
    "commit b4a96ab50f36 (powerpc/kdump: Add support for crashkernel CMA reservation)",
    (6, 19),
    "ppc64 takes crashkernel=...,cma and leaves these ranges out of the header.",
)
CMA_CRASHKERNEL_X86 = Change(
    "crashkernel-cma-x86",
    'commit 35c18f2933c5 (Add a new optional ",cma" suffix to the crashkernel= command line option)',
    (6, 17),
    "x86_64 takes crashkernel=...,cma and leaves these ranges out of the header.",
)
CMA_CRASHKERNEL_ARM64 = Change(
    "crashkernel-cma-arm64",
    "arch/arm64/mm/init.c arch_reserve_crashkernel(); golden arm64 7.3.4 has it",
    (7, 3),
    "arm64 takes crashkernel=...,cma and leaves these ranges out of the header.",
)
VULNERABILITIES_6_16 = Change(
    "vulnerabilities-6.16",
    "drivers/base/cpu.c cpu_root_vulnerabilities_attrs[]; golden x86_64 7.3.4 has them, 6.12.107 not",
    (6, 16),
    "/sys/devices/system/cpu/vulnerabilities has ghostwrite and old_microcode.",
)
LOCKUP_COUNTS = Change(
    "lockup-counts",
    "kernel/watchdog.c softlockup_count_show(), kernel/rcu/tree_stall.h rcu_stall_count_show(); golden ppc64/A has them, ppc64/D not",
    (6, 16),
    "/sys/kernel/{softlockup,hardlockup,rcu_stall}_count exist.",
)
BUG_SPECTRE_V2_USER = Change(
    "bug-spectre-v2-user",
    "arch/x86/include/asm/cpufeatures.h X86_BUG_SPECTRE_V2_USER: in 7.2, not in 6.12",
    (6, 17),
    "/proc/cpuinfo of x86_64 names the bug spectre_v2_user.",
)
SYSFS_KEXEC_DIR = Change(
    "sysfs-kexec-dir",
    "kernel/kexec_core.c; golden x86_64 7.3.4 and ppc64 7.2.13 have it, 6.18.15 not",
    (6, 19),
    "/sys/kernel/kexec/ exists (with crash_cma_ranges); the old names in /sys/kernel are links into it.",
)
SPLIT_NOT_WRAPPED = Change(
    "split-not-wrapped",
    "commit 7afe2383eff0; seen in golden ppc64/A, B and D",
    (6, 19),
    "Offlining a block in the middle of a range leaves a tail that is one byte too long (G2) instead of one that wraps to 2^64 (G1).",
    stable=((6, 18, 2), (6, 12, 107)),
)
BACKUP_OFFSET_AT_LOAD = Change(
    "backup-offset-at-load",
    "commit 789335cacdf3 (powerpc/crash: fix backup region offset update to elfcorehdr)",
    (7, 1),
    "kexec_file_load sets the offset of the first 64 KiB's program header to the backup region; before, it is 0.",
    stable=((6, 12, 107),),
)
BACKUP_OFFSET_AT_EVENT = Change(
    "backup-offset-at-event",
    "commit f53b24d1fa26 (powerpc/crash: Update backup region offset in elfcorehdr on memory hotplug)",
    (7, 1),
    "A header rebuilt by memory hotplug keeps the backup region's offset; before, the rebuild resets it to 0.",
    stable=((6, 12, 107),),
)
MEMORY_FAILURE_STATS = Change(
    "memory-failure-stats",
    "mm/memory-failure.c memory_failure_attr_group; golden k6.12 has it, k6.1 not",
    (6, 3),
    "/sys/devices/system/node/nodeN/memory_failure/ exists.",
)
NODE_RECLAIM = Change(
    "node-reclaim",
    "mm/vmscan.c reclaim_store(); golden 7.2.13 has it, 6.12 not",
    (6, 17),
    "/sys/devices/system/node/nodeN/reclaim exists.",
)
CPU_CAPACITY = Change(
    "cpu-capacity",
    "drivers/base/arch_topology.c on every architecture; golden 7.2.13 has it, 6.12 not",
    (7, 2),
    "/sys/devices/system/cpu/cpuN/cpu_capacity exists for running CPUs.",
)
CPU_HOUSEKEEPING = Change(
    "cpu-housekeeping",
    "drivers/base/cpu.c; golden 7.2.13 has it, 6.12 not",
    (7, 2),
    "/sys/devices/system/cpu/housekeeping exists.",
)
NOHZ_FULL_MASK = Change(
    "nohz-full-mask",
    "drivers/base/cpu.c print_cpus_nohz_full(); golden x86_64 7.3.4, 6.12 and 6.1",
    (7, 2),
    "nohz_full of an x86_64 without such CPUs is an empty line; before, `(null)` as wide as there are CPUs.",
)
BOOT_CPU_TARGET = Change(
    "boot-cpu-target",
    "kernel/cpu.c boot_cpu_hotplug_init(); golden k6.12 reads 236, k6.1 0",
    (6, 12),
    "hotplug/target of the CPU that booted is its state; before, 0 until it was first set.",
)
TOPOLOGY_DIE_PPC64 = Change(
    "topology-die-ppc64",
    "arch/powerpc/include/asm/topology.h; golden ppc64/A (7.2.13) has it, ppc64/D (6.12.107) not: the release in between is not known",
    (7, 2),
    "cpuN/topology/die_* exist on ppc64.",
)
CPUHP_ONLINE_235 = Change(
    "cpuhp-online-235",
    "enum cpuhp_state, include/linux/cpuhotplug.h; golden 7.3.4 reads 235, all before 236",
    (7, 3),
    "A running CPU's hotplug/state is 235; before, 236.",
)
PFN_WITHOUT_PAGE = Change(
    "memory-failure-pfnmap",
    "commit 2ec41967189c (mm: handle poisoning of pfn without struct pages); golden x86_64 7.3.4",
    (6, 19),
    "hard_offline_page of an address without a page is EBUSY and logged; before, ENXIO.",
)
RISCV_HART_ISA = Change(
    "riscv-hart-isa",
    "arch/riscv/kernel/cpu.c c_show(): in 6.12, not in 6.1",
    (6, 12),
    "/proc/cpuinfo of riscv64 has a row `hart isa`, and names every extension that the kernel knows.",
)
NODE_COUNTERS_6_12 = Change(
    "node-counters-6.12",
    "mm/vmstat.c vmstat_text[]; golden 6.12.107 has them, 6.1 not: the release in between is not known",
    (6, 12),
    "nodeN/vmstat has pgdemote_{kswapd,direct,khugepaged} and nr_iommu_pages; the last two rows in kB of nodeN/meminfo are aligned with the others.",
)
NODE_COUNTERS_7_2 = Change(
    "node-counters-7.2",
    "mm/vmstat.c vmstat_text[], drivers/base/node.c; golden 7.2.13 has them, 6.12.107 not: the release in between is not known",
    (7, 2),
    "nodeN/vmstat has nr_free_pages_blocks, nr_vmalloc, pgsteal_*, pgscan_* and the GPU's, but neither nr_bounce nor nr_writeback_temp; nodeN/meminfo has Balloon, GPUActive, GPUReclaim.",
)
AUTO_ONLINE = Change(
    "auto-online-blocks",
    "CONFIG_MHP_DEFAULT_ONLINE_TYPE_ONLINE_AUTO; golden ppc64/A (7.2) reads online, ppc64/D (6.12) offline",
    (7, 2),
    "memory/auto_online_blocks is `online` at boot unless the machine or memhp_default_state= says otherwise; before, `offline`.",
    kind=Kind.CONFIG,
)
NODE_COUNTERS_7_3 = Change(
    "node-counters-7.3",
    "mm/vmstat.c vmstat_text[]; golden x86_64 7.3.4 has them, ppc64 7.2.13 not",
    (7, 3),
    "nodeN/vmstat has pgrotate_anon and pgrotate_file.",
)
GENERIC_EXCLUDE_PPC64 = Change(
    "generic-exclude-ppc64",
    "the crash clean-up series on linuxppc-dev, February and March 2026",
    NEVER,
    "ppc64 cuts an offlined block out exactly, in order, also across the edges of ranges (G3).",
    kind=Kind.PROPOSED,
)
ELFCOREHDR_PRINT = Change(
    "crash-elfcorehdr-print",
    "the additional patch of the seed's tree, never posted",
    (0, 0),
    "crash_elfcorehdr_print exists: the proposal that this tool demonstrates, on every version unless taken off.",
    kind=Kind.PROPOSED,
)
PRINT_LEAKS_LOCK = Change(
    "print-leaks-lock",
    "crash_elfcorehdr_print_show() in the seed author's tree: returns without kexec_unlock()",
    NEVER,
    "Reading crash_elfcorehdr_print with no crash image loaded leaves the kexec lock held: every later kexec call is busy.",
    kind=Kind.BUG,
)
SHRINK_TO_ZERO_OOPS = Change(
    "shrink-to-zero-oops",
    "golden ppc64/D last step, 7.2.13 and 6.12.107: NULL dereference in release_resource()",
    NEVER,
    "Writing 0 to crash_size on ppc64 oopses: the writer dies, and the kexec lock stays held.",
    kind=Kind.BUG,
)

CHANGES: tuple[Change, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Change)
)
"""Every change, in the order of the releases they came with."""

BY_NAME = {change.name: change for change in CHANGES}

RELEASES: tuple[str, ...] = ("6.1", "6.12", "6.18", "7.0", "7.1", "7.2", "7.3")
"""The versions that `kdumpfs kernels` lists; any other X.Y or X.Y.Z from 6.1 on is taken too."""

DEFAULT_RELEASE = "7.1"
"""Both patches of the seed."""


def parse_version(text: str) -> Version:
    """The numbers at the start of a release: "7.2.13+deb14-..." is (7, 2, 13).

    ProfileError if it does not begin with X.Y or is older than 6.1.
    """
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    if not match:
        raise ProfileError(
            f"kernel {text!r}: expected a release such as {', '.join(RELEASES)} or 6.12.107"
        )
    version = tuple(int(part) for part in match.groups() if part is not None)
    if version < (6, 1):
        raise ProfileError(f"kernel {text!r}: older than 6.1, the oldest that is known here")
    return version


def find(name: str) -> Change:
    """The change of that name; ProfileError lists near names."""
    if name in BY_NAME:
        return BY_NAME[name]
    import difflib

    near = difflib.get_close_matches(name, BY_NAME, n=3)
    hint = f" (did you mean {' or '.join(near)}?)" if near else ""
    raise ProfileError(f"change {name!r} is not known{hint}; `kdumpfs changes` lists all")


def changes_of(
    release: str, *, also: Iterable[str] = (), without: Iterable[str] = ()
) -> frozenset[Change]:
    """The changes that a release has, with single ones switched on or off by name.

    ProfileError for an unknown release or change, or one named on both sides.
    """
    also, without = set(also), set(without)
    if both := also & without:
        raise ProfileError(f"change {min(both)!r} is both switched on and switched off")
    version = parse_version(release)
    has = {change for change in CHANGES if change.in_release(version)}
    has |= {find(name) for name in also}
    has -= {find(name) for name in without}
    return frozenset(has)
