"""An ordinary user's run: root's tools are found, what they write to can be written to, what is missing is told once."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from tests.run.machine import ENVIRONMENT, NOBODY, USERS, run

pytestmark = [
    pytest.mark.namespaces,
    pytest.mark.skipif(os.geteuid() != 0, reason="runs as root to become an ordinary user"),
]
HOME = {**ENVIRONMENT, "HOME": "/", "XDG_STATE_HOME": "/"}
"""Nothing can be noted there."""
KDUMP_TOOLS = tuple(
    word
    if word != NOBODY[4]
    else NOBODY[4].replace(
        " && exec",
        " && mkdir -p /mnt/u/kdump /mnt/w && chmod 755 /mnt /mnt/u"
        " && echo host > /mnt/u/kdump/initrd.img && ln -s /boot/vmlinuz /mnt/u/kdump/vmlinuz"
        " && mount -t overlay -o lowerdir=/var/lib,upperdir=/mnt/u,workdir=/mnt/w none /var/lib"
        " && exec",
    )
    for word in NOBODY
)
"""NOBODY on a host whose /var/lib/kdump is root's and has files, as kdump-tools leaves it."""


def test_the_same_and_what_is_missing_is_told():
    script = """
id -u; chmem -d 0x3e0000000-0x3efffffff; lsmem | grep -c "M offline"; dmesg -C; dmesg | wc -l
echo 1 > /proc/sys/kernel/panic_on_oops; cat /proc/sys/kernel/panic_on_oops
touch /var/crash/x /var/lib/kdump/x /etc/x && echo private; uname -r
"""
    done = run("bash", "-c", script, before=NOBODY, env=HOME, cwd="/")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0", "1", "0", "1", "private", "7.1.0"]
    assert done.stderr.startswith("kdumpfs: missing here: cannot mount debugfs")
    assert done.stderr.count("\n") == 1


def test_it_is_told_once_and_never_with_q(tmp_path: Path):
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents[:-2]:
        parent.chmod(parent.stat().st_mode | 0o11)
    env = {**ENVIRONMENT, "XDG_STATE_HOME": str(tmp_path)}
    assert run("true", before=NOBODY, env=env, cwd="/", options=("-q",)).stderr == ""
    assert run("true", before=NOBODY, env=env, cwd="/").stderr.endswith("told once, -q never\n")
    assert run("true", before=NOBODY, env=env, cwd="/").stderr == ""
    assert run("true", before=NOBODY, env=HOME, cwd="/").stderr != ""


@pytest.mark.parametrize("before", [pytest.param(KDUMP_TOOLS, id="nobody")])
def test_what_kdump_tools_has_in_var_lib_kdump_can_be_written_anew(before: tuple[str, ...]):
    script = """
cd /var/lib/kdump; cat initrd.img; readlink vmlinuz
echo mine > initrd.img; ln -sf /boot/other vmlinuz; touch new; cat initrd.img; readlink vmlinuz; ls
"""
    done = run("sh", "-ec", script, before=before, env=HOME, cwd="/", options=("-q",))
    assert done.stderr == ""
    assert done.stdout.split() == [
        "host", "/boot/vmlinuz", "mine", "/boot/other", "initrd.img", "new", "vmlinuz",
    ]  # fmt: skip


@pytest.mark.parametrize("before", USERS)
def test_settings_are_the_users_whoever_unpacked_the_package(before: tuple[str, ...]):
    """As root keeps unpacked packages, for all users of a host."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as package:
        os.chmod(package, 0o755)
        for name, text in (
            ("etc/default/kdump-tools", "USE_KDUMP=0\n"),
            ("etc/default/useradd", "ours\n"),
            ("etc/kdump.conf", "path /var/crash\n"),
            ("etc/kdump/sysctl.conf", "kernel.panic=1\n"),
            ("etc/kdump/post", "#!/bin/sh\necho post\n"),
        ):
            file = Path(package, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        Path(package, "etc/kdump/post").chmod(0o755)
        script = """
cd /etc; cat default/useradd kdump/sysctl.conf; kdump/post
echo USE_KDUMP=1 > default/kdump-tools; echo >> default/useradd; touch default/new kdump/new
sed -i s/1/2/ kdump/sysctl.conf; echo "path /" > kdump.conf; cat default/kdump-tools kdump.conf kdump/sysctl.conf
"""
        options = ("-q", "--package", package)
        done = run("sh", "-ec", script, before=before, env=HOME, cwd="/", options=options)
        assert done.stderr == ""
        assert done.stdout.splitlines() == [
            "ours", "kernel.panic=1", "post", "USE_KDUMP=1", "path /", "kernel.panic=2",
        ]  # fmt: skip


def test_hosts_log_has_no_complaint_of_a_run():
    """Of five runs one is enough: others may run as well, of older versions."""

    def complaints() -> int:
        log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        try:
            os.lseek(log, 0, os.SEEK_END)
            assert run("true", before=NOBODY, cwd="/").returncode == 0
            count = 0
            with suppress(BlockingIOError):
                while record := os.read(log, 8192):
                    count += b"overlayfs" in record and b"clone lowerpath" in record
            return count
        finally:
            os.close(log)

    assert any(complaints() == 0 for _ in range(5))


@pytest.mark.parametrize("before", USERS)
def test_sbin_is_in_path_where_kexec_and_chmem_are(before: tuple[str, ...]):
    env = {**ENVIRONMENT, "PATH": "/usr/bin:/bin"}
    done = run("sh", "-c", "command -v chroot; echo $PATH", before=before, env=env)
    assert done.stdout == "/usr/sbin/chroot\n/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin\n"


def test_private_places_can_be_written_whatever_the_host_mounts_meanwhile():
    """The kernel lays no overlay of an ordinary user's over what has a mount below it, which may come at any moment."""
    churn = """
mount --make-rshared /; mount -t tmpfs none /srv; mkdir -p /srv/a/b; chmod 777 /srv; go=$(mktemp)
(while [ -e $go ]; do mount -t tmpfs none /srv/a/b; sleep 0.01; umount -l /srv/a/b; sleep 0.01; done) > /dev/null 2>&1 & "$@"; rm $go
"""
    before = ("unshare", "-m", "sh", "-c", churn, "sh", *NOBODY)
    for _ in range(12):
        done = run("sh", "-c", "touch /srv/x && echo up", before=before, env=HOME, cwd="/")
        assert done.stdout == "up\n", done.stderr
