"""Shell lines that a person would type, on a mounted tree."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsmount.host.mounting import mounted_at, server_pid

pytestmark = pytest.mark.fuse

GOLDEN = Path(__file__).parent.parent / "golden/kernel"
SEED_TEXT = (GOLDEN / "seed/crash_elfcorehdr_print.txt").read_text()


def kdumpfs(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fsmount.cli.main", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


class Shell:
    """A mounted tree and a shell in it."""

    def __init__(self, directory: Path) -> None:
        self.dir = directory

    def mount(self, *options: object) -> None:
        done = kdumpfs("mount", *options, self.dir)
        assert (done.returncode, done.stderr) == (0, "")

    def __call__(self, line: str) -> str:
        """Output and error output of a line, run by bash in the tree's root."""
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.dir,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, "LC_ALL": "C"},
        )
        return done.stdout

    def row(self, index: str) -> list[str]:
        return self(f"grep '^{index} ' sys/kernel/kexec/crash_elfcorehdr_print").split()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    directory = tmp_path / "mnt"
    directory.mkdir()
    yield Shell(directory)
    if mounted_at(str(directory)) is not None:
        kdumpfs("umount", "--lazy", directory)
    assert mounted_at(str(directory)) is None


def test_the_mail_s_table_is_read_with_cat(shell: Shell) -> None:
    shell.mount("--load")
    assert shell("cat sys/kernel/kexec/crash_elfcorehdr_print") == SEED_TEXT


def test_block_size_of_a_file_is_a_page(shell: Shell) -> None:
    shell.mount("--load")
    assert shell("stat -c '%o %s' sys/kernel/kexec/crash_size") == "65536 65536\n"


def test_an_offlined_block_leaves_the_table_and_cannot_be_offlined_again(shell: Shell) -> None:
    shell.mount("--load")
    state = "sys/devices/system/memory/memory30/state"
    assert shell(f"echo offline > {state}; cat {state}") == "offline\n"
    assert shell.row("0xc")[5] == "0x188000000"
    assert shell.row("0xd")[2:6] == [
        "0x1f0000000",
        "0xc0000001f0000000",
        "0x1f0000000",
        "0x210000001",
    ]
    assert "write error: Invalid argument" in shell(f"echo offline > {state}")
    assert shell("cat control/uevents") == "1 offline@/devices/system/memory/memory30\n"


@pytest.mark.parametrize(
    ("options", "at_load", "after"),
    [
        (("--kernel", "7.0"), "0x0", "0x0"),
        (("--kernel", "7.0", "--with", "backup-offset-at-load"), "0x1af40000", "0x0"),
        (("--kernel", "7.1"), "0x1af40000", "0x1af40000"),
    ],
)
def test_the_first_64k_s_offset_as_the_mail_tells_it(
    shell: Shell, options: tuple[str, ...], at_load: str, after: str
) -> None:
    shell.mount("--load", *options)
    assert shell.row("0x9")[2] == at_load
    shell("echo offline > sys/devices/system/memory/memory30/state")
    assert shell.row("0x9")[2] == after


def test_dlpar_and_cpus_from_the_shell(shell: Shell) -> None:
    shell.mount("--load")
    assert shell(
        "echo 'memory remove count 1' > sys/kernel/dlpar; ls sys/devices/system/memory/memory6"
    ) == ("ls: cannot access 'sys/devices/system/memory/memory6': No such file or directory\n")
    assert "Invalid argument" in shell("echo 'memory remove count 999' > sys/kernel/dlpar")
    assert "No such device" in shell("echo 'cpu remove index 0x1' > sys/kernel/dlpar")
    assert "Device or resource busy" in shell(
        "echo offline > sys/devices/system/memory/memory2/state"
    )
    assert (
        shell("echo 0 > sys/devices/system/cpu/cpu3/online; cat sys/devices/system/cpu/offline")
        == "3\n"
    )
    assert shell("ls sys/devices/system/cpu/cpu3/topology 2>&1 | wc -l") == "1\n"
    log = shell("dd if=dev/kmsg iflag=nonblock status=none 2>/dev/null")
    assert ";pseries-hotplug-mem: Memory at 60000000 was hot-removed\n" in log


def test_load_unload_plug_and_unplug(shell: Shell) -> None:
    shell.mount()
    assert (
        shell("cat sys/kernel/kexec_crash_loaded sys/kernel/kexec/crash_elfcorehdr_print") == "0\n"
    )
    assert kdumpfs("load", "--legacy", shell.dir).returncode == 0
    assert shell("cat sys/devices/system/memory/crash_hotplug") == "0\n"
    assert kdumpfs("load", "--debug", shell.dir).returncode == 0
    assert shell("cat sys/kernel/kexec/crash_elfcorehdr_print") == SEED_TEXT
    assert kdumpfs("plug", shell.dir, "memory", "1G").returncode == 0
    assert shell.row("0xc")[5] == "0x3e8000000"
    assert kdumpfs("unplug", shell.dir, "memory", "0x400000000", "1G").returncode == 0
    assert shell.row("0xc")[5] == "0x3a8000000"
    assert kdumpfs("unload", shell.dir).returncode == 0
    own = kdumpfs("load", shell.dir, shell.dir / "proc/cmdline")
    assert (own.returncode, "is in a mounted kdumpfs" in own.stderr) == (2, True)
    failed = kdumpfs("load", shell.dir, "/nonexistent")
    assert failed.returncode == 2
    assert failed.stderr == "kdumpfs: load: no such file: /nonexistent (EBADF)\n"


def test_a_descriptor_of_a_block_that_came_back_says_enodev(shell: Shell) -> None:
    shell.mount()
    remove = "echo 'memory remove index 0x80000020' > sys/kernel/dlpar"
    add = "echo 'memory add index 0x80000020' > sys/kernel/dlpar"
    read = "exec 3< sys/devices/system/memory/memory32/state"
    assert shell(
        f"{read}; {remove}; {add}; cat <&3; cat sys/devices/system/memory/memory32/state"
    ) == ("cat: -: No such device\nonline\n")


def test_control_gives_the_header_s_bytes(shell: Shell) -> None:
    shell.mount("--load")
    assert shell("readelf -lW control/elfcorehdr | grep -c LOAD") == "4\n"
    assert json.loads(shell("cat control/machine"))["machine"] == "pseries-16g"


def test_lsmem_reads_the_tree(shell: Shell) -> None:
    shell.mount("-m", "pseries-4g")
    shell("echo offline > sys/devices/system/memory/memory8/state")
    out = shell("lsmem --sysroot . -b --output RANGE,SIZE,STATE --noheadings --summary=never")
    assert [line.split() for line in out.splitlines()] == [
        ["0x0000000000000000-0x000000007fffffff", "2147483648", "online"],
        ["0x0000000080000000-0x000000008fffffff", "268435456", "offline"],
        ["0x0000000090000000-0x00000000ffffffff", "1879048192", "online"],
    ]


def test_a_second_mount_a_missing_and_a_full_directory_are_refused_with_the_remedy(
    shell: Shell, tmp_path: Path
) -> None:
    shell.mount()
    for directory, words in (
        (shell.dir, f"a kdumpfs is mounted here already; `kdumpfs umount {shell.dir}` first"),
        (tmp_path / "none", "no such directory; `mkdir -p"),
        (tmp_path, "not empty (mnt is in it), expected an empty directory"),
    ):
        done = kdumpfs("mount", directory)
        assert done.returncode == 2
        assert words in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_dead_server_leaves_a_mount_that_can_be_cleared(shell: Shell) -> None:
    shell.mount()
    pid = server_pid(str(shell.dir))
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    done = kdumpfs("mount", shell.dir)
    assert "whose server died" in done.stderr or "is mounted here already" in done.stderr
    assert kdumpfs("umount", shell.dir).returncode == 0
    assert os.listdir(shell.dir) == []


def test_a_busy_mount_says_who_uses_it(shell: Shell) -> None:
    shell.mount()
    sleeper = subprocess.Popen(["sleep", "60"], cwd=shell.dir / "sys")
    try:
        done = kdumpfs("umount", shell.dir)
        assert done.returncode == 2
        assert f"in use by {sleeper.pid} (sleep)" in done.stderr
    finally:
        sleeper.kill()
        sleeper.wait()
    assert kdumpfs("umount", shell.dir).returncode == 0


def test_a_proposal_in_ten_lines(shell: Shell, tmp_path: Path) -> None:
    proposal = tmp_path / "proposal.py"
    proposal.write_text(
        '''from kdumpfs.module import AttributeGroup, Kernel, singleton

proposal = AttributeGroup("kernel/kexec", singleton)


@proposal.show
def crash_hotplug_events_show(kernel: Kernel) -> str:
    """How often the header was rebuilt since boot."""
    return f"{kernel.crash_hp.rebuilds}\\n"
'''
    )
    assert kdumpfs("mount", "--load", "--module", proposal, shell.dir).returncode == 0
    path = "sys/kernel/kexec/crash_hotplug_events"
    assert (
        shell(f"cat {path}; echo offline > sys/devices/system/memory/memory30/state; cat {path}")
        == "0\n1\n"
    )
    done = kdumpfs("abi", "--module", proposal, "/sys/kernel/kexec/crash_hotplug_events")
    assert "What:\t\t/sys/kernel/kexec/crash_hotplug_events" in done.stdout
    assert "How often the header was rebuilt since boot." in done.stdout


OWN = """
from kdumpfs.module import AttributeGroup, singleton

group = AttributeGroup("kernel/own", singleton)


@group.show
def word_show(kernel):
    return "word\\n"
"""


def test_a_module_s_own_dataclasses_and_prints_are_its_own_affair(
    shell: Shell, tmp_path: Path
) -> None:
    own = tmp_path / "own.py"
    own.write_text(
        "import dataclasses\n"
        "@dataclasses.dataclass(frozen=True, slots=True)\n"
        "class Own:\n    word: str\n"
        f"print(Own('seen'))\n{OWN}"
    )
    done = kdumpfs("mount", "--module", own, shell.dir)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("own: Own(word='seen')\n")
    assert "own: Own(word='seen')" in shell("cat control/log")
    assert shell("cat sys/kernel/own/word") == "word\n"


def test_what_is_wrong_with_a_machine_is_told_whatever_its_file_is_called(
    shell: Shell, tmp_path: Path
) -> None:
    odd = tmp_path / os.fsdecode(b"odd\xff.toml")
    odd.write_text("name = ")
    done = kdumpfs("mount", "-m", odd, shell.dir)
    assert (done.returncode, done.stdout) == (2, "")
    assert "odd\\udcff.toml: not TOML: Invalid value" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_interrupted_start_leaves_no_server_behind(shell: Shell, tmp_path: Path) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text(f"{OWN}\nimport time\nprint('booting', flush=True)\ntime.sleep(60)\n")
    command = [
        sys.executable,
        "-m",
        "fsmount.cli.main",
        "mount",
        "--module",
        str(slow),
        str(shell.dir),
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as mounting:
        assert mounting.stderr is not None
        assert mounting.stderr.readline() == "slow: booting\n"
        os.killpg(mounting.pid, signal.SIGINT)
        out, error = mounting.communicate(timeout=30)  # ends when the server has let go of it too
    assert (mounting.returncode, out, error) == (130, "", "")
    assert mounted_at(str(shell.dir)) is None
