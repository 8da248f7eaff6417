"""Callers that are killed in the midst of whatever they ask for: the machine goes on, and the run ends with the command's status."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from pathlib import Path

import pytest

from elfcorehdr.kernel.printk import Printk
from fsmount.run.hostfs import Processes, ProcessFiles
from fsmount.run.inside import init
from fsmount.run.supervisor import Supervisor
from tests.run.machine import run

pytestmark = pytest.mark.namespaces

CALLERS = """
import ctypes, os, random, signal, socket, sys, tempfile, time
libc = ctypes.CDLL(None)
os.chdir(tempfile.mkdtemp())
listening = socket.socket(socket.AF_UNIX); listening.bind("here"); listening.listen(1000)
def walk(*paths):
    for path in paths:
        try:
            for name in os.listdir(path):
                try:
                    os.readlink(f"{path}/{name}")
                except OSError:
                    pass
        except OSError:
            pass
def processes():
    for name in os.listdir("/proc"):
        if name.isdecimal():
            walk(f"/proc/{name}", f"/proc/{name}/fd")
def reads():
    for path in ("/proc/self/status", "/proc/thread-self/comm", "/proc/uptime", "/sys/kernel/kexec_crash_size"):
        open(path).read()
def waits():
    with open("/dev/kmsg", "rb") as log:
        while True:
            log.read(8192)
def connects():
    one = socket.socket(socket.AF_UNIX)
    try:
        one.connect(random.choice(("here", "/tmp/nowhere", "\\0abstract")))
    except OSError:
        pass
def pairs():
    socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
def writes():
    with open("/sys/devices/system/memory/memory30/state", "w") as state:
        state.write("offline")
def names():
    os.uname(); os.sched_getaffinity(0); os.statvfs("/sys"); os.statvfs("/proc/self"); socket.gethostname()
def modules():
    libc.syscall(313, os.open("/bin/true", os.O_RDONLY), b"", 0)
def leaves():
    os.execv("/bin/true", ["true"])
acts = (processes, reads, waits, connects, pairs, writes, names, modules, leaves)
chance, until, killed = random.Random(int(sys.argv[1])), time.monotonic() + float(sys.argv[2]), 0
running = {}
while time.monotonic() < until:
    act = chance.choice(acts)
    pid = os.fork()
    if pid == 0:
        os.close(2)
        try:
            while True:
                act()
        finally:
            os._exit(1)
    running[pid] = time.monotonic() + chance.random() * 0.03
    for pid, due in list(running.items()):
        if time.monotonic() > due or len(running) > 12:
            os.kill(pid, chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)))
            os.waitpid(pid, 0)
            del running[pid]
            killed += 1
for pid in running:
    os.kill(pid, signal.SIGKILL)
print(killed)
sys.exit(7)
"""


def test_callers_killed_at_any_moment_leave_the_machine_and_the_status_alone(tmp_path: Path):
    seconds = os.environ.get("KDUMPFS_DYING_SECONDS", "5")
    for seed in ("1", "2"):
        done = run("python3", "-c", CALLERS, seed, seconds, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (7, ""), done.stdout
        assert int(done.stdout) > 10


def test_the_last_caller_of_all_may_be_killed_too(tmp_path: Path):
    """The command ends while its children are in the midst of calls: all of them die with the run."""
    script = "for n in 1 2 3 4 5 6; do (while :; do uname; cat /proc/self/comm; ls /proc/$$; done) >/dev/null 2>&1 & done; sleep 0.$1; exit 7"
    for n in range(6):
        done = run("bash", "-c", script, "bash", str(n), cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (7, "", "")


# The same, one by one: what the kernel says of a process that has just gone


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENOTCONN, errno.EINTR])
def test_a_call_whose_caller_is_gone_before_it_is_looked_at_is_nobody_s(
    number: int, monkeypatch: pytest.MonkeyPatch
):
    listener = os.memfd_create("listener")
    supervisor = Supervisor(listener, {}, Printk())

    def gone(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "ioctl", gone)
    supervisor.serve()
    if number != errno.EINTR:
        assert not supervisor._is_valid(1)
    supervisor.close()


def test_a_process_that_goes_while_it_is_listed_has_no_files(monkeypatch: pytest.MonkeyPatch):
    processes = Processes()
    processes.dir_fd = os.open("/proc", os.O_PATH)
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    listing = os.listdir

    def reaped(fd: int) -> list[str]:
        os.waitpid(child, 0)
        return listing(fd)

    monkeypatch.setattr(os, "listdir", reaped)
    assert list(ProcessFiles(processes).names(f"proc/{child}")) == []
    assert processes.status(child) == {}
    assert processes.comm(child) == ""
    os.close(processes.dir_fd)


def test_a_connect_for_which_no_process_can_be_made_is_eagain(monkeypatch: pytest.MonkeyPatch):
    def full() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    monkeypatch.setattr(os, "fork", full)
    init._connect(theirs, None, "7 1 1 3 0 0  00", {})  # type: ignore[arg-type]
    assert init.hear(ours)[:2] == ("connected", f"7 {errno.EAGAIN}")
    ours.close()
    theirs.close()
