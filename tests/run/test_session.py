"""A run has a process group, a terminal and limits of its own; the caller's shell and terminal stay whole."""

from __future__ import annotations

import os
import pty
import re
import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest

from fsmount.run.inside import session
from tests.run.machine import ENVIRONMENT, PROJECT, RUN, USERS, run

pytestmark = pytest.mark.namespaces
users = pytest.mark.parametrize("before", USERS)


class Terminal:
    """A shell with job control on a terminal of its own, and what a person does there."""

    def __init__(self, *argv: str) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(PROJECT)
            env = {**ENVIRONMENT, "PS1": "outer> ", "TERM": "dumb", "RUN": " ".join(RUN)}
            os.execvpe(argv[0], argv, env)
        self.text = ""

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def see(self, pattern: str, seconds: float = 20) -> str:
        """Wait until something is printed; all up to there is taken."""
        os.set_blocking(self.fd, False)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if found := re.search(pattern, self.text):
                seen, self.text = self.text[: found.end()], self.text[found.end() :]
                return seen
            try:
                self.text += os.read(self.fd, 4096).decode(errors="replace")
            except BlockingIOError:
                time.sleep(0.02)
            except OSError:
                break
        raise AssertionError(f"not seen: {pattern!r} in {self.text!r}")

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.close(self.fd)
        os.waitpid(self.pid, 0)


@pytest.fixture
def shell():
    terminal = Terminal("bash", "--norc", "-i")
    terminal.see("outer> ")
    yield terminal
    terminal.close()


def test_job_is_stopped_continued_and_interrupted_as_any_other(shell: Terminal):
    shell.type("$RUN -- sh -c 'echo up; exec sleep 60'\n")
    shell.see("\r\nup")
    time.sleep(0.3)
    shell.type("\x1a")
    shell.see(r"Stopped")
    shell.type("jobs; fg\n")
    shell.see(r"Stopped.*\r\n.*\$RUN")
    time.sleep(0.3)
    shell.type("\x03")
    shell.see("outer> ")
    shell.type("echo status $?\n")
    shell.see("\r\nstatus 130\r\n")


def test_job_control_works_inside_and_the_terminal_comes_back(shell: Terminal):
    shell.type("PS1='inner> ' $RUN -- bash --norc -i\n")
    shell.see("\ninner> ")
    shell.type("sleep 60\n")
    time.sleep(0.5)
    shell.type("\x1a")
    shell.see("Stopped")
    shell.type("fg\n")
    time.sleep(0.5)
    shell.type("\x03")
    shell.see("inner> ")
    shell.type("exit 3\n")
    shell.see("outer> ")
    shell.type("echo status $?; stty -a | head -1\n")
    shell.see("\r\nstatus 3\r\nspeed")


def test_nothing_is_typed_into_the_terminal(shell: Terminal, tmp_path: Path):
    (tmp_path / "program").write_text(
        "import fcntl, errno\n"
        "for nr in (0x5412, 0x541c, 0x5423, 0x540c, 0x4b3b, 0x5604):\n"  # typed, closed, a console's
        "    try: fcntl.ioctl(0, nr, b'#' + bytes(7))\n"
        "    except OSError as e: print(errno.errorcode[e.errno])\n"
    )
    shell.type(f"$RUN -- python3 {tmp_path}/program\n")
    shell.see("(EPERM\r\n){6}")


def test_pipeline_on_a_terminal_is_interrupted_from_the_keyboard(shell: Terminal):
    shell.type("$RUN -- sh -c 'echo up; exec sleep 60' | cat\n")
    shell.see("\r\nup")
    time.sleep(0.3)
    shell.type("\x03")
    shell.see("outer> ")


@users
def test_signal_to_the_process_group_inside_spares_the_caller(before: tuple[str, ...]):
    done = run("sh", "-c", "kill -TERM 0; sleep 9", before=before, cwd="/", start_new_session=True)
    assert done.returncode == 143


def test_signal_to_every_process_inside_spares_the_caller():
    done = run("sh", "-c", "trap '' TERM; kill -TERM -1; echo alive")
    assert done.stdout == "alive\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGTERM])
def test_a_program_s_signal_ends_a_run_on_a_terminal(number: signal.Signals):
    shell = Terminal(
        *RUN, "--", "bash", "--norc", "-c", "echo up; trap '' INT QUIT; sleep 60; true"
    )
    shell.see("up\r\n")
    os.kill(shell.pid, number)
    until = time.monotonic() + 20
    while not (ended := os.waitpid(shell.pid, os.WNOHANG))[0] and time.monotonic() < until:
        time.sleep(0.02)
    os.close(shell.fd)
    expected = -number if number == signal.SIGTERM else 128 + number
    assert os.waitstatus_to_exitcode(ended[1]) == expected
    assert ended[0] == shell.pid


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
@pytest.mark.parametrize("background", [False, True])
def test_a_program_s_signal_ends_a_run_without_a_terminal(number: signal.Signals, background: bool):
    """In a script a shell lets a job in the background ignore both."""
    how = "--ignore-signal" if background else "--default-signal"
    with subprocess.Popen(
        ["env", f"{how}=INT,QUIT", *RUN, "--", "cat"],  # a shell might wait for its child first
        stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, env=ENVIRONMENT,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("up\n")
        process.stdin.flush()
        assert process.stdout.readline() == "up\n"
        process.send_signal(number)
        assert process.wait(60) == 128 + number


def test_command_without_a_terminal_has_a_session_of_its_own():
    shell = Terminal("sh", "-c", "$RUN -- sh -c '(: < /dev/tty) 2>&1' | cat; echo end")
    try:
        assert "No such device or address" in shell.see("end\r\n")
    finally:
        shell.close()


@users
def test_limits_bound_processes_and_core_dumps(before: tuple[str, ...]):
    done = run("cat", "/proc/self/limits", "/proc/self/oom_score_adj", before=before, cwd="/")
    rows = {line[:26].strip(): line[26:].split() for line in done.stdout.splitlines()}
    assert rows["Max processes"][:2] == [str(session.PROCESSES)] * 2
    assert rows["Max core file size"][:2] == ["1", "1"]
    assert done.stdout.splitlines()[-1] == str(session.OOM_SCORE_ADJ)


@users
def test_limits_cannot_be_raised(before: tuple[str, ...]):
    script = """
import resource
for which in (resource.RLIMIT_NPROC, resource.RLIMIT_CORE):
    try: resource.setrlimit(which, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (OSError, ValueError): print("refused")
"""
    assert run("python3", "-c", script, before=before, cwd="/").stdout == "refused\n" * 2


@users
def test_number_of_processes_is_bounded(before: tuple[str, ...]):
    """Threads that wait, until there may be no more; the host's own pid_max stays."""
    host = Path("/proc/sys/kernel/pid_max").read_text()
    release = tuple(int(re.match(r"\d+", part)[0]) for part in os.uname().release.split(".")[:2])
    if not before and os.geteuid() == 0 and release < (6, 14):
        pytest.skip("root's processes are bounded since Linux 6.14")
    script = """
import threading
threading.stack_size(32768)
done = threading.Event()
count = 0
try:
    while count < 9000:
        threading.Thread(target=done.wait, daemon=True).start(); count += 1
except RuntimeError: pass
print(count); done.set()
"""
    done = run("python3", "-c", script, before=before, cwd="/")
    assert 1000 < int(done.stdout) < session.PROCESSES
    assert Path("/proc/sys/kernel/pid_max").read_text() == host


def test_crash_inside_starts_nothing_on_the_host(tmp_path: Path):
    done = run("sh", "-c", "kill -SEGV $$", cwd=tmp_path)
    assert done.returncode == 128 + signal.SIGSEGV
    assert list(tmp_path.iterdir()) == []


# What a shell and a service give


def test_nohup_keeps_a_run_going(tmp_path: Path):
    out = tmp_path / "out"
    with out.open("w") as file:
        process = subprocess.Popen(
            ["nohup", *RUN, "--", "sh", "-c", "echo up; sleep 1; echo end"],
            stdout=file, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT,
        )  # fmt: skip
        until = time.monotonic() + 20
        while "up" not in out.read_text() and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGHUP)
        assert process.wait(20) == 0
    assert out.read_text() == "up\nend\n"


def test_closed_streams_are_no_trouble():
    done = subprocess.run(
        ["sh", "-c", f"{' '.join(RUN)} -- sh -c 'exit 4' <&- >&- 2>&-"],
        env=ENVIRONMENT,
        check=False,
    )
    assert done.returncode == 4


@pytest.mark.parametrize("way", ["2< /dev/null", "2> /dev/full"])
@pytest.mark.parametrize(
    ("what", "status"),
    [
        ("-- nosuch", 127),
        ("--keep {tmp}/k -- sh -c 'ln -s x /etc/link; exit 5'", 5),
        ("-- sh -c 'echo c > /proc/sysrq-trigger'", 1),
    ],
)
def test_remark_that_nobody_takes_changes_no_status(
    tmp_path: Path, what: str, status: int, way: str
):
    (tmp_path / "k/etc/link").mkdir(parents=True)  # so it cannot be kept
    script = f"{' '.join(RUN)} {what.format(tmp=tmp_path)} {way}"
    done = subprocess.run(["sh", "-c", script], env=ENVIRONMENT, check=False)
    assert done.returncode == status


def test_in_front_is_who_has_a_terminal_and_is_in_front():
    assert not session.in_front()


def test_core_limit_of_this_process_stays():
    before = resource.getrlimit(resource.RLIMIT_CORE)
    run("true")
    assert resource.getrlimit(resource.RLIMIT_CORE) == before


# Namespaces


@users
def test_every_namespace_is_another(before: tuple[str, ...]):
    script = "for n in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$n; done"
    inside = run("sh", "-c", script, before=before, cwd="/").stdout.split()
    host = subprocess.run(["sh", "-c", script], capture_output=True, text=True).stdout.split()
    assert len(inside) == 7
    assert not set(inside) & set(host)


def test_group_of_a_command_is_the_root_of_what_it_sees():
    script = "cut -d: -f3 /proc/self/cgroup | sort -u"
    crash = ("-m", "pc-2g", "--load", "--then", script)
    assert run("sh", "-c", script).stdout == "/\n"
    done = run("sh", "-c", "echo c > /proc/sysrq-trigger", options=crash)
    assert done.stdout.splitlines()[-1:] == ["/"], done.stderr


def test_cgroups_are_out_of_reach():
    script = """
mkdir /tmp/c
for type in cgroup2 "cgroup -o memory" cgroup; do mount -t $type none /tmp/c 2>/dev/null && echo mounted; done
unshare -C true 2>/dev/null && echo unshared
unshare -UrmC sh -c 'mount -t cgroup2 none /tmp/c' 2>/dev/null && echo nested
find / -xdev -path /tmp -prune -o -name cgroup.procs -writable -print 2>/dev/null | head -1
for file in $(find /sys/fs/cgroup /run/kdumpfs/sys/fs/cgroup -name cgroup.procs 2>/dev/null | head -20); do
    (: >> $file) 2>/dev/null && echo $file
done; echo end
"""
    assert run("sh", "-c", script).stdout == "end\n"


def test_host_name_can_be_set_inside_only():
    before = os.uname().nodename
    assert run("sh", "-c", "hostname inside; hostname").stdout == "inside\n"
    assert os.uname().nodename == before


@pytest.mark.parametrize("umask", [0o077, 0o777])
@users
def test_umask_of_the_caller_is_for_the_command_alone(umask: int, before: tuple[str, ...]):
    script = "umask; stat -c %a /run /run/lock /var/crash /dev /dev/shm"
    done = run("sh", "-c", script, before=before, umask=umask, cwd="/")
    assert done.stdout.split() == [f"{umask:04o}", "755", "755", "755", "755", "1777"]
