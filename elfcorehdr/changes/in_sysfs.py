"""What differs between kernels in files of /sys and /proc: one named change a row, as in __init__.py.

Some are dated with the first release they were seen in. Imports .change.
"""

from __future__ import annotations

from elfcorehdr.changes.change import Change

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
CPU_ENABLED = Change(
    "cpu-enabled",
    "commit 4e1a7df45480 (cpumask: Add enabled cpumask for present CPUs that can be brought online); golden k6.12 has it, k6.1 not",
    (6, 11),
    "/sys/devices/system/cpu/enabled exists.",
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
    "drivers/base/topology.c; golden ppc64/K-6.16.12 has it, 6.12 not",
    (6, 16),
    "/sys/devices/system/cpu/cpuN/cpu_capacity exists for running CPUs of every architecture; before, on arm64 and riscv64 alone.",
)
CPU_HOUSEKEEPING = Change(
    "cpu-housekeeping",
    "drivers/base/cpu.c; golden 6.19.14 has it, ppc64/K-6.16.12 not",
    (6, 19),
    "/sys/devices/system/cpu/housekeeping exists.",
)
NOHZ_FULL_MASK = Change(
    "nohz-full-mask",
    "drivers/base/cpu.c print_cpus_nohz_full(); golden x86_64 6.19.14, 6.12 and 6.1",
    (6, 19),
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
    "arch/powerpc/include/asm/topology.h; golden ppc64/U-6.19.14 has it, ppc64/K-6.16.12 not: the release in between is not known",
    (6, 19),
    "cpuN/topology/die_* exist on ppc64.",
)
CPUHP_ONLINE_238 = Change(
    "cpuhp-online-238",
    "enum cpuhp_state, include/linux/cpuhotplug.h; golden ppc64/K-6.16.12, all before read 236",
    (6, 16),
    "A running CPU's hotplug/state is 238; before, 236.",
    until=(6, 17),
)
CPUHP_ONLINE_237 = Change(
    "cpuhp-online-237",
    "enum cpuhp_state, include/linux/cpuhotplug.h; golden 6.19.14 reads 237, ppc64/K-7.0.13 236",
    (6, 17),
    "A running CPU's hotplug/state is 237; after, 236.",
    until=(7, 0),
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
    "hard_offline_page of an address without a page is EBUSY and `recovery action for non struct page pfn` in the log; before, ENXIO and `memory outside kernel control`.",
)
NODE_COUNTERS_6_12 = Change(
    "node-counters-6.12",
    "mm/vmstat.c vmstat_text[]; golden 6.12.107 has them, 6.1 not: the release in between is not known",
    (6, 12),
    "nodeN/vmstat has pgdemote_{kswapd,direct,khugepaged} and nr_iommu_pages; the last two rows in kB of nodeN/meminfo are aligned with the others.",
)
IRQ_SHOW_6_14 = Change(
    "interrupts-6.14",
    "kernel/irq/proc.c, arch/x86/kernel/irq.c, arch/powerpc/kernel/irq.c (seq_put_decimal_ull_width()): golden identity ppc64 7.1.13, not in 6.12",
    (6, 14),
    "The columns of /proc/interrupts stand a blank to the left of their tail.",
)
NODE_COUNTERS_6_16 = Change(
    "node-counters-6.16",
    "mm/vmstat.c vmstat_text[]; golden ppc64/K-6.16.12 has them, 6.12.107 not",
    (6, 16),
    "nodeN/vmstat has nr_free_pages_blocks, pgdemote_proactive, nr_hugetlb and nr_balloon_pages, but no nr_bounce.",
)
ZONEINFO_6_16 = Change(
    "zoneinfo-6.16",
    "mm/vmstat.c zoneinfo_show_print(): in 7.1.13 (golden identity ppc64), not in 6.12",
    (6, 16),
    "/proc/zoneinfo has high_min and high_max of each CPU, and pages reserved for atomic allocations.",
)
NODE_COUNTERS_6_17 = Change(
    "node-counters-6.17",
    "mm/vmstat.c vmstat_text[]; golden ppc64/K-6.16.12 has it, 6.19.14 not",
    (6, 17),
    "nodeN/vmstat has no nr_writeback_temp.",
)
NODE_COUNTERS_6_18 = Change(
    "node-counters-6.18",
    "mm/vmstat.c vmstat_text[]; golden 6.19.14 has them, ppc64/K-6.16.12 not",
    (6, 18),
    "nodeN/vmstat has nr_kernel_file_pages and pgpromote_candidate_nrl.",
)
NODE_COUNTERS_7_1 = Change(
    "node-counters-7.1",
    "mm/vmstat.c vmstat_text[], drivers/base/node.c; golden x86_64 7.1.13 has them, ppc64/K-7.0.13 not",
    (7, 1),
    "nodeN/vmstat has nr_vmalloc, pgsteal_*, pgscan_*, pgrefill and the GPU's; nodeN/meminfo has GPUActive and GPUReclaim.",
)
IRQ_SHOW_7_2 = Change(
    "interrupts-7.2",
    "kernel/irq/proc.c show_interrupts(): golden identity ppc64 7.2.13 and x86_64 7.3.4 have it, ppc64 7.1.13 not",
    (7, 2),
    "/proc/interrupts begins with four columns and pads its chips; of x86_64 rows that cannot count are left out.",
)
NODE_COUNTERS_7_2 = Change(
    "node-counters-7.2",
    "drivers/base/node.c; golden 7.2.13 has it, x86_64 7.1.13 not",
    (7, 2),
    "nodeN/meminfo has Balloon.",
)
NODE_COUNTERS_7_3 = Change(
    "node-counters-7.3",
    "mm/vmstat.c vmstat_text[]; golden x86_64 7.3.4 has them, ppc64 7.2.13 not",
    (7, 3),
    "nodeN/vmstat has pgrotate_anon and pgrotate_file.",
)
BUG_SPECTRE_V2_USER = Change(
    "bug-spectre-v2-user",
    "arch/x86/include/asm/cpufeatures.h X86_BUG_SPECTRE_V2_USER: in 7.2, not in 6.12",
    (6, 17),
    "/proc/cpuinfo of x86_64 names the bug spectre_v2_user.",
)
RISCV_HART_ISA = Change(
    "riscv-hart-isa",
    "arch/riscv/kernel/cpu.c c_show(): in 6.12, not in 6.1",
    (6, 12),
    "/proc/cpuinfo of riscv64 has a row `hart isa`, and names every extension that the kernel knows.",
)
DM_CRYPT_KEYS_X86 = Change(
    "dm-crypt-keys-x86",
    "kernel/crash_dump_dm_crypt.c: commit 479e58549b0f; seen on Debian's 6.16.12",
    (6, 16),
    "configfs has crash_dm_crypt_keys on x86_64.",
)
DM_CRYPT_KEYS_PPC64 = Change(
    "dm-crypt-keys-ppc64",
    "arch/powerpc/kexec/elf_64.c; seen on Debian's 7.1.13",
    (7, 1),
    "configfs has crash_dm_crypt_keys on ppc64.",
)
DM_CRYPT_KEYS_ARM64 = Change(
    "dm-crypt-keys-arm64",
    "arch/arm64/kernel/machine_kexec_file.c: in the source of 7.2, not in that of 6.12",
    (7, 1),
    "configfs has crash_dm_crypt_keys on arm64.",
)
