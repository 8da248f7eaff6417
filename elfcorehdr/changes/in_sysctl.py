"""Files of /proc/sys that came between 6.1 and 7.3: one named change a row, as in __init__.py. Imports .change."""

from __future__ import annotations

from elfcorehdr.changes.change import Change

SOFT_OFFLINE_SWITCH = Change(
    "sysctl-enable-soft-offline",
    "mm/memory-failure.c: commit 56374430c5df; golden identity 7.1 to 7.3",
    (6, 11),
    "vm.enable_soft_offline exists.",
)
HUNG_TASK_COUNT = Change(
    "sysctl-hung-task-detect-count",
    "kernel/hung_task.c: source of 7.2, not of 6.12; golden identity 7.1 to 7.3",
    (6, 15),
    "kernel.hung_task_detect_count exists.",
)
DEFRAG_MODE = Change(
    "sysctl-defrag-mode",
    "mm/page_alloc.c: source of 7.2, not of 6.12; golden identity 7.1 to 7.3",
    (6, 15),
    "vm.defrag_mode exists.",
)
VFS_PRESSURE_DENOM = Change(
    "sysctl-vfs-cache-pressure-denom",
    "fs/dcache.c: golden identity 7.1 to 7.3",
    (6, 16),
    "vm.vfs_cache_pressure_denom exists.",
)
PANIC_SYS_INFO = Change(
    "sysctl-panic-sys-info",
    "kernel/panic.c, lib/sys_info.c: source of 7.2, not of 6.12; golden identity 7.1 to 7.3",
    (6, 17),
    "kernel.panic_sys_info exists.",
)
SYS_INFO = Change(
    "sysctl-sys-info",
    "lib/sys_info.c, kernel/watchdog.c, hung_task.c: source of 7.2, not of 6.12; golden identity 7.1 to 7.3",
    (6, 19),
    "kernel.kernel_sys_info, hung_task_sys_info, softlockup_sys_info and hardlockup_sys_info exist.",
)
MOVABLE_GIGANTIC_PAGES = Change(
    "sysctl-movable-gigantic-pages",
    "mm/hugetlb.c: source of 7.2, not of 6.12; golden identity 7.1 to 7.3",
    (7, 0),
    "vm.movable_gigantic_pages exists.",
)
RT_RUNTIME_WHOLE = Change(
    "sysctl-rt-runtime-whole",
    "kernel/sched/rt.c: golden identity ppc64 7.2.13 has 1000000, 7.1.13 950000",
    (7, 2),
    "kernel.sched_rt_runtime_us is the whole period.",
)
UNRECOVERABLE_PANIC = Change(
    "sysctl-panic-on-unrecoverable-memory-failure",
    "mm/memory-failure.c: source of 7.3, not of 7.2; golden identity 7.3.4",
    (7, 3),
    "vm.panic_on_unrecoverable_memory_failure exists.",
)
SYSCALL_USER_DISPATCH = Change(
    "sysctl-syscall-user-dispatch",
    "source of 7.3, not of 7.2; golden identity x86_64 7.3.4",
    (7, 3),
    "kernel.syscall_user_dispatch exists on x86_64.",
)
HUGETLB_SUPPORTED = Change(
    "sysctl-hugetlb-supported",
    "mm/hugetlb.c hugetlb_init(): golden identity ppc64 7.1.13 hash has none of them, without huge pages",
    (7, 1),
    "vm.nr_hugepages and the like exist only where huge pages are supported.",
)
