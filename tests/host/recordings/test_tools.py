"""What tar, tar -S, cpio, cp and mksquashfs make of this machine's /sys and /proc: mended, or refused with a sentence."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from elfcorehdr.errors import ProfileError
from fsmount.cli.recorded.machine import as_toml
from fsmount.host.recordings.recording import read_recording
from tests.run.packages import tool

MEMORY, CPU, NODE = (f"sys/devices/system/{name}" for name in ("memory", "cpu", "node"))
TREES = (f"{MEMORY}/", f"{CPU}/", f"{NODE}/")
PROC = ("proc/cpuinfo", "proc/iomem", "proc/cmdline")
SAME = (f"{MEMORY}/block_size_bytes", f"{CPU}/possible", f"{CPU}/cpu0/topology/core_id")


@pytest.fixture(autouse=True)
def needs_memory_blocks():
    if not Path("/", MEMORY).is_dir():
        pytest.skip("this kernel has no /sys/devices/system/memory to record")


def made(*argv: str, said: str = "", at: Path | None = None) -> None:
    """Run a tool on the real /sys from /; files that nobody may read are no failure of it."""
    environment = {**os.environ, "LC_ALL": "C"}
    subprocess.run(
        argv,
        input=said,
        text=True,
        capture_output=True,
        cwd=at or "/",
        env=environment,
        check=False,
    )


def names() -> str:
    """Every path below TREES, and PROC: what cpio reads."""
    found = [p for tree in TREES for p in Path("/", tree).rglob("*")]
    return "".join(f"{str(p)[1:]}\n" for p in [*map(Path, [f"/{n}" for n in PROC]), *found])


def is_exact(found) -> None:
    for name in SAME:
        assert found.data(name) == Path("/", name).read_bytes()


@pytest.mark.parametrize(
    "options", [("-cf",), ("-czf",), ("-cJf",), ("--format=v7", "-cf")], ids=str
)
def test_a_tar_of_sysfs_is_padded_and_is_mended(tmp_path, options):
    path = tmp_path / "it.tar"
    made(tool("tar", "tar"), *options, str(path), *TREES, *PROC)
    found = read_recording(path)
    is_exact(found)
    assert "padded with NULs" in " ".join(found.mended)
    assert "/proc/cpuinfo and the like are empty" in " ".join(found.mended)
    assert found.data("proc/cpuinfo") is None
    assert "# Mended:" in as_toml(str(path), "x86_64", "6.12")


def test_a_sparse_tar_of_sysfs_is_empty_and_is_refused(tmp_path):
    path = tmp_path / "it.tar"
    made(tool("tar", "tar"), "-cSf", str(path), *TREES)
    with tarfile.open(path) as tar:
        sparse = [member for member in tar if member.issparse()]
    if not sparse:
        pytest.skip("this tar finds no holes in sysfs")
    with pytest.raises(ProfileError, match=r"files that are never empty are.*kdumpfs record"):
        read_recording(path)


def test_a_sparse_tar_of_plain_files_is_read(tmp_path):
    copied(tmp_path / "cp")
    (tmp_path / "cp" / MEMORY / "hole").write_bytes(bytes(1 << 20) + b"end\n")
    path = tmp_path / "it.tar"
    made(tool("tar", "tar"), "-cSf", str(path), "-C", str(tmp_path / "cp"), "sys")
    found = read_recording(path)
    is_exact(found)
    assert found.data(f"{MEMORY}/hole") == bytes(1 << 20) + b"end\n"


def copied(to: Path) -> None:
    to.mkdir()
    made("cp", "-a", "--parents", *TREES, *PROC, str(to))


@pytest.mark.skipif(
    os.geteuid() != 0, reason="cp closes its directories, as /proc is, to an ordinary user"
)
def test_what_cp_copies_is_exact(tmp_path):
    copied(tmp_path / "cp")
    found = read_recording(tmp_path / "cp")
    is_exact(found)
    assert found.mended == []
    assert found.data("proc/cmdline") == Path("/proc/cmdline").read_bytes()


@pytest.mark.parametrize("form", ["newc", "odc", "bin"])
def test_a_cpio_archive_is_refused_with_what_unpacks_it_and_that_is_padded_and_mended(
    tmp_path, form
):
    path = tmp_path / "it.cpio"
    cpio = tool("cpio", "cpio")
    made(cpio, "-o", "-H", form, "-O", str(path), said=names())
    with pytest.raises(ProfileError, match=r"a cpio archive, expected.*cpio -id"):
        read_recording(path)
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    made(cpio, "-id", "-I", str(path), at=unpacked)
    found = read_recording(unpacked)
    is_exact(found)
    assert "padded with NULs" in " ".join(found.mended)


def test_a_squashfs_image_is_refused_with_what_unpacks_it_and_that_is_empty_and_refused(tmp_path):
    image, unpacked = tmp_path / "it.img", tmp_path / "unpacked"
    made(tool("mksquashfs", "squashfs-tools"), "/sys/devices/system/memory", str(image))
    with pytest.raises(ProfileError, match=r"a squashfs image, expected.*unsquashfs -d DIR"):
        read_recording(image)
    (unpacked / MEMORY).parent.mkdir(parents=True)
    made(tool("unsquashfs", "squashfs-tools"), "-d", str(unpacked / MEMORY), str(image))
    with pytest.raises(ProfileError, match="never empty"):
        read_recording(unpacked)
    copied(tmp_path / "cp")  # of plain files it is exact
    image.unlink()
    shutil.rmtree(unpacked)
    made(tool("mksquashfs", "squashfs-tools"), str(tmp_path / "cp"), str(image))
    made(tool("unsquashfs", "squashfs-tools"), "-d", str(unpacked), str(image))
    is_exact(read_recording(unpacked))


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.xz", "tar.zst"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.97])
def test_a_tar_that_was_cut_is_refused(tmp_path, ending, part):
    tool("zstd", "zstd")
    copied(tmp_path / "cp")
    path = tmp_path / f"it.{ending}"
    made(tool("tar", "tar"), "-caf", str(path), "-C", str(tmp_path / "cp"), "sys", "proc")
    is_exact(read_recording(path))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(ProfileError, match=r"cut|damaged") as refused:
        read_recording(path)
    assert len(str(refused.value)) < 500
