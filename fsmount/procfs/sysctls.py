"""/proc/sys/{kernel,vm} of the machine: kernel/sysctl.c, kernel/{hung_task,watchdog,panic}.c, mm/*.c (v6.1, v7.3).

What is set is kept; nothing follows from it but where another module says so. Values are those of Debian's kernels (golden
identity). What is a process's rather than the machine's (limits, ids, mmap, seccomp, user namespaces) is not here.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from elfcorehdr.changes import in_sysctl
from elfcorehdr.changes.change import Change
from elfcorehdr.errors import KernelError, short
from elfcorehdr.init.main import Kernel
from elfcorehdr.lib.kstrtox import kstrtoint, kstrtoull
from elfcorehdr.lib.ranges import format_ids
from elfcorehdr.mm.page_alloc import min_free_kbytes, zones
from fsmount.tree.kobject import (
    AttributeGroup,
    Caller,
    Declaration,
    File,
    Filesystem,
    IsVisible,
    singleton,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

kernel_sysctls = AttributeGroup("sys/kernel", singleton, fs=Filesystem.PROCFS)
vm_sysctls = AttributeGroup("sys/vm", singleton, fs=Filesystem.PROCFS)
TMPBUFLEN = 21
"""A longer word is no number: kernel/sysctl.c."""
Usual = str | Callable[[Kernel], str]


def _is_number(word: str) -> bool:
    return len(word) <= TMPBUFLEN and word.removeprefix("-").isdecimal() and word.isascii()


def _declare(
    group: AttributeGroup[Any],
    name: str,
    usual: Usual,
    *,
    mode: int = 0o644,
    visible: IsVisible[Any] | None = None,
) -> None:
    """A value that is kept; of numbers as many as there were, and numbers. EINVAL."""
    at = f"{group.path.removeprefix('sys/')}.{name}"

    def value(kernel: Kernel) -> str:
        own = kernel.sysctls.get(at)
        return own if own is not None else usual if isinstance(usual, str) else usual(kernel)

    def store(kernel: Kernel, buf: str) -> None:
        was, words = value(kernel).split(), buf.split("\0", 1)[0].split()
        if was and all(map(_is_number, was)):
            if not words or len(words) > len(was) or not all(map(_is_number, words)):
                raise KernelError(errno.EINVAL, f"{short(buf)}: expected {len(was)} numbers")
            kernel.sysctls[at] = "\t".join(words + was[len(words) :])
        else:
            kernel.sysctls[at] = " ".join(words)
        kernel.log.info(f"kdumpfs: {at} = {kernel.sysctls[at]} (of this machine only)")

    if not mode & 0o222:

        def opened(kernel: Kernel, caller: Caller, flags: int) -> File:
            """proc_sys_permission(): nobody writes to it, root neither."""
            if flags & os.O_ACCMODE != os.O_RDONLY:
                raise KernelError(errno.EACCES)
            return _Constant(f"{value(kernel)}\n".encode())

        doc = f"{at} of the machine; opening it to write is EACCES for root too."
        group.add(name, open=opened, mode=mode, is_visible=visible, doc=doc)
        return
    group.add(
        name,
        show=lambda kernel: f"{value(kernel)}\n",
        store=store,
        mode=mode,
        is_visible=visible,
        doc=f"{at}, which the machine keeps for those who ask.",
        store_doc="Kept; EINVAL for what is no number where it was one.",
    )


class _Constant:
    """An open file that cannot be written."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self, size: int, offset: int, flags: int = 0) -> bytes:
        """At most size bytes at offset."""
        return self._content[offset : offset + size]

    def write(self, buf: bytes, offset: int, flags: int = 0) -> int:
        """Never."""
        raise KernelError(errno.EACCES)


def _since(change: Change) -> IsVisible[Any]:
    return lambda kernel, obj: kernel.has(change)


def _config(option: str) -> IsVisible[Any]:
    return lambda kernel, obj: kernel.config(option)


def _both(one: IsVisible[Any], other: IsVisible[Any]) -> IsVisible[Any]:
    return lambda kernel, obj: one(kernel, obj) and other(kernel, obj)


_X86, _PPC = _config("X86"), _config("PPC")

for _line in """\
bpf_stats_enabled 0
ctrl-alt-del 1
ftrace_dump_on_oops 0
ftrace_enabled 1
hardlockup_all_cpu_backtrace 0
hung_task_all_cpu_backtrace 0
hung_task_check_count 4194304
hung_task_check_interval_secs 0
kptr_restrict 0
max_lock_depth 1024
max_rcu_stall_to_panic 0
numa_balancing_promote_rate_limit_MBps 65536
oops_all_cpu_backtrace 0
oops_limit 10000
panic_on_rcu_stall 0
perf_cpu_time_max_percent 25
perf_event_max_contexts_per_stack 8
perf_event_max_sample_rate 100000
perf_event_max_stack 127
perf_event_paranoid 3
print-fatal-signals 0
printk_delay 0
printk_ratelimit 5
printk_ratelimit_burst 10
sched_autogroup_enabled 1
sched_cfs_bandwidth_slice_us 5000
sched_deadline_period_max_us 4194304
sched_deadline_period_min_us 100
sched_rr_timeslice_ms 100
sched_rt_period_us 1000000
sched_schedstats 0
sched_util_clamp_max 1024
sched_util_clamp_min 1024
sched_util_clamp_min_rt_default 1024
soft_watchdog 1
softlockup_all_cpu_backtrace 0
stack_tracer_enabled 0
sysctl_writes_strict 1
task_delayacct 0
timer_migration 1
traceoff_on_warning 0
tracepoint_printk 0
unprivileged_bpf_disabled 2
watchdog 1
""".splitlines():
    _declare(kernel_sysctls, _line.partition(" ")[0], _line.partition(" ")[2])

for _name, _usual, _visible in (
    ("acpi_video_flags", "0", _X86),
    # QEMU's -kernel, kexec: hdr.type_of_loader, Documentation/arch/x86/boot.rst
    ("bootloader_type", lambda k: "208" if k.vmcore is not None else "176", _X86),
    ("bootloader_version", "0", _X86),
    ("io_delay_type", "0", _X86),
    ("split_lock_mitigate", "1", _X86),
    ("syscall_user_dispatch", "1", _both(_X86, _since(in_sysctl.SYSCALL_USER_DISPATCH))),
    ("nmi_wd_lpm_factor", "200", _both(_PPC, lambda k, obj: k.platform.name == "pseries")),
    ("powersave-nap", "0", _PPC),
    ("hung_task_detect_count", "0", _since(in_sysctl.HUNG_TASK_COUNT)),
    ("panic_sys_info", "", _since(in_sysctl.PANIC_SYS_INFO)),
    ("kernel_sys_info", "", _since(in_sysctl.SYS_INFO)),
    ("hung_task_sys_info", "", _since(in_sysctl.SYS_INFO)),
    ("softlockup_sys_info", "", _since(in_sysctl.SYS_INFO)),
    ("hardlockup_sys_info", "", _since(in_sysctl.SYS_INFO)),
):
    _declare(
        kernel_sysctls,
        _name,
        _usual,
        mode=0o444 if _name.startswith("bootloader") else 0o644,
        visible=_visible,
    )

_declare(kernel_sysctls, "arch", lambda k: k.arch.uts_machine, mode=0o444)
_declare(kernel_sysctls, "osrelease", lambda k: k.release, mode=0o444)
_declare(kernel_sysctls, "ostype", "Linux", mode=0o444)
_declare(kernel_sysctls, "version", lambda k: k.uts_version, mode=0o444)
_declare(kernel_sysctls, "numa_balancing", lambda k: str(int(len(k.memblock.nodes()) > 1)))
_declare(kernel_sysctls, "perf_event_mlock_kb", lambda k: str(512 + k.page_size // 1024))
_declare(
    kernel_sysctls,
    "sched_rt_runtime_us",
    lambda k: "1000000" if k.has(in_sysctl.RT_RUNTIME_WHOLE) else "950000",
)
_declare(kernel_sysctls, "watchdog_cpumask", lambda k: format_ids(list(k.machine.possible_cpus)))


def _threads_max(kernel: Kernel) -> str:
    """set_max_threads(), kernel/fork.c: an eighth of memory in stacks of 16 KiB, on ppc64 32."""
    stack = 32768 if kernel.config("PPC") else 16384
    total = sum(kernel.nodes.memory(node)[0] for node in kernel.nodes.ids())
    return str(min(max(total // (stack * 8), 20), 4194304 - 1))


_declare(kernel_sysctls, "threads-max", _threads_max)


@kernel_sysctls.show
def sched_energy_aware_show(kernel: Kernel) -> str:
    """Nothing: the processors are all alike, so there is no energy model (sched_energy_aware_handler())."""
    return ""


@kernel_sysctls.store
def sched_energy_aware_store(kernel: Kernel, buf: str) -> None:
    """EOPNOTSUPP without an energy model."""
    raise KernelError(errno.EOPNOTSUPP, "no energy model")


@kernel_sysctls.show
def tainted_show(kernel: Kernel) -> str:
    """Why the kernel is tainted, as bits."""
    return f"{kernel.panic.taint_bits | int(kernel.sysctls.get('kernel.tainted', '0'))}\n"


@kernel_sysctls.store
def tainted_store(kernel: Kernel, buf: str) -> None:
    """Add bits: proc_taint(). EINVAL."""
    bits = int(kernel.sysctls.get("kernel.tainted", "0")) | kstrtoull(buf)
    kernel.sysctls["kernel.tainted"] = str(bits)


@kernel_sysctls.show
def dmesg_restrict_show(kernel: Kernel) -> str:
    """Whether the log is for root alone."""
    return f"{int(kernel.log.dmesg_restrict)}\n"


@kernel_sysctls.store
def dmesg_restrict_store(kernel: Kernel, buf: str) -> None:
    """0 or 1; EINVAL."""
    value = kstrtoint(buf)
    if value not in (0, 1):
        raise KernelError(errno.EINVAL, "neither 0 nor 1")
    kernel.log.dmesg_restrict = bool(value)


for _line in """\
compact_unevictable_allowed 1
compaction_proactiveness 20
dirty_background_bytes 0
dirty_background_ratio 10
dirty_bytes 0
dirty_expire_centisecs 3000
dirty_ratio 20
dirty_writeback_centisecs 500
dirtytime_expire_seconds 43200
extfrag_threshold 500
laptop_mode 0
max_map_count 65530
min_slab_ratio 5
min_unmapped_ratio 1
numa_stat 1
numa_zonelist_order Node
oom_dump_tasks 1
oom_kill_allocating_task 0
overcommit_kbytes 0
overcommit_memory 0
overcommit_ratio 50
page-cluster 3
page_lock_unfairness 5
panic_on_oom 0
percpu_pagelist_high_fraction 0
stat_interval 1
swappiness 60
vfs_cache_pressure 100
watermark_boost_factor 15000
watermark_scale_factor 10
zone_reclaim_mode 0
""".splitlines():
    _declare(vm_sysctls, _line.partition(" ")[0], _line.partition(" ")[2])

_FAILURE, _HUGE = _config("MEMORY_FAILURE"), lambda k, obj: k.hugetlb.supported
for _name, _usual, _visible in (
    ("defrag_mode", "0", _since(in_sysctl.DEFRAG_MODE)),
    ("vfs_cache_pressure_denom", "100", _since(in_sysctl.VFS_PRESSURE_DENOM)),
    ("memory_failure_early_kill", "0", _FAILURE),
    ("memory_failure_recovery", "1", _FAILURE),
    ("enable_soft_offline", "1", _both(_FAILURE, _since(in_sysctl.SOFT_OFFLINE_SWITCH))),
    (
        "panic_on_unrecoverable_memory_failure",
        "0",
        _both(_FAILURE, _since(in_sysctl.UNRECOVERABLE_PANIC)),
    ),
    ("hugetlb_shm_group", "0", _HUGE),
    ("movable_gigantic_pages", "0", _both(_HUGE, _since(in_sysctl.MOVABLE_GIGANTIC_PAGES))),
    ("hugetlb_optimize_vmemmap", "0", _both(_HUGE, _X86)),
):
    _declare(vm_sysctls, _name, _usual, visible=_visible)


def _lowmem_reserve_ratio(kernel: Kernel) -> str:
    """sysctl_lowmem_reserve_ratio[], mm/page_alloc.c: a number for each zone but Device."""
    ratios = {"DMA": 256, "DMA32": 256, "Normal": 32}
    return "\t".join(str(ratios[name]) for name in kernel.arch.zone_names) + "\t0\t0"


def _min_free_kbytes(kernel: Kernel) -> str:
    every = [zone for node in kernel.nodes.ids() for zone in zones(kernel, node) if zone.managed]
    return str(min_free_kbytes(kernel, sum(zone.managed for zone in every), len(every)))


def _reserve(most: int) -> Callable[[Kernel], str]:
    """init_user_reserve(), init_admin_reserve(), mm/mmap.c: 3 % of what is free, at most so many KiB."""

    def value(kernel: Kernel) -> str:
        free = sum(kernel.nodes.memory(node)[1] for node in kernel.nodes.ids())
        return str(min((free >> 10) // 32, most))

    return value


_declare(vm_sysctls, "lowmem_reserve_ratio", _lowmem_reserve_ratio)
_declare(vm_sysctls, "min_free_kbytes", _min_free_kbytes)
_declare(vm_sysctls, "user_reserve_kbytes", _reserve(1 << 17))
_declare(vm_sysctls, "admin_reserve_kbytes", _reserve(1 << 13))


def _order(name: str, most: int, doc: str) -> None:
    """A file to write 1 to most to; nothing is there to be dropped."""

    def store(kernel: Kernel, buf: str) -> None:
        if not 1 <= kstrtoint(buf) <= most:
            raise KernelError(errno.EINVAL, f"not 1 to {most}")

    vm_sysctls.add(name, store=store, mode=0o200, doc=doc, store_doc="EINVAL.")


_order("compact_memory", 1, "Compact all zones: none has anything to be moved.")
_order("drop_caches", 4, "Drop clean caches: there are none.")


@vm_sysctls.show(mode=0o600)
def stat_refresh_show(kernel: Kernel) -> str:
    """Bring the counters up to date: they are."""
    return ""


@vm_sysctls.store
def stat_refresh_store(kernel: Kernel, buf: str) -> None:
    """As reading."""


GROUPS: tuple[Declaration, ...] = (kernel_sysctls, vm_sysctls)
