"""`kdumpfs crash` and `kdumpfs vmcore`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from elfcorehdr.elf import ElfCoreHdr
from tests.crashed import crashed


def kdumpfs(*args: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "fsmount.cli.main", *map(str, args)]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)


def test_vmcore_is_written_sparse_and_whole(tmp_path: Path):
    done = kdumpfs("vmcore", "-m", "pc-2g", "-o", tmp_path / "core")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    written = (tmp_path / "core").stat()
    assert written.st_size == 1932599296
    assert written.st_blocks * 512 < written.st_size * 0.8
    kernel = crashed("pc-2g", append="")
    with (tmp_path / "core").open("rb") as file:
        header = ElfCoreHdr.unpack(file.read(4096))
        assert header.phdrs[1:] == kernel.vmcore.header.phdrs[1:]
        for at in (0x3432000, 600 << 20, 1 << 30):
            file.seek(at)
            assert file.read(64) == kernel.vmcore.read(at, 64)
    assert os.listdir(tmp_path) == ["core"]


def test_vmcore_is_written_to_the_standard_output(tmp_path: Path):
    line = f"{sys.executable} -m fsmount.cli.main vmcore -m pc-2g -o - | head -c 70000000 > {tmp_path}/head"
    subprocess.run(["sh", "-c", line], check=True, timeout=120)
    kernel = crashed("pc-2g", append="")
    with (tmp_path / "head").open("rb") as file:
        assert ElfCoreHdr.unpack(file.read(4096)).phdrs[1:] == kernel.vmcore.header.phdrs[1:]
        at = 0x3800000
        file.seek(at)
        assert file.read(4096) == kernel.vmcore.read(at, 4096)


def test_link_to_a_file_stays_one(tmp_path: Path):
    (tmp_path / "core").write_text("before")
    (tmp_path / "link").symlink_to("core")
    assert kdumpfs("vmcore", "-m", "pc-2g", "-o", tmp_path / "link").returncode == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "core").stat().st_size == 1932599296
    assert sorted(os.listdir(tmp_path)) == ["core", "link"]


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (
            ["/nowhere", "-o", "x"],
            "/nowhere: no kdumpfs is mounted here; `kdumpfs mount /nowhere` first",
        ),
        (["-m", "pc-2g", "-o", "/dev/null"], "/dev/null: not a regular file"),
        (["-m", "pc-2g", "-o", "/nowhere/core"], "/nowhere/core: No such file or directory"),
        (["-m", "pc-9", "-o", "x"], "machine 'pc-9'"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(args, sentence):
    done = kdumpfs("vmcore", *args)
    assert done.returncode == 2
    assert done.stderr.startswith(f"kdumpfs: {sentence}")
    assert done.stderr.count("\n") == 1


def test_full_disk_keeps_nothing(tmp_path: Path):
    line = (
        f"ulimit -f 1000; {sys.executable} -m fsmount.cli.main vmcore -m pc-2g -o {tmp_path}/core"
    )
    done = subprocess.run(
        ["bash", "-c", f"trap '' XFSZ; {line}"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, os.listdir(tmp_path)) == (2, [])
    assert done.stderr.endswith("nothing was kept\n")


def test_vmlinux_that_is_none_is_refused(tmp_path):
    for path, why in (
        ("/etc/hostname", "vmlinux /etc/hostname: offset 0: magic is "),
        ("/", "/: Is a directory"),
        (str(tmp_path / "none"), f"{tmp_path}/none: No such file or directory"),
    ):
        done = kdumpfs("vmcore", "-m", "pc-2g", "--vmlinux", path, "-o", tmp_path / "vmcore")
        assert done.returncode == 2
        assert done.stderr.startswith(f"kdumpfs: {why}")
        assert done.stderr.count("\n") == 1
        assert not (tmp_path / "vmcore").exists()


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        ("-SYMBOL(nothing)", "vmcoreinfo: 'SYMBOL(nothing)' is no line of this kernel's"),
        ("prb", "vmcoreinfo: 'prb', expected -KEY or KEY=VALUE, as in -SYMBOL(prb)"),
    ],
)
def test_edits_of_vmcoreinfo_that_are_none_are_refused(edit, sentence):
    done = kdumpfs("run", "-m", "pc-2g", f"--vmcoreinfo={edit}", "--", "true")
    assert (done.returncode, done.stderr) == (2, f"kdumpfs: {sentence}\n")


def test_edits_change_what_is_told_and_no_memory(tmp_path):
    memory = []
    for name, edits in (
        ("plain", []),
        ("edited", ["--vmcoreinfo=-SYMBOL(prb)", "--vmcoreinfo=SIZE(page)=72"]),
    ):
        assert kdumpfs("vmcore", "-m", "pc-2g", *edits, "-o", tmp_path / name).returncode == 0
        with (tmp_path / name).open("rb") as file:
            text = file.read(0x8000)
            assert (b"SYMBOL(prb)=" in text) == (name == "plain")
            assert (b"SIZE(page)=72\n" in text) == (name == "edited")
            file.seek(1 << 30)
            memory.append(file.read(1 << 20))
    assert memory[0] == memory[1]
