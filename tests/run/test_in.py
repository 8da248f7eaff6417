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

from fsmount.host import mountns
from fsmount.host.asking import server_of
from tests.run.machine import ENVIRONMENT, NOBODY, PROJECT, RUN, run
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


HEAVY = {"collections", "contextlib", "encodings.ascii", "enum", "operator", "re", "typing"}
"""What a run in a machine that is there does without: each is 0.2 to 2 ms of 26."""


def test_a_run_in_a_mounted_machine_imports_little(machine: Path):
    line = ["-I", "-S", "-X", "importtime", "-c"]
    code = "import sys; sys.path.append(sys.argv.pop(1)); from fsmount.cli.main import main; main()"
    words = [str(PROJECT), "run", "--in", str(machine), "--", "true"]
    done = subprocess.run(
        [sys.executable, *line, code, *words], capture_output=True, text=True, check=True
    )
    imported = {row.rpartition("|")[2].strip() for row in done.stderr.splitlines()}
    assert "fsmount.run.join" in imported
    assert not imported & HEAVY
    assert not any(name.startswith("elfcorehdr.kernel") for name in imported)


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


def test_machine_mounted_while_the_one_before_ends_can_be_joined(tmp_path: Path):
    """The kernel gives the next mount the device number of the last; its server may not have ended yet."""
    places = tmp_path / "a", tmp_path / "b"
    for place in places:
        place.mkdir()
    kdumpfs("mount", str(places[0]))
    old = mountns.mount_at(str(places[0]), mountns.table())
    assert old is not None
    server = server_of(old.device)
    assert server is not None
    os.kill(server, signal.SIGSTOP)
    try:
        subprocess.run(["fusermount", "-u", "-z", places[0]], check=True)
        mount = subprocess.Popen([*KDUMPFS, "mount", str(places[1])], env=ENVIRONMENT)
        time.sleep(1)
    finally:
        os.kill(server, signal.SIGCONT)
    assert mount.wait(30) == 0
    try:
        new = mountns.mount_at(str(places[1]), mountns.table())
        assert new is not None
        if new.device != old.device:
            pytest.skip("somebody else has the number now")
        assert within(places[1], "echo in") == "in\n"
    finally:
        kdumpfs("umount", str(places[1]))


# The same guards


def test_guards_are_those_of_a_run_of_its_own(machine: Path):
    name = f"kdumpfs-test-{os.getpid()}"
    script = (
        f"touch /etc/{name} /var/log/{name} && echo private; ls /proc/1/root 2>&1 | grep -c denied"
    )
    assert within(machine, script, cwd="/") == "private\n1\n"
    assert not Path("/var/log", name).exists()
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


@pytest.mark.parametrize("options", ["--in {machine}", "", "--name x", "--in /run/kdumpfs/fuse"])
def test_no_run_is_made_within_a_run(machine: Path, options: str):
    script = f"{' '.join(RUN)} {options.format(machine=machine)} -- true"
    done = run("bash", "-c", script)
    assert done.returncode == 2
    assert done.stderr.startswith("kdumpfs: no run can be made within a run; ")
    assert done.stderr.count("\n") == 1


def test_command_inside_cannot_join_another_machine(machine: Path):
    script = f"{' '.join(RUN)} --in {machine} -- true"
    hidden = f"unshare -m sh -c 'mount -t tmpfs none /run/kdumpfs/fuse; {script}'"
    done = run("bash", "-c", hidden)
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


# A server that does not answer


def test_run_does_not_wait_for_a_stopped_server(machine: Path):
    server = int((machine / "control/machine").read_text().split('"pid": ')[1].split("}")[0])
    os.kill(server, signal.SIGSTOP)
    try:
        done = run("true", options=("--in", str(machine)))
    finally:
        os.kill(server, signal.SIGCONT)
    assert done.returncode == 2
    assert f"its server (process {server}) is stopped; `kill -CONT {server}`" in done.stderr
    assert done.stderr.count("\n") == 1


# By name, without a mount of one's own


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A name of no machine; what was booted under it is gone afterwards."""
    monkeypatch.setitem(ENVIRONMENT, "XDG_RUNTIME_DIR", str(tmp_path))
    name = f"test-{os.getpid()}-{time.monotonic_ns()}"
    yield name
    subprocess.run([*KDUMPFS, "umount", "--force", name], env=ENVIRONMENT, capture_output=True)


def test_a_second_line_sees_what_the_first_did_without_a_mount(name: str, tmp_path: Path):
    option = ("--name", name)
    first = run("sh", "-c", f"echo offline > /{STATE}", options=(*option, "-m", "pseries-4g"))
    assert first.returncode == 2  # that machine has no such block
    state = "/sys/devices/system/memory/memory10/state"
    assert run("sh", "-c", f"echo offline > {state}", options=option).stderr == ""
    assert run("cat", state, options=option).stdout == "offline\n"
    assert f"/{name}: pseries-4g (" in kdumpfs("status").stdout
    kdumpfs("plug", name, "memory", "256M")
    assert "offline" in run("cat", state, options=("--in", name)).stdout
    kdumpfs("umount", name)
    assert list(tmp_path.iterdir()) == []
    assert name not in kdumpfs("status").stdout
    assert run("cat", state, options=(*option, "-m", "pseries-4g")).stdout == "online\n"


def test_guards_of_a_named_machine_are_those_of_any_run(name: str):
    mark = f"kdumpfs-test-{os.getpid()}"
    script = f"touch /etc/{mark} && echo private; ls /proc/1/root 2>&1 | grep -c denied"
    for _ in range(2):
        done = run("sh", "-c", script, options=("--name", name), cwd="/")
        assert (done.stdout, done.returncode) == ("private\n1\n", 0), done.stderr
    assert not Path("/etc", mark).exists()


def test_of_many_first_commands_one_boots_the_machine(name: str):
    command = [*RUN, "--name", name, "--", "uname", "-r"]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
        for _ in range(5)
    ]
    assert [one.communicate(timeout=120)[0] for one in started] == ["7.1.0\n"] * 5
    assert kdumpfs("status").stdout.count(f"/{name}: ") == 1


@pytest.mark.parametrize("words", [("-m", "pc-2g"), ("--load",), ("--record", "x"), ("--crashed",)])
def test_option_that_boots_a_named_machine_anew_is_refused(name: str, words: tuple[str, ...]):
    assert run("true", options=("--name", name)).returncode == 0
    done = run("true", options=("--name", name, *words))
    assert done.returncode == 2
    assert " and --name" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("wrong", ["", "../x", "a/b", "-x", "x" * 65, "ä", "a b"])
def test_name_that_is_none(wrong: str):
    done = run("true", options=(f"--name={wrong}",))
    assert done.returncode == 2
    assert done.stderr.startswith("kdumpfs: --name ")
    assert done.stderr.count("\n") == 1


def test_named_machine_that_does_not_boot_leaves_nothing(name: str, tmp_path: Path):
    assert run("true", options=("--name", name, "-m", "no-such-machine")).returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_directory_of_somebody_else_is_not_used(tmp_path: Path):
    place = tmp_path / f"kdumpfs-{os.geteuid()}"
    place.mkdir(mode=0o755)
    done = run(
        "true", options=("--name", "x"), env={**ENVIRONMENT, "XDG_RUNTIME_DIR": str(tmp_path)}
    )
    assert done.returncode == 2
    assert f"{place}: expected a directory that is yours alone" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="runs as root to become another")
@pytest.mark.skipif(PROJECT.is_relative_to("/tmp"), reason="a new /tmp would hide the project")
def test_an_ordinary_user_has_named_machines_of_his_own(tmp_path: Path):
    script = (
        "mount -t tmpfs none /mnt && mknod -m 666 /mnt/fuse c 10 229 && mount --bind /mnt/fuse /dev/fuse;"
        " mount -t tmpfs -o mode=1777 none /tmp;"
        ' k="setpriv --reuid=65534 --regid=65534 --clear-groups $0 -m fsmount.cli.main";'
        ' $k run --name own -- sh -c "echo x > /etc/own; uname -r";'
        " $k status | grep -c /kdumpfs-65534/own:; $k umount own; ls /tmp/kdumpfs-65534"
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, sys.executable], capture_output=True, text=True,
        env={**ENVIRONMENT, "XDG_RUNTIME_DIR": ""}, cwd="/", timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout == "7.1.0\n1\n", done.stderr
