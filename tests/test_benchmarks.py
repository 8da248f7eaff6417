"""The benchmark's own arithmetic. Nothing here is timed."""

from __future__ import annotations

import pytest

from benchmarks import curves, machines, storms, tools
from benchmarks.__main__ import ROWS, missed, print_table
from benchmarks.conditions import AWAKE, awake
from benchmarks.engine import full_kernel, header_of
from benchmarks.measure import interleaved
from benchmarks.mounts import Workshop
from benchmarks.rows import Cost, ratio
from elfcorehdr.elf import ElfCoreHdr
from elfcorehdr.machine.reader import from_toml


def test_interleaved_drops_the_first_round_and_takes_medians():
    costs = {"a": iter([100, 3, 1, 2]), "b": iter([0, 9, 9, 7])}
    runs = {name: values.__next__ for name, values in costs.items()}
    assert interleaved(runs, 3) == {"a": 2, "b": 9}


def test_row_is_missed_only_if_most_runs_miss_it():
    row = next(row for row in ROWS if row.number == "8")  # at most 1.6
    assert not missed(row, [Cost(1.6), Cost(9), Cost(1)])
    assert missed(row, [Cost(1.7), Cost(9), Cost(1)])
    rate = next(row for row in ROWS if row.number == "1")  # at least 0.5
    assert missed(rate, [Cost(0.4)])
    assert not missed(rate, [Cost(0.5)])


def test_every_row_of_the_targets_is_there():
    numbers = {row.number for row in ROWS}
    assert numbers == {
        *map(str, range(1, 31)),
        "3b",
        "7b",
        *(f"12{letter}" for letter in "bcdef"),
        "13b",
        "21b",
    }


def test_table_says_what_was_missed(capsys):
    rows = [row for row in ROWS if row.number == "10"]
    print_table(rows, [[Cost(3, "of 1,000")]], markdown=False)
    assert "MISSED" in capsys.readouterr().out


def test_ratio_names_both_times():
    assert ratio({"a": 0.003, "b": 0.0015}, "a", "b") == Cost(2.0, "3 ms / 1.5 ms")


@pytest.mark.parametrize(
    ("power", "curve"), [(1, {1: 1.0, 10: 5.0, 100: 50.0}), (2, {1: 1.0, 10: 1.0, 100: 100.0})]
)
def test_exponent_is_of_the_upper_half(power, curve):
    assert curves.exponent(curve) == pytest.approx(power)


def test_machines_have_the_size_that_was_asked_for():
    machine = from_toml(machines.toml(64, 32, nodes=4), "bench.toml")
    assert machine.summary() == "ppc64 pseries, 16 GiB, 32 CPUs"
    assert {m.node for m in machine.memory} == set(machine.cpus.node.values()) == {0, 1, 2, 3}


def test_full_kernel_has_exactly_so_many_program_headers():
    assert len(ElfCoreHdr.unpack(header_of(full_kernel(1000, cpus=16))).phdrs) == 1000


def test_idle_cpus_poll_while_a_run_lasts(tmp_path):
    device = tmp_path / "cpu_dma_latency"
    device.touch()
    with awake(str(device)) as said:
        assert said == AWAKE
        assert device.read_bytes() == bytes(4)


def test_run_goes_on_where_idle_cpus_cannot_be_kept_awake(tmp_path):
    with awake(str(tmp_path / "none")) as said:
        assert "No such file or directory" in said


@pytest.mark.parametrize(
    ("via", "options"), [("", []), ("libfuse", ["--libfuse"]), ("direct", ["--direct"])]
)
def test_mounts_of_ours_are_served_as_was_asked_for(tmp_path, via, options):
    command = Workshop(tmp_path, via).mount_command("m.toml", "/mnt", "--load")
    assert command[command.index("mount") :] == [
        *("mount", "-m", "m.toml"),
        *options,
        *("--load", "/mnt"),
    ]


def test_exponent_of_two_sizes_is_between_them():
    assert curves.exponent({1: 1.0, 100: 100.0}) == pytest.approx(1)
    assert curves.exponent({8: 3.0}) == 0


@pytest.mark.parametrize("quick", [True, False])
def test_tools_run_over_ascending_sizes_of_every_axis(quick):
    by_axis: dict[str, list[int]] = {}
    for size in tools.sizes(quick=quick):
        by_axis.setdefault(size.axis, []).append(size.at)
        assert size.tools
        for _, command in size.tools:
            assert "{" not in command.format(root="/mnt")
    assert all(sizes == sorted(set(sizes)) for sizes in by_axis.values())
    largest = {axis: sizes[-1] for axis, sizes in by_axis.items()}
    if not quick:
        assert list(largest.values()) == [262_144, 8192, 64, 65_000]


def test_waits_are_told_as_ratios_to_a_reader_alone(capsys):
    alone, busy = tools.Wait(10, 1e-5, 2e-5, 1e-3), tools.Wait(10, 3e-5, 1e-4, 2e-3)
    tools.print_waits({"nothing": alone, "find": busy}, markdown=False)
    assert capsys.readouterr().out.splitlines()[-1].split() == [
        *("find", "10", "3", "x", "10", "x", "2", "ms")
    ]


@pytest.mark.parametrize("storm", list(storms.STORMS))
def test_storm_has_a_header_after_each_event(storm):
    assert storms.per_event(storms.STORMS[storm], 32) > 0  # RuntimeError if one is missing
