"""/proc/cpuinfo as real kernels of each architecture print it, and what a machine's file may say of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from elfcorehdr import profiles
from elfcorehdr.errors import ProfileError
from elfcorehdr.init.main import Kernel
from elfcorehdr.lib.record import replace

KERNEL = Path(__file__).parent.parent / "golden" / "kernel"
CAPTURES = KERNEL / "identity"
PC, PC_SMT, VIRT, PSERIES, HASH = (
    CAPTURES / name / "living/proc/cpuinfo"
    for name in (
        "x86_64.7.3.4+deb13-amd64.pc-2g",
        "x86_64.7.3.4+deb13-amd64.pc-numa2-2s2c2t",
        "arm64.7.3.4+deb13-arm64.virt-4g",
        "ppc64.7.1.13-64k.pseries-radix-1x4",
        "ppc64.7.1.13-64k.pseries-hash-2x1",
    )
)
LIVE = re.compile(r"^(bogomips|cpu MHz)(\s*): [\d.]+", re.M)
"""Calibrated: another number on each CPU of a QEMU machine."""


def cpuinfo(name: str, **changes: object) -> str:
    """What a shipped machine prints, with some fields of it changed."""
    kernel = Kernel.boot(replace(profiles.load(name), **changes))
    return "".join(kernel.arch.cpuinfo(kernel))


def same(text: str) -> str:
    return LIVE.sub(r"\1\2: N", text)


def test_x86_64_prints_what_a_qemu_pc_of_the_same_kind_printed():
    assert same(cpuinfo("pc-2g")) == same(PC.read_text())


def test_packages_cores_and_threads_of_x86_64_are_told_by_each_cpu():
    machine = profiles.load("pc-2g")
    said = {
        key.strip(): value.strip()
        for key, _, value in (
            line.partition(":") for line in PC_SMT.read_text().partition("\n\n")[0].splitlines()
        )
    }
    own = {
        key: said[key] for key in said if key in machine_rows("pc-2g") and key != "power management"
    }
    cpus = replace(
        machine.cpus,
        present="0-7",
        online="0-7",
        threads=2,
        cores_per_package=2,
        node={4: 1, 5: 1, 6: 1, 7: 1},
    )
    assert same(cpuinfo("pc-2g", cpus=cpus, cpuinfo=own)) == same(PC_SMT.read_text())


def machine_rows(name: str) -> frozenset[str]:
    kernel = Kernel.boot(profiles.load(name))
    return kernel.arch.cpuinfo_rows()


def test_arm64_prints_what_a_cortex_a72_printed():
    cpus = replace(profiles.load("arm64-virt-4g").cpus, online="0-3")
    assert cpuinfo("arm64-virt-4g", cpus=cpus) == VIRT.read_text()


def test_riscv64_prints_what_qemus_rv64_printed():
    case = KERNEL / "riscv64/A-7.2.13-lab-kexec_file_load/machine.json"
    lines = json.loads(case.read_text())["cpuinfo"]
    assert cpuinfo("riscv64-virt-2g").splitlines() == lines


def test_riscv64_6_1_has_one_row_of_extensions_and_names_six_of_them():
    kernel = Kernel.boot(profiles.load("riscv64-virt-2g"), "6.1")
    text = "".join(kernel.arch.cpuinfo(kernel))
    assert "hart isa" not in text
    assert "isa\t\t: rv64imafdch_sstc_zihintpause\n" in text


def test_ppc64_prints_what_a_qemu_pseries_printed():
    cpus = replace(profiles.load("pseries-4g").cpus, present="0-3", threads=4)
    assert cpuinfo("pseries-4g", cpus=cpus) == PSERIES.read_text()


def test_the_mmu_of_ppc64_is_hash_with_disable_radix_and_on_processors_without_radix():
    assert cpuinfo("pseries-4g", cmdline="disable_radix crashkernel=512M") == HASH.read_text()
    power8 = replace(profiles.load("pseries-4g").cpus, type="PowerPC,POWER8")
    text = cpuinfo("pseries-4g", cpus=power8)
    assert "cpu\t\t: POWER8 (architected), altivec supported\n" in text
    assert "revision\t: 2.0 (pvr 004d 0200)\n" in text
    assert text.endswith("MMU\t\t: Hash\n")


def test_bare_metal_names_its_firmware_and_the_raw_processor():
    text = cpuinfo("powernv-32g")
    assert "cpu\t\t: POWER9, altivec supported\n" in text
    assert text.endswith(
        "platform\t: PowerNV\nmodel\t\t: IBM PowerNV (emulated by qemu)\n"
        "machine\t\t: PowerNV IBM PowerNV (emulated by qemu)\nfirmware\t: OPAL\nMMU\t\t: Radix\n"
    )
    power8 = replace(profiles.load("powernv-32g").cpus, type="PowerPC,POWER8")
    assert "cpu\t\t: POWER8 (raw), altivec supported\n" in cpuinfo("powernv-32g", cpus=power8)


def test_a_cpu_that_is_offline_is_not_listed_and_leaves_its_package():
    kernel = Kernel.boot(profiles.load("pc-2g"))
    kernel.cpus.down(1)
    text = "".join(kernel.arch.cpuinfo(kernel))
    assert text.count("processor\t") == 1
    assert "siblings\t: 1\n" in text
    assert "cpu cores\t: 1\n" in text


def test_a_machine_says_its_own_rows_and_one_that_the_architecture_lacks_is_refused():
    assert "model name\t: Xeon\n" in cpuinfo("pc-2g", cpuinfo={"model name": "Xeon"})
    with pytest.raises(ProfileError, match=r"cpuinfo\.'modelname': no such row on x86_64"):
        cpuinfo("pc-2g", cpuinfo={"modelname": "Xeon"})
