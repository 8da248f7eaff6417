"""What the host has mounted, and mounts meanwhile: no device, no kernel file system of it is in reach of a run."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from tests.run.machine import ENVIRONMENT, RUN, run

pytestmark = [
    pytest.mark.namespaces,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts something first"),
]


def test_what_the_host_mounts_during_a_run_does_not_arrive_and_what_it_unmounts_goes(
    tmp_path: Path,
):
    """A builder beside it mounts a /dev in a shared directory, say; systemd something below /sys."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    script = "touch up; until [ -e go ]; do sleep 0.05; done; cat a/file /sys/fs/fuse/connections/file; ls b"
    host = f"""
mount --make-rshared /; mount -t tmpfs none b; touch b/mine
{shlex.join(RUN)} -- sh -c '{script}' & until [ -e up ]; do sleep 0.05; done
for place in a /sys/fs/fuse/connections; do mount -t tmpfs none $place; touch $place/file; done
umount b && ls b; touch go; wait $!
"""
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", host],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.stdout == "mine\n"
    assert done.stderr.count("No such file or directory") == 2, done.stderr


def test_directory_that_is_the_kernels_is_not_shared(tmp_path: Path):
    """Below home, say: where an ordinary one would be."""
    host = ("unshare", "-m", "sh", "-c", f'mount -t cgroup2 none {tmp_path} && cd {tmp_path} && exec "$@"', "sh")  # fmt: skip
    done = run("true", before=host)
    assert done.returncode == 2
    assert f"{tmp_path} is the host's kernel (cgroup2) and cannot be shared" in done.stderr
    assert run("true", before=host, options=("--no-share",)).returncode == 0


def test_device_nodes_in_shared_and_in_read_only_places_open_nothing(tmp_path: Path):
    """As an unpacked system has them; here one that anybody may open."""
    os.mknod(tmp_path / "null", 0o666 | stat.S_IFCHR, os.stat("/dev/null").st_rdev)
    (tmp_path / "file").touch()
    place = "/srv/of-the-host"
    host = (
        "unshare", "-m", "sh", "-c",
        f"mount -t tmpfs none /srv && mkdir {place} && mount -t tmpfs none {place}"
        f" && mknod -m 666 {place}/null c 1 3 && touch {place}/file && mount -o remount,ro {place}"
        ' && exec "$@"', "sh",
    )  # fmt: skip
    script = f'for f in /dev/null null {place}/null; do cat "$f" && echo "$f"; done; cat file {place}/file'
    done = run("sh", "-c", script, before=host, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "/dev/null\n"
    assert done.stderr.count("Permission denied") == 2


def test_traces_and_debugfs_of_the_host_are_not_seen_anywhere():
    """A reader of trace_pipe takes away what it reads."""
    host = (
        "unshare",
        "-m",
        "sh",
        "-c",
        'mount -t tracefs none /sys/kernel/tracing; exec "$@"',
        "sh",
    )
    script = "cd /run/kdumpfs/sys/kernel; ls -A tracing debug /sys/kernel/tracing/"
    done = run("sh", "-c", script, before=host)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == ["/sys/kernel/tracing/:", "debug:", "tracing:"]
