"""An archive of `kdumpfs record` read by its index says what it says read whole; what is damaged in it is told."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

import pytest

from elfcorehdr.errors import KernelError, ProfileError
from fsmount.cli.boot import BootOptions, boot
from fsmount.host.recordings.format import CHUNK
from fsmount.host.recordings.index import Indexed
from fsmount.host.recordings.record import record
from fsmount.host.recordings.recording import IndexedRecording, read_recording
from tests.host.recordings.trees import written


@pytest.fixture(scope="module")
def machine(tmp_path_factory) -> Path:
    """The files of a shipped machine, with one longer than a chunk, an empty directory and a link."""
    top = tmp_path_factory.mktemp("machine")
    _, tree = boot(BootOptions(machine="pc-numa2-6g"))
    written(tree, top)
    (top / "proc/interrupts").write_text("x" * (3 * CHUNK) + "\n")
    (top / "sys/kernel/empty").mkdir()
    (top / "sys/kernel/link").symlink_to("notes")
    return top


def whole(path: Path, tmp_path: Path):
    """As a reader takes it that knows of no index: another compression of the same tar."""
    other = tmp_path / "whole.tar"
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    other.write_bytes(data + bytes(10240))
    found = read_recording(other)
    assert not isinstance(found, IndexedRecording)
    return found


@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
def test_each_file_read_by_the_index_is_as_read_whole(machine, tmp_path, ending):
    path = tmp_path / f"it.{ending}"
    record(str(path), str(machine))
    by_index, all_of_it = read_recording(path), whole(path, tmp_path)
    assert isinstance(by_index, IndexedRecording)
    assert [(p, o._replace(mode=0) if o.directory else o) for p, o in sorted(by_index.paths())] == [
        (p, o._replace(mode=0) if o.directory else o) for p, o in sorted(all_of_it.paths())
    ]
    for name, one in all_of_it.paths():
        assert by_index.find(name) == (one if not one.directory else by_index.find(name))
        assert by_index.data(name) == all_of_it.data(name)
    assert by_index.find("sys/kernel/nothing") is None
    assert by_index.directory("sys/kernel/notes") is None
    assert by_index.names("sys/kernel/empty") == []
    assert by_index.errors == all_of_it.errors


@pytest.mark.parametrize("ending", ["tar.xz", "tar.bz2"])
def test_another_compression_is_read_whole(machine, tmp_path, ending):
    path = tmp_path / f"it.{ending}"
    record(str(path), str(machine))
    with pytest.raises(ValueError, match=r"no kdumpfs|incorrect|no index"):
        Indexed(str(path))
    assert read_recording(path).text("sys/devices/system/cpu/possible") == "0-7"


def test_the_machine_stays_when_its_file_is_renamed_or_removed(machine, tmp_path):
    path = tmp_path / "it.tar.gz"
    record(str(path), str(machine))
    _, tree = boot(BootOptions(recording=str(path)))
    path.unlink()
    node = tree.lookup("sys/devices/system/memory/memory3/state")
    assert tree.open(node, os.O_RDONLY).read(100, 0) == b"online\n"


def test_a_damaged_part_is_eio_and_the_rest_is_read(machine, tmp_path):
    path = tmp_path / "it.tar.gz"
    record(str(path), str(machine))
    indexed = Indexed(str(path))
    last = indexed.tail["chunks"][-1][1]
    broken = tmp_path / "broken.tar.gz"
    shutil.copy(path, broken)
    with open(broken, "r+b") as file:
        file.seek(last + 40)
        file.write(b"\xff" * 40)
    _, tree = boot(BootOptions(recording=str(broken), machine="pc-2g"))
    assert tree.lookup("sys/devices/system/memory/memory0/state")
    with pytest.raises(KernelError, match="damaged"):
        tree.lookup("proc/sys/kernel/osrelease")


def test_padded_files_below_a_root_that_was_recorded_are_not_taken_for_exact(machine, tmp_path):
    top = tmp_path / "padded"
    shutil.copytree(machine, top, symlinks=True)
    for state in (top / "sys/devices/system/memory").glob("memory*/state"):
        state.write_bytes(b"")
    path = tmp_path / "it.tar.gz"
    record(str(path), str(top))
    with pytest.raises(ProfileError, match="never empty"):
        read_recording(path)
