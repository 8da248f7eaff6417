"""What differs between kernels: one named change a row; a version is the set of changes it has.

Code asks kernel.has(BACKUP_OFFSET_AT_LOAD), never for a version number. A version "7.1" is the
release as Linus tagged it; "6.12.107" also has what that stable series took up to then.
Those of files that look otherwise are in in_sysfs.py, of CPUs in of_cpus.py; what a change is in change.py.
"""

from __future__ import annotations

from collections.abc import Iterable

from elfcorehdr.changes import in_log, in_mm, in_sysctl, in_sysfs, of_cpus
from elfcorehdr.changes.change import NEVER, Change, Kind, parse_version
from elfcorehdr.errors import ProfileError

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
GENERIC_RESERVATION = Change(
    "generic-reservation",
    "commits 9c08a2a139fe, fdc268232dbb, 39365395046f (x86, arm64, riscv: kdump: use generic interface to simplify crashkernel reservation)",
    (6, 7),
    "x86_64, arm64 and riscv64 reserve as kernel/crash_reserve.c does and log `crashkernel reserved: 0x...`; before, x86_64 `Reserving %ldMB of memory at ...`.",
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
RADIX_VMEMMAP_OF_ITS_OWN = Change(
    "radix-vmemmap-of-its-own",
    "commit 368a0590d954 (powerpc/book3s64/vmemmap: switch radix to use a different vmemmap handling function)",
    (6, 6),
    "vmemmap_list is empty with radix; before, it had each piece of vmemmap, by which makedumpfile before 1.7.5 found struct pages.",
)
FADUMP_HOTPLUG_READY = Change(
    "fadump-hotplug-ready",
    "Documentation/ABI/testing/sysfs-kernel-fadump",
    (6, 10),
    "/sys/kernel/fadump/hotplug_ready exists and reads 1; the ELF header is made after the crash, so mem_reserved is less.",
)
FADUMP_BOOTARGS_APPEND = Change(
    "fadump-bootargs-append",
    "commit 3416c9daa6b1 (powerpc/fadump: pass additional parameters when fadump is active)",
    (6, 10),
    "/sys/kernel/fadump/bootargs_append exists where there is a place for the parameters.",
)
FADUMP_CMA_LATE = Change(
    "fadump-cma-late",
    "commits 05b94cae1c47, adfaec30ffac (powerpc/fadump: fadump_cma_init() after initmem_init()); in 7.2, not in 6.12",
    (6, 13),
    "fadump's CMA area is cut to whole page blocks and logged as `Initialized [0x..., ...MB] cma area`; before, boot memory was rounded up to them.",
)
FADUMP_PARAM_AREA_OF_RMA = Change(
    "fadump-param-area-of-rma",
    "fadump_setup_param_area(), arch/powerpc/kernel/fadump.c: in 7.2, not in 6.12: the release in between is not known",
    (6, 16),
    "fadump's parameters of a hash guest lie between 768 MiB and the end of boot memory, and only with fadump=on; before, from 672 MiB on, whatever was asked for.",
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
VMCORE_NOTE_ALIGN = Change(
    "vmcore-note-align",
    "fs/proc/vmcore.c merge_note_headers_elf64(); golden x86_64 6.12 has it, 6.1 not",
    (6, 12),
    "/proc/vmcore's PT_NOTE has p_align 4; before, 0.",
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
    "by accident of the generic reservation, undone by arch_add_crash_res_to_iomem(); golden ppc64/K-6.16.12",
    (6, 16),
    "/proc/iomem on ppc64 has a `Crash kernel` row in System RAM.",
    until=(6, 18),
)
CMA_CRASHKERNEL_PPC64 = Change(
    "crashkernel-cma-ppc64",
    "commit b4a96ab50f36 (powerpc/kdump: Add support for crashkernel CMA reservation)",
    (6, 19),
    "ppc64 takes crashkernel=...,cma and leaves these ranges out of the header.",
)
CMA_CRASHKERNEL = Change(
    "crashkernel-cma",
    'commit 35c18f2933c5 (Add a new optional ",cma" suffix to the crashkernel= command line option)',
    (6, 17),
    "crashkernel=...,cma is known: x86_64 takes it and leaves these ranges out of the header; before, it is a plain form that is wrong.",
)
PRINTK_FITS_EXACTLY = Change(
    "printk-fits-exactly",
    "kernel/printk/printk_ringbuffer.c is_blk_wrapped(): not in 6.12, in 7.2",
    (6, 19),
    "A log record that ends exactly where the ring buffer ends stays there; before, it moved to the start.",
)
CMA_CRASHKERNEL_ARM64 = Change(
    "crashkernel-cma-arm64",
    "arch/arm64/mm/init.c arch_reserve_crashkernel(); golden arm64 7.3.4 has it",
    (7, 3),
    "arm64 takes crashkernel=...,cma and leaves these ranges out of the header.",
)
ARM64_FALLS_BACK = Change(
    "crashkernel-arm64-falls-back",
    "commits a149cf00b158 and a9ae89df7377 (arm64: kdump: fall back to high memory; a default for ,low)",
    (6, 2),
    "On arm64 what does not fit below the limit of ZONE_DMA goes above it, and `,high` takes 128 MiB below by itself.",
)
RISCV64_HIGH = Change(
    "crashkernel-high-riscv64",
    "commit 5882e5acf18d (riscv: kdump: Implement crashkernel=X,[high,low])",
    (6, 6),
    "riscv64 takes crashkernel=...,high and ,low; before, they reserve nothing.",
)
HIGH_ENDS = Change(
    "crashkernel-high-ends",
    "commit 5d99cadf1568 (crash: Fix riscv64 crash memory reserve dead loop)",
    (6, 12),
    "crashkernel=...,high where all RAM is low memory (riscv64 up to 4 GiB) reserves nothing; before, it was taken from low memory, or the boot never ended.",
)
CRASHKERNEL_PREFIXED = Change(
    "crashkernel-messages-prefixed",
    "parse_crashkernel_mem(): linux-source-6.1 kernel/crash_core.c, linux-source-6.12 kernel/crash_reserve.c: the release in between is not known",
    (6, 12),
    "All complaints about crashkernel= begin with `crashkernel: `; before, two of them with `Memory value expected`.",
)
CRASHKERNEL_SPELT = Change(
    "crashkernel-message-spelt",
    "parse_crashkernel_mem(), kernel/crash_reserve.c: 6.12 has `crahskernel:`, 6.16 not",
    (6, 16),
    "`crashkernel: Memory value expected after '@'`; before, `crahskernel:`.",
)
MEMPARSE_SATURATES = Change(
    "memparse-saturates",
    "memparse(), lib/cmdline.c: linux-source-7.2 checks for an overflow, 6.12 not",
    (7, 2),
    "A size beyond 2^64 in crashkernel= is the largest there is; before, it wraps, and a unit alone is 0.",
)
CMA_CONFIG_X86 = Change(
    "config-cma-x86",
    "CONFIG_CMA of Debian's amd64 kernels",
    (7, 2),
    "x86_64 is built with CONFIG_CMA; before, `crashkernel CMA reservation not supported`.",
    kind=Kind.CONFIG,
)
SPARSE_INIT_LATE = Change(
    "sparse-init-late",
    "bootmem_init(), arch/arm64/mm/init.c, and misc_mem_init(), arch/riscv/mm/init.c: 7.2 reserves first, 6.12 not",
    (7, 0),
    "arm64 and riscv64 reserve for the crash kernel before the memory map is allocated; before, that has the end of memory.",
)
CMA_CRASHKERNEL_RISCV64 = Change(
    "crashkernel-cma-riscv64",
    "arch/riscv/mm/init.c arch_reserve_crashkernel(): linux-source-7.3 has it, 7.2 not",
    (7, 3),
    "riscv64 takes crashkernel=...,cma and leaves these ranges out of the header.",
)
LOW_EXCLUDED_RISCV64 = Change(
    "low-excluded-riscv64",
    "prepare_elf_headers(), arch/riscv/kernel/machine_kexec_file.c: 6.12.117 and 7.2 have it",
    (7, 2),
    "The low region of crashkernel=...,high is left out of riscv64's header; before, it is dumped.",
    stable=((6, 12, 110),),
)
FILE_FORCE_DTB_FLAG = Change(
    "kexec-file-force-dtb-flag",
    "include/uapi/linux/kexec.h KEXEC_FILE_FORCE_DTB",
    (6, 18),
    "kexec_file_load takes KEXEC_FILE_FORCE_DTB (0x20).",
)
EXCLUDED_INCLUSIVE = Change(
    "excluded-ends-included",
    "arch_check_excluded_range(), arch/powerpc/kexec/file_load_64.c (7.2)",
    (7, 2),
    "No segment of a ppc64 crash image touches the last byte of a range that is kept free; before, it may.",
)
FILE_LOAD_CMDLINE_PPC64 = Change(
    "file-load-cmdline-ppc64",
    "elf64_load(), setup_kdump_cmdline(): arch/powerpc/kexec/{elf_64,file_load}.c (7.3)",
    (7, 3),
    "kexec_file_load with debug on ppc64 logs `kexec_elf: Command line: ...`; one that is too long is `Prepending elfcorehdr=<addr> exceeds cmdline size` (before, Appending).",
)
IMAGE_LOADER_RISCV64 = Change(
    "image-loader-riscv64",
    "image_probe(), image_load(): arch/riscv/kernel/kexec_image.c",
    (6, 16),
    "kexec_file_load takes an Image on riscv64, and what is none is EINVAL; before, ELF alone, and all else is ENOEXEC.",
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
    stable=((6, 18, 2), (6, 17, 13), (6, 12, 63)),
)
BACKUP_OFFSET_AT_LOAD = Change(
    "backup-offset-at-load",
    "commit 789335cacdf3 (powerpc/crash: fix backup region offset update to elfcorehdr)",
    (7, 1),
    "kexec_file_load sets the offset of the first 64 KiB's program header to the backup region; before, it is 0.",
    stable=((7, 0, 10), (6, 18, 32), (6, 12, 91), (6, 1, 175)),
)
BACKUP_OFFSET_AT_EVENT = Change(
    "backup-offset-at-event",
    "commit f53b24d1fa26 (powerpc/crash: Update backup region offset in elfcorehdr on memory hotplug)",
    (7, 1),
    "A header rebuilt by memory hotplug keeps the backup region's offset; before, the rebuild resets it to 0.",
    stable=((7, 0, 10), (6, 18, 32), (6, 12, 91)),
)
AUTO_ONLINE = Change(
    "auto-online-blocks",
    "CONFIG_MHP_DEFAULT_ONLINE_TYPE_ONLINE_AUTO; golden ppc64/A (7.2) reads online, ppc64/K (6.16.12) and D (6.12.107) offline",
    (6, 18),
    "memory/auto_online_blocks is `online` at boot unless the machine or memhp_default_state= says otherwise; before, `offline`.",
    stable=((6, 17, 13), (6, 12, 111)),
    kind=Kind.CONFIG,
)
GENERIC_EXCLUDE_PPC64 = Change(
    "generic-exclude-ppc64",
    "arch_crash_exclude_mem_range(), arch/powerpc/kexec/ranges.c; golden ppc64/H-7.3rc7",
    (7, 3),
    "ppc64 cuts an offlined block out exactly, in order, also across the edges of ranges (G3).",
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
    value
    for table in (globals(), *map(vars, (of_cpus, in_sysfs, in_log, in_mm, in_sysctl)))
    for value in list(table.values())
    if isinstance(value, Change)
)
"""Every change: of kexec and hotplug, then of CPUs, then of files."""

BY_NAME = {change.name: change for change in CHANGES}


def find(name: str) -> Change:
    """The change of that name; ProfileError lists near names."""
    if name in BY_NAME:
        return BY_NAME[name]
    import difflib

    near = difflib.get_close_matches(name[:80], BY_NAME, n=3)
    hint = f" (did you mean {' or '.join(near)}?)" if near else ""
    raise ProfileError(f"change {name[:80]!r} is not known{hint}; `kdumpfs changes` lists all")


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
