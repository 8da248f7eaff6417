"""Which server `kdumpfs mount` takes, and the one without libfuse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.run.machine import ENVIRONMENT

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts by itself"),
]
KDUMPFS = [sys.executable, "-m", "fsmount.cli.main"]


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """The default machine with kdump loaded."""
    command = [*KDUMPFS, "mount", "--direct", "--load", str(tmp_path)]
    subprocess.run(command, env=ENVIRONMENT, check=True, timeout=60)
    yield tmp_path
    subprocess.run([*KDUMPFS, "umount", str(tmp_path)], env=ENVIRONMENT, check=True, timeout=60)
    assert list(tmp_path.iterdir()) == []


def test_offlining_a_block_changes_the_header(mounted: Path):
    table = mounted / "sys/kernel/kexec/crash_elfcorehdr_print"
    before = table.read_text()
    (mounted / "sys/devices/system/memory/memory30/state").write_text("offline")
    assert table.read_text() != before


def test_reader_that_waits_stops_nobody_and_wakes(mounted: Path):
    kmsg = mounted / "dev/kmsg"
    reader = subprocess.Popen(
        ["sh", "-c", f"cat {kmsg} | grep --line-buffered -m1 -o woken"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert (mounted / "sys/kernel/kexec_crash_loaded").read_text() == "1\n"
    kmsg.write_text("woken\n")
    assert reader.stdout is not None
    assert reader.stdout.readline() == "woken\n"
    reader.stdout.close()
    kmsg.write_text("so that cat sees that nobody reads\n")
    reader.wait(20)


def test_ordinary_user_is_sent_to_the_other_mount():
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        command = ["setpriv", "--reuid=65534", "--clear-groups", *KDUMPFS, "mount", "--direct"]
        done = subprocess.run(
            [*command, place], env=ENVIRONMENT, capture_output=True, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr == "kdumpfs: only root may mount without libfuse; leave --direct out\n"


@pytest.mark.parametrize(
    ("options", "libfuse"), [((), False), (("--direct",), False), (("--libfuse",), True)]
)
def test_root_is_served_without_libfuse_unless_he_asks_for_it(
    tmp_path: Path, options: tuple[str, ...], libfuse: bool
):
    command = [*KDUMPFS, "mount", *options, str(tmp_path)]
    subprocess.run(command, env=ENVIRONMENT, check=True, timeout=60)
    try:
        pid = json.loads((tmp_path / "control/machine").read_text())["pid"]
        assert ("libfuse" in Path(f"/proc/{pid}/maps").read_text()) == libfuse
    finally:
        subprocess.run([*KDUMPFS, "umount", str(tmp_path)], env=ENVIRONMENT, check=True)


def test_both_servers_at_once_are_refused(tmp_path: Path):
    command = [*KDUMPFS, "mount", "--direct", "--libfuse", str(tmp_path)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "kdumpfs: --direct and --libfuse: expected one of them, or neither\n"
