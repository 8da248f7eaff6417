"""CPU masks as text, and who is whose sibling, on big machines and after hotplug."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elfcorehdr.drivers.base.cpu import CpuMask
from elfcorehdr.init.main import Kernel
from elfcorehdr.lib.ranges import format_ids, parse_ids
from elfcorehdr.machine import CpuTopology, Machine, MemoryRange
from fsmount.sysfs.cpu import cpulist, cpumap


def booted(possible: str, present: str = "", threads: int = 8, **node: object) -> Kernel:
    return Kernel.boot(
        Machine(
            name="cpus",
            source="made by a test",
            arch="ppc64",
            platform="pseries",
            memory=(MemoryRange(0, 4 << 30),),
            cpus=CpuTopology(possible, present=present, threads=threads, **node),
            page_size=0x10000,
            memory_block_size=1 << 28,
            kernel_end=1 << 25,
        )
    )


@pytest.mark.parametrize(
    ("ids", "nr_bits", "text"),
    [
        ((0,), 1, "1"),
        ((0, 2, 3), 4, "d"),
        ((4,), 5, "10"),
        ((0, 31), 32, "80000001"),
        ((32,), 33, "1,00000000"),
        ((39, 0), 40, "80,00000001"),
        (range(64), 64, "ffffffff,ffffffff"),
        ((), 96, "00000000,00000000,00000000"),
        ((8191,), 8192, "80000000" + ",00000000" * 255),
    ],
)
def test_mask_has_a_word_for_32_cpus_and_the_highest_only_the_digits_it_needs(ids, nr_bits, text):
    assert cpumap(sum(1 << n for n in ids), nr_bits) == text


@given(st.sets(st.integers(0, 300)))
def test_list_of_a_mask_names_its_bits(ids):
    assert parse_ids(cpulist(sum(1 << n for n in ids))) == tuple(sorted(ids))
    assert cpulist(sum(1 << n for n in ids)) == format_ids(sorted(ids))


def test_package_is_the_node_s_running_cpus_through_hotplug():
    kernel = booted("0-31", node={n: n // 16 for n in range(32)})
    cpus = kernel.cpus
    cpu = cpus.cpu(17)
    assert cpu is not None
    assert cpulist(cpus.package_mask(cpu)) == "16-31"
    cpus.down(20)
    cpus.set_target(21, online=False)
    assert cpulist(cpus.package_mask(cpu)) == "16-19,22-31"
    cpus.up(20)
    assert cpulist(cpus.package_mask(cpu)) == "16-20,22-31"
    assert cpus.of_node(1) == list(range(16, 32))


def test_core_that_comes_back_gets_the_lowest_free_numbers_and_its_own_siblings():
    kernel = booted("0-31", present="0-23")
    assert kernel.platform.dlpar is not None
    kernel.platform.dlpar.cpu.remove(0x10000008)
    assert kernel.cpus.threads_of_core(1) == []
    assert kernel.platform.dlpar.cpu.add(0x10000018) == list(range(8, 16))
    assert kernel.cpus.threads_of_core(3) == list(range(8, 16))
    assert kernel.platform.dlpar.cpu.add(0x10000008) == list(range(24, 32))
    cpu = kernel.cpus.cpu(24)
    assert cpu is not None
    assert kernel.cpus.online_threads(cpu) == list(range(24, 32))
    kernel.platform.dlpar.cpu.remove(0x10000018)
    assert kernel.cpus.threads_of_core(3) == []


@pytest.mark.parametrize("possible", [range(8), (0, 1, 2, 5, 6, 7, 9, 11)])
def test_a_mask_holds_possible_cpus_ascending(possible):
    ids = list(possible)
    full, some = CpuMask(possible), CpuMask(possible, (7, 1, 5))
    assert (list(full), len(full), 3 in full) == (ids, 8, 3 in ids)
    assert (list(some), len(some), 1 in some, 0 in some) == ([1, 5, 7], 3, True, False)
    assert some.missing == {*ids} - {1, 5, 7}
    some.add(0)
    some.discard(7)
    some.discard(7)
    some.discard(1000)
    assert (list(some), len(some)) == ([0, 1, 5], 3)
    assert some.among({5, 0, 2}) == [0, 5]
    assert 1000 not in full
    assert list(full) == ids
