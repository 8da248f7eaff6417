"""A module on a mounted tree, as its author meets it: mistakes, reload, status, log, events."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsmount.host.mounting import mounted_at
from tests.mounted.test_shell import Shell, kdumpfs

pytestmark = pytest.mark.fuse

MODULE = """\
import errno
from kdumpfs.module import *

state = State(hits=0)
group = AttributeGroup("kernel/kexec", singleton)

@group.show
def hits_show(kernel):
    state.hits += 1
    return f"{state.hits}\\n"

@group.show
def broken_show(kernel):
    return kernel.nope

@group.bin_show()
def raw_show(kernel):
    return kernel.kexec.elfcorehdr() or b""
"""


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(MODULE)
    return path


@pytest.fixture(params=["--libfuse", "--direct"])
def shell(request: pytest.FixtureRequest, tmp_path: Path, module: Path) -> Iterator[Shell]:
    if request.param == "--direct" and os.geteuid():
        pytest.skip("only root mounts without libfuse")
    directory = tmp_path / "mnt"
    directory.mkdir()
    done = kdumpfs("mount", "--load", request.param, "--module", module, directory)
    assert done.returncode == 0, done.stderr
    told = f"kdumpfs: {directory}/control/log has what the modules print, and their mistakes\n"
    assert done.stderr == told
    yield Shell(directory)
    kdumpfs("umount", "--lazy", directory)
    assert mounted_at(str(directory)) is None


def test_a_traceback_is_in_the_log_that_was_named_and_in_the_kernel_s(shell: Shell) -> None:
    assert "Input/output error" in shell("cat sys/kernel/kexec/broken")
    for said in (shell("cat control/log"), kdumpfs("dmesg", shell.dir).stdout):
        assert "mine.py: line 14: in broken_show: AttributeError" in said
        assert "return kernel.nope" in said
        assert "fsmount" not in said


def test_reload_takes_the_edited_file_and_leaves_machine_and_state(
    shell: Shell, module: Path
) -> None:
    shell("echo offline > sys/devices/system/memory/memory30/state; cat sys/kernel/kexec/hits")
    module.write_text(MODULE.replace("{state.hits}", "{state.hits} times").replace("raw", "bin"))
    assert kdumpfs("reload", shell.dir).returncode == 0
    assert shell("cat sys/kernel/kexec/hits sys/devices/system/memory/memory30/state") == (
        "2 times\noffline\n"
    )
    assert shell("ls sys/kernel/kexec | grep -e raw -e bin") == "bin\n"


def test_reload_of_a_wrong_file_is_one_sentence_and_changes_nothing(
    shell: Shell, module: Path
) -> None:
    module.write_text(MODULE + "\ndef more_show(kernel): ...\n")
    done = kdumpfs("reload", shell.dir)
    assert done.returncode == 2
    assert done.stderr == (
        f"kdumpfs: {module}: line 20: more_show is declared by no group; expected `@GROUP.show` "
        "above it, or a name that begins with _ if it is a helper\n"
    )
    assert shell("cat sys/kernel/kexec/hits") == "1\n"


def test_reload_in_a_machine_without_modules(tmp_path: Path, module: Path) -> None:
    directory = tmp_path / "bare"
    directory.mkdir()
    assert kdumpfs("mount", directory).returncode == 0
    try:
        done = kdumpfs("reload", directory)
        assert (done.returncode, done.stderr) == (
            2,
            "kdumpfs: no module is loaded; expected FILE.py\n",
        )
        assert kdumpfs("reload", directory, module).returncode == 0
        assert Shell(directory)("cat sys/kernel/kexec/hits") == "1\n"
    finally:
        kdumpfs("umount", directory)


def test_size_of_a_binary_file_follows_a_hotplug(shell: Shell) -> None:
    before = int(shell("stat -c %s sys/kernel/kexec/raw"))
    assert before == int(shell("wc -c < sys/kernel/kexec/raw"))
    shell("echo offline > sys/devices/system/memory/memory30/state")
    assert int(shell("stat -c %s sys/kernel/kexec/raw")) == before + 56
    assert kdumpfs("unload", shell.dir).returncode == 0
    assert int(shell("stat -c %s sys/kernel/kexec/raw")) == 0


def test_status_tells_machine_kernel_kdump_and_modules(shell: Shell, module: Path) -> None:
    one = kdumpfs("status", shell.dir).stdout
    assert one.startswith(
        f"{shell.dir}: pseries-16g (ppc64 pseries, 16 GiB, 8 CPUs), kernel 7.1.0, kdump loaded, "
        f"modules {module}, served by process "
    )
    assert one in kdumpfs("status").stdout
    kdumpfs("unload", shell.dir)
    assert "kdump not loaded" in kdumpfs("status", shell.dir).stdout
    done = kdumpfs("status", shell.dir.parent)
    assert (done.returncode, done.stderr) == (
        2,
        f"kdumpfs: {shell.dir.parent}: no kdumpfs is mounted here; "
        f"`kdumpfs mount {shell.dir.parent}` first\n",
    )


def test_dmesg_prints_seconds_or_dates(shell: Shell) -> None:
    shell("printf 'one\\ntwo\\\\' > dev/kmsg")
    lines = kdumpfs("dmesg", shell.dir).stdout.splitlines()
    assert lines[0].startswith("[    0.0")
    assert "] Linux version 7.1.0" in lines[0]
    dated = kdumpfs("dmesg", "-T", shell.dir).stdout.splitlines()
    assert dated[0][1:4] in ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    assert len(dated) == len(lines)


def followed(command: str, shell: Shell, line: str, expected: str) -> str:
    """The first line of `kdumpfs COMMAND -w` in which `expected` is, after a shell line."""
    argv = [sys.executable, "-u", "-m", "fsmount.cli.main", command, "-w", str(shell.dir)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        shell(line)
        for said in process.stdout:
            if expected in said:
                process.terminate()
                return said
    raise AssertionError(f"{command} ended")


def test_dmesg_and_uevents_go_on_with_w(shell: Shell) -> None:
    assert "hello" in followed("dmesg", shell, "echo hello > dev/kmsg", "hello")
    offline = "echo offline > sys/devices/system/memory/memory30/state"
    said = followed("uevents", shell, offline, "memory30")
    assert said.split()[1] == "offline@/devices/system/memory/memory30"


def test_the_traceback_appears_on_the_terminal_of_mount(tmp_path: Path, module: Path) -> None:
    directory = tmp_path / "terminal"
    directory.mkdir()
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "fsmount.cli.main", "mount", "--module", str(module)]
    subprocess.run([*command, str(directory)], stderr=theirs, check=True, timeout=60)
    try:
        assert "Input/output error" in Shell(directory)("cat sys/kernel/kexec/broken")
        said = os.read(ours, 4096)
        assert b"mine.py: line 14: in broken_show: AttributeError" in said
    finally:
        os.close(theirs)
        os.close(ours)
        kdumpfs("umount", "--lazy", directory)


@pytest.mark.namespaces
def test_the_traceback_appears_on_the_terminal_of_run(module: Path) -> None:
    done = kdumpfs("run", "--module", module, "--", "cat", "/sys/kernel/kexec/broken")
    assert "mine.py: line 14: in broken_show: AttributeError" in done.stderr
    assert done.returncode == 1


@pytest.mark.namespaces
def test_a_command_in_run_cannot_have_the_server_outside_run_its_module(
    module: Path, tmp_path: Path
) -> None:
    escaped = tmp_path / "escaped"
    line = (
        f'echo \'open("{escaped}", "w")\' >> {module}; '
        f"{sys.executable} -m fsmount.cli.main reload /run/kdumpfs/fuse; cat /sys/kernel/kexec/hits"
    )
    done = kdumpfs("run", "--module", module, "--", "bash", "-c", line)
    assert done.stdout == "1\n"
    assert "a module is run by the server, which is outside of the run" in done.stderr
    assert not escaped.exists()
