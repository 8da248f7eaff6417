"""Tasks and CPUs that hang, warnings and oopses: what is said, release by release, and when it is a panic."""

from __future__ import annotations

import os

import pytest

from elfcorehdr import profiles
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel import watchdog
from elfcorehdr.kernel.kexec_file import KEXEC_FILE_ON_CRASH
from elfcorehdr.lib.record import replace
from fsmount import procfs, sysfs
from fsmount.control import requests
from fsmount.tree.kernfs import Tree


def booted(release: str = "7.2", machine: str = "pc-2g") -> tuple[Kernel, Tree]:
    kernel = Kernel.boot(replace(profiles.load(machine), cmdline="quiet"), release)
    return kernel, Tree(kernel, [*sysfs.GROUPS, *procfs.GROUPS, *requests.GROUPS])


def write(tree: Tree, path: str, text: str) -> None:
    tree.open(tree.lookup(path), os.O_WRONLY).write(text.encode(), 0)


def read(tree: Tree, path: str) -> str:
    return tree.open(tree.lookup(path)).read(1 << 16, 0).decode()


UNABLE = "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000000"
X86 = "BUG: kernel NULL pointer dereference, address: 0000000000000000"
PPC = "BUG: Kernel NULL pointer dereference on read at 0x00000000"


def said(kernel: Kernel, since: int) -> list[str]:
    return [r.text for r in kernel.log if r.seq >= since]


@pytest.mark.parametrize(
    ("release", "tgid", "flags"),
    [
        ("6.1", "", ""),
        ("6.12", " tgid:812  ", ""),
        ("7.2", " tgid:812  ", " task_flags:0x400140"),
    ],
)
def test_task_that_hangs_is_told_as_the_release_tells_it(release, tgid, flags):
    kernel, _ = booted(release)
    since = kernel.log.next_seq
    watchdog.hung_task(kernel, "nfsd", 812)
    assert said(kernel, since)[:5] == [
        "INFO: task nfsd:812 blocked for more than 120 seconds.",
        f"      Not tainted {kernel.release} #1",
        '"echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.',
        f"task:nfsd            state:D stack:0     pid:812  {tgid} ppid:1     {flags} flags:0x00000000",
        "Call Trace:",
    ]
    assert not kernel.dead


def test_hung_task_panics_if_it_was_told_to():
    kernel, tree = booted("6.12")
    write(tree, "proc/sys/kernel/hung_task_timeout_secs", "30")
    write(tree, "proc/sys/kernel/hung_task_panic", "1")
    since = kernel.log.next_seq
    write(tree, "control/crash", '{"hung_task": "nfsd:812"}')
    lines = said(kernel, since)
    assert lines[0] == "INFO: task nfsd:812 blocked for more than 30 seconds."
    assert "Kernel panic - not syncing: hung_task: blocked tasks" in lines
    assert any(line.startswith("CPU: 0 UID: 0 PID: 31 Comm: khungtaskd ") for line in lines)
    assert kernel.dead


def test_hung_task_panic_is_a_number_of_tasks_since_7_2():
    kernel, tree = booted("7.2")
    write(tree, "proc/sys/kernel/hung_task_panic", "2")
    watchdog.hung_task(kernel, "nfsd", 812)
    assert not kernel.dead
    write(tree, "proc/sys/kernel/hung_task_panic", "1")
    watchdog.hung_task(kernel, "nfsd", 812)
    assert kernel.dead
    kernel, tree = booted("6.12")
    with pytest.raises(KernelError, match="0 to 1"):
        write(tree, "proc/sys/kernel/hung_task_panic", "2")


def test_nobody_looks_with_a_timeout_of_0_and_ten_times_is_enough():
    kernel, tree = booted()
    for _ in range(12):
        watchdog.hung_task(kernel, "nfsd", 812)
    assert sum("blocked for more" in r.text for r in kernel.log) == 10
    assert read(tree, "proc/sys/kernel/hung_task_warnings") == "0\n"
    write(tree, "proc/sys/kernel/hung_task_timeout_secs", "0")
    with pytest.raises(KernelError, match="hung_task_timeout_secs is 0"):
        watchdog.hung_task(kernel, "nfsd", 812)


@pytest.mark.parametrize(("release", "words"), [("6.1", False), ("6.12", True), ("7.2", True)])
def test_soft_lockup_taints_and_panics_if_it_was_told_to(release, words):
    kernel, tree = booted(release)
    since = kernel.log.next_seq
    write(tree, "control/crash", '{"soft_lockup": "1:kworker/1:2:77"}')
    assert said(kernel, since)[:2] == [
        "watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [kworker/1:2:77]",
        "Modules linked in:",
    ]
    assert not kernel.dead
    write(tree, "proc/sys/kernel/softlockup_panic", "1")
    since = kernel.log.next_seq
    write(tree, "control/crash", '{"soft_lockup": "0"}')
    lines = said(kernel, since)
    assert lines[0].endswith("CPU#0 stuck for 22s! [swapper/0:0]")
    assert "Kernel panic - not syncing: softlockup: hung tasks" in lines
    spaces = "      " if release == "7.2" else "     "
    assert any(f"Tainted: G             L{spaces}{kernel.release}" in line for line in lines)
    assert ("Tainted: [L]=SOFTLOCKUP" in lines) == words
    assert kernel.dead


def test_how_long_is_told_follows_from_the_threshold():
    kernel, tree = booted()
    for thresh, told in (("10", "22s"), ("5", "11s"), ("30", "67s")):
        write(tree, "proc/sys/kernel/watchdog_thresh", thresh)
        since = kernel.log.next_seq
        watchdog.soft_lockup(kernel, 0, "sh", 1)
        assert f" stuck for {told}! " in said(kernel, since)[0]
    assert read(tree, "sys/kernel/softlockup_count") == "3\n"
    write(tree, "proc/sys/kernel/watchdog_thresh", "0")
    with pytest.raises(KernelError, match="watchdog_thresh is 0"):
        watchdog.soft_lockup(kernel, 0, "sh", 1)
    with pytest.raises(KernelError, match="CPU 9 does not run"):
        watchdog.soft_lockup(kernel, 9, "sh", 1)
    write(tree, "proc/sys/kernel/watchdog_thresh", "10")
    for name in ("watchdog", "soft_watchdog"):
        write(tree, f"proc/sys/kernel/{name}", "0")
        with pytest.raises(KernelError, match=f"{name} is 0"):
            watchdog.soft_lockup(kernel, 0, "sh", 1)
        write(tree, f"proc/sys/kernel/{name}", "1")
    watchdog.soft_lockup(kernel, 0, "sh", 1)


@pytest.mark.parametrize(
    ("release", "line"),
    [
        ("6.1", "NMI watchdog: Watchdog detected hard LOCKUP on cpu 1"),
        ("6.12", "watchdog: Watchdog detected hard LOCKUP on cpu 1"),
        ("7.2", "watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 1"),
    ],
)
def test_hard_lockup_is_told_by_another_cpu(release, line):
    kernel, tree = booted(release)
    since = kernel.log.next_seq
    write(tree, "control/crash", '{"hard": [1]}')
    assert line in said(kernel, since)
    assert "Kernel panic - not syncing: Hard LOCKUP" in said(kernel, since)


def test_warning_counts_and_is_a_panic_if_it_was_told_to():
    kernel, tree = booted("6.12")
    since = kernel.log.next_seq
    write(tree, "control/crash", '{"warn": "refcount_t: underflow"}')
    lines = said(kernel, since)
    assert lines[:3] == [
        "------------[ cut here ]------------",
        "WARNING: CPU: 0 PID: 1 at kdumpfs_warn",
        "refcount_t: underflow",
    ]
    assert lines[-1] == "---[ end trace 0000000000000000 ]---"
    assert read(tree, "sys/kernel/warn_count") == "1\n"
    write(tree, "proc/sys/kernel/warn_limit", "2")
    write(tree, "control/crash", '{"warn": ""}')
    assert kernel.panic.why == "kernel: system warned too often (kernel.warn_limit is 2)"
    kernel, tree = booted("7.2")
    write(tree, "proc/sys/kernel/panic_on_warn", "1")
    since = kernel.log.next_seq
    write(tree, "control/crash", '{"warn": "x"}')
    assert said(kernel, since)[1] == "WARNING: at kdumpfs_warn, CPU#0: init/1"
    assert "Kernel panic - not syncing: kernel: panic_on_warn set ..." in said(kernel, since)


@pytest.mark.parametrize(
    ("machine", "release", "lines"),
    [
        ("pc-2g", "6.1", (X86, "Oops: 0000 [#1] PREEMPT SMP NOPTI")),
        ("pc-2g", "6.12", (X86, "Oops: Oops: 0000 [#1] PREEMPT SMP NOPTI")),
        ("pseries-4g", "7.2", (PPC, "Oops: Kernel access of bad area, sig: 11 [#1]")),
        ("arm64-virt-4g", "7.3", (UNABLE, "Internal error: Oops: 0000000096000004 [#1] SMP")),
        ("riscv64-virt-2g", "7.2", (UNABLE, "Oops [#1]")),
    ],
)
def test_oops_is_told_as_the_architecture_tells_it(machine, release, lines):
    kernel = Kernel.boot(profiles.load(machine), release)
    since = kernel.log.next_seq
    kernel.panic.oops()
    assert tuple(said(kernel, since)[:2]) == lines


def test_oops_with_an_image_goes_to_the_capture_kernel_without_a_word_of_panic(monkeypatch):
    kernel = Kernel.boot(profiles.load("pc-2g"))
    kernel.kexec.file_load(None, None, b"", KEXEC_FILE_ON_CRASH)
    kernel.panic.oops("BUG: one")
    assert not kernel.dead
    kernel.panic.on_oops = 1
    last: list[str] = []
    crash_kexec = kernel.crash_kexec

    def seen(crash):
        last.extend(r.text for r in kernel.log)
        crash_kexec(crash)

    monkeypatch.setattr(kernel, "crash_kexec", seen)
    kernel.panic.oops("BUG: two")
    assert kernel.vmcore is not None
    assert "BUG: two" in last
    assert "Oops: Oops: 0000 [#2] SMP NOPTI" in last
    assert any("Kdump: loaded Tainted: G      D " in line for line in last)
    assert not any("Kernel panic" in line for line in last)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ('{"soft_lockup": "x"}', "expected CPU"),
        ('{"soft_lockup": ""}', "expected CPU"),
        ('{"soft_lockup": "99999999999999999999"}', "does not run"),
        ('{"hung_task": ""}', "expected COMM or COMM:PID"),
        ('{"hung_task": "sh:x"}', "expected COMM or COMM:PID"),
        ('{"hung_task": 3}', "expected a text"),
        ('{"warn": 3}', "expected a text"),
    ],
)
def test_what_is_no_task_or_cpu_is_refused(body, why):
    _, tree = booted()
    with pytest.raises(KernelError, match=why):
        write(tree, "control/crash", body)
