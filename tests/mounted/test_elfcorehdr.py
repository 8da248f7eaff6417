"""elfcorehdr on a mounted tree: the header of the machine as it is now."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fsmount.host.mounting import mounted_at
from tests.headers import SEED_TEXT

pytestmark = pytest.mark.fuse

Run = Callable[..., subprocess.CompletedProcess[str]]


def run(module: str, *args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """A function that mounts the cover letter's machine, kdump loaded, on a kernel version."""
    directory = tmp_path / "mnt"
    directory.mkdir()

    def mounted(*options: str) -> Path:
        done = run("fsmount.cli.main", "mount", "--load", *options, directory)
        assert (done.returncode, done.stderr) == (0, "")
        return directory

    yield mounted
    if mounted_at(directory):
        done = run("fsmount.cli.main", "umount", directory)
        assert done.returncode == 0, done.stderr


def test_print_of_a_mount_is_the_cover_letters_sample(mount):
    assert run("printer.cli.main", "print", mount()).stdout == SEED_TEXT.read_text()


def test_check_finds_the_cover_letters_bug_on_the_kernel_that_has_it(mount):
    done = run("printer.cli.main", "check", mount("--kernel", "7.0"))
    assert done.returncode == 1
    assert "row 0x9 (first 64 KiB): p_offset is 0" in done.stdout
    assert "[backup-offset-zero]" in done.stdout


def test_mounted_tree_brings_its_own_machine(mount):
    tree = mount("--kernel", "7.0")
    for options in ([], ["--machine", "pseries-16g"], ["--iomem", tree / "proc" / "iomem"]):
        done = run("printer.cli.main", "check", "-f", "json", *options, tree)
        findings = json.loads(done.stdout)["findings"]
        assert [(f["rule"], f["index"]) for f in findings] == [("backup-offset-zero", 9)], options
    assert "crashkernel" in run("printer.cli.main", "map", tree).stdout


def test_check_finds_nothing_on_the_kernel_with_both_patches(mount):
    tree = mount("--kernel", "7.1")
    iomem = tree / "proc" / "iomem"
    done = run("printer.cli.main", "check", "--iomem", iomem, "--possible", "0-7", tree)
    assert (done.returncode, done.stdout) == (0, f"{tree}: nothing found\n")


def test_diff_tells_what_an_offlined_block_changed(mount, tmp_path):
    tree = mount("--kernel", "7.1")
    before = tmp_path / "before"
    before.write_text(run("printer.cli.main", "print", tree).stdout)
    assert run("printer.cli.main", "diff", before, tree).stdout == "same\n"
    (tree / "sys/devices/system/memory/memory30/state").write_text("offline")
    done = run("printer.cli.main", "diff", before, tree)
    assert done.returncode == 1
    assert done.stdout.startswith("256 MiB at 0x1e0000000 removed; ")
    assert "backup region" not in done.stdout


def test_diff_names_the_backup_region_that_the_first_patch_alone_loses(mount, tmp_path):
    tree = mount("--kernel", "7.0", "--with", "backup-offset-at-load")
    before = tmp_path / "before"
    before.write_text(run("printer.cli.main", "print", tree).stdout)
    (tree / "sys/devices/system/memory/memory30/state").write_text("offline")
    done = run("printer.cli.main", "diff", before, tree)
    assert "first 64 KiB no longer point at the backup region (0x1af40000)" in done.stdout


def test_tree_without_an_image_says_so(mount):
    tree = mount()
    assert run("fsmount.cli.main", "unload", tree).returncode == 0
    done = run("printer.cli.main", "print", tree)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("is empty: no kdump image is loaded\n")
