"""Files that never end, or that nobody writes: refused in one sentence of bounded length, at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

KDUMPFS = [sys.executable, "-m", "fsmount.cli.main"]
PROJECT = Path(__file__).parents[2]
COMMANDS = (
    "machines --from FILE",
    "mount --recording FILE DIR",
    "diff-tree FILE",
    "mount -m /dev/zero DIR",
    "run -m /dev/zero -- true",
    "run --recording FILE -- true",
    "mount --module FILE DIR",
    "run --in FILE -- true",
    "run --root FILE -- true",
    "run --keep FILE -- true",
    "run --package FILE -- true",
    "mount FILE",
    "status FILE",
    "umount FILE",
)


@pytest.mark.parametrize("kind", ["device", "FIFO"])
@pytest.mark.parametrize("words", COMMANDS)
def test_file_that_never_ends_is_one_sentence(tmp_path: Path, words: str, kind: str):
    file = Path("/dev/zero")
    if kind == "FIFO":
        file = tmp_path / "fifo"
        os.mkfifo(file)
    (tmp_path / "dir").mkdir()
    given = words.replace("FILE", str(file)).replace("DIR", str(tmp_path / "dir"))
    done = subprocess.run(
        [*KDUMPFS, *given.split()], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(PROJECT)}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert len(done.stderr) < 1000
