"""`run --in DIR`: several commands in one mounted machine, each behind the same guards as a run of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.run.machine import ENVIRONMENT, NOBODY, RUN, run
from tests.run.userlands import emulator, options, userland

pytestmark = [pytest.mark.namespaces, pytest.mark.fuse]
KDUMPFS = [sys.executable, "-m", "fsmount.cli.main"]


def kdumpfs(*words: str, **how) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*KDUMPFS, *words], capture_output=True, text=True, env=ENVIRONMENT, check=False, **how
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Path]:
    """A mounted machine."""
    place = tmp_path / "machine"
    place.mkdir()
    kdumpfs("mount", "--load", str(place))
    yield place
    kdumpfs("umount", str(place))


def within(machine: Path, script: str, *options: str, **how) -> str:
    done = run("bash", "-c", script, options=("--in", str(machine), *options), **how)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


STATE = "sys/devices/system/memory/memory62/state"


def test_a_second_command_sees_what_the_first_did(machine: Path):
    within(machine, f"echo offline > /{STATE}; echo '<3>from the first' > /dev/kmsg")
    assert (machine / STATE).read_text() == "offline\n"
    assert within(machine, f"cat /{STATE}; dmesg | grep -c 'from the first'") == "offline\n1\n"
    (machine / STATE).write_text("online")
    assert within(machine, f"cat /{STATE}") == "online\n"


def test_sysctls_and_names_stay_the_machines(machine: Path):
    before = Path("/proc/sys/kernel/panic_on_oops").read_text()
    script = "hostname other; dmesg -n 3; cat /proc/sys/kernel/panic_on_oops"
    within(machine, "echo 1 > /proc/sys/kernel/panic_on_oops; " + script)
    assert within(
        machine, "cat /proc/sys/kernel/panic_on_oops; uname -n; cut -f1 /proc/sys/kernel/printk"
    ) == ("1\nother\n3\n")
    assert Path("/proc/sys/kernel/panic_on_oops").read_text() == before


def test_system_calls_reach_the_mounted_machine(machine: Path):
    if os.uname().machine != "x86_64":
        pytest.skip("numbers of x86_64's calls")
    script = "import ctypes; print(ctypes.CDLL(None).syscall(246, 0, 0, None, 1))"  # unload
    done = run("python3", "-c", script, options=("--in", str(machine)))
    assert done.stdout == "0\n", done.stderr
    assert (machine / "sys/kernel/kexec_crash_loaded").read_text() == "0\n"
    assert within(machine, "uname -r") == "7.1.0\n"


LISTEN = """
import socket, subprocess, sys
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15); s.bind((0, 1)); s.settimeout(20)
print("listens", flush=True)
print(s.recv(4096).split(b"\\0")[0].decode())
"""


def test_two_commands_at_once_share_the_machine_and_its_events(machine: Path):
    listener = subprocess.Popen(
        [*RUN, "--in", str(machine), "--", "python3", "-c", LISTEN],
        stdout=subprocess.PIPE, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    assert listener.stdout is not None
    assert listener.stdout.readline() == "listens\n"
    within(machine, f"ls /sys/devices/system/memory | grep -c memory62; echo offline > /{STATE}")
    assert listener.stdout.read() == "offline@/devices/system/memory/memory62\n"
    assert listener.wait(20) == 0


def test_names_follow_in_all_views_at_once(machine: Path):
    place = "sys/devices/system/memory"
    before = set(os.listdir(machine / place))
    within(machine, f"ls /{place} > /dev/null; echo 'memory remove count 1' > /sys/kernel/dlpar")
    gone = before - set(os.listdir(machine / place))
    assert len(gone) == 1
    assert within(machine, f"test -e /{place}/{gone.pop()} || echo gone") == "gone\n"


def test_waiting_reader_of_one_run_hears_what_another_logs(machine: Path):
    reader = subprocess.Popen(
        [*RUN, "--in", str(machine), "--", "sh", "-c", "echo up; timeout 20 dmesg -W | head -1"],
        stdout=subprocess.PIPE, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    assert reader.stdout is not None
    assert reader.stdout.readline() == "up\n"
    time.sleep(0.5)
    within(machine, "echo one > /dev/kmsg")
    within(machine, "echo two > /dev/kmsg")  # head is gone at the second
    assert reader.stdout.read().endswith("] one\n")
    reader.wait(30)


# The same guards


def test_guards_are_those_of_a_run_of_its_own(machine: Path):
    name = f"kdumpfs-test-{os.getpid()}"
    script = (
        f"touch /usr/lib/{name} /etc/{name} && echo private; ls /proc/1/root 2>&1 | grep -c denied"
    )
    assert within(machine, script, cwd="/") == "private\n1\n"
    assert not Path("/usr/lib", name).exists()
    assert not Path("/etc", name).exists()


def test_exit_status_signals_and_environment_are_the_commands(machine: Path):
    option = ("--in", str(machine))
    assert run("sh", "-c", "exit 7", options=option).returncode == 7
    assert run("sh", "-c", "kill -TERM $$", options=option).returncode == 143
    assert run("no-such-command", options=option).returncode == 127
    assert within(machine, "echo $KDUMPFS; pwd", cwd="/") == "pseries-16g\n/\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_run_that_is_ended_leaves_the_machine_whole(machine: Path, number: signal.Signals):
    mark = f"9{time.monotonic_ns()}"
    process = subprocess.Popen(
        [*RUN, "--in", str(machine), "--", "sh", "-c", f"echo up; exec sleep {mark}"],
        stdout=subprocess.PIPE, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(number)
    assert process.wait(20) == -number
    until = time.monotonic() + 10
    while subprocess.run(["pgrep", "-f", f"^sleep {mark}"], capture_output=True).returncode == 0:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert within(machine, "echo still") == "still\n"
    server = int((machine / "control/machine").read_text().split('"pid": ')[1].split("}")[0])
    assert len(os.listdir(f"/proc/{server}/fd")) < 20


def test_server_that_dies_ends_the_run(tmp_path: Path):
    place = tmp_path / "machine"
    place.mkdir()
    kdumpfs("mount", str(place))
    server = int((place / "control/machine").read_text().split('"pid": ')[1].split("}")[0])
    process = subprocess.Popen(
        [*RUN, "--in", str(place), "--", "sh", "-c", "echo up; sleep 60"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    os.kill(server, signal.SIGKILL)
    assert process.wait(20) == 2
    assert process.stderr is not None
    assert "the machine's server, or its init, was killed" in process.stderr.read()
    kdumpfs("umount", str(place))


# What is refused


def test_directory_where_no_machine_is_mounted(tmp_path: Path):
    done = run("true", options=("--in", str(tmp_path)))
    assert (done.returncode, done.stderr) == (
        2,
        f"kdumpfs: --in {tmp_path}: no kdumpfs is mounted there; `kdumpfs mount {tmp_path}` first\n",
    )


@pytest.mark.parametrize(
    "words", [("-m", "pc-2g"), ("--load",), ("--record", "x"), ("--then", "x")]
)
def test_option_that_boots_another_machine(tmp_path: Path, words: tuple[str, ...]):
    done = run("true", options=("--in", str(tmp_path), *words))
    assert done.returncode == 2
    assert " and --in: " in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="runs as root to become another")
def test_another_user_is_not_let_in(machine: Path):
    for parent in (machine.parent, machine.parent.parent, machine.parent.parent.parent):
        parent.chmod(0o755)
    done = run("true", options=("--in", str(machine)), before=NOBODY, cwd="/")
    assert done.returncode == 2
    assert "its server lets no run in" in done.stderr


def test_command_inside_cannot_join_another_machine(machine: Path):
    script = f"{' '.join(RUN)} --in {machine} -- true"
    done = run("bash", "-c", script)
    assert done.returncode == 2
    assert "lets no run in" in done.stderr or "no kdumpfs is mounted" in done.stderr


@pytest.mark.apt
def test_foreign_programs_run_in_a_mounted_machine_too(machine: Path):
    packages = options(emulator("ppc64le"), userland("ppc64le", "sid", "kexec-tools"))
    loaded = "cat /sys/kernel/kexec/crash_loaded"
    printed = within(
        machine, f"{loaded}; env -i /usr/sbin/kexec -p -u; echo $?; {loaded}", *packages
    )
    assert printed == "1\n0\n0\n"
