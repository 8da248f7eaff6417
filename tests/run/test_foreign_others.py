"""Debian's kexec(8) of arm64 and riscv64 on their machines: the headers are those that were captured there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.run.machine import inside
from tests.run.userlands import emulator, options, userland

pytestmark = [pytest.mark.namespaces, pytest.mark.apt]

GOLDEN = Path(__file__).parents[1] / "golden/kernel"
CASES = {
    "aarch64": ("arm64-virt-4g", "arm64", "arm64/B-7.3.4-lab-kexec_file_load"),
    "riscv64": ("riscv64-virt-2g", "riscv64", "riscv64/A-7.2.13-lab-kexec_file_load"),
}


def load(architecture: str, flags: str) -> bytes:
    """The header after kexec FLAGS of Debian's kernel of that architecture."""
    machine, debian, _ = CASES[architecture]
    packages = (
        emulator(architecture),
        userland(architecture, "sid", "kexec-tools"),
        userland(architecture, "sid", f"linux-binary-*deb??-{debian}"),
    )
    script = f"""
head -c 100000 /dev/zero > /run/initrd
kexec -p {flags} --initrd=/run/initrd --append="$(cat /proc/cmdline)" /usr/lib/modules/*/vmlinuz > /run/said 2>&1 || cat /run/said
od -An -v -tx1 /run/kdumpfs/fuse/control/elfcorehdr
"""
    return bytes.fromhex(inside(script, "-m", machine, *options(*packages)))


@pytest.mark.parametrize("architecture", CASES)
def test_kexec_file_load_makes_the_captured_header(architecture: str):
    made = load(architecture, "-s")
    first = min((GOLDEN / CASES[architecture][2]).glob("elfcorehdr-*.bin"))
    assert made.rstrip(b"\0") == first.read_bytes().rstrip(b"\0")


def test_kexec_load_of_arm64_hands_over_the_captured_header():
    captured = (GOLDEN / CASES["aarch64"][2] / "elfcorehdr-31.bin").read_bytes()
    assert load("aarch64", "-c") == captured


def test_kexec_load_of_riscv64_hands_over_a_header_of_its_own():
    # Of this there is no capture.
    made = load("riscv64", "-c")
    assert made[:5] == b"\x7fELF\x02"
    assert int.from_bytes(made[18:20], "little") == 243
