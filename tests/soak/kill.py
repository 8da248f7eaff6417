"""Servers killed at any moment, by any signal, whatever they are doing: no process, mount or cgroup of them stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import NamedTuple

from fsmount.host.mounting import mounted_at, server_pid

PROJECT = Path(__file__).parents[2]
KDUMPFS = [sys.executable, "-m", "fsmount.cli.main"]
SIGNALS = ("KILL", "TERM", "HUP", "QUIT", "INT")
WORK = {
    "idle": "sleep 60",
    "stores": "while :; do echo offline; echo online; done | while read w; do echo $w > sys/devices/system/memory/memory30/state; done",
    "listing": "while :; do ls -lR sys > /dev/null; done",
    "log": "cat dev/kmsg > /dev/null",
    "loads": "while :; do kdumpfs load .; kdumpfs unload .; done",
}  # fmt: skip


class Killed(NamedTuple):
    """How many servers were killed, and what was left of one."""

    mounts: int
    runs: int
    wrong: list[str]


def _environment() -> dict[str, str]:
    venv = str(Path(sys.executable).parent)
    return os.environ | {"PATH": f"{venv}:{os.environ['PATH']}", "PYTHONPATH": str(PROJECT)}


def _ended(pid: int, seconds: float = 10) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not os.path.exists(f"/proc/{pid}"):
            return True
        time.sleep(0.01)
    return False


def mount(name: str, work: str, wait: float) -> list[str]:
    """Kill the server of a mount while it does some work."""
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([*KDUMPFS, "mount", "--load", directory], cwd=PROJECT, check=True)
        pid = server_pid(directory)
        assert pid is not None
        with subprocess.Popen(
            ["bash", "-c", WORK[work]], cwd=directory, env=_environment(), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as busy:  # fmt: skip
            time.sleep(wait)
            os.kill(pid, getattr(signal, f"SIG{name}"))
            if not _ended(pid):
                wrong.append(f"{name} while {work}: the server has not ended")
            os.killpg(busy.pid, signal.SIGKILL)
        if name == "KILL":
            done = subprocess.run(
                [*KDUMPFS, "umount", directory],
                cwd=PROJECT,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                wrong.append(f"{name} while {work}: umount: {done.stderr}")
        if mounted_at(directory) is not None:
            wrong.append(f"{name} while {work}: still mounted")
            subprocess.run(["umount", "-l", directory], check=False)
    return wrong


def run(name: str, wait: float, mark: str) -> list[str]:
    """Kill a run, its command at work."""
    script = f"(exec -a {mark} sleep 100) & cat /dev/kmsg > /dev/null & while :; do cat /sys/kernel/kexec_crash_size; done"
    before = _mounts()
    with subprocess.Popen(
        [*KDUMPFS, "run", "--", "bash", "-c", script], cwd=PROJECT, env=_environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        time.sleep(wait)
        process.send_signal(getattr(signal, f"SIG{name}"))
        process.wait(20)
    until = time.monotonic() + 10
    while (left := _processes(mark)) and time.monotonic() < until:
        time.sleep(0.02)
    wrong = [f"run, {name}: processes {left} are left"] if left else []
    if _mounts() - before:
        wrong.append(f"run, {name}: {_mounts() - before} is mounted")
    while (groups := _groups(process.pid)) and time.monotonic() < until:
        time.sleep(0.02)
    if groups:
        wrong.append(f"run, {name}: {groups} is left")
    return wrong


def _groups(pid: int) -> list[str]:
    """Cgroups of the run that this process was."""
    found = os.walk("/sys/fs/cgroup")
    return [
        f"{top}/{name}" for top, names, _ in found for name in names if name == f"kdumpfs-{pid}"
    ]


def _mounts() -> set[str]:
    """Mounts of ours that this process sees, but for those that another test may have."""
    return {
        line
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if "/run/kdumpfs" in line
    }


def _processes(mark: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if mark.encode() in (entry / "cmdline").read_bytes().split(b"\0")[0]:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def killed(mounts: int, runs: int, *, seed: int = 1) -> Killed:
    """So many servers of mounts and runs, killed at random moments by each signal in turn."""
    chance = Random(seed)
    wrong: list[str] = []
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:  # by nohup(1), and it would end nobody
        signal.signal(signal.SIGHUP, lambda *_: None)
    for n in range(mounts):
        name, work = SIGNALS[n % len(SIGNALS)], chance.choice(list(WORK))
        wrong += mount(name, work, chance.random() * 0.4)
    for n in range(runs):
        name = ("KILL", "TERM", "HUP")[n % 3]
        wrong += run(name, 0.05 + chance.random(), f"kdumpfs-soak-{os.getpid()}-{n}")
    return Killed(mounts, runs, wrong)
