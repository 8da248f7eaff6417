"""What is missing for a mount is said in a sentence with the remedy."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from fsmount.tree.callers import Callers
from fsmount.tree.kobject import CAP_SYS_ADMIN

LOAD = (
    "from fsmount.fuse.libfuse import MountError, load\n"
    "try:\n"
    "    load()\n"
    "except MountError as error:\n"
    "    print(error)\n"
)


def loading(tmp_path, **environment):
    return subprocess.run(
        [sys.executable, "-c", LOAD],
        env=os.environ | environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_missing_libfuse(tmp_path):
    assert loading(tmp_path, FUSE_LIBRARY_PATH="libnothing.so.2") == (
        "libnothing.so.2 cannot be loaded: apt install libfuse2\n"
    )


def test_capabilities_are_those_in_effect():
    callers = Callers()
    with subprocess.Popen(
        ["cat"],
        stdin=subprocess.PIPE,
        user=65534 if os.geteuid() == 0 else None,
    ) as other:
        caller = callers(0, 0, other.pid)
        for _ in range(100):  # Popen sees the exec before its name is set
            if caller.comm == "cat":
                break
            time.sleep(0.02)
            caller = callers(0, 0, other.pid)
        assert caller.comm == "cat"
        assert caller.capable(CAP_SYS_ADMIN) is False
        other.communicate()
    assert caller.capable(CAP_SYS_ADMIN) is False
    assert callers(0, 0, other.pid).comm == ""
    if os.geteuid() == 0:
        assert callers(0, 0, os.getpid()).capable(CAP_SYS_ADMIN) is True
    callers.close()
