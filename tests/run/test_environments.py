"""In a chroot, in containers, without an environment, under a service manager: it works, or says what to do."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fsmount.host import mountns
from tests.run.machine import ENVIRONMENT, NOBODY, PROJECT, RUN, run

pytestmark = [
    pytest.mark.namespaces,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make these environments"),
]

MOUNTS = """
ids() { cut -d' ' -f1 /proc/self/mountinfo | sort; }
more() { [ -z "$(comm -13 <(echo "$before") <(ids))" ] || echo more mounts; }
mount --make-rshared /
"""
"""Of bash: `more` says whether there are mounts that were not there before; the host may take away some meanwhile."""
CHROOT = """
mount -t tmpfs none /mnt; r=/mnt/root; mkdir $r
for d in /*; do
    if [ -L $d ]; then cp -P $d $r/; elif [ $d != /mnt ] && [ -d $d ]; then mkdir $r$d; mount --rbind $d $r$d; fi
done
before=$(ids)
chroot $r "$@"; status=$?; more; exit $status
"""


def test_chroot_of_root_works_and_its_mounts_stay_inside():
    script = f"echo x > /usr/lib/kdumpfs-test-{os.getpid()}; pwd; head -1 /proc/iomem"
    before = (
        "unshare",
        "-m",
        "bash",
        "-c",
        MOUNTS + CHROOT,
        "sh",
        "sh",
        "-c",
        f'cd {PROJECT}; exec "$@"',
        "sh",
    )
    done = run("sh", "-c", script, before=before)
    assert done.stdout == f"{PROJECT}\n00000000-3ffffffff : System RAM\n", done.stderr
    assert done.returncode == 0
    assert not Path(f"/usr/lib/kdumpfs-test-{os.getpid()}").exists()


@pytest.mark.parametrize("place", ["/mnt", "/mnt/deep/root"])
def test_chroot_into_a_mount_of_the_root_works(place: str):
    """As arch-chroot and `mount --bind DIR DIR` make it; /mnt and its parent then are the same file."""
    script = f"""
[ {place} = /mnt ] || {{ mount -t tmpfs none /mnt; mkdir -p {place}; }}
mount --rbind / {place}; mount --make-rshared {place}; before=$(ids)
chroot {place} "$@"; status=$?; more; exit $status
"""
    before = ("unshare", "-m", "bash", "-c", MOUNTS + script, "bash")
    done = run("head", "-1", "/proc/iomem", before=before, cwd="/")
    assert done.stdout == "00000000-3ffffffff : System RAM\n", done.stderr
    assert done.returncode == 0


def test_mounts_stay_inside_while_the_run_lasts():
    during = run(
        "sh", "-c", "echo; sleep 0.1", before=("unshare", "-m", "bash", "-c", MOUNTS + SHARED, "sh")
    )
    assert during.stdout.split() == ["same"], during.stderr


SHARED = """
before=$(ids); "$@" | { read line; [ -z "$(more)" ] && echo same; cat > /dev/null; }
"""


@pytest.mark.parametrize(
    "lost", ["-sys_admin", "-sys_admin,-setuid,-setgid,-dac_override,-sys_ptrace,-sys_chroot"]
)
def test_container_without_cap_sys_admin_works_as_an_ordinary_user_does(lost: str):
    before = ("setpriv", f"--bounding-set={lost}", f"--inh-caps={lost}")
    done = run("sh", "-c", "touch /etc/x /usr/x; echo $?; lsmem | tail -1", before=before, cwd="/")
    assert done.stdout.splitlines() == ["0", "Total offline memory:      0B"], done.stderr


REFUSE = """
import ctypes, os, struct, sys
code = struct.pack("=" + "HBBI" * 4, 0x20, 0, 0, 0, 0x15, 0, 1, int(sys.argv[1]), 6, 0, 0, 0x50001, 6, 0, 0, 0x7fff0000)
class Program(ctypes.Structure): _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_char_p))
libc = ctypes.CDLL(None)
libc.prctl(38, 1, 0, 0, 0); libc.prctl(22, 2, ctypes.byref(Program(4, code)))
os.execvp(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86_64's calls")
@pytest.mark.parametrize(
    ("number", "what"),
    [
        (56, "private mount and pid namespaces"),
        (272, "namespace"),
        (165, "mount"),
        (317, "seccomp"),
    ],
)
def test_container_that_forbids_a_call_is_told_in_one_sentence(number: int, what: str):
    done = run("true", before=(sys.executable, "-c", REFUSE, str(number)), cwd="/")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert what in done.stderr
    if number in (56, 272):
        assert "docker run --cap-add SYS_ADMIN" in done.stderr


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86_64's calls")
def test_tmpfs_without_attributes_of_users_is_told():
    """As before Linux 6.6."""
    env = {**ENVIRONMENT, "HOME": "/", "XDG_STATE_HOME": "/"}
    before = (sys.executable, "-c", REFUSE, "188", *NOBODY)  # setxattr
    done = run("echo", "started", before=before, cwd="/", env=env)
    assert done.stdout == "started\n", done.stderr
    assert "missing here: " in done.stderr
    assert "directories of the host's cannot be removed" in done.stderr


@pytest.mark.parametrize(
    ("setting", "number", "words"),
    [
        ("kernel/apparmor_restrict_unprivileged_userns=1", errno.EPERM, "AppArmor"),
        (
            "kernel/unprivileged_userns_clone=0",
            errno.EPERM,
            "sysctl kernel.unprivileged_userns_clone=1",
        ),
        ("user/max_user_namespaces=0", errno.ENOSPC, "sysctl user.max_user_namespaces=15000"),
        ("", errno.EPERM, "--cap-add SYS_ADMIN"),
        ("", errno.EINVAL, "CONFIG_USER_NS"),
    ],
)
def test_refused_namespaces_come_with_the_remedy(
    setting: str, number: int, words: str, tmp_path: Path
):
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_text("1 1 0:1 / / rw - ext4 x rw\n")
    if setting:
        name, value = setting.split("=")
        (tmp_path / "sys" / name).parent.mkdir(parents=True)
        (tmp_path / "sys" / name).write_text(value + "\n")
    assert words in mountns._remedy(mountns.CLONE_NEWUSER, number, str(tmp_path))


def test_chroot_of_an_ordinary_user_is_told_so(tmp_path: Path):
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_text("1 1 0:1 / /usr rw - ext4 x rw\n")
    words = mountns._remedy(mountns.CLONE_NEWUSER, errno.EPERM, str(tmp_path))
    assert "in a chroot: run it as root" in words


@pytest.mark.parametrize("mode", ["absent", "closed"])
def test_missing_fuse_device_is_one_sentence_with_the_remedy(mode: str):
    make = "mount -t tmpfs none /mnt && mknod -m 666 /mnt/null c 1 3 && mount --bind /mnt /dev" if mode == "absent" else (
        "mount -t tmpfs none /mnt && mknod -m 600 /mnt/fuse c 10 229 && mount --bind /mnt/fuse /dev/fuse"
    )  # fmt: skip
    user = "setpriv --reuid=65534 --regid=65534 --clear-groups" if mode == "closed" else ""
    before = ("unshare", "-m", "sh", "-c", f'{make} && exec {user} "$@"', "sh")
    done = run("true", before=before, cwd="/")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("kdumpfs: ")
    assert ("/dev/fuse is missing" if mode == "absent" else "chmod 666 /dev/fuse") in done.stderr


def test_service_without_environment_terminal_or_home(tmp_path: Path):
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        ["setsid", *RUN, "--", "sh", "-c", "pwd; lsmem | tail -1"], env=env, cwd="/",
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["/", "Total offline memory:      0B"], done.stderr


def test_continuous_integrations_checkout_is_shared(tmp_path: Path):
    work = tmp_path / "work/project/project"
    work.mkdir(parents=True)
    env = {**ENVIRONMENT, "HOME": str(tmp_path), "CI": "true"}
    run("sh", "-c", "echo result > result", env=env, cwd=work)
    assert (work / "result").read_text() == "result\n"


def test_directory_that_is_gone_is_no_trouble(tmp_path: Path):
    gone = tmp_path / "gone"
    gone.mkdir()
    done = run("pwd", before=("sh", "-c", f'rmdir {gone}; exec "$@"', "sh"), cwd=gone)
    assert done.stdout == "/\n", done.stderr


def shell(text: str) -> tuple[str, ...]:
    """A shell that makes an environment, and becomes what follows."""
    return "sh", "-c", f'{text}; exec "$@"', "sh"


def own_mounts(text: str) -> tuple[str, ...]:
    return "unshare", "-m", *shell(text)


UNITS = {
    "NoNewPrivileges": ("setpriv", "--no-new-privs"),
    "NoNewPrivileges of an ordinary user": (
        *NOBODY[:4],
        NOBODY[4].replace("setpriv", "setpriv --no-new-privs"),
        *NOBODY[5:],
    ),
    "UMask": shell("umask 077"),
    "LimitNOFILE": shell("ulimit -n 64"),
    "LimitFSIZE": shell("ulimit -f 0"),
    "LimitAS": shell("ulimit -v 500000"),
    "OOMScoreAdjust": shell("echo 1000 > /proc/self/oom_score_adj"),
    "CPUAffinity": ("taskset", "-c", "0"),
    "ProtectSystem": own_mounts("mount --make-rprivate / && mount -o remount,ro,bind /"),
    "PrivateTmp": own_mounts("mount -t tmpfs none /tmp && mount -t tmpfs none /var/tmp"),
    "PrivateNetwork": ("unshare", "-n"),
    "MountFlags": ("unshare", "-m", "--propagation", "shared"),
    "masked files of /proc, as of containers": own_mounts("mount --bind /dev/null /proc/kcore"),
    "a masked directory of /sys": own_mounts("mount -t tmpfs none /sys/firmware"),
    "no /sys": own_mounts("umount -l /sys"),
    "a pid namespace": ("unshare", "-fpm", "--mount-proc"),
    "a pid namespace with the /proc of another": ("unshare", "-fp"),
    "a user namespace": ("unshare", "-Urm"),
    "a user and a pid namespace": ("unshare", "-Urmfp", "--mount-proc"),
    "no environment": ("env", "-i", f"PATH={os.environ['PATH']}", f"PYTHONPATH={PROJECT}"),
    "closed streams": shell("exec <&-"),
}
"""What a service manager or a container may have done to its processes, by systemd's names where it has one."""


@pytest.mark.parametrize("what", UNITS)
def test_it_works_under_what_services_and_containers_are_given(what: str):
    if what == "PrivateTmp" and PROJECT.is_relative_to("/tmp"):
        pytest.skip("the project lies in /tmp, which this service does not see")
    done = run("sh", "-c", "lsmem | tail -1; exit 5", before=UNITS[what], cwd="/")
    assert (done.stdout, done.returncode) == ("Total offline memory:      0B\n", 5), done.stderr


def test_without_proc_it_is_one_sentence():
    done = run("true", before=own_mounts("umount -l /proc"), cwd="/")
    assert done.returncode == 2
    assert done.stderr == (
        "kdumpfs: /proc is not mounted here, and nothing runs without it: mount -t proc proc /proc\n"
    )
