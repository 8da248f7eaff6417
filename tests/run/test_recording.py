"""This machine, recorded and replayed: the same tools say the same of it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from elfcorehdr.errors import ProfileError
from elfcorehdr.init.main import Kernel
from elfcorehdr.machine.reader import from_toml
from fsmount.cli.recorded.machine import as_toml
from fsmount.host.recordings.recording import read_recording
from tests.run.machine import ENVIRONMENT, PROJECT, USERS, run
from tests.run.packages import hwloc_recordings, tool

pytestmark = [pytest.mark.fuse, pytest.mark.namespaces]
KDUMPFS = [sys.executable, "-m", "fsmount.cli.main"]


def kdumpfs(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*KDUMPFS, *words],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        cwd=PROJECT,
        check=False,
    )


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("recording") / "host.tar.gz"
    done = kdumpfs("record", "-o", str(path))
    assert done.returncode == 0, done.stderr
    return str(path)


@pytest.fixture(scope="module", params=USERS)
def user_and_recording(request):
    """What comes before a command line to be that user, and this machine as that user recorded it."""
    before = request.param
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o777)
        path = Path(directory, "host.tar.gz")
        done = subprocess.run(
            [*before, *KDUMPFS, "record", "-o", str(path)],
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
            cwd=PROJECT,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        yield before, str(path)


def said_here(*argv: str, before: tuple[str, ...] = ()) -> str:
    environment = {**ENVIRONMENT, "LC_ALL": "C"}
    return subprocess.run(
        [*before, *argv], capture_output=True, text=True, env=environment, check=True
    ).stdout


TOOLS = [
    (("lsmem",), ""),
    (("lsmem", "--all", "--output-all"), ""),
    (("lscpu",), ""),
    (("lscpu", "-e"), ""),
    (("lscpu", "-p"), ""),
    (("lscpu", "-C"), ""),
    (("nproc", "--all"), ""),
    (("numactl", "-H"), "numactl"),
    (("lstopo-no-graphics", "--of", "console", "--no-io"), "hwloc-nox"),
]
LIVE = re.compile(r"(?m)^node \d+ free: .*\n|^ *CPU\(?s?\)? scaling MHz.*\n")
"""Lines that are of the moment: numactl's free memory, lscpu's clock."""
COMPUTED = re.compile(r"\b\d+ ?[GM]B\b")
"""Amounts of memory that a derived machine's boot left; those of the blocks are lsmem's, and exact."""


@pytest.mark.parametrize(("tool_", "package"), TOOLS, ids=lambda t: " ".join(t) if t else "")
def test_tools_say_of_the_replayed_files_what_they_say_here(user_and_recording, tool_, package):
    before, recording = user_and_recording
    if package:
        tool(tool_[0], package)
    done = run(*tool_, options=("--recording", recording), before=before)
    assert done.returncode == 0, done.stderr
    assert LIVE.sub("", done.stdout) == LIVE.sub("", said_here(*tool_, before=before))


@pytest.mark.parametrize(("tool_", "package"), TOOLS, ids=lambda t: " ".join(t) if t else "")
def test_tools_say_of_the_derived_machine_what_they_say_here(user_and_recording, tool_, package):
    before, recording = user_and_recording
    if package:
        tool(tool_[0], package)
    done = run(*tool_, options=("-m", recording), before=before)
    assert done.returncode == 0, done.stderr
    here = LIVE.sub("", said_here(*tool_, before=before))
    if tool_[0] == "lsmem":
        assert done.stdout == here
    else:
        assert COMPUTED.sub("", LIVE.sub("", done.stdout)) == COMPUTED.sub("", here)


def test_the_derived_machine_has_the_memory_and_the_cpus_and_can_be_hotplugged(recording):
    done = run("lsmem", options=("-m", recording))
    assert done.stdout == said_here("lsmem")
    columns = ("lscpu", "-p=CPU,CORE,SOCKET,NODE")
    assert run(*columns, options=("-m", recording)).stdout == said_here(*columns)
    script = "n=$(ls -d /sys/devices/system/memory/memory[0-9]* | wc -l); kdumpfs plug /run/kdumpfs/fuse memory 1G"
    script = script.replace("kdumpfs", f"{sys.executable} -m fsmount.cli.main", 1)
    more = f"{script} && [ $(ls -d /sys/devices/system/memory/memory[0-9]* | wc -l) -gt $n ]"
    done = run("bash", "-c", more, options=("-m", recording, "--rw", str(PROJECT)))
    assert done.returncode == 0, done.stderr


def test_nothing_of_the_default_machine_shows_through(recording):
    done = run("cat", "/proc/cmdline", "/proc/iomem", options=("--recording", recording))
    assert "crashkernel=1G" not in done.stdout or "crashkernel=1G" in said_here(
        "cat", "/proc/cmdline"
    )
    assert "pSeries" not in run("cat", "/proc/cpuinfo", options=("--recording", recording)).stdout
    assert run("ls", "/sys/kernel/dlpar", options=("--recording", recording)).returncode != 0


def test_a_recording_becomes_a_file_that_boots_and_its_tree_differs_only_where_it_says(
    recording, tmp_path
):
    toml = tmp_path / "host.toml"
    toml.write_text(kdumpfs("machines", "--from", recording).stdout)
    assert "# Derived from" in toml.read_text()
    done = kdumpfs("diff-tree", "-m", str(toml), recording)
    assert done.returncode in (0, 1), done.stderr
    assert "files agree" in done.stderr
    told = [line.partition(":")[0] for line in done.stdout.splitlines()]
    assert not [path for path in told if "/memory/memory" in path]


def test_what_is_no_recording_is_one_sentence(tmp_path):
    (tmp_path / "x.tar").write_bytes(b"no tar")
    (tmp_path / "y").mkdir()
    for words in (
        ("machines", "--from", "x.tar"),
        ("diff-tree", "x.tar"),
        ("mount", "-m", "x.tar", "y"),
    ):
        done = subprocess.run(
            [*KDUMPFS, *words],
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
            cwd=tmp_path,
            check=False,
        )
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1, done.stderr
        assert "x.tar" in done.stderr


def interpreters() -> list[str]:
    """Every Python 3.6 or newer at hand, this one and the system's first."""
    others = [
        *Path("/usr/bin").glob("python3.?*"),
        *Path.home().glob(".pyenv/versions/3.*/bin/python3"),
    ]
    known: dict[str, str] = {}
    for path in (sys.executable, "/usr/bin/python3", *map(str, others)):
        words = [path, "-I", "-c", "import sys; print(sys.version_info[:2])"]
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False)
        except OSError:
            continue
        if (done.returncode == 0 and done.stdout >= "(3, 6)") or "(3, 1" in done.stdout:
            known.setdefault(done.stdout.strip(), path)
    return list(known.values())


def test_the_recorder_is_one_file_of_python_3_6_that_runs_alone(tmp_path):
    text = kdumpfs("record", "--script").stdout
    ast.parse(text, feature_version=(3, 6))
    assert not re.search(r"(?m)^\s*(from|import) (fsmount|elfcorehdr|kdumpfs)", text)
    script = tmp_path / "there" / "record.py"
    script.parent.mkdir()
    script.write_text(text)
    for n, python in enumerate(interpreters()):
        for words in ((), ("--anonymize",)):
            path = tmp_path / f"it{n}.tar.gz"
            done = subprocess.run(
                [python, "-I", "-S", str(script), "-o", str(path), *words],
                capture_output=True,
                text=True,
                cwd=script.parent,
                check=False,
            )
            assert done.returncode == 0, f"{python}: {done.stderr}"
            assert "recorded" in done.stdout
            assert read_recording(path).text("sys/devices/system/cpu/possible")


def test_a_recording_that_cannot_be_written_is_one_sentence_and_leaves_nothing(tmp_path):
    done = kdumpfs("record", "-o", str(tmp_path / "none" / "it.tar"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    before = os.stat("/dev/full")
    done = kdumpfs("record", "-o", "/dev/full")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    after = os.stat("/dev/full")
    assert (after.st_ino, after.st_rdev, after.st_mode) == (
        before.st_ino,
        before.st_rdev,
        before.st_mode,
    )


@pytest.mark.apt
def test_hwlocs_recordings_replay_as_lstopo_says_on_the_unpacked_files(tmp_path):
    lstopo = tool("lstopo-no-graphics", "hwloc-nox")
    mounted = tmp_path / "mnt"
    mounted.mkdir()

    def topology(root: Path) -> list[str]:
        environment = {**ENVIRONMENT, "HWLOC_FSROOT": str(root), "HWLOC_COMPONENTS": "linux,stop"}
        said = subprocess.run(
            [lstopo, "--of", "console"],
            capture_output=True,
            text=True,
            env=environment,
            check=True,
        )
        return sorted(
            said.stdout.splitlines()
        )  # devices of one bus come in the order of readdir(3)

    archives = sorted(hwloc_recordings().glob("*.tar.bz2"))
    differ = []
    for archive in archives:
        unpacked = tmp_path / archive.name
        unpacked.mkdir()
        subprocess.run(["tar", "-xf", archive, "-C", unpacked], check=True)
        (top,) = unpacked.glob("*/sys")
        done = kdumpfs("mount", "--recording", str(archive), str(mounted))
        assert done.returncode == 0, done.stderr
        try:
            if topology(mounted) != topology(top.parent):
                differ.append(archive.name)
        finally:
            kdumpfs("umount", str(mounted))
    assert len(archives) > 40
    assert differ == []


@pytest.mark.apt
def test_hwlocs_recordings_become_machines_or_it_is_said_what_no_machine_is_without():
    refusals = (
        "says which architecture",
        "no memory in the recording",
        "memory[0]: 0x0 + 0x1748b7",
    )
    booted, refused = 0, []
    for archive in sorted(hwloc_recordings().glob("*.tar.bz2")):
        try:
            text = as_toml(str(archive), "", "")
        except ProfileError as error:
            refused.append(str(error))
            continue
        kernel = Kernel.boot(from_toml(text, archive.name))
        assert kernel.cpus.online
        booted += 1
    assert booted > 25
    assert [why for why in refused if not any(known in why for known in refusals)] == []


@pytest.fixture(scope="module")
def sosreport(tmp_path_factory):
    """A sosreport of this machine."""
    tool("sos", "sosreport")
    if os.geteuid():
        pytest.skip("sos report is for root")
    place = tmp_path_factory.mktemp("sos")
    words = ("--batch", "--tmp-dir", str(place), "-o", "processor,memory,kernel,numa")
    done = subprocess.run(
        ["sos", "report", *words], capture_output=True, text=True, check=False, env=ENVIRONMENT
    )
    (archive,) = [path for path in place.glob("*.tar*") if "md5" not in path.suffix] or [None]
    assert archive is not None, done.stderr + done.stdout
    return str(archive)


@pytest.mark.parametrize("how", ["--recording", "-m"])
def test_a_sosreport_of_this_machine_replays_as_it(sosreport, how):
    for words in (("lsmem",), ("lsmem", "-a", "-o", "+ZONES"), ("lscpu", "-p"), ("nproc", "--all")):
        done = run(*words, options=(how, sosreport))
        assert done.returncode == 0, done.stderr
        assert done.stdout == said_here(*words)
    assert run("uname", "-rm", options=(how, sosreport)).stdout == said_here("uname", "-rm")


def test_an_unpacked_sosreport_is_the_same_recording(sosreport, tmp_path):
    subprocess.run(["tar", "-xf", sosreport, "-C", str(tmp_path)], check=True)
    packed, unpacked = as_toml(sosreport, "", ""), as_toml(str(tmp_path), "", "")
    assert packed.partition("arch =")[2] == unpacked.partition("arch =")[2]
