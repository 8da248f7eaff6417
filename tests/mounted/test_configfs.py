"""mkdir and rmdir where configfs has them, on a mount and in `run`; EPERM anywhere else."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from elfcorehdr import profiles
from elfcorehdr.init.main import Kernel
from fsmount.cli.boot import declarations_of
from fsmount.cli.mount import mount_at
from fsmount.fuse.nodes import NameCache
from fsmount.tree.kernfs import Tree
from tests.run.machine import inside

TOP = "sys/kernel/config/crash_dm_crypt_keys"


@contextmanager
def served(directory: Path, kind: str, names: NameCache) -> Iterator[Path]:
    """A pc-2g of 7.3, mounted and served by a thread; where its keys are."""
    tree = Tree(
        Kernel.boot(profiles.load("pc-2g"), "7.3"),
        declarations_of(),
        owner=(os.geteuid(), os.getegid()),
    )
    mount = mount_at(tree, str(directory), names=names, **{kind: True})
    ready = threading.Event()
    server = threading.Thread(target=mount.serve, args=(ready.set,))
    server.start()
    try:
        assert ready.wait(20)
        yield directory / TOP
    finally:
        mount.stop()
        server.join(20)
        mount.close()


@pytest.mark.fuse
@pytest.mark.parametrize("names", [NameCache.ANNOUNCED, NameCache.NONE])
def test_directories_are_made_and_taken_away_on_a_mount(
    tmp_path: Path, kind: str, names: NameCache
) -> None:
    with served(tmp_path, kind, names) as top:
        check(top)


def check(top: Path) -> None:
    (top / "root").mkdir()
    (top / "root/description").write_text("disk\n")
    assert sorted(os.listdir(top)) == ["count", "reuse", "root"]
    assert (top / "count").read_text() == "1\n"
    assert (top / "root/description").read_text() == "disk\n"
    for path in (top / "root/a", top.parent / "a", top.parent.parent / "a"):
        with pytest.raises(PermissionError, match="Operation not permitted"):
            path.mkdir()
    with pytest.raises(FileExistsError):
        (top / "root").mkdir()
    (top / "root").rmdir()
    assert not (top / "root").exists()
    with pytest.raises(FileNotFoundError):
        (top / "root").rmdir()


@pytest.mark.namespaces
def test_directories_are_made_and_taken_away_in_run() -> None:
    script = f"""
cd /{TOP}; mkdir a; echo x > a/description; cat a/description count
mkdir a 2>&1 | grep -c exists; rmdir a; ls | tr '\\n' ' '; mkdir /sys/kernel/a 2>&1 | grep -c permitted
"""
    assert inside(script, "-m", "pc-2g").split() == ["x", "1", "1", "count", "reuse", "1"]
