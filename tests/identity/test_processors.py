"""Caches and vulnerabilities: those of the captures' processors, and what a machine's file says of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from elfcorehdr import profiles
from elfcorehdr.errors import ProfileError
from elfcorehdr.init.main import Kernel
from elfcorehdr.lib.record import replace
from elfcorehdr.machine import CacheLeaf
from elfcorehdr.machine.reader import from_toml
from fsmount.cli.boot import declarations_of
from fsmount.tree.kernfs import Tree
from tests.identity.test_captures import CAPTURES, compared
from tests.identity.test_hugetlb import booted
from tests.sysfs.test_sysfs import read, write

CPU = "/sys/devices/system/cpu"


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.name)
def test_caches_and_vulnerabilities_are_those_of_the_real_kernel(capture: Path) -> None:
    result = compared(capture)
    wrong = [d.path for d in result.unexplained if "/cache/" in d.path or "/vulnerab" in d.path]
    assert wrong == []


def test_a_machine_says_its_own() -> None:
    leaves = (CacheLeaf(1, "Data", 0x8000, 64), CacheLeaf(3, "Unified", 32 << 20, 64, 16, cores=2))
    machine = profiles.load("pc-numa2-6g")
    topology = replace(
        machine.cpus, threads=2, possible="0-7", present="", online="", cores_per_package=2
    )
    machine = replace(
        machine, caches=leaves, cpus=topology, vulnerabilities={"retbleed": "Vulnerable"}
    )
    tree = Tree(Kernel.boot(machine), declarations_of())
    assert read(tree, f"{CPU}/cpu5/cache/index1/shared_cpu_list") == "4-7\n"
    assert read(tree, f"{CPU}/cpu5/cache/index1/id") == "1\n"
    assert read(tree, f"{CPU}/cpu5/cache/index0/shared_cpu_list") == "4-5\n"
    assert "number_of_sets" not in tree.names(tree.lookup(f"{CPU}/cpu5/cache/index0"))
    assert read(tree, f"{CPU}/vulnerabilities/retbleed") == "Vulnerable\n"
    write(tree, f"{CPU}/cpu4/online", "0")
    assert read(tree, f"{CPU}/cpu5/cache/index1/shared_cpu_list") == "5-7\n"
    assert "cache" not in tree.names(tree.lookup(f"{CPU}/cpu4"))


def test_words_that_no_kernel_knows_are_told() -> None:
    text = profiles.text("pc-2g")
    with pytest.raises(ProfileError, match=r"vulnerabilities\.spectre_v1b: .* \(did you mean spec"):
        from_toml(f'{text}\n[vulnerabilities]\nspectre_v1b = "x"\n', "x")
    with pytest.raises(ProfileError, match=r"caches\[0\]\.type: 'Date' \(did you mean Data"):
        from_toml(f'{text}\n[[caches]]\nlevel = 1\ntype = "Date"\n', "x")


def test_mitigations_follow_the_command_line() -> None:
    off = booted("pc-2g")
    machine = profiles.load("pc-2g")
    on = replace(machine, cmdline=machine.cmdline.replace("mitigations=off ", ""))
    tree = Tree(Kernel.boot(on), declarations_of())
    files = [f"{CPU}/vulnerabilities/spectre_v2", f"{CPU}/vulnerabilities/mds"]
    assert [read(off, path).split(";")[0].strip() for path in files] == [
        "Vulnerable",
        "Not affected",
    ]
    assert read(tree, files[0]).startswith("Mitigation: Retpolines; ")
    power = booted("pseries-4g", "mitigations=off")
    assert read(power, f"{CPU}/vulnerabilities/meltdown") == "Vulnerable\n"
    assert read(booted("pseries-4g"), f"{CPU}/vulnerabilities/l1tf") == "Mitigation: RFI Flush\n"
