"""Tasks and CPUs that hang, and what watches for them: kernel/{watchdog,watchdog_hld,hung_task}.c (v6.1, v6.12, v7.2, v7.3).

Nothing hangs here by itself: who asks for it (`kdumpfs crash`) gets what the kernel says, and its panic if it was told to.
"""

from __future__ import annotations

import errno
from collections.abc import Collection

from elfcorehdr.changes import in_log
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.panic import Crash
from elfcorehdr.kernel.printk import KERN_EMERG, KERN_ERR
from elfcorehdr.lib.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

KHUNGTASKD = 31
"""The pid of khungtaskd here: one of the kernel's first threads."""
PF_KTHREAD_OR_USER = 0x400140
"""task_flags of a process: PF_FORKNOEXEC, PF_RANDOMIZE, PF_SUPERPRIV's usual neighbours as Debian's kernels print them."""


def hung_task(kernel: Kernel, comm: str, pid: int) -> None:
    """check_hung_task(): a task that has been in uninterruptible sleep for kernel.hung_task_timeout_secs.

    A panic with kernel.hung_task_panic (since 7.2: if it is 1). KernelError(EINVAL) where nobody looks: a timeout of 0.
    """
    panic, log = kernel.panic, kernel.log
    timeout = panic.sysctl("hung_task_timeout_secs", 120)
    if timeout <= 0:
        raise KernelError(errno.EINVAL, "kernel.hung_task_timeout_secs is 0: no task is looked at")
    panics = panic.sysctl("hung_task_panic", 0) == 1
    warnings = panic.sysctl("hung_task_warnings", 10)
    if warnings or (panics and kernel.has(in_log.PANIC_COUNTS)):
        if warnings > 0:
            panic.sysctls["hung_task_warnings"] = warnings - 1
        word = kernel.uts_version.partition(" ")[0]
        # Looked for each `timeout` seconds: between one and two of them have passed.
        log.emit(KERN_ERR, f"INFO: task {comm}:{pid} blocked for more than {timeout} seconds.")
        log.emit(KERN_ERR, f"      {panic.tainted()} {kernel.release} {word}")
        log.emit(
            KERN_ERR,
            '"echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.',
        )
        tgid = f" tgid:{pid:<5}" if kernel.has(in_log.TASK_TGID) else ""
        flags = f" task_flags:{PF_KTHREAD_OR_USER:#06x}" if kernel.has(in_log.TASK_FLAGS) else ""
        log.info(
            f"task:{comm:<15.15} state:D stack:0     pid:{pid:<5}{tgid} ppid:{1:<6}{flags} flags:0x00000000"
        )
        log.info("Call Trace:")
        for row in (" <TASK>", " __schedule", " schedule", " </TASK>"):
            log.info(row)
    if panics:
        path = ("watchdog", "kthread", "ret_from_fork")
        panic.panic("hung_task: blocked tasks", Crash(pid=KHUNGTASKD, comm="khungtaskd", path=path))


def soft_lockup(kernel: Kernel, cpu: int, comm: str, pid: int) -> None:
    """watchdog_timer_fn(): a CPU that has scheduled nobody for 2 * kernel.watchdog_thresh seconds.

    A panic with kernel.softlockup_panic (since 7.2: if that many thresholds have passed). KernelError(EINVAL) for a
    CPU that does not run, and where nobody looks.
    """
    _runs(kernel, cpu)
    panic, log = kernel.panic, kernel.log
    threshold = 2 * panic.sysctl("watchdog_thresh", 10)
    if threshold <= 0:
        raise KernelError(errno.EINVAL, "kernel.watchdog_thresh is 0: no CPU is looked at")
    for name in ("kernel.watchdog", "kernel.soft_watchdog"):
        if kernel.sysctls.get(name, "1").strip() == "0":
            raise KernelError(errno.EINVAL, f"{name} is 0: no CPU is looked at")
    duration = _first_seen(threshold)
    panic.counts["softlockup_count"] = panic.counts.get("softlockup_count", 0) + 1
    log.emit(
        KERN_EMERG,
        f"watchdog: BUG: soft lockup - CPU#{cpu} stuck for {duration}s! [{comm}:{pid}]",
    )
    log.warning("Modules linked in:")
    crash = Crash(cpu=cpu, pid=pid, comm=comm)
    kernel.dump_stack(crash)
    panic.taint("L")
    wanted = panic.sysctl("softlockup_panic", 0)
    if wanted and duration // threshold >= wanted:
        path = ("watchdog_timer_fn", "__hrtimer_run_queues", "hrtimer_interrupt")
        panic.panic("softlockup: hung tasks", replace(crash, path=path))


def _first_seen(threshold: int) -> int:
    """What is told of a CPU at the first look after the threshold; a second is 2^30 ns, looks are a fifth of it apart."""
    sample = threshold * 1_000_000_000 // 5
    looks = 1
    while looks * sample >> 30 <= threshold:
        looks += 1
    return looks * sample >> 30


def hard_lockup(kernel: Kernel, stuck: Collection[int]) -> None:
    """watchdog_hardlockup_check(): CPUs that take no interrupt; another one panics, and they have no note.

    KernelError(EINVAL) for a CPU that does not run, or if none is left.
    """
    for cpu in sorted(stuck):
        _runs(kernel, cpu)
    others = sorted(set(kernel.cpus.online) - set(stuck))
    if not others:
        raise KernelError(errno.EINVAL, "no CPU is left to notice it")
    of = "watchdog" if kernel.has(in_log.HARD_LOCKUP_OF_WATCHDOG) else "NMI watchdog"
    by = f"CPU{others[0]}: " if kernel.has(in_log.HARD_LOCKUP_SEEN_BY) else ""
    for cpu in sorted(stuck):
        counts = kernel.panic.counts
        counts["hardlockup_count"] = counts.get("hardlockup_count", 0) + 1
        kernel.log.emit(KERN_EMERG, f"{of}: {by}Watchdog detected hard LOCKUP on cpu {cpu}")
        kernel.log.warning("Modules linked in:")
    crash = Crash(cpu=others[0], pid=0, comm=f"swapper/{others[0]}", stuck=frozenset(stuck))
    kernel.panic.panic("Hard LOCKUP", crash)


def _runs(kernel: Kernel, cpu: int) -> None:
    if cpu not in kernel.cpus.online:
        raise KernelError(errno.EINVAL, f"CPU {cpu} does not run")
