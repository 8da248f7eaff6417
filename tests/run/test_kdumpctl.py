"""kdumpctl of kdump-utils (Fedora, RHEL), a public tag, unmodified: showmem, estimate, start, status, stop.

Its initrd would be dracut's work, which needs the modules of a system: a small one is put where it looks.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.run.machine import inside
from tests.run.packages import KEXEC, kernel_image, made, over
from tests.run.userlands import emulator, options, userland

pytestmark = [pytest.mark.namespaces, pytest.mark.apt]

TAG = "v1.0.61"
SOURCE = os.environ.get("KDUMPFS_KDUMP_UTILS", "https://github.com/rhkdump/kdump-utils")
"""Where git finds it."""

SUDO = '#!/bin/sh\n[ "$1" = -i ] && shift\nexec "$@"\n'
"""kdumpctl asks for it where the caller's session keyring is not root's: no host needs to have one."""

SCRIPT = """
R=$(uname -r)
K=$(ls /usr/lib/modules/*/vmlinuz /boot/vmlinuz-* 2> /dev/null | head -1)
[ "$K" = /boot/vmlinuz-$R ] || cp "$K" /boot/vmlinuz-$R
mkdir -p /var/lib/kdump; cp "$INITRD" /var/lib/kdump/initramfs-${R}kdump.img
echo 'force_no_rebuild 1' >> /etc/kdump.conf
kdumpctl showmem; kdumpctl estimate; echo "estimate=$?"
kdumpctl start; echo "start=$?"; cat /sys/kernel/kexec_crash_loaded
kdumpctl status; echo "status=$?"
kdumpctl stop; echo "stop=$?"; cat /sys/kernel/kexec_crash_loaded
"""


@functools.cache
def kdump_utils(arch: str) -> Path:
    """The tag as `make install` lays it down, and a sudo."""

    def make(work: Path) -> None:
        line = ["git", "clone", "-q", "--depth", "1", "--branch", TAG, SOURCE, str(work / "src")]
        cloned = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
        if cloned.returncode:
            pytest.skip(f"no kdump-utils here: {cloned.stderr.strip().splitlines()[-1]}")
        for target in (["-C", "src", "-s", "install", f"DESTDIR={work}/root", f"ARCH={arch}"],):
            subprocess.run(["make", *target], cwd=work, capture_output=True, check=True)
        sudo = work / "root/usr/bin/sudo"
        sudo.write_text(SUDO)
        sudo.chmod(0o755)

    return made(f"kdump-utils-{TAG}-{arch}", make) / "root"


def initrd(place: Path) -> Path:
    """A cpio archive with the list of modules that estimate reads."""
    files = {
        "usr": b"",
        "usr/lib": b"",
        "usr/lib/dracut": b"",
        "usr/lib/dracut/hostonly-kernel-modules.txt": b"ext4\n",
        "TRAILER!!!": b"",
    }
    archive = b""
    for number, (name, data) in enumerate(files.items(), 1):
        mode = 0o100644 if data else 0o40755
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % f for f in fields) + name.encode() + b"\0"
        archive += head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
    file = place / "initrd.img"
    file.write_bytes(archive)
    return file


def check(name: str, arch: str, place: Path, *packages: str) -> str:
    """What estimate says, once everything else has gone as it should."""
    script = f"INITRD={initrd(place)}\nexec 2>&1\n{SCRIPT}"
    common = ("--package", str(kdump_utils(arch)), *over("dracut-core", "keyutils"))
    printed = inside(script, "-m", name, *packages, *common)
    reserved = re.search(r"Reserved (\d+)MB memory for crash kernel", printed)
    assert reserved is not None, printed
    assert f"Reserved crashkernel:    {reserved[1]}M" in printed
    assert "estimate=0\n" in printed
    start, _, rest = printed.partition("start=0\n")
    assert "kdump: Starting kdump: [OK]" in start, printed
    assert rest.startswith("1\n"), printed
    assert "kdump: Kdump is operational" in rest
    assert "status=0\n" in rest
    assert rest.endswith("kdump: Stopping kdump: [OK]\nstop=0\n0\n"), printed
    return reserved[1]


@pytest.mark.parametrize(
    ("name", "size"), [("pc-2g", "256"), ("pc-2g-6.1", "256"), ("pc-numa2-6g", "768")]
)
def test_kdumpctl_serves_a_pc(name: str, size: str, tmp_path: Path) -> None:
    assert check(name, "x86_64", tmp_path, *over(*KEXEC, kernel_image())) == size


@pytest.mark.parametrize(
    ("name", "arch", "kernel", "size"),
    [
        ("pseries-16g", "ppc64le", "linux-binary-*-powerpc64le", "1024"),
        ("pseries-4g", "ppc64le", "linux-binary-*-powerpc64le", "512"),
        ("pseries-numa2", "ppc64le", "linux-binary-*-powerpc64le", "512"),
        ("pseries-64t", "ppc64le", "linux-binary-*-powerpc64le", "2048"),
        ("powernv-32g", "ppc64le", "linux-binary-*-powerpc64le", "1024"),
        ("arm64-virt-4g", "aarch64", "linux-binary-*-cloud-arm64", "256"),
        ("riscv64-virt-2g", "riscv64", "linux-binary-*-riscv64", "256"),
    ],
)
def test_kdumpctl_serves_other_architectures(
    name: str, arch: str, kernel: str, size: str, tmp_path: Path
) -> None:
    suite = "sid" if arch == "riscv64" else "bookworm"  # which has no riscv64
    packages = (
        emulator(arch),
        userland(arch, suite, "kexec-tools"),
        userland(arch, "sid", kernel),
    )
    assert check(name, arch, tmp_path, *options(*packages)) == size
