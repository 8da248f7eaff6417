"""kdump.sh of kdump-utils (Fedora, RHEL), a public tag, unmodified: what its initrd runs on a capture kernel, to the end.

There is no initrd here: its files are laid where dracut puts them, the dump target is a directory mounted on /sysroot, and
systemctl is a stand-in that asks for what `systemctl reboot -f` asks for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.run.machine import ENVIRONMENT, PROJECT, RUN
from tests.run.packages import over, package
from tests.run.test_kdumpctl import kdump_utils

pytestmark = [pytest.mark.namespaces, pytest.mark.apt]

SYSTEMCTL = """#!/usr/bin/env python3
import ctypes, sys
if sys.argv[1:] == ["reboot", "-f"]:
    ctypes.CDLL(None).reboot(0x1234567)
sys.exit(1)
"""
TOOLS = ("makedumpfile", "kexec-tools", "libdw1", "libelf1", "libsnappy1v5", "liblzo2-2")
MOUNT = "mkdir -p /sysroot /var/disk && mount --bind /var/disk /sysroot"


def initramfs(place: Path, conf: str) -> Path:
    """What mkdumprd's initrd has in it of kdump, and of dracut."""
    tag, dracut = kdump_utils("x86_64"), package("dracut-core") / "usr/lib/dracut"
    for name in ("lib", "etc", "usr/bin"):
        (place / name).mkdir(parents=True)
    for directory in ("usr/lib/kdump", "usr/lib/dracut/modules.d/99kdumpbase"):
        for file in (tag / directory).glob("*.sh"):
            shutil.copy(file, place / "lib")
    for file in (dracut / "modules.d/99base").glob("dracut*.sh"):
        shutil.copy(file, place / "lib")
    for file in dracut.glob("dracut-getarg"):
        shutil.copy(file, place / "usr/bin")
    (place / "etc/kdump.conf").write_text(conf)
    systemctl = place / "usr/bin/systemctl"
    systemctl.write_text(SYSTEMCTL)
    systemctl.chmod(0o755)
    return place


def crash(place: Path, conf: str, then: str, *options: str) -> subprocess.CompletedProcess[str]:
    line = (
        *(*RUN, "--load", "--keep", str(place / "keep")),
        *("--package", str(initramfs(place / "initramfs", conf)), *over(*TOOLS), *options),
        *("--then", then, "--", "sh", "-c", "echo c > /proc/sysrq-trigger"),
    )
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=180, env=ENVIRONMENT, cwd=PROJECT)  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="it mounts its dump target: root's")
@pytest.mark.parametrize("machine", ["pc-2g-6.1", "pc-numa2-6g"])
def test_kdump_sh_saves_the_core_and_reboots(tmp_path: Path, machine: str) -> None:
    conf = "path /var/crash\ncore_collector makedumpfile -l --message-level 7 -d 31\n"
    done = crash(tmp_path, conf, f"{MOUNT} && sh /lib/kdump.sh; echo NOT", "-m", machine)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT" not in done.stdout
    kept = {p.name: p for p in (tmp_path / "keep").glob("var/disk/var/crash/127.0.0.1-*/*")}
    assert {*kept} == {"vmcore", "vmcore-dmesg.txt", "kexec-dmesg.log"}
    assert kept["vmcore"].read_bytes()[:9] == b"KDUMP   \6"
    said = kept["vmcore-dmesg.txt"].read_text()
    assert "Kernel panic - not syncing: sysrq triggered crash" in said
    assert "Kernel command line: " in kept["kexec-dmesg.log"].read_text()
    assert "Kernel panic" not in kept["kexec-dmesg.log"].read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="it mounts its dump target: root's")
def test_collector_that_fails_is_seen_by_kdump_sh(tmp_path: Path) -> None:
    conf = "path /var/crash\ncore_collector false\n"
    done = crash(tmp_path, conf, f"{MOUNT} && sh /lib/kdump.sh; echo status $?", "-m", "pc-2g-6.1")
    assert done.stdout.splitlines()[-1] == "status 1", done.stdout + done.stderr
    kept = sorted(p.name for p in (tmp_path / "keep").glob("var/disk/var/crash/*/*"))
    assert kept == ["kexec-dmesg.log", "vmcore-dmesg.txt"]
