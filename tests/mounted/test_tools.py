"""util-linux on a mounted tree, against the same tools on the files of a real kernel."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsmount.host.mounting import mounted_at
from tests.conftest import lack_of_namespaces
from tests.mounted.test_shell import Shell, kdumpfs
from tests.replay.machine import Json
from tests.sysfs_dump import rows_of

pytestmark = pytest.mark.fuse

CASE = Path(__file__).parent.parent / "golden/kernel/ppc64/A-seed-7.2.13-64k-kexec_load"
MACHINE = """
name = "golden-a"
source = "golden ppc64/A, machine.json"
arch = "ppc64"
platform = "pseries"
page_size = 0x10000
memory_block_size = 0x10000000
cmdline = "console=hvc0 crashkernel=1G@384M log_buf_len=16M printk.time=1 loglevel=4"
kernel_end = 0x2b90000
kernel = "7.2.13"
memory = [{ start = 0, size = 0x400000000 }]
lmbs = [{ count = 64, start = 0, flags = 0x80 }, { count = 32, start = 0x400000000, drc = 0x80000040 }]

[cpus]
possible = "0-7"
present = "0-1"
type = "PowerPC,POWER9"
"""


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Case A's machine at boot, mounted."""
    directory = tmp_path_factory.mktemp("emulated")
    (directory / "a.toml").write_text(MACHINE)
    root = directory / "mnt"
    root.mkdir()
    done = kdumpfs("mount", "-m", directory / "a.toml", root)
    assert (done.returncode, done.stderr) == (0, "")
    yield root
    oopses = Shell(root)("cat sys/kernel/oops_count")
    kdumpfs("umount", "--lazy", root)  # a tool that was cut off may still be in it
    assert (oopses, mounted_at(str(root))) == ("0\n", None)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, emulated: Path) -> Path:
    """The files of the real kernel in case A, as it dumped them at boot, written out.

    lscpu wants a /proc/cpuinfo, which was not dumped: it gets the emulated one, and is asked for
    columns that come neither from it nor from the topology of cpu1, which was not dumped either.
    """
    root = tmp_path_factory.mktemp("real")
    for path, row in rows_of(CASE / "sysfs-dump-unloaded.json.gz").items():
        _write(root / path.lstrip("/"), row)
    (root / "proc/cpuinfo").write_bytes((emulated / "proc/cpuinfo").read_bytes())
    return root


def _write(path: Path, row: Json) -> None:
    if "stat_errno" in row:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if row["type"] == "dir":
        path.mkdir(exist_ok=True)
    elif row["type"] == "link":
        path.symlink_to(row["target"])
    else:
        content = base64.b64decode(row["b64"]) if "b64" in row else row.get("text", "").encode()
        path.write_bytes(content)


@pytest.mark.parametrize(
    "line",
    [
        "lsmem --sysroot .",
        "lsmem --sysroot . -a -o +ZONES,NODE",
        "lsmem --sysroot . -J -a",
        "lscpu --sysroot . -a -e=CPU,NODE,SOCKET,ONLINE",
        "lscpu --sysroot . -p=CPU,SOCKET,NODE",
    ],
)
def test_a_tool_says_the_same_as_on_the_real_kernel_s_files(
    line: str, emulated: Path, real: Path
) -> None:
    expected = Shell(real)(line)
    assert len(expected.splitlines()) > 2
    assert Shell(emulated)(line) == expected


def test_lscpu_knows_caches_nodes_and_vulnerabilities(emulated: Path) -> None:
    lines = dict(
        line.split(":", 1) for line in Shell(emulated)("lscpu --sysroot .").splitlines() if line
    )
    found = {name.strip(): value.strip() for name, value in lines.items()}
    assert found["Byte Order"] == "Little Endian"
    assert found["On-line CPU(s) list"] == "0,1"
    assert found["Model name"] == "POWER9 (architected), altivec supported"
    assert found["L1d cache"] == "64 KiB (2 instances)"
    assert found["NUMA node0 CPU(s)"] == "0,1"
    assert found["Vulnerability Meltdown"] == "Mitigation; RFI Flush"
    assert found["Vulnerability Mds"] == "Not affected"


def test_every_file_can_be_read_or_says_why_not(emulated: Path) -> None:
    """Write-only files give EACCES, and only a delay that no device has gives EIO."""
    wrong = Shell(emulated)("find sys proc -type f -not -name kcore -exec cat {} + 2>&1 >/dev/null")
    reasons = {line.rpartition(": ")[2]: line for line in wrong.splitlines()}
    assert set(reasons) == {"Permission denied", "Input/output error"}
    failed = [line.split(": ")[1] for line in wrong.splitlines() if line.endswith("output error")]
    # Root may open what has no show.
    writeonly = {"sysrq-trigger"} if os.geteuid() == 0 else set()
    assert {path.rpartition("/")[2] for path in failed} == {"autosuspend_delay_ms", *writeonly}
    assert Shell(emulated)("ls -lR sys proc dev 2>&1 >/dev/null") == ""


def in_place(root: Path, line: str) -> str:
    """A line in a mount namespace whose /sys and /proc/cpuinfo are the emulated ones."""
    unshare = ["unshare", "-mn"] if os.geteuid() == 0 else ["unshare", "-Urmn"]
    bind = f"mount --rbind {root}/sys /sys && mount --bind {root}/proc/cpuinfo /proc/cpuinfo && "
    done = subprocess.run(
        [*unshare, "bash", "-c", bind + line],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "LC_ALL": "C", "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
    )
    return done.stdout + done.stderr


@pytest.mark.namespaces
def test_chmem_and_chcpu_work_in_a_mount_namespace(emulated: Path) -> None:
    assert lack_of_namespaces() == ""
    taken = in_place(emulated, "chmem -v -d 0x1e0000000-0x1efffffff")
    assert taken == "Memory Block 30 (0x00000001e0000000-0x00000001efffffff) disabled\n"
    state = emulated / "sys/devices/system/memory/memory30/state"
    assert state.read_text() == "offline\n"
    back = in_place(emulated, "chmem -v -e 0x1e0000000-0x1efffffff")
    assert back == "Memory Block 30 (0x00000001e0000000-0x00000001efffffff) enabled\n"
    assert state.read_text() == "online\n"
    assert in_place(emulated, "chcpu -d 1") == "CPU 1 disabled\n"
    assert in_place(emulated, "lscpu -p=CPU -b | tail -1") == "0\n"
    assert (
        in_place(emulated, "chcpu -e 1,2")
        == "CPU 1 enabled\nchcpu: CPU 2 enable failed: Invalid argument\n"
    )
