"""Debian's ppc64el, arm64 and riscv64 programs on the machines that they are made for, by qemu-user."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.run.machine import inside
from tests.run.userlands import emulator, options, userland

pytestmark = [pytest.mark.namespaces, pytest.mark.apt]

TOOLS = ("kexec-tools", "powerpc-utils", "kdump-tools")
KERNEL = "linux-binary-*-powerpc64le"
SUITES = ("bookworm", "trixie", "sid")

BOOT = """
V=$(basename /usr/lib/modules/*-powerpc64le)
cp /usr/lib/modules/$V/vmlinuz /boot/vmlinuz-$V
head -c 100000 /dev/zero > /boot/initrd.img-$V
"""


def ppc(suite: str, machine: str = "pseries-16g") -> tuple[str, ...]:
    packages = (
        emulator("ppc64le"),
        userland("ppc64le", suite, *TOOLS),
        userland("ppc64le", "sid", KERNEL),
    )
    return ("-m", machine, *options(*packages))


@pytest.mark.parametrize("suite", SUITES)
def test_the_mails_own_line_loads_on_the_mails_own_machine(suite: str):
    script = f"""{BOOT}
kexec --initrd=/boot/initrd.img-$V /boot/vmlinuz-$V --append="$(cat /proc/cmdline)" -pds > /dev/null 2>&1
echo "load=$?"; cat /sys/kernel/kexec/crash_elfcorehdr_print
kexec -p -u -s; echo "u=$?"; cat /sys/kernel/kexec/crash_loaded
"""
    printed = inside(script, *ppc(suite))
    seed = Path(__file__).parents[1] / "golden/kernel/seed/crash_elfcorehdr_print.txt"
    # The backup region lies behind the kernel image, whose size the mail does not say.
    rows = re.compile(r"(?m)^(0x9 +PT_LOAD +)0x\w+ +")
    table = printed.partition("load=0\n")[2].partition("u=0\n")[0]
    assert rows.sub(r"\1", table) == rows.sub(r"\1", seed.read_text())
    assert printed.endswith("u=0\n0\n")
