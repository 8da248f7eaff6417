"""/proc/powerpc/lparcfg of partitions that are no capture's, and registers of CPUs."""

from __future__ import annotations

import pytest

from elfcorehdr import profiles
from elfcorehdr.errors import ProfileError
from elfcorehdr.machine.reader import from_toml
from fsmount.tree.kernfs import Tree
from tests.identity.test_hugetlb import booted
from tests.identity.test_smt import errno_of
from tests.sysfs.test_sysfs import read, write

LPARCFG = "/proc/powerpc/lparcfg"
CPU = "/sys/devices/system/cpu"


def rows(tree: Tree) -> dict[str, str]:
    heading, *lines = read(tree, LPARCFG).splitlines()
    assert heading == "lparcfg 1.9"
    return dict(line.split("=", 1) for line in lines)


def test_a_partition_of_powervm_is_told_from_qemu() -> None:
    own, qemu = rows(booted("pseries-16g")), rows(booted("pseries-4g"))
    assert (own["system_type"], own["partition_id"]) == ("IBM,9080-HEX", "1")
    assert (own["shared_processor_mode"], own["DesMem"]) == ("0", "16384")
    assert "pool" not in own
    assert qemu["system_type"] == "IBM pSeries (emulated by qemu)"
    assert qemu.keys() < own.keys() | {"HostThrs"}


def test_a_machine_says_what_firmware_says_of_it() -> None:
    text = profiles.text("pseries-16g")
    shared = from_toml(
        f"{text}\n[lparcfg]\nshared_processor_mode = 1\ncapped = 0\ncapacity_weight = 128\n", "x"
    )
    from elfcorehdr.arch.powerpc.platforms.pseries.lparcfg import lparcfg
    from elfcorehdr.init.main import Kernel

    said = lparcfg(Kernel.boot(shared))
    assert "\npool=0\n" in said
    assert "\ncapacity_weight=128\ncapped=0\n" in said
    with pytest.raises(ProfileError, match=r"lparcfg\.pol: 'pol' \(did you mean pool"):
        from_toml(f"{text}\n[lparcfg]\npol = 1\n", "x")
    with pytest.raises(ProfileError, match="only on pseries"):
        from_toml(profiles.text("powernv-32g") + "\n[lparcfg]\npool = 1\n", "x")


def test_entitlement_and_weight_are_set_where_the_hypervisor_has_the_call() -> None:
    tree = booted("pseries-16g")
    write(tree, LPARCFG, "capacity_weight=300x\n")
    assert rows(tree)["capacity_weight"] == str(300 & 0xFF)
    for wrong in (
        "capacity_weight\n",
        "capped=1\n",
        "capacity_weight=\n",
        "capacity_weight=" + "1" * 60,
    ):
        assert errno_of(tree, LPARCFG, wrong) == "EINVAL"
    # H_FUNCTION is -2, and lparcfg_write() hands it on as it is.
    assert errno_of(booted("pseries-4g"), LPARCFG, "capacity_weight=1\n") == "ENOENT"


def test_registers_are_there_while_a_cpu_runs() -> None:
    tree = booted("pseries-16g")
    assert int(read(tree, f"{CPU}/cpu1/purr"), 16) >= 0
    assert read(tree, f"{CPU}/cpu3/pir") == "3\n"
    write(tree, f"{CPU}/cpu1/dscr", "1f rest")
    assert [read(tree, f"{CPU}/cpu{n}/dscr") for n in (0, 1)] == ["0\n", "1f\n"]
    write(tree, f"{CPU}/dscr_default", "2")
    assert [read(tree, f"{CPU}/cpu{n}/dscr") for n in (0, 1)] == ["2\n", "2\n"]
    assert errno_of(tree, f"{CPU}/dscr_default", "g") == "EINVAL"
    write(tree, f"{CPU}/cpu1/online", "0")
    names = set(tree.names(tree.lookup(f"{CPU}/cpu1")))
    assert not names & {"purr", "spurr", "dscr", "pir", "smt_snooze_delay"}
