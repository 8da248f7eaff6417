"""Nothing remains after `run`, however it ends: no process, namespace, mount or file."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsmount.host.mountns import mounts
from tests.run.machine import run, start

pytestmark = pytest.mark.namespaces

# A daemon that has left its session, a reader that waits in FUSE, one that waits in syslog(2).
MARK = f"{os.getpid()}.{time.monotonic_ns()}"
SCRIPT = f"""
setsid sleep 1{MARK} & (cat /dev/kmsg > /dev/null) & dmesg -W > /dev/null &
python3 -c 'import ctypes; ctypes.CDLL(None).klogctl(2, ctypes.create_string_buffer(9), 9)' &
touch /etc/kdumpfs-test-teardown /run/x /dev/shm/x
cd /sys/kernel
echo $(readlink /proc/self/ns/mnt /proc/self/ns/net /proc/self/ns/user /proc/self/ns/pid)
"""
WAIT = f"exec sleep 2{MARK}"


def processes() -> dict[int, str]:
    """Command lines of this system's processes."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                found[int(entry.name)] = (
                    (entry / "cmdline").read_text(errors="replace").replace("\0", " ")
                )
            except OSError:
                continue
    return found


def namespaces() -> set[str]:
    """Every namespace that a process of this system is in."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/ns/*"):
        try:
            found.add(os.readlink(entry))
        except OSError:
            continue
    return found


def mount_points() -> list[str]:
    """What is mounted where a run mounts something; elsewhere others may do as they like."""
    table = Path("/proc/self/mountinfo").read_text(errors="replace")
    places = ("/boot", "/dev", "/etc", "/proc", "/run", "/sys", "/var")
    return [mount.point for mount in mounts(table) if mount.point.startswith(places)]


@pytest.fixture
def nothing_remains() -> Iterator[list[str]]:
    """The test puts the run's namespaces in; afterwards nothing of it may be left."""
    before = mount_points()
    inner: list[str] = []
    yield inner
    for process in STARTED:
        if process.poll() is None:
            process.kill()
            process.wait()
            pytest.fail("the run had not ended")
    STARTED.clear()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        left = [line for line in processes().values() if MARK in line or "klogctl(2" in line]
        if not left and not namespaces() & set(inner):
            break
        time.sleep(0.05)
    else:
        pytest.fail(f"left: {left} {namespaces() & set(inner)}")
    assert mount_points() == before
    for name in ("/etc/kdumpfs-test-teardown", "/run/kdumpfs", "/run/x", "/dev/shm/x"):
        assert not Path(name).exists()


STARTED: list[subprocess.Popen[str]] = []


def begin(nothing_remains: list[str]) -> subprocess.Popen[str]:
    """A run with all sorts of processes in it, ready to be killed."""
    process = start(SCRIPT + WAIT)
    STARTED.append(process)
    assert process.stdout is not None
    nothing_remains += process.stdout.readline().split()
    assert len(nothing_remains) == 4
    return process


def command_of_run() -> int:
    """The pid, out here, of the command, once it is what the script becomes at its end."""
    for _ in range(400):
        for pid, line in processes().items():
            if line.startswith(f"sleep 2{MARK}"):
                return pid
        time.sleep(0.02)
    raise AssertionError("the command is not there")


def init_of(process: subprocess.Popen[str]) -> int:
    """The pid, out here, of the run's pid 1."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 1
    return int(children[0])


def test_normal_end(nothing_remains: list[str]):
    done = run("bash", "-c", SCRIPT + "exit 7")
    nothing_remains += done.stdout.split()
    assert len(nothing_remains) == 4
    assert done.returncode == 7


# Each connect(2) is a request to init, which may not read the last ones any more.
CONNECTS = """
import os, socket, threading, time
def connect():
    while True:
        with socket.socket(socket.AF_UNIX) as one:
            one.connect_ex('/run/none')
for _ in range(4):
    threading.Thread(target=connect, daemon=True).start()
time.sleep(0.1)
os._exit(7)
"""


def test_status_is_the_commands_though_others_ask_for_something_at_its_end():
    for _ in range(15):
        done = run("python3", "-c", CONNECTS)
        assert (done.returncode, done.stderr) == (7, "")


def test_command_is_killed(nothing_remains: list[str]):
    process = begin(nothing_remains)
    os.kill(command_of_run(), signal.SIGKILL)
    assert process.wait(20) == 128 + signal.SIGKILL


def test_init_is_killed(nothing_remains: list[str]):
    process = begin(nothing_remains)
    os.kill(init_of(process), signal.SIGKILL)
    assert process.wait(20) == 2
    assert process.stderr is not None
    assert process.stderr.read().endswith("kdumpfs: the machine's init was killed\n")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_run_is_ended_by_a_signal(nothing_remains: list[str], number: signal.Signals):
    process = begin(nothing_remains)
    process.send_signal(number)
    assert process.wait(20) == -number


def test_run_is_stopped_and_killed(nothing_remains: list[str]):
    process = begin(nothing_remains)
    process.send_signal(signal.SIGSTOP)  # the readers of the tree hang now
    process.kill()
    assert process.wait(20) == -signal.SIGKILL


def test_keyboard_interrupt_is_the_commands_affair(nothing_remains: list[str]):
    process = begin(nothing_remains)
    command_of_run()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 128 + signal.SIGINT


def test_run_that_refuses_to_start_leaves_nothing(nothing_remains: list[str]):
    assert run("true", options=("--share", "/nowhere")).returncode == 2


@pytest.mark.parametrize(
    ("argv", "status"),
    [(("true",), 0), (("sh", "-c", "exit 3"), 3), (("sh", "-c", "kill -TERM $$"), 143)],
)
def test_exit_status_is_the_commands(argv: tuple[str, ...], status: int):
    assert run(*argv).returncode == status


def test_missing_command_is_127_and_one_sentence():
    done = run("no-such-command")
    assert done.returncode == 127
    assert done.stderr == "kdumpfs: no-such-command: command not found\n"


def test_file_that_cannot_be_run_is_126():
    assert run("/etc/passwd").returncode == 126
