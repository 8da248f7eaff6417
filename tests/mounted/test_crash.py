"""A mounted machine that crashes, and released dump tools on its /proc/vmcore."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from elfcorehdr import profiles
from tests.run.dump_tools import run_tool

pytestmark = pytest.mark.fuse


def kdumpfs(*args: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "fsmount.cli.main", *map(str, args)]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)


class Mounted:
    """A mount that can crash."""

    def __init__(self, directory: Path) -> None:
        self.dir = directory

    def __call__(self, *options: object) -> Path:
        done = kdumpfs("mount", *options, self.dir)
        assert (done.returncode, done.stderr) == (0, "")
        return self.dir

    def crash(self, *options: object) -> Path:
        """Mount, load, crash; the vmcore."""
        self("--load", *options)
        self.log = self.messages()
        (self.dir / "proc/sysrq-trigger").write_text("c")
        return self.dir / "proc/vmcore"

    def messages(self) -> list[str]:
        line = ["dd", f"if={self.dir}/dev/kmsg", "iflag=nonblock", "status=none"]
        text = subprocess.run(line, capture_output=True, text=True, check=False).stdout
        return [row.partition(";")[2] for row in text.splitlines() if not row.startswith(" ")]


@pytest.fixture
def mounted(tmp_path) -> Iterator[Mounted]:
    directory = tmp_path / "mnt"
    directory.mkdir()
    made = Mounted(directory)
    yield made
    kdumpfs("umount", "--lazy", directory)


def counters(output: bytes) -> dict[str, int]:
    """makedumpfile's page counters."""
    rows = re.findall(
        r"^ *([A-Z][\w -]+?) *: (0x[0-9a-f]{16})$", output.decode(errors="replace"), re.M
    )
    return {name: int(value, 16) for name, value in rows}


def test_vmcore_appears_and_what_was_open_is_dead(mounted):
    directory = mounted("--load", "-m", "pc-2g")
    with open(directory / "sys/kernel/kexec_crash_size") as kept:
        (directory / "proc/sysrq-trigger").write_text("c")
        with pytest.raises(OSError, match="Input/output error"):
            kept.read()
    assert (directory / "proc/vmcore").stat().st_size == 1932599296
    assert (directory / "proc/vmcore").stat().st_mode & 0o777 == 0o400
    assert (directory / "sys/kernel/kexec/crash_loaded").read_text() == "0\n"


def test_large_reads_use_the_servers_memory_again(mounted):
    vmcore = mounted.crash("-m", "pc-2g")
    pid = json.loads((mounted.dir / "control/machine").read_text())["pid"]
    pages = (64 << 20) // 4096

    def faults() -> int:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])

    with open(vmcore, "rb", buffering=0) as file:
        file.read(16 << 20)
        before = faults()
        file.read(pages * 4096)
    assert faults() - before < pages // 2  # 2.6 a page, had each answer been memory from the kernel


def test_dead_machine_answers_nothing(mounted):
    directory = mounted("-m", "pseries-4g")
    (directory / "proc/sysrq-trigger").write_text("c")
    for path in (
        "proc/iomem",
        "sys/kernel/kexec_crash_size",
        "sys/devices/system/memory/memory3/state",
    ):
        with pytest.raises(OSError, match="Input/output error"):
            (directory / path).read_text()
    with pytest.raises(OSError, match="Input/output error"):
        (directory / "sys/devices/system/memory/memory3/state").write_text("offline")
    done = kdumpfs("load", directory)
    assert done.returncode != 0
    assert "panic" in done.stderr
    told = kdumpfs("status", directory).stdout
    assert ", dead: Kernel panic - not syncing: sysrq triggered crash, no modules" in told
    assert "the machine is dead, and no file of its kernel" in kdumpfs("dmesg", directory).stderr


def test_who_follows_log_and_uevents_goes_on_with_the_next_kernel_until_none_starts(mounted):
    directory = mounted("-m", "pc-2g", "--load")
    device = directory / "sys/devices/system/memory/memory0/uevent"

    def line(process: subprocess.Popen[str], expected: str) -> str:
        assert process.stdout is not None
        return next((row for row in process.stdout if expected in row), "")

    def follow(command: str) -> subprocess.Popen[str]:
        argv = ["timeout", "20", sys.executable, "-u", "-m", "fsmount.cli.main", command, "-w"]
        return subprocess.Popen([*argv, directory], stdout=subprocess.PIPE, text=True)

    with follow("uevents") as uevents, follow("dmesg") as dmesg:
        for _ in range(3):
            device.write_text("change")
        assert line(uevents, "3 change@")
        assert "Linux version" in line(dmesg, "Linux version")
        (directory / "proc/sysrq-trigger").write_text("c")
        device.write_text("change")
        assert line(uevents, "1 change@")
        assert "elfcorehdr=" in line(dmesg, "elfcorehdr=")
        assert ", booted after a crash, no modules" in kdumpfs("status", directory).stdout
        (directory / "proc/sys/kernel/panic").write_text("0")
        (directory / "proc/sysrq-trigger").write_text("c")
        assert (line(uevents, "?"), line(dmesg, "?")) == ("", "")
    assert (uevents.returncode, dmesg.returncode) == (0, 0)


def test_ways_to_crash(mounted):
    directory = mounted("--load", "-m", "pseries-16g")
    refused = kdumpfs("crash", "--hard", 77, directory)
    assert (refused.returncode, "CPU 77 does not run" in refused.stderr) == (2, True)
    assert kdumpfs("crash", "--oops", directory).returncode == 0
    assert not (directory / "proc/vmcore").exists()
    assert kdumpfs("crash", "--hard", 3, directory).returncode == 0
    notes = subprocess.run(
        ["readelf", "-nW", directory / "proc/vmcore"], capture_output=True, text=True, check=True
    )
    assert notes.stdout.count("NT_PRSTATUS") == 7
    said = run_tool("vmcore-dmesg", "sid", "amd64", directory / "proc/vmcore").stdout
    assert b"Kernel panic - not syncing: Hard LOCKUP" in said


@pytest.mark.parametrize("machine", ["pc-2g", "pseries-16g", "riscv64-virt-2g", "arm64-virt-4g"])
def test_readelf_sees_one_note_a_running_cpu(mounted, machine):
    vmcore = mounted.crash("-m", machine)
    done = subprocess.run(["readelf", "-nlW", vmcore], capture_output=True, text=True, check=True)
    online = len(re.findall("^processor", (mounted.dir / "proc/cpuinfo").read_text(), re.M))
    assert online >= 1
    assert done.stdout.count("NT_PRSTATUS") >= 1
    assert done.stdout.count("VMCOREINFO") == 1
    assert done.stderr == ""


@pytest.mark.parametrize("suite", ["bookworm", "trixie", "sid"])
@pytest.mark.parametrize(
    "machine", ["pc-2g", "pc-2g-6.1", "pseries-4g", "riscv64-virt-2g", "arm64-virt-4g"]
)
def test_vmcore_dmesg_prints_the_dead_kernels_log(mounted, suite, machine):
    vmcore = mounted.crash("-m", machine)
    done = run_tool("vmcore-dmesg", suite, "amd64", vmcore)
    said = [line.partition(b"] ")[2].decode() for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert said[: len(mounted.log)] == mounted.log
    assert "Kernel panic - not syncing: sysrq triggered crash" in said


ROOT = Path(__file__).parents[2]
FIVE_LEVELS = "pc-2g with page tables of five levels"
NATIVE = {"x86_64": "amd64", "ppc64": "ppc64el", "riscv64": "riscv64"}
SV39 = "riscv64-virt-2g with page tables of three levels"
SV57 = "riscv64-virt-2g with page tables of five levels"
BASES = {  # of the direct map: the shipped machine's, and another
    FIVE_LEVELS: ("pc-2g", "0xffff888000000000", "0xff11000000000000"),
    SV39: ("riscv64-virt-2g", "0xffffaf7f80000000", "0xffffffd780000000"),
    SV57: ("riscv64-virt-2g", "0xffffaf7f80000000", "0xff5fffff80000000"),
}
EXACT = {
    "Free pages": ("free",),
    "Non-private cache pages": ("cache",),
    "Private cache pages": ("private-cache",),
    "User process data pages": ("anon", "hugetlb"),
    "Hwpoison pages": ("hwpoison",),
    "Offline pages": ("offline",),
}


@pytest.mark.parametrize(
    ("machine", "options"),
    [
        ("pc-2g", ()),
        ("pc-2g", ("--kernel", "6.18.15")),
        ("pc-2g", ("--kernel", "6.12.107")),
        ("pc-2g-6.1", ()),
        (FIVE_LEVELS, ()),
        (FIVE_LEVELS, ("--kernel", "6.1.176")),
        ("pc-numa2-6g", ()),
        ("pseries-4g", ()),
        ("pseries-4g", ("--kernel", "6.12.107")),
        ("pseries-4g", ("--kernel", "6.1.176")),
        ("powernv-32g", ("--kernel", "6.12.107")),
        ("pseries-4g", ("--cmdline", "console=hvc0 crashkernel=512M disable_radix")),
        ("pseries-numa2", ("--cmdline", "console=hvc0 crashkernel=512M disable_radix")),
        ("riscv64-virt-2g", ("--kernel", "6.6")),  # before vmemmap had huge pages
        (SV39, ("--kernel", "6.2")),
        (SV57, ("--kernel", "6.7")),
    ],
)
def test_makedumpfile_counts_what_the_machine_says(mounted, tmp_path, machine, options):
    """1.7.8 is right on all of these, but that on 7.1 and later it takes the second page of each kernel folio for a
    user's: it knows no compound_info. What it and older ones get wrong besides is below."""
    shipped, base, other = BASES.get(machine, (machine, "", ""))
    arch = NATIVE[profiles.load(shipped).arch]
    if base:
        text = (ROOT / f"elfcorehdr/profiles/{shipped}.toml").read_text()
        machine = tmp_path / "mine.toml"
        machine.write_text(text.replace(base, other))
    vmcore = mounted.crash("-m", machine, *options)
    done = run_tool(
        "makedumpfile", "sid", arch, "-d", 31, "--message-level", 31, vmcore, tmp_path / "dump"
    )
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    found, said = counters(done.stdout + done.stderr), statement(mounted.dir)
    lost = 0 if said["release"] < (7, 1) else said["folios"].get("slab", 0)
    for name, kinds in EXACT.items():
        right = sum(said["pages"].get(kind, 0) for kind in kinds)
        assert (name, found[name]) == (name, right + lost * ("anon" in kinds))


ARM64 = """
name = "granules"
source = "none: page sizes and address bits that arch/arm64/Kconfig allows"
arch = "arm64"
page_size = {page}
cmdline = "crashkernel=256M"
direct_map_base = {base:#x}
kernel_text = {{ paddr = 0x40200000, vaddr = {image:#x}, size = 0x1000000 }}
memory = [{{ start = 0x40000000, size = "1G" }}, {{ start = 0x100000000, size = "512M" }}]

[cpus]
possible = "0-3"
"""


@pytest.mark.parametrize(
    ("kernel", "page", "bits"),
    [
        ("6.1.176", 4096, 48),
        ("6.12.107", 4096, 39),
        ("6.6.0", 16384, 47),
        ("6.12.107", 16384, 36),
        ("6.12.107", 65536, 42),
        ("6.12.107", 65536, 48),
        ("7.0", 65536, 52),
    ],
)
def test_makedumpfile_of_arm64_counts_what_the_machine_says(mounted, tmp_path, kernel, page, bits):
    """Where 1.7.8 knows the page tables: not with 4 or 16 KiB pages and CONFIG_ARM64_VA_BITS=52, Debian's from 6.9 on."""
    half = (1 << 64) - (1 << min(bits, 48) - 1)
    text = ARM64.format(
        page=page, base=(1 << 64) - (1 << bits) - 0x40000000, image=half + (2 << 30)
    )
    (tmp_path / "arm64.toml").write_text(text)
    vmcore = mounted.crash("-m", tmp_path / "arm64.toml", "--kernel", kernel)
    done = run_tool(
        "makedumpfile", "sid", "arm64", "-d", 31, "--message-level", 31, vmcore, tmp_path / "dump"
    )
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    found, said = counters(done.stdout + done.stderr), statement(mounted.dir)["pages"]
    for name, kinds in EXACT.items():
        assert (name, found[name]) == (name, sum(said.get(kind, 0) for kind in kinds))


def test_makedumpfile_does_not_know_52_bits_with_pages_of_4_kib(mounted, tmp_path):
    vmcore = mounted.crash("-m", "arm64-virt-4g", "--kernel", "6.12.107")
    done = run_tool("makedumpfile", "sid", "arm64", "-d", 31, vmcore, tmp_path / "dump")
    assert done.returncode == 1
    assert b"PAGE SIZE 0x1000 and VA Bits 52 not supported" in done.stderr


def test_firmwares_dump_is_counted_as_the_machine_says(mounted, tmp_path):
    """fadump, PowerVM's: boot memory is read from where firmware copied it to."""
    text = (ROOT / "tests/golden/ours/machines/lpar-fadump.toml").read_text()
    machine = tmp_path / "lpar.toml"
    text = text.replace("fadump = true", 'fadump = true\nfadump_dump = "complete"')
    machine.write_text(text.replace("crashkernel=1G", "crashkernel=1G fadump=on"))
    directory = mounted("-m", machine, "--kernel", "6.12.107")
    (directory / "proc/sysrq-trigger").write_text("c")
    vmcore = directory / "proc/vmcore"
    done = run_tool(
        "makedumpfile", "sid", "ppc64el", "-d", 31, "--message-level", 31, vmcore, tmp_path / "dump"
    )
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    found, said = counters(done.stdout + done.stderr), statement(directory)
    for name, kinds in EXACT.items():
        assert (name, found[name]) == (name, sum(said["pages"].get(kind, 0) for kind in kinds))
    (directory / "sys/kernel/fadump/release_mem").write_text("1")
    assert not vmcore.exists()


def statement(directory: Path) -> dict[str, Any]:
    """The machine's own statement."""
    release = (directory / "proc/version").read_text().split()[2]
    said = json.loads((directory / "control/vmcore").read_text())
    return {**said, "release": tuple(map(int, re.findall(r"\d+", release)[:2]))}


@pytest.mark.parametrize(
    ("suite", "kernel", "name", "right"),
    [
        ("trixie", "6.12.107", "Free pages", False),  # 1.7.6: no free page since 6.12
        ("sid", "6.12.107", "Free pages", True),
        ("bookworm", "7.3.4", "Non-private cache pages", False),  # 1.7.2: no folio's tails
        ("sid", "7.3.4", "Non-private cache pages", True),
        ("sid", "6.18.15", "User process data pages", True),
        ("sid", "7.1.13", "User process data pages", False),  # tails of folios are lost
    ],
)
def test_faults_of_released_makedumpfiles_show(mounted, tmp_path, suite, kernel, name, right):
    vmcore = mounted.crash("-m", "pc-2g", "--kernel", kernel)
    done = run_tool(
        "makedumpfile", suite, "amd64", "-d", 31, "--message-level", 31, vmcore, tmp_path / "dump"
    )
    found, said = counters(done.stdout + done.stderr), statement(mounted.dir)["pages"]
    expected = sum(said.get(kind, 0) for kind in EXACT[name])
    assert (found[name] == expected) == right


def test_makedumpfile_of_debian_12_cannot_read_struct_pages_of_ppc64(mounted, tmp_path):
    """Before 1.7.5, from 6.9 on (kdump-utils issue 15)."""
    vmcore = mounted.crash("-m", "pseries-16g")
    done = run_tool("makedumpfile", "bookworm", "ppc64el", "-d", 31, vmcore, tmp_path / "dump")
    assert done.returncode != 0
    assert b"makedumpfile Failed." in done.stdout + done.stderr


def test_makedumpfile_of_debian_12_reads_a_ppc64_of_its_time(mounted, tmp_path):
    """6.1 has vmemmap_list with radix, too."""
    vmcore = mounted.crash("-m", "pseries-4g", "--kernel", "6.1.176")
    line = ("-d", 31, "--message-level", 31, vmcore, tmp_path / "dump")
    done = run_tool("makedumpfile", "bookworm", "ppc64el", *line)
    found, said = counters(done.stdout + done.stderr), statement(mounted.dir)["pages"]
    assert (found["Free pages"], found["Private cache pages"]) == (
        said["free"],
        said["private-cache"],
    )


def test_4k_radix_excludes_no_free_page_and_says_completed(mounted, tmp_path):
    """Every makedumpfile to 1.7.9 reads the first page of the page directory alone (golden identity, 7.2.13-4k)."""
    vmcore = mounted.crash("-m", "pseries-numa2")
    done = run_tool(
        "makedumpfile", "sid", "ppc64el", "-d", 31, "--message-level", 31, vmcore, tmp_path / "dump"
    )
    output = done.stdout + done.stderr
    assert b"makedumpfile Completed." in output
    assert counters(output)["Free pages"] == 0
    assert counters(output)["Hwpoison pages"] > 0


@pytest.mark.parametrize(
    ("machine", "suite", "arch"),
    [
        ("pc-2g", "bookworm", "amd64"),
        ("pc-2g", "trixie", "amd64"),
        ("pc-2g", "sid", "amd64"),
        ("pseries-4g", "sid", "ppc64el"),
        ("pseries-numa2", "sid", "ppc64el"),
        ("riscv64-virt-2g", "sid", "riscv64"),
    ],
)
def test_makedumpfile_dumps_the_dead_kernels_log(mounted, tmp_path, machine, suite, arch):
    vmcore = mounted.crash("-m", machine)
    out = tmp_path / "dmesg"
    done = run_tool("makedumpfile", suite, arch, "--dump-dmesg", vmcore, out)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    said = [re.sub(r"^\[[^]]*\] (\[ *T\d+\] )?", "", line) for line in out.read_text().splitlines()]
    assert said[: len(mounted.log)] == mounted.log
