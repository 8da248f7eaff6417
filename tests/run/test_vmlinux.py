"""crash and drgn on a machine with Debian's own vmlinux in memory.

A package of a gigabyte: KDUMPFS_VMLINUX names its file (apt-get download linux-image-...-cloud-amd64-dbg; its
usr/lib/debug/boot/vmlinux-*), and these run. docs/crash.md says what they showed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from elfcorehdr.kernel.vmlinux.image import Vmlinux
from fsmount.host.mapped import opened
from tests.run.userlands import userland

VMLINUX = os.environ.get("KDUMPFS_VMLINUX", "")
pytestmark = pytest.mark.skipif(
    not VMLINUX, reason="KDUMPFS_VMLINUX names no vmlinux of Debian's: a package of 300 MB and more"
)


@pytest.fixture(scope="module")
def vmcore(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("vmcore") / "vmcore"
    release = Vmlinux(VMLINUX, opened(VMLINUX)).upstream
    line = [sys.executable, "-m", "fsmount.cli.main", "vmcore", "-m", "pc-2g", "--kernel", release]
    subprocess.run([*line, "--vmlinux", VMLINUX, "-o", made], check=True, timeout=300)
    return made


def crash(vmcore: Path, tmp_path: Path, suite: str, *commands: str, options=()) -> str:
    script = tmp_path / "commands"
    script.write_text("".join(f"{line}\n" for line in (*commands, "quit")))
    root = userland("x86_64", suite, "crash")
    libraries = [root / p / "x86_64-linux-gnu" for p in ("usr/lib", "lib")]
    (loader, *_) = (p / "ld-linux-x86-64.so.2" for p in libraries if p.is_dir())
    start = [loader, "--library-path", ":".join(map(str, libraries)), root / "usr/bin/crash"]
    line = [*start, "-s", *options, "-i", str(script), VMLINUX, str(vmcore)]
    env = {**os.environ, "TERM": "dumb"}
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=300, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("suite", ["bookworm", "sid"])
def test_minimal_crash_reads_log_memory_and_symbols(vmcore, tmp_path, suite):
    said = crash(vmcore, tmp_path, suite, "log", "sym linux_banner", "rd linux_banner 2", options=("--minimal",))  # fmt: skip
    assert "Kernel panic - not syncing: sysrq triggered crash" in said
    assert "(D) linux_banner" in said or "(R) linux_banner" in said
    assert "Linux version " in said


def test_crash_reaches_its_prompt(vmcore, tmp_path):
    said = crash(vmcore, tmp_path, "sid", "sys", "ps", "log", "kmem -p", "mod", "runq")
    assert Vmlinux(VMLINUX, opened(VMLINUX)).release in said
    assert 'PANIC: "Kernel panic - not syncing: sysrq triggered crash"' in said
    assert "[swapper/1]" in said
    assert "[init]" in said
    assert "no modules installed" in said
    assert said.count("[no tasks queued]") == 4
    assert said.count("\nffffea00") > 500_000  # every page of 2 GiB
    assert "WARNING" not in said


@pytest.mark.parametrize("suite", ["bookworm", "sid"])
def test_crash_counts_pages_and_lists_slab_caches(vmcore, tmp_path, suite):
    said = crash(vmcore, tmp_path, suite, "kmem -i", "kmem -s", "kmem -V")
    assert " COMMITTED " in said  # the last row of kmem -i
    for cache in ("kmem_cache", "task_struct", "vm_area_struct", "mm_struct"):
        assert f" {cache}\n" in said
    assert "NR_FREE_PAGES: 0\n" not in said
    assert "NR_FREE_PAGES: " in said
    assert "invalid" not in said


def test_drgn_finds_tasks_the_log_and_who_crashed(vmcore, tmp_path):
    pytest.importorskip("drgn", reason="drgn is missing: pip install drgn")
    script = tmp_path / "script.py"
    script.write_text(
        "from drgn.helpers.linux import *\n"
        "print([(t.pid.value_(), t.comm.string_()) for t in for_each_task(prog)])\n"
        "print(prog.crashed_thread().tid, find_task(prog, 1).comm.string_())\n"
        "print(get_dmesg(prog).decode().count('sysrq triggered crash'))\n"
    )
    line = [sys.executable, "-m", "drgn", "-q", "-c", vmcore, "-s", VMLINUX, script]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=300)
    assert done.stdout == "[(1, b'init')]\n1 b'init'\n1\n", done.stderr
