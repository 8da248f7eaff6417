"""`kdumpfs run` as a person types it, for the tests of this directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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


def run(
    *argv: str, options: tuple[str, ...] = (), stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """kdumpfs run OPTIONS -- ARGV, with its output as text."""
    return subprocess.run(
        [*RUN, *options, "--", *argv],
        input=stdin,
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        cwd=PROJECT,
        timeout=120,
        check=False,
    )


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
