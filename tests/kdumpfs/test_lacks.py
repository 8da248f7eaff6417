"""What one is told where FUSE or namespaces are missing: the sentences of docs/ci.md."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kdumpfs.testing import Lack
from kdumpfs.testing.outside import _raise

ROOT = Path(__file__).resolve().parents[2]
COMMAND = f"{sys.executable} -m kdumpfs"


def said(script: str) -> str:
    """The last line of what a script says, as root in a mount namespace of its own."""
    if os.geteuid() or shutil.which("setpriv") is None:
        pytest.skip("only root can take rights away: run as root, with setpriv")
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return done.stderr.splitlines()[-1].removeprefix("kdumpfs: ")


@pytest.mark.fuse
@pytest.mark.namespaces
@pytest.mark.parametrize("command", ["mount mnt", "run -- true"])
def test_without_the_device(tmp_path: Path, command: str) -> None:
    (tmp_path / "mnt").mkdir()
    sentence = said(
        f"cd {tmp_path}; mount -t tmpfs none /dev; mknod -m 666 /dev/null c 1 3; {COMMAND} {command}"
    )
    assert sentence.startswith("/dev/fuse is missing: ")
    with pytest.raises(Lack):
        _raise(f"kdumpfs: {sentence}\n")


@pytest.mark.fuse
def test_without_the_capability(tmp_path: Path) -> None:
    (tmp_path / "mnt").mkdir()
    drop = "setpriv --bounding-set -sys_admin --inh-caps -sys_admin"
    sentence = said(f"cd {tmp_path}; {drop} {COMMAND} mount mnt")
    assert "cannot be mounted on" in sentence
    with pytest.raises(Lack):
        _raise(f"fusermount: mount failed: Operation not permitted\nkdumpfs: {sentence}\n")


@pytest.mark.namespaces
def test_without_user_namespaces() -> None:
    sentence = said(
        f"unshare -Ur sh -c 'echo 0 > /proc/sys/user/max_user_namespaces; {COMMAND} run -- true'"
    )
    assert sentence.startswith("cannot make ")
    assert "max_user_namespaces" in sentence
    with pytest.raises(Lack):
        _raise(f"kdumpfs: {sentence}\n")


def test_the_page_has_these_sentences() -> None:
    page = (ROOT / "docs/ci.md").read_text()
    for words in (
        "`/dev/fuse is missing: ...`",
        "cannot be mounted on`",
        "`cannot make a user namespace:",
    ):
        assert words in page
