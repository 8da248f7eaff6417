"""/sys/kernel/mm and /proc/sys of a machine: what is set stays, what is wrong is EINVAL, and kernels differ."""

from __future__ import annotations

import pytest

from elfcorehdr import profiles
from elfcorehdr.init.main import Kernel
from elfcorehdr.machine.quick import with_cmdline
from fsmount.cli.boot import declarations_of
from fsmount.tree.kernfs import Tree
from tests.identity.test_smt import errno_of
from tests.sysfs.test_sysfs import read, write

THP = "/sys/kernel/mm/transparent_hugepage"
KSM = "/sys/kernel/mm/ksm"


def booted(name: str = "pc-2g", version: str = "") -> Tree:
    return Tree(Kernel.boot(profiles.load(name), version), declarations_of())


def names(tree: Tree, path: str) -> set[str]:
    return {name for name, _ in tree.names(tree.lookup(path))}


@pytest.mark.parametrize(
    ("path", "data", "after"),
    [
        (f"{THP}/enabled", "never\n", "always madvise [never]\n"),
        (f"{THP}/defrag", "defer+madvise", "always defer [defer+madvise] madvise never\n"),
        (f"{THP}/khugepaged/max_ptes_none", "0", "0\n"),
        (f"{THP}/hugepages-64kB/enabled", "inherit", "always [inherit] madvise never\n"),
        (f"{KSM}/run", "2", "2\n"),
        (f"{KSM}/advisor_mode", "scan-time", "none [scan-time]\n"),
        ("/sys/kernel/mm/lru_gen/enabled", "n", "0x0000\n"),
        ("/sys/kernel/mm/lru_gen/enabled", "5", "0x0005\n"),
        ("/sys/kernel/mm/numa/demotion_enabled", "1", "true\n"),
        ("/proc/sys/vm/swappiness", "10\n", "10\n"),
        ("/proc/sys/vm/lowmem_reserve_ratio", "1 2", "1\t2\t32\t0\t0\n"),
        ("/proc/sys/kernel/watchdog_thresh", "30", "30\n"),
        ("/proc/sys/kernel/tainted", "512", "512\n"),
        ("/proc/sys/kernel/dmesg_restrict", "1", "1\n"),
    ],
)
def test_what_is_set_stays_until_the_next_boot(path: str, data: str, after: str) -> None:
    tree = booted()
    before = read(tree, path)
    write(tree, path, data)
    assert read(tree, path) == after
    tree.kernel.restart(tree.kernel.machine)
    if "dmesg_restrict" not in path:
        assert read(tree, path) == before != after


@pytest.mark.parametrize(
    ("path", "data", "name"),
    [
        (f"{THP}/enabled", "sometimes", "EINVAL"),
        (f"{THP}/use_zero_page", "2", "EINVAL"),
        (f"{THP}/khugepaged/max_ptes_none", "512", "EINVAL"),
        (f"{THP}/khugepaged/pages_to_scan", "0", "EINVAL"),
        (f"{KSM}/run", "3", "EINVAL"),
        (f"{KSM}/max_page_sharing", "1", "EINVAL"),
        ("/sys/kernel/mm/swap/vma_ra_enabled", "x", "EINVAL"),
        ("/proc/sys/vm/swappiness", "x", "EINVAL"),
        ("/proc/sys/vm/swappiness", "1 2", "EINVAL"),
        ("/proc/sys/vm/drop_caches", "0", "EINVAL"),
        ("/proc/sys/vm/compact_memory", "2", "EINVAL"),
        ("/proc/sys/kernel/osrelease", "7.0", "EACCES"),
        ("/proc/sys/kernel/sched_energy_aware", "1", "ENOTSUP"),
    ],
)
def test_what_no_kernel_takes(path: str, data: str, name: str) -> None:
    assert errno_of(booted(), path, data) == name


def test_older_kernels_have_less() -> None:
    new, old = booted(version="7.3"), booted(version="6.1")
    assert "hugepages-2048kB" in names(new, THP)
    assert not any(name.startswith("hugepages-") for name in names(old, THP))
    assert "advisor_mode" in names(new, KSM)
    assert "advisor_mode" not in names(old, KSM)
    gone = names(new, "/proc/sys/kernel") - names(old, "/proc/sys/kernel")
    assert {"panic_sys_info", "hung_task_detect_count"} <= gone
    assert read(old, "/proc/sys/kernel/sched_rt_runtime_us") == "950000\n"
    assert read(new, "/proc/sys/kernel/sched_rt_runtime_us") == "1000000\n"


def test_sizes_of_folios_follow_the_page_size() -> None:
    small, large = booted("pseries-numa2", "7.2"), booted("pseries-4g", "7.2")
    assert "hugepages-16kB" in names(small, THP)
    assert {n for n in names(large, THP) if n.startswith("hugepages")} == {
        f"hugepages-{kib}kB" for kib in (128, 256, 512, 1024, 2048)
    }
    assert "enabled" not in names(large, f"{THP}/hugepages-128kB")  # shmem alone


def test_a_processor_without_huge_pages_has_no_directory() -> None:
    machine = with_cmdline(profiles.load("pseries-4g"), "disable_radix")
    tree = Tree(Kernel.boot(machine), declarations_of())
    assert "transparent_hugepage" not in names(tree, "/sys/kernel/mm")
