"""`kdumpfs run` as a person types it, for the tests of this directory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
RUN = [sys.executable, "-m", "fsmount.cli.main", "run"]
ENVIRONMENT = {
    **os.environ,
    "LC_ALL": "C",
    "PYTHONPATH": str(PROJECT),
    # Hundreds of starts: compile once, whatever the caller's environment says.
    "PYTHONPYCACHEPREFIX": str(PROJECT / ".cache" / "pycache"),
    "PYTHONDONTWRITEBYTECODE": "",
}


always: list[str] = []
"""Options of every run() and inside(): tests that run others' tests under them fill and empty it."""


def run(
    *argv: str,
    options: tuple[str, ...] = (),
    text: str = "",
    cwd: Path | str = PROJECT,
    env: Mapping[str, str] = ENVIRONMENT,
    before: tuple[str, ...] = (),
    **how: Any,
) -> subprocess.CompletedProcess[str]:
    """kdumpfs run OPTIONS -- ARGV, with its output as text; `before` comes before it on the command line."""
    if "stdin" not in how:
        how["input"] = text
    return subprocess.run(
        [*before, *RUN, *always, *options, "--", *argv],
        capture_output=True,
        text=True,
        env=env,
        cwd=cwd,
        timeout=120,
        check=False,
        **how,
    )


NOBODY = (
    "unshare", "-m", "sh", "-c",
    "mount -t tmpfs none /mnt && mknod -m 666 /mnt/fuse c 10 229 && mount --bind /mnt/fuse /dev/fuse"
    ' && exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"', "sh",
)  # fmt: skip
"""Before a command line: root becomes an ordinary user with a /dev/fuse as distributions have it."""

USERS = [
    pytest.param((), id="caller"),
    pytest.param(
        NOBODY,
        id="nobody",
        marks=pytest.mark.skipif(os.geteuid() != 0, reason="runs as root to become another"),
    ),
]
"""`before` for a test that is to hold for root and for an ordinary user."""


def inside(script: str, *options: str) -> str:
    """What a shell script prints inside; it must succeed."""
    done = run("bash", "-c", script, options=options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def start(script: str, *options: str) -> subprocess.Popen[str]:
    """A shell script inside, started; its output is a pipe."""
    return subprocess.Popen(
        [*RUN, *options, "--", "bash", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        cwd=PROJECT,
    )
