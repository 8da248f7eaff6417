"""During any single call others are answered, and the server stays small."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsmount.host.mounting import server_pid
from tests.mounted.running import running
from tests.mounted.test_shell import kdumpfs

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.skipif(os.geteuid() != 0, reason="files of a FUSE server are opened as root"),
]

BOUND_S, BOUND_KB = 1.0, 100_000

CALLS = {
    "dlpar removes 4,000 LMBs": "echo memory remove count 4000 > sys/kernel/dlpar",
    "dlpar adds 4,000 LMBs": "echo memory add count 4000 > sys/kernel/dlpar",
    "dlpar adds more than there are": "! echo memory add count 999999 > sys/kernel/dlpar",
    "dlpar, a run of 4,000": "echo memory remove indexed-count 4000 0x80020000 > sys/kernel/dlpar",
    "dlpar, a number of 9,999 digits": "! printf 'memory add count %09999d' 1 > sys/kernel/dlpar",
    "all CPUs of the machine": "echo off > sys/devices/system/cpu/smt/control",
    "and on again": "echo on > sys/devices/system/cpu/smt/control",
    "load": "kdumpfs load .",
    "load, legacy": "kdumpfs load --legacy --hotplug .",
    "load of a sparse file": "truncate -s 8E $TMP/sparse; ! kdumpfs load . $TMP/sparse",
    "load of a FIFO": "mkfifo $TMP/fifo; ! kdumpfs load . $TMP/fifo",
    "load of a device": "! kdumpfs load . /dev/zero",
    "load of a directory": "! kdumpfs load . /",
    "load of a file of ours": "! kdumpfs load . proc/iomem",
    "load of a file whose server does not answer": "! kdumpfs load . $OTHER/sys/slow",
    "plug of more than there is": "! kdumpfs plug . memory 4P",
    "a request without end": "! head -c 100M /dev/zero > control/plug",
    "a listing of 262,144 blocks": "ls -U sys/devices/system/memory | wc -l",
    "a listing that is left": "ls -U sys/devices/system/memory | head -n1",
    "a listing of links": "ls -U sys/devices/system/node/node0 | wc -l",
    "the resource tree": "cat proc/iomem",
    "the device tree": "cat sys/firmware/devicetree/base/ibm,dynamic-reconfiguration-memory/*",
    "the header": "cat control/elfcorehdr",
    "the log": "dd if=dev/kmsg iflag=nonblock 2>/dev/null || true",
    "a number of 4,301 digits": "! head -c 4301 /dev/zero | tr '\\0' 9 > sys/kernel/kexec/crash_size",
    "a write of 100 MB": "! head -c 100M /dev/zero > sys/kernel/kexec/crash_size",
}  # fmt: skip
"""What one caller does, by name; `!` before what is refused."""


@pytest.fixture(scope="module")
def huge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """64 TiB, 2,048 CPUs, kdump loaded."""
    root = tmp_path_factory.mktemp("huge")
    assert kdumpfs("mount", "-m", "pseries-64t", "--load", root).returncode == 0
    yield root
    kdumpfs("umount", "--force", root)


SLOW = """
import os, sys, time
from fsmount.host import mountns
mountns.FSTYPE = "fuse.other"
from fsmount.cli.mount import mount_at
from fsmount.tree.kernfs import Tree
from fsmount.tree.kobject import AttributeGroup, singleton
from tests.counters import Machine
class Slow:
    def read(self, size, offset, flags=0):
        time.sleep(1000)
slow = AttributeGroup("", singleton)
slow.add("slow", open=lambda *_: Slow(), size=1 << 20)
mount = mount_at(Tree(Machine(), [slow]), sys.argv[1], direct=True)
mount.serve(lambda: os.write(1, b"ready\\n"))
"""


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A tree that another program serves, which never answers a read."""
    root = tmp_path_factory.mktemp("other")
    project = Path(__file__).parents[2]
    command = [sys.executable, "-c", SLOW, str(root)]
    with running(command, cwd=project, stdout=subprocess.PIPE) as server:
        server.stdout.readline()
        yield root
    subprocess.run(["umount", "-l", root], check=True)


def peak(pid: int) -> int:
    """The most that a process has held, in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise AssertionError("no VmHWM")


@pytest.mark.parametrize("name", CALLS)
def test_others_are_answered_within_a_second_and_the_server_stays_small(
    huge: Path, other: Path, tmp_path: Path, name: str
) -> None:
    pid = server_pid(str(huge))
    assert pid is not None
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # VmHWM anew
    venv = str(Path(sys.executable).parent)
    environment = os.environ | {
        "TMP": str(tmp_path), "OTHER": str(other), "PATH": f"{venv}:{os.environ['PATH']}"
    }  # fmt: skip
    worst, done = 0.0, False
    with subprocess.Popen(
        ["bash", "-c", CALLS[name]], cwd=huge, env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    ) as call:  # fmt: skip
        while not done:
            done = call.poll() is not None
            since = time.monotonic()
            assert (huge / "sys/kernel/kexec_crash_loaded").read_text() in ("0\n", "1\n")
            os.listdir(huge / "sys/kernel/kexec")
            worst = max(worst, time.monotonic() - since)
        assert call.stderr is not None
        said = call.stderr.read()
    assert call.returncode == 0, said
    assert "Traceback" not in said
    assert worst < BOUND_S
    assert peak(pid) < BOUND_KB
