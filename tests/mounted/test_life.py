"""The life of a mount's server: how it starts, what it keeps, what ends it, what is said when it does not answer."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fsmount.host.mounting import mounted_at, server_pid
from tests.mounted.running import running
from tests.mounted.test_shell import Shell, kdumpfs, shell

pytestmark = pytest.mark.fuse
__all__ = ["shell"]
as_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root may mount and make mount namespaces"
)
KDUMPFS = [sys.executable, "-m", "fsmount.cli.main"]


def served(shell: Shell) -> int:
    """The server's process."""
    pid = server_pid(str(shell.dir))
    assert pid is not None
    return pid


def ends(pid: int, seconds: float = 10) -> bool:
    try:
        return bool(select.select([os.pidfd_open(pid)], [], [], seconds)[0])
    except ProcessLookupError:
        return True


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT", "USR1", "ALRM", "XCPU", "PWR"])
def test_a_signal_that_asks_to_end_unmounts(shell: Shell, name: str) -> None:
    shell.mount()
    pid = served(shell)
    os.kill(pid, getattr(signal, f"SIG{name}"))
    assert ends(pid)
    assert mounted_at(str(shell.dir)) is None


def test_nohup_keeps_a_server_in_the_foreground_running(shell: Shell) -> None:
    command = ["nohup", *KDUMPFS, "mount", "--foreground", str(shell.dir)]
    null = subprocess.DEVNULL
    with running(command, stdin=null, stderr=null, stdout=null) as server:
        until = time.monotonic() + 20
        while not mounted_at(str(shell.dir)) and time.monotonic() < until:
            time.sleep(0.02)
        server.send_signal(signal.SIGHUP)
        assert shell("cat sys/kernel/kexec_crash_loaded") == "0\n"
        assert server.poll() is None
        server.terminate()
        assert server.wait(10) == 0
    assert mounted_at(str(shell.dir)) is None


def test_of_ten_mounts_of_one_directory_at_once_one_succeeds(shell: Shell) -> None:
    command = [*KDUMPFS, "mount", str(shell.dir)]
    starts = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(10)]
    said = [start.communicate(timeout=60)[1] for start in starts]
    assert sorted(start.returncode for start in starts) == [0] + [2] * 9
    refused = f"kdumpfs: {shell.dir}: a kdumpfs is mounted here already; "
    assert sum(text.startswith(refused) for text in said) == 9
    mounts = Path("/proc/self/mountinfo").read_text()
    assert mounts.count(f" {shell.dir} ") == 1


def test_the_server_keeps_nothing_of_its_caller(shell: Shell, tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    read_end, write_end = os.pipe()
    with lock.open("w") as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        done = subprocess.run(
            [*KDUMPFS, "mount", str(shell.dir)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            pass_fds=(locked.fileno(), write_end),
            check=False,
        )
        assert done.returncode == 0
    os.close(write_end)
    assert select.select([read_end], [], [], 5)[0], "the server holds a pipe of its caller"
    assert os.read(read_end, 1) == b""
    os.close(read_end)
    with lock.open() as again:
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    pid = served(shell)
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    targets = {
        os.readlink(f"/proc/{pid}/fd/{fd}").partition(":")[0]
        for fd in os.listdir(f"/proc/{pid}/fd")
    }
    assert targets <= {"/dev/null", "/dev/fuse", "/proc", "pipe", "socket"}
    assert os.getsid(pid) == pid


def test_a_start_that_fails_after_mounting_unmounts(shell: Shell) -> None:
    code = (
        "import sys\n"
        "from fsmount.cli import mount\n"
        "from fsmount.fuse import mount as fuse\n"
        "def refuse(*_): raise RuntimeError('no loop')\n"
        "fuse.Loop = refuse\n"
        "mount.mount(sys.argv[1], foreground=True, direct=False, libfuse=False)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, shell.dir], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "no loop" in done.stderr) == (1, True)
    assert mounted_at(str(shell.dir)) is None


def test_a_server_whose_starter_is_killed_unmounts(shell: Shell, tmp_path: Path) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text(
        "from kdumpfs.module import AttributeGroup, singleton\nimport sys, time\n"
        "group = AttributeGroup('own', singleton)\n"
        "@group.show\ndef a_show(k):\n    return ''\n"
        "sys.stdout.write('booting\\n')\nsys.stdout.flush()\ntime.sleep(1)\n"
    )
    command = [*KDUMPFS, "mount", "--module", str(slow), str(shell.dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as start:
        assert start.stdout is not None
        assert start.stdout.readline() == "booting\n"
        start.kill()
        assert (
            start.stdout.read() == ""
        )  # the server has let go of it: it ends, or it is about to say that it is ready
    until = time.monotonic() + 10
    while mounted_at(str(shell.dir)) is not None and time.monotonic() < until:
        time.sleep(0.01)
    assert mounted_at(str(shell.dir)) is None


@pytest.fixture
def stopped(shell: Shell) -> Iterator[tuple[Shell, int]]:
    """A mount whose server is stopped."""
    shell.mount()
    pid = served(shell)
    os.kill(pid, signal.SIGSTOP)
    yield shell, pid
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


ASKING = (
    "load DIR",
    "unload DIR",
    "plug DIR memory 256M",
    "unplug DIR cpu 1",
    "mount DIR",
    "status DIR",
    "dmesg DIR",
    "dmesg -w DIR",
    "uevents DIR",
    "reload DIR",
    "crash DIR",
    "vmcore -o /tmp/none DIR",
    "machines --from DIR",
    "run --rw DIR/sys -- true",
    "web DIR",
)


def test_no_command_waits_for_a_stopped_server(stopped: tuple[Shell, int]) -> None:
    shell, pid = stopped

    def said(words: str) -> str:
        done = kdumpfs(*words.replace("DIR", str(shell.dir)).split())
        return done.stderr + done.stdout

    since = time.monotonic()
    with ThreadPoolExecutor(len(ASKING)) as at_once:
        sentences = dict(zip(ASKING, at_once.map(said, ASKING), strict=True))
    assert time.monotonic() - since < 30
    for words, sentence in sentences.items():
        assert sentence.count("\n") == 1, words
        assert (
            f"its server (process {pid}) is stopped; `kill -CONT {pid}` lets it go" in sentence
        ), words
        assert f"`kdumpfs umount --force {shell.dir}` ends it" in sentence, words
    os.kill(pid, signal.SIGCONT)
    assert kdumpfs("umount", shell.dir).returncode == 0


@pytest.mark.parametrize("words", ["status DIR", "plug DIR memory 256M", "dmesg DIR"])
def test_a_relative_name_does_not_wait_for_a_stopped_server(
    stopped: tuple[Shell, int], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could be that of a machine: what is here is looked for, but not asked."""
    shell, pid = stopped
    monkeypatch.chdir(shell.dir.parent)
    done = kdumpfs(*words.replace("DIR", shell.dir.name).split())
    assert f"its server (process {pid}) is stopped" in done.stderr + done.stdout


def test_a_stopped_server_s_mount_is_unmounted_and_its_process_named(
    stopped: tuple[Shell, int],
) -> None:
    shell, pid = stopped
    done = kdumpfs("umount", shell.dir)
    assert done.returncode == 2
    assert (
        f"unmounted, but its server (process {pid}) is stopped; `kill -KILL {pid}`" in done.stderr
    )
    assert mounted_at(str(shell.dir)) is None


@as_root
def test_a_copy_of_the_mount_in_another_namespace_keeps_no_server(shell: Shell) -> None:
    shell.mount()
    pid = served(shell)
    copy = ["unshare", "-m", "sh", "-c", "echo here; exec sleep 60"]
    with running(copy, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "here\n"
        done = kdumpfs("umount", shell.dir)
        assert (done.returncode, done.stderr) == (0, "")
        assert ends(pid, 20)


@as_root
def test_a_server_whose_tree_is_bound_elsewhere_too_goes_on(shell: Shell, tmp_path: Path) -> None:
    shell.mount()
    pid = served(shell)
    (tmp_path / "bound").mkdir()
    subprocess.run(["mount", "--bind", shell.dir, tmp_path / "bound"], check=True)
    try:
        assert kdumpfs("umount", shell.dir).returncode == 0
        assert (tmp_path / "bound/sys/kernel/kexec_crash_loaded").read_text() == "0\n"
    finally:
        subprocess.run(["umount", tmp_path / "bound"], check=True)
    assert ends(pid, 20)


def test_force_ends_a_server_that_is_stopped_or_stuck(shell: Shell, tmp_path: Path) -> None:
    stuck = tmp_path / "stuck.py"
    stuck.write_text(
        "from kdumpfs.module import AttributeGroup, singleton\n"
        "group = AttributeGroup('own', singleton)\n"
        "@group.show\ndef endless_show(k):\n    while True:\n        pass\n"
    )
    assert kdumpfs("mount", "--module", stuck, shell.dir).returncode == 0
    pid = served(shell)
    with running(["cat", shell.dir / "sys/own/endless"], stderr=subprocess.DEVNULL) as reader:
        time.sleep(0.5)
        done = kdumpfs("plug", shell.dir, "memory", "256M")
        assert f"its server (process {pid}) does not answer; `kdumpfs umount --force" in done.stderr
        done = kdumpfs("umount", "--force", shell.dir)
        assert (done.returncode, done.stderr) == (0, "")
        assert reader.wait(10) != 0
    assert ends(pid)
    assert mounted_at(str(shell.dir)) is None


def test_a_mount_is_found_through_a_link_to_its_directory(shell: Shell, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(shell.dir)
    assert kdumpfs("mount", link).returncode == 0
    assert kdumpfs("unplug", link, "memory", "0x1e0000000").returncode == 0
    assert kdumpfs("umount", link).returncode == 0
