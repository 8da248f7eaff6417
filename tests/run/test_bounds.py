"""What a run may take together: a cgroup where one may be made, which goes with the run however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsmount.host import cgroup, mountns
from fsmount.run.inside import session
from tests.run.machine import ENVIRONMENT, RUN, run, start
from tests.run.test_environments import REFUSE

LIMITS = {"memory": 1 << 30, "pids": 100}


def lack() -> str:
    """Why no group can be made here; empty if one can."""
    made = cgroup.groups(dict(LIMITS), mountns.table())
    for group in made:
        group.remove()
    return "" if any("memory" in group.controllers for group in made) else "no cgroup to make"


needs_cgroup = pytest.mark.skipif(bool(lack()), reason="no memory cgroup may be made here")


def ours() -> set[str]:
    """Groups of runs that there are."""
    return {str(found) for found in Path("/sys/fs/cgroup").rglob("kdumpfs-*")}


@pytest.fixture
def running() -> Iterator[tuple[int, set[Path]]]:
    """A run whose command waits for a line: its process, and its groups."""
    before = ours()
    process = start("echo up; exec sleep 1000")
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    groups = {Path(one) for one in ours() - before if one.endswith(f"kdumpfs-{process.pid}")}
    yield process.pid, groups
    process.kill()
    process.communicate()
    gone(groups)


def gone(groups: set[Path]) -> None:
    """Wait until they are."""
    until = time.monotonic() + 20
    while any(group.exists() for group in groups):
        assert time.monotonic() < until, groups
        time.sleep(0.02)


@needs_cgroup
@pytest.mark.namespaces
def test_memory_of_all_processes_together_is_bounded(tmp_path: Path):
    go = tmp_path / "go"
    half = session.memory_size() * 2
    before = ours()
    process = start(
        f"echo up; while [ ! -e {go} ]; do sleep 0.1; done; (python3 -c 'x = bytearray(512 << 20)'); echo $?",
        "--rw",
        str(tmp_path),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    (memory,) = (
        file
        for group in ours() - before
        if group.endswith(f"kdumpfs-{process.pid}")
        for name in ("memory.max", "memory.limit_in_bytes")
        if (file := Path(group, name)).exists()
    )
    assert abs(int(memory.read_text()) - half) < 1 << 20
    assert Path(memory.parent, "cgroup.procs").read_text().split()
    for file in (memory, memory.with_name("memory.swap.max")):
        if file.exists():
            file.write_text(str(128 << 20 if file == memory else 0))
    go.touch()
    said = process.communicate(timeout=60)[0]
    assert said == "137\n"
    gone({memory.parent})


@needs_cgroup
@pytest.mark.namespaces
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
def test_groups_go_with_the_run(running: tuple[int, set[Path]], number: signal.Signals):
    pid, groups = running
    assert groups
    os.kill(pid, number)
    gone(groups)


@pytest.fixture
def bounded() -> Iterator[Path]:
    """A group of cgroup2 as `systemd-run --scope -p MemoryMax=512M -p TasksMax=200` makes one."""
    top = Path("/sys/fs/cgroup")
    if os.geteuid() or not {"memory", "pids"} <= _switched_on(top):
        pytest.skip("no cgroup2 of root's with memory and pids")
    group = top / f"test-{os.getpid()}.scope"
    group.mkdir()
    (group / "memory.max").write_text(str(512 << 20))
    (group / "pids.max").write_text("200")
    yield group
    group.rmdir()


def _switched_on(directory: Path) -> set[str]:
    file = directory / "cgroup.subtree_control"
    return set(file.read_text().split()) if file.exists() else set()


@pytest.mark.namespaces
def test_run_keeps_the_bounds_of_the_group_that_it_is_started_in(bounded: Path, tmp_path: Path):
    go = tmp_path / "go"
    go.touch()
    before = ours()
    script = f'echo $$ > {bounded}/cgroup.procs; exec "$0" "$@"'
    inside = f"echo up; while [ -e {go} ]; do sleep 0.1; done"
    command = ["sh", "-c", script, *RUN, "--rw", str(tmp_path), "--", "sh", "-c", inside]
    process = subprocess.Popen(command, env=ENVIRONMENT, cwd="/", stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    (group,) = (Path(one) for one in ours() - before if one.endswith(f"kdumpfs-{process.pid}"))
    found = [int((group / name).read_text()) for name in ("memory.max", "pids.max")]
    members = (group / "cgroup.procs").read_text().split()
    go.unlink()
    assert process.wait(timeout=60) == 0
    assert found == [512 << 20, 200]
    assert members


@needs_cgroup
@pytest.mark.namespaces
def test_groups_go_with_a_run_that_is_killed_while_it_starts():
    started = []
    for n in range(12):
        process = start("true")
        time.sleep(0.02 * n)
        process.kill()
        process.communicate()
        started.append(process.pid)
    left = {group for group in ours() if int(group.rpartition("-")[2]) in started}
    gone({Path(group) for group in left})


@needs_cgroup
@pytest.mark.namespaces
def test_groups_go_when_init_is_killed(running: tuple[int, set[Path]]):
    pid, groups = running
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    gone(groups)


@needs_cgroup
@pytest.mark.namespaces
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86_64's calls")
def test_groups_go_when_no_namespace_can_be_made():
    command = [sys.executable, "-c", REFUSE, "56", *RUN, "--", "true"]  # 56: clone
    process = subprocess.Popen(command, env=ENVIRONMENT, cwd="/", stderr=subprocess.PIPE)
    process.communicate(timeout=60)
    assert process.returncode == 2
    assert not [one for one in ours() if one.endswith(f"kdumpfs-{process.pid}")]


@pytest.mark.namespaces
def test_background_processes_are_in_the_group_and_end_with_it():
    before = ours()
    assert run("sh", "-c", "sleep 1000 & echo up").stdout == "up\n"
    until = time.monotonic() + 20
    while ours() - before and time.monotonic() < until:  # others may run meanwhile
        time.sleep(0.02)


# Hierarchies as hosts have them


def hierarchy(top: Path, on: str, below: str = "user.slice/app.slice") -> Path:
    """A directory as of cgroup2, in which these controllers are on; our own group below."""
    own = top / below
    own.mkdir(parents=True)
    for directory in (own, *own.parents):
        if directory.is_relative_to(top):
            (directory / "cgroup.subtree_control").write_text("" if directory == own else on)
    return own


def made(tmp_path: Path, lines: str, table: str) -> list[cgroup.Group]:
    (tmp_path / "own").write_text(lines)
    return cgroup.groups(dict(LIMITS), table.replace("TOP", str(tmp_path)), str(tmp_path / "own"))


TEXTS = {
    "memory.max": "max\n",
    "memory.high": "max\n",
    "pids.max": "max\n",
    "cpu.max": "max 100000\n",
}
"""What the files of a new group of cgroup2 say."""
V2 = "30 1 0:26 / TOP/v2 rw - cgroup2 cgroup2 rw,nsdelegate\n"


def test_group_of_cgroup2_is_beside_our_own_where_the_controllers_are_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    own = hierarchy(tmp_path / "v2", "cpu memory pids")
    monkeypatch.setattr(os, "mkdir", _new)
    (group,) = made(tmp_path, "0::/user.slice/app.slice\n", V2)
    place = own.parent / f"kdumpfs-{os.getpid()}"
    assert group.controllers == ("memory", "pids")
    assert (place / "memory.max").read_text() == str(1 << 30)
    assert (place / "pids.max").read_text() == "100"
    group.join()
    assert (place / "cgroup.procs").read_text() == "0"


def test_group_beside_our_own_is_bounded_as_that_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    own = hierarchy(tmp_path / "v2", "cpu memory pids")
    bounds = {
        "memory.max": "2097152",
        "memory.high": "1048576",
        "pids.max": "max",
        "cpu.max": "5 9",
    }
    for name, text in bounds.items():
        (own / name).write_text(f"{text}\n")
    monkeypatch.setattr(os, "mkdir", _new)
    made(tmp_path, "0::/user.slice/app.slice\n", V2)
    place = own.parent / f"kdumpfs-{os.getpid()}"
    assert {name: (place / name).read_text() for name in bounds} == bounds | {"pids.max": "100"}


def _new(name: str, mode: int, *, dir_fd: int, mkdir=os.mkdir) -> None:
    """A group comes with its files."""
    mkdir(name, mode, dir_fd=dir_fd)
    place = Path(os.readlink(f"/proc/self/fd/{dir_fd}"), name)
    for file in ("cgroup.procs", "memory.limit_in_bytes", *TEXTS):
        (place / file).write_text(TEXTS.get(file, ""))


def test_nothing_is_made_where_memory_is_not_on_or_not_ours(tmp_path: Path):
    own = hierarchy(tmp_path / "v2", "cpu")
    assert made(tmp_path, "0::/user.slice/app.slice\n", V2) == []
    assert made(tmp_path, "0::/../other\n", V2) == []
    assert made(tmp_path, "", V2) == []
    assert made(tmp_path, "0::/user.slice/app.slice\n", "") == []
    assert sorted(one.name for one in own.parent.iterdir()) == [
        "app.slice",
        "cgroup.subtree_control",
    ]


def test_each_hierarchy_of_version_1_has_a_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("memory/a", "pids"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setattr(os, "mkdir", _new)
    table = "".join(
        f"3{n} 1 0:2{n} / TOP/{one} rw - cgroup cgroup rw,{one}\n"
        for n, one in enumerate(("memory", "pids"))
    )
    found = made(tmp_path, "4:memory:/a\n8:pids:/\n0::/\n", table)
    assert [group.controllers for group in found] == [("memory",), ("pids",)]
    limit = tmp_path / f"memory/a/kdumpfs-{os.getpid()}/memory.limit_in_bytes"
    assert limit.read_text() == str(1 << 30)
