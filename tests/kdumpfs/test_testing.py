"""The fixtures, used as a project of one's own would use them."""

from __future__ import annotations

import errno
import subprocess
import sys
import time
from pathlib import Path

import pytest

from elfcorehdr.errors import ProfileError
from kdumpfs.testing import Header, Lack
from kdumpfs.testing.outside import LACKING, _raise
from tests.kdumpfs.plugins import OPTIONS

BLOCK = "/sys/devices/system/memory/memory30/state"
MODULE = """\
import errno
from kdumpfs.module import *
state = State(hits=0)
group = AttributeGroup("kernel/kexec", singleton)
@group.show
def hits_show(kernel):
    return f"{state.hits}\\n"
@group.store
def hits_store(kernel, buf):
    state.hits = int(buf)
"""


@pytest.fixture
def module(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(MODULE)
    return path


def test_a_machine_reads_writes_and_tells(kdump_machine):
    machine = kdump_machine("pseries-16g", load=True)
    assert machine.read("/sys/kernel/kexec/crash_loaded") == "1\n"
    before = machine.header
    machine.write(BLOCK, "offline")
    assert machine.read(BLOCK) == "offline\n"
    assert machine.uevents == ["offline@/devices/system/memory/memory30"]
    assert machine.header != before
    assert before.differences(machine.header)[0].startswith("256 MiB at 0x1e0000000 removed")
    assert any("Linux version" in line for line in machine.log)
    machine.unload()
    assert machine.header is None


def test_a_link_is_followed_on_the_way_and_at_the_end(kdump_machine):
    machine = kdump_machine()
    assert machine.read("/sys/kernel/kexec_crash_loaded") == "0\n"
    assert machine.read("/sys/bus/memory/devices/memory3/state") == "online\n"
    assert machine.exists("/sys/devices/system/memory/memory3/subsystem/drivers")
    assert not machine.exists("/sys/kernel/nothing")
    assert "memory30" in machine.names("/sys/devices/system/memory")
    assert machine.stat("/sys/kernel/kexec/loaded").size == 65536


def test_a_refusal_is_an_oserror_with_errno_and_path(kdump_machine):
    machine = kdump_machine()
    machine.write(BLOCK, "offline")
    with pytest.raises(OSError, match="Invalid argument") as caught:
        machine.write(BLOCK, "offline")
    assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, BLOCK)
    with pytest.raises(FileNotFoundError):
        machine.read("/sys/kernel/nothing")
    with pytest.raises(PermissionError):
        machine.write("/sys/kernel/kexec/loaded", "1")
    with pytest.raises(OSError, match=r"[A-Z]\w+ ") as caught:
        machine.plug_cpu(9999)
    assert caught.value.errno in errno.errorcode


def test_memory_and_cpus_come_and_go(kdump_machine):
    machine = kdump_machine("pc-2g", load=True)
    where = machine.plug_memory(1 << 30)
    assert machine.exists(f"/sys/devices/system/memory/memory{where >> 27}")
    machine.unplug_memory(where, 1 << 30)
    assert not machine.exists(f"/sys/devices/system/memory/memory{where >> 27}")


def test_kernel_cpus_changes_and_command_line_can_be_chosen(kdump_machine):
    machine = kdump_machine(
        "pseries-16g", kernel="7.0", cpus=64, with_="backup-offset-at-load", load=True
    )
    assert machine.read("/sys/devices/system/cpu/online") == "0-63\n"
    assert machine.kernel.release.startswith("7.0")
    assert len([p for p in machine.header.phdrs if p.p_type == 4]) == 65
    assert "[size-one-byte-long]" not in machine.header.findings()
    large = kdump_machine(memory="64G", nodes=2)
    assert large.read("/sys/devices/system/node/online") == "0-1\n"
    with pytest.raises(ProfileError, match="cpus"):
        kdump_machine(cpus=0)
    with pytest.raises(TypeError, match="unknown option 'cpu', expected one of memory, cpus"):
        kdump_machine(cpu=3)


def test_a_module_is_tested_edited_and_reloaded(kdump_machine, module):
    machine = kdump_machine(module=module)
    machine.write("/sys/kernel/kexec/hits", "7")
    assert machine.read("/sys/kernel/kexec/hits") == "7\n"
    with pytest.raises(OSError, match="Input/output error"):
        machine.write("/sys/kernel/kexec/hits", "seven")
    assert "line 10: in hits_store: ValueError" in machine.mistakes[0]
    module.write_text(MODULE.replace("{state.hits}", "{state.hits} times"))
    machine.reload()
    assert machine.read("/sys/kernel/kexec/hits") == "7 times\n"
    module.write_text("def\n")
    with pytest.raises(ProfileError, match="line 1: invalid syntax"):
        machine.reload()


def test_two_machines_with_a_module_have_a_state_each(kdump_machine, module):
    one, other = kdump_machine(module=module), kdump_machine(module=module)
    one.write("/sys/kernel/kexec/hits", "1")
    assert other.read("/sys/kernel/kexec/hits") == "0\n"


def test_a_machine_costs_milliseconds(kdump_machine):
    kdump_machine(load=True)  # imports
    took = []
    for _ in range(20):
        since = time.process_time()
        kdump_machine(load=True)
        took.append(time.process_time() - since)
    assert min(took) < 0.020


@pytest.mark.fuse
def test_a_mounted_machine_has_files_commands_and_a_shell(kdump_mount, module):
    machine = kdump_mount("pseries-16g", load=True, module=module, cpus=16)
    assert machine.read("/sys/devices/system/cpu/online") == "0-15\n"
    before = machine.header
    machine.write(BLOCK, "offline")
    assert machine.shell("cat sys/devices/system/memory/memory30/state") == "offline\n"
    assert machine.uevents[-1] == "offline@/devices/system/memory/memory30"
    assert machine.header != before
    with pytest.raises(OSError, match="Invalid argument"):
        machine.write(BLOCK, "offline")
    machine.kdumpfs("plug", "memory", "1G")
    assert any("Linux version" in line for line in machine.log)
    with pytest.raises(ProfileError, match="plug: "):
        machine.kdumpfs("plug", "cpu", "9999")
    module.write_text(MODULE.replace("{state.hits}", "{state.hits} times"))
    machine.kdumpfs("reload")
    assert machine.read("/sys/kernel/kexec/hits") == "0 times\n"


@pytest.mark.namespaces
def test_a_command_is_run_in_the_machine(kdump_run):
    done = kdump_run("cat /sys/kernel/kexec/crash_loaded; exit 3", "pseries-4g", load=True)
    assert (done.returncode, done.stdout) == (3, "1\n")
    done = kdump_run(["lsmem", "-b"], "pseries-4g")
    assert "4294967296" in done.stdout
    with pytest.raises(subprocess.CalledProcessError):
        kdump_run("false", check=True)
    with pytest.raises(ProfileError, match="no-such-machine"):
        kdump_run("true", "no-such-machine")


@pytest.mark.parametrize(
    "said",
    [
        "kdumpfs: /dev/fuse is missing: load the fuse module, or give the container the device",
        "kdumpfs: cannot make a user namespace: Operation not permitted",
    ],
)
def test_what_the_host_lacks_is_a_lack_and_not_a_failure(said):
    assert any(word in said for word in LACKING)
    with pytest.raises(Lack):
        _raise(said)
    with pytest.raises(ProfileError):
        _raise("kdumpfs: mine.py: line 3: x_show is declared by no group")


def inner(tmp_path: Path, text: str, *options: str, **environment: str):
    """A pytest of its own over one file."""
    (tmp_path / "test_mine.py").write_text(text)
    import os

    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *OPTIONS, *options, "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
    )


def test_an_assertion_shows_what_is_different_between_two_headers(tmp_path):
    done = inner(
        tmp_path,
        "def test_same(kdump_machine):\n"
        "    machine = kdump_machine(load=True)\n"
        "    before = machine.header\n"
        f"    machine.write({BLOCK!r}, 'offline')\n"
        "    assert before == machine.header\n",
    )
    assert done.returncode == 1
    assert "256 MiB at 0x1e0000000 removed" in done.stdout
    assert "<Header: 13 program headers, 792 bytes> == <Header: 14 program headers" in done.stdout


def test_a_test_is_skipped_with_the_reason_or_fails_where_it_is_required(tmp_path):
    text = (
        "import pytest\n"
        "from kdumpfs.testing import outside\n"
        "def test_mounts(kdump_mount, monkeypatch):\n"
        "    def gone(*_):\n"
        "        raise outside.Lack('/dev/fuse is missing')\n"
        "    monkeypatch.setattr(outside, '_kdumpfs', gone)\n"
        "    kdump_mount()\n"
    )
    skipped = inner(tmp_path, text, "-rs", KDUMPFS_REQUIRE="")
    assert "no fuse here: /dev/fuse is missing" in skipped.stdout
    assert skipped.returncode == 0
    failed = inner(tmp_path, text, KDUMPFS_REQUIRE="fuse")
    assert "fuse is required, but: /dev/fuse is missing" in failed.stdout
    assert failed.returncode == 1


def test_the_plugin_imports_nothing_of_ours_until_a_test_asks(tmp_path):
    done = inner(
        tmp_path,
        "import sys\n"
        "def test_light():\n"
        "    assert not [m for m in sys.modules if m.startswith(('elfcorehdr', 'fsmount', 'printer'))]\n",
    )
    assert done.returncode == 0, done.stdout


def test_headers_are_values():
    one, same, other = Header(b"x" * 64), Header(b"x" * 64), Header(b"y" * 64)
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != b"x" * 64
