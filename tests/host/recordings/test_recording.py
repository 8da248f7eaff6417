"""What recordings are taken, mended, refused; made here by tar and cp from a small /sys of this test's own."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from elfcorehdr.errors import ProfileError
from fsmount.host.recordings.record import record, without_secrets
from fsmount.host.recordings.recording import read_recording


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine of two blocks and two CPUs."""
    files = {
        "sys/devices/system/memory/block_size_bytes": "8000000\n",
        "sys/devices/system/memory/memory0/state": "online\n",
        "sys/devices/system/memory/memory0/phys_index": "00000000\n",
        "sys/devices/system/memory/memory1/state": "offline\n",
        "sys/devices/system/memory/memory1/phys_index": "00000001\n",
        "sys/devices/system/cpu/possible": "0-1\n",
        "sys/devices/system/cpu/present": "0-1\n",
        "sys/devices/system/cpu/online": "0-1\n",
        "proc/iomem": "00001000-0fffffff : System RAM\n",
        "proc/version": "Linux version 6.12.1 (x)\n",
    }
    top = tmp_path / "machine"
    for name, text in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return top


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.xz"])
def test_what_was_recorded_is_read_again(machine, tmp_path, ending):
    path = tmp_path / f"it.{ending}"
    assert record(str(path), str(machine)) == {}
    found = read_recording(path)
    assert found.text("sys/devices/system/memory/memory1/state") == "offline"
    assert found.text("proc/version") == "Linux version 6.12.1 (x)"
    assert "uname" not in found.head  # of this host, and those are another machine's files
    assert found.mended == []


def test_a_file_that_cannot_be_read_is_told_with_its_errno(machine, tmp_path):
    (machine / "sys/devices/system/memory/probe").symlink_to("nowhere")
    (machine / "sys/devices/system/cpu/loop").symlink_to("loop")
    path = tmp_path / "it.tar"
    record(str(path), str(machine))
    assert read_recording(path).target("sys/devices/system/cpu/loop") == "loop"


def test_a_directory_and_a_tar_with_a_directory_above_are_recordings_too(machine, tmp_path):
    assert read_recording(machine).text("sys/devices/system/cpu/online") == "0-1"
    path = tmp_path / "sosreport.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(machine, "sosreport-host-2026/")
    assert read_recording(path).text("sys/devices/system/cpu/online") == "0-1"


def padded(machine: Path, fill: bool) -> None:
    """As tar(1) leaves attributes, whose st_size is a page: with NULs behind the text, or (tar -S) NULs alone."""
    for path in (machine / "sys").rglob("*"):
        if path.is_file():
            text = path.read_bytes() if fill else b""
            path.write_bytes(text.ljust(4096, b"\0"))


def test_padded_files_are_cut_at_their_text_and_it_is_said(machine):
    padded(machine, fill=True)
    found = read_recording(machine)
    assert found.text("sys/devices/system/memory/memory1/state") == "offline"
    assert "8 files were padded" in found.mended[0]


def test_emptied_files_are_refused_with_the_remedy(machine):
    padded(machine, fill=False)
    with pytest.raises(
        ProfileError, match=r"8 of 8 files that are never empty are.*kdumpfs record"
    ):
        read_recording(machine)


def test_a_cut_line_is_refused(machine):
    (machine / "sys/devices/system/memory/memory1/state").write_text("offl")
    with pytest.raises(ProfileError, match=r"memory1/state reads 'offl', expected a whole line"):
        read_recording(machine)


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.xz"])
@pytest.mark.parametrize("part", [0.2, 0.5])
def test_a_cut_archive_is_refused(machine, tmp_path, ending, part):
    path = tmp_path / f"it.{ending}"
    record(str(path), str(machine))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(ProfileError, match=r"cut|damaged"):
        read_recording(path)


def test_a_tar_without_its_end_is_refused(machine, tmp_path):
    path = tmp_path / "it.tar"
    subprocess.run(["tar", "-cf", path, "-C", machine, "sys"], check=True)
    with tarfile.open(path) as tar:
        *_, last = tar
        end = last.offset_data + -(-last.size // 512) * 512
    with open(path, "r+b") as file:
        file.truncate(end)
    with pytest.raises(ProfileError, match="no end of the archive"):
        read_recording(path)


@pytest.mark.parametrize(
    ("start", "said"),
    [(b"hsqs", "unsquashfs -d DIR"), (b"070701", "cpio -id"), (b"nothing", "not a tar")],
)
def test_other_archives_are_refused_with_what_unpacks_them(tmp_path, start, said):
    path = tmp_path / "it"
    path.write_bytes(start.ljust(4096, b"x"))
    with pytest.raises(ProfileError, match=said):
        read_recording(path)


def test_secrets_are_taken_out_and_lengths_stay():
    line = b"root=UUID=0fc63daf-8483-4772-8e79-3d69d8477de4 ip=10.1.2.3 crashkernel=256M\n"
    less = without_secrets("proc/cmdline", line)
    assert len(less) == len(line)
    assert b"10.1.2.3" not in less
    assert b"0fc63daf" not in less
    assert b"crashkernel=256M" in less


def test_a_running_machine_is_no_recording():
    with pytest.raises(ProfileError, match="of a running machine, expected a recording"):
        read_recording(Path("/"))


def test_only_what_is_below_sys_and_proc_is_read(machine):
    (machine / "home/someone").mkdir(parents=True)
    os.mkfifo(machine / "home/someone/fifo")
    (machine / "home/someone/secret").write_text("x")
    assert not any("someone" in name for name, _ in read_recording(machine).paths())


def test_a_file_that_nobody_has_recorded_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "sys").mkdir()
    with open(tmp_path / "proc/kcore", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(
        ProfileError, match="kcore: 1099511627776 bytes, expected at most 268435456"
    ):
        read_recording(tmp_path)
