"""Huge pages: one pool behind sysfs, sysctl and /proc/meminfo."""

from __future__ import annotations

import pytest

from elfcorehdr import profiles
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.lib.record import replace
from fsmount.cli.boot import declarations_of
from fsmount.tree.kernfs import Tree
from tests.identity.test_smt import errno_of
from tests.sysfs.test_sysfs import read, write

ALL = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"


def booted(name: str = "pc-numa2-6g", cmdline: str = "") -> Tree:
    machine = profiles.load(name)
    machine = replace(machine, cmdline=f"{machine.cmdline} {cmdline}".strip())
    return Tree(Kernel.boot(machine), declarations_of())


def rows(tree: Tree) -> dict[str, int]:
    lines = read(tree, "/proc/meminfo").splitlines()
    return {line.split(":")[0]: int(line.split()[1]) for line in lines}


def test_sysctl_sysfs_and_meminfo_are_one_pool() -> None:
    tree = booted()
    free = rows(tree)["MemFree"]
    write(tree, "/proc/sys/vm/nr_hugepages", "100\n")
    assert read(tree, ALL) == "100\n"
    assert read(tree, ALL.replace("nr_", "free_")) == "100\n"
    on = [
        int(read(tree, f"/sys/devices/system/node/node{n}/hugepages/hugepages-2048kB/nr_hugepages"))
        for n in (0, 1)
    ]
    assert on == [50, 50]
    now = rows(tree)
    assert (now["HugePages_Total"], now["HugePages_Free"], now["Hugetlb"]) == (100, 100, 204800)
    assert free - now["MemFree"] == 204800
    assert "Node 0 HugePages_Total:    50\n" in read(tree, "/sys/devices/system/node/node0/meminfo")
    write(tree, ALL, "7")
    assert read(tree, "/proc/sys/vm/nr_hugepages") == "7\n"
    assert rows(tree)["Hugetlb"] == 7 * 2048


def test_a_node_has_a_pool_of_its_own_and_more_than_there_is_is_cut() -> None:
    tree = booted()
    own = "/sys/devices/system/node/node1/hugepages/hugepages-1048576kB/nr_hugepages"
    write(tree, own, "1000")
    got = int(read(tree, own))
    assert 0 < got < 4
    assert read(tree, ALL.replace("2048kB", "1048576kB")) == f"{got}\n"
    assert errno_of(tree, own, "x") == "EINVAL"
    write(tree, own.replace("nr_hugepages", "demote"), "1")
    assert read(tree, own) == f"{got - 1}\n"
    assert read(tree, ALL) == "512\n"


def test_huge_pages_of_the_command_line_are_there_at_boot() -> None:
    tree = booted(
        cmdline="hugepagesz=1G hugepages=2 hugepagesz=2M hugepages=10 default_hugepagesz=1G"
    )
    now = rows(tree)
    assert (now["Hugepagesize"], now["HugePages_Total"]) == (1048576, 2)
    assert now["Hugetlb"] == 2 * 1048576 + 10 * 2048


def test_hash_has_pages_of_16_mib_but_not_under_qemu() -> None:
    tree = booted("pseries-4g", "disable_radix")
    assert "Hugepagesize" not in rows(tree)
    machine = profiles.load("pseries-4g")
    older = Tree(Kernel.boot(replace(machine, cmdline="disable_radix"), "6.12"), declarations_of())
    assert errno_of(older, "/proc/sys/vm/nr_hugepages", "1") == "ENOTSUP"
    with pytest.raises(KernelError, match="ENOENT"):
        tree.lookup("/proc/sys/vm/nr_hugepages")  # golden identity ppc64 7.1.13 hash
    lpar = replace(machine, cmdline="disable_radix", devicetree={"model": "IBM,8286-42A"})
    tree = Tree(Kernel.boot(lpar), declarations_of())
    assert rows(tree)["Hugepagesize"] == 16384
    names = [name for name, _ in tree.names(tree.lookup("/sys/kernel/mm/hugepages"))]
    assert "hugepages-16384kB" in names


def test_memory_that_is_offline_is_not_of_the_total() -> None:
    tree = booted("pseries-16g")
    before = rows(tree)["MemTotal"]
    write(tree, "/sys/devices/system/memory/memory40/state", "offline")
    assert before - rows(tree)["MemTotal"] == 262144
