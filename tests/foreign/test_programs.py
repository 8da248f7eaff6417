"""Programs compiled for each guest that make the calls themselves: in children, in threads, between signals."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.foreign.programs import compiled, each_kind, machine_of
from tests.run.machine import USERS, inside, run

pytestmark = [pytest.mark.namespaces, pytest.mark.apt]


def calls(programs: Path, machine: str, kind: str, *arguments: str) -> list[str]:
    """What the program prints: results, or -errno."""
    program = compiled(programs, machine, kind, "calls.c")
    done = run(str(program), *arguments, options=machine_of(machine))
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@each_kind
def test_each_call_reaches_the_machine(programs: Path, machine: str, kind: str):
    page = "65536" if (machine, kind) == ("ppc64le", "dynamic") else "4096"
    assert calls(programs, machine, kind, "plain") == ["0", "-22", "-9", "-2", page]


@each_kind
def test_child_that_executes_nothing_makes_its_calls_too(programs: Path, machine: str, kind: str):
    assert calls(programs, machine, kind, "fork") == ["0", "-22", "-9", "-22"]


@each_kind
def test_sixteen_threads_at_once_get_their_own_answers(programs: Path, machine: str, kind: str):
    assert calls(programs, machine, kind, "threads", "30") == ["0"]


@each_kind
def test_signals_between_change_no_result(programs: Path, machine: str, kind: str):
    assert calls(programs, machine, kind, "signals", "10") == ["0"]


@pytest.mark.parametrize("before", USERS)
@each_kind
def test_ordinary_users_program_makes_its_calls_too(
    programs: Path, machine: str, kind: str, before: tuple[str, ...]
):
    program = compiled(programs, machine, kind, "calls.c")
    public = Path("/tmp") / f"kdumpfs-{os.getpid()}-{program.name}"
    shutil.copy(program, public)
    try:
        done = run(str(public), "fork", options=machine_of(machine), before=before)
    finally:
        public.unlink()
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0", "-22", "-9", "-22"]


@each_kind
def test_log_is_read_wherever_the_buffer_lies(programs: Path, machine: str, kind: str):
    # qemu-user itself takes the address for the length: EINVAL for every second one.
    assert calls(programs, machine, kind, "log") == ["0"]


@each_kind
def test_cpuinfo_is_the_machines(programs: Path, machine: str, kind: str):
    # qemu-user has one of its own for all but ppc64le, and since 11 for that too.
    program = compiled(programs, machine, kind, "calls.c")
    printed = inside(f"{program} cpuinfo; echo and; cat /proc/cpuinfo", *machine_of(machine))
    own, _, machines = printed.partition("and\n")
    assert own == machines
    assert own.startswith("processor\t: 0\n")


@each_kind
def test_call_past_the_c_library_reaches_nobody_or_the_machine(
    programs: Path, machine: str, kind: str
):
    # Of a dynamic program qemu-user answers it. The host's kernel hears of neither.
    assert calls(programs, machine, kind, "raw") == ["-22" if kind == "static" else "-38"]


SILENT = """
import os, socket, sys, time
listeners = []
for number in range(1 << 22, (1 << 22) + 40):
    listeners.append(socket.socket(socket.AF_UNIX))
    listeners[-1].bind(f"/run/kdumpfs/gdb/{number}")
    listeners[-1].listen()
peers = [listener.accept()[0] for listener in listeners]
for peer in peers[::2]:
    peer.sendall(b"$T05thread:1;" * 100)
began = time.monotonic()
for _ in range(20):
    os.uname()
    open("/sys/kernel/kexec_crash_loaded").read()
print(time.monotonic() - began, flush=True)
os.spawnlp(os.P_WAIT, sys.argv[1], sys.argv[1], "plain")
"""


def test_who_poses_as_a_program_that_starts_holds_nobody(programs: Path):
    program = compiled(programs, "ppc64le", "static", "calls.c")
    script = f"python3 -c '{SILENT}' {program}"
    printed = inside(script, *machine_of("ppc64le")).split()
    # Each was waited for up to ten seconds.
    assert float(printed[0]) < 5
    assert printed[1:] == ["0", "-22", "-9", "-2", "4096"]
