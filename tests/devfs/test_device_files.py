"""Files of devices that nothing is kept for: power/, hugepages/, reclaim, notes, what is left of a stopped CPU."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest

from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.machine import CpuTopology, Lmbs, Machine, MemoryRange
from fsmount import procfs, sysfs
from fsmount.tree.kernfs import Tree

GIB = 1 << 30
BLOCK = "sys/devices/system/memory/memory9"
CPU1 = "sys/devices/system/cpu/cpu1"
NODE = "sys/devices/system/node/node0"


def booted(*without: str, release: str = "7.2") -> tuple[Kernel, Tree]:
    """4 GiB that can grow, 4 possible cores of one thread, 2 of them there."""
    machine = Machine(
        name="small",
        source="made for this test",
        arch="ppc64",
        platform="pseries",
        memory=(MemoryRange(0, 4 * GIB),),
        cpus=CpuTopology("0-3", "0-1", type="PowerPC,POWER9"),
        page_size=65536,
        lmbs=(Lmbs(16, 0, 0x80000000), Lmbs(16, 4 * GIB, 0x80000010)),
        cmdline="crashkernel=512M",
        config=dict.fromkeys(without, False),
    )
    kernel = Kernel.boot(machine, release)
    return kernel, Tree(kernel, [*sysfs.GROUPS, *procfs.GROUPS])


def read(tree: Tree, path: str) -> str:
    return tree.open(tree.lookup(path)).read(1 << 20, 0).decode("latin-1")


def write(tree: Tree, path: str, text: str) -> int:
    return tree.open(tree.lookup(path), os.O_WRONLY).write(text.encode(), 0)


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(KernelError) as caught:
        call()
    return errno.errorcode[caught.value.errno]


def test_power_control_keeps_its_word_and_counts_as_a_user() -> None:
    _, tree = booted()
    assert write(tree, f"{BLOCK}/power/control", "on\n") == 3
    assert read(tree, f"{BLOCK}/power/control") == "on\n"
    assert read(tree, f"{BLOCK}/power/runtime_usage") == "1\n"
    assert read(tree, "sys/devices/system/memory/memory8/power/control") == "auto\n"
    assert refused(lambda: write(tree, f"{BLOCK}/power/control", "off")) == "EINVAL"


def test_power_of_a_block_that_came_back_is_as_at_first() -> None:
    kernel, tree = booted()
    path = "sys/devices/system/memory/memory16/power/control"
    kernel.platform.plug_memory(4 * GIB, 1 << 28)
    write(tree, path, "on")
    kernel.platform.unplug_memory(4 * GIB, 1 << 28)
    kernel.platform.plug_memory(4 * GIB, 1 << 28)
    assert read(tree, path) == "auto\n"
    assert kernel.pm.get("/devices/system/memory/memory16", "control") is None


def test_latency_of_a_cpu_is_a_number_or_not_applicable() -> None:
    _, tree = booted()
    path = f"{CPU1}/power/pm_qos_resume_latency_us"
    for text, shown in (("100\n", "100\n"), ("n/a", "n/a\n"), ("0", "0\n")):
        write(tree, path, text)
        assert read(tree, path) == shown
    for text in ("-1", "2147483647", "fast"):
        assert refused(lambda text=text: write(tree, path, text)) == "EINVAL"  # type: ignore[misc]


def test_autosuspend_delay_gives_eio_both_ways() -> None:
    _, tree = booted()
    path = f"{BLOCK}/power/autosuspend_delay_ms"
    assert refused(lambda: read(tree, path)) == "EIO"
    assert refused(lambda: write(tree, path, "1")) == "EIO"


def test_without_config_pm_no_device_has_power() -> None:
    _, tree = booted("PM")
    for path in (BLOCK, CPU1, NODE, "sys/devices/system/memory"):
        assert "power" not in {name for name, _ in tree.names(tree.lookup(path))}


def test_huge_pages_are_had_and_demoted() -> None:
    _, tree = booted()
    huge = f"{NODE}/hugepages/hugepages-1048576kB"
    assert write(tree, f"{huge}/nr_hugepages", "2\n") == 2
    assert read(tree, f"{huge}/nr_hugepages") == "2\n"
    assert read(tree, f"{huge}/demote_size") == "2048kB\n"
    assert write(tree, f"{huge}/demote_size", "2M") == 2
    assert refused(lambda: write(tree, f"{huge}/demote_size", "1G")) == "EINVAL"
    assert refused(lambda: write(tree, f"{huge}/nr_hugepages", "many")) == "EINVAL"
    smaller = {name for name, _ in tree.names(tree.lookup(f"{NODE}/hugepages/hugepages-2048kB"))}
    assert smaller == {"nr_hugepages", "free_hugepages", "surplus_hugepages"}


def test_reclaim_finds_nothing_to_reclaim() -> None:
    _, tree = booted()
    assert refused(lambda: write(tree, f"{NODE}/reclaim", "1M")) == "EAGAIN"
    assert refused(lambda: write(tree, f"{NODE}/reclaim", "all")) == "EINVAL"


def test_a_stopped_cpu_has_no_node_in_its_uevent_and_finds_it_again() -> None:
    _, tree = booted()
    assert read(tree, f"{CPU1}/uevent").startswith("OF_NAME=PowerPC,POWER9\nOF_FULLNAME=/cpus/")
    write(tree, f"{CPU1}/online", "0")
    assert read(tree, f"{CPU1}/uevent").startswith("MODALIAS=cpu:type:power9:feature:,0001,")
    write(tree, f"{CPU1}/online", "1")
    assert "OF_FULLNAME=/cpus/PowerPC,POWER9@1\n" in read(tree, f"{CPU1}/uevent")


def test_a_stopped_cpu_has_neither_cache_nor_topology_nor_capacity() -> None:
    _, tree = booted()
    gone = {"cache", "topology", "cpu_capacity"}
    assert gone <= {name for name, _ in tree.names(tree.lookup(CPU1))}
    assert read(tree, f"{CPU1}/cache/index0/size") == "32K\n"
    assert read(tree, f"{CPU1}/cache/index1/type") == "Instruction\n"
    assert read(tree, f"{CPU1}/cache/index0/shared_cpu_list") == "1\n"
    write(tree, f"{CPU1}/online", "0")
    assert not gone & {name for name, _ in tree.names(tree.lookup(CPU1))}


def test_hardware_number_of_an_unplugged_cpu_is_minus_one_until_it_is_replugged() -> None:
    kernel, tree = booted()
    path = "sys/devices/system/cpu/cpu2/physical_id"
    assert read(tree, path) == "0\n"
    assert kernel.platform.plug_cpu(3) == [2]
    assert read(tree, path) == "3\n"
    kernel.platform.unplug_cpu(2)
    assert read(tree, path) == "-1\n"
    kernel.platform.plug_cpu(2)
    assert read(tree, path) == "2\n"


def test_event_based_branches_come_with_the_counters_driver() -> None:
    with_driver = read(booted()[1], "sys/devices/system/cpu/modalias")
    without = read(booted("PPC_PERF_CTRS")[1], "sys/devices/system/cpu/modalias")
    assert with_driver.endswith(",003A,003B,003C,003D,003F\n")
    assert without == with_driver.replace(",003C", "")


def test_notes_end_with_the_architecture_s_and_are_as_long_as_their_size() -> None:
    _, tree = booted()
    node = tree.lookup("sys/kernel/notes")
    notes = tree.open(node).read(1 << 16, 0)
    assert tree.getattr(node).size == len(notes)
    assert notes[:16] == bytes.fromhex("04000000 14000000 03000000 474e5500")
    assert notes.endswith(b"\x08\0\0\0\x04\0\0\0\x01\0\0\0PowerPC\0\x01\0\0\0")
    assert b"\0\x01\0\0Linux\0\0\x007.2.0\0" in notes


def test_profiling_can_be_switched_on_once() -> None:
    _, tree = booted()
    write(tree, "sys/kernel/profiling", "1")
    assert read(tree, "sys/kernel/profiling") == "1\n"
    assert refused(lambda: write(tree, "sys/kernel/profiling", "1")) == "EEXIST"


def test_an_oops_is_counted() -> None:
    kernel, tree = booted()
    assert read(tree, "sys/kernel/oops_count") == "0\n"
    with pytest.raises(KernelError):
        kernel.panic.die("BUG: made for this test")
    assert read(tree, "sys/kernel/oops_count") == "1\n"


def test_memblock_is_what_the_header_is_made_of() -> None:
    kernel, tree = booted()
    kernel.platform.plug_memory(5 * GIB, 1 << 28)
    assert read(tree, "sys/kernel/debug/memblock/memory") == (
        "   0: 0x0000000000000000..0x00000000ffffffff    0 NONE\n"
        "   1: 0x0000000140000000..0x000000014fffffff    0 NONE\n"
    )


def test_panic_settings_are_kept() -> None:
    _, tree = booted()
    for name in ("panic", "panic_on_oops"):
        write(tree, f"proc/sys/kernel/{name}", "1\n")
        assert read(tree, f"proc/sys/kernel/{name}") == "1\n"
        assert refused(lambda name=name: write(tree, f"proc/sys/kernel/{name}", "x")) == "EINVAL"  # type: ignore[misc]


def test_command_line_is_as_long_as_its_size() -> None:
    _, tree = booted()
    assert tree.getattr(tree.lookup("proc/cmdline")).size == len("crashkernel=512M\n")


@pytest.mark.parametrize(
    ("release", "count"), [("6.1", 60), ("6.12", 64), ("7.2", 84), ("7.3", 86)]
)
def test_counters_of_a_node_come_with_the_releases(release: str, count: int) -> None:
    """The numbers of lines in the golden x86_64 dumps, less nr_unaccepted, and ppc64/A for 7.2."""
    _, tree = booted(release=release)
    assert len(read(tree, f"{NODE}/vmstat").splitlines()) == count
