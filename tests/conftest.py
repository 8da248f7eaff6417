"""What every test has: the environment's lacks, found once, and an eye on oopses.

KDUMPFS_REQUIRE=fuse,namespaces,browser,shells (or CI=true, for all) makes a lack a failure instead of a skip.
"""

from __future__ import annotations

import functools
import logging
import os
import shutil
import signal
import subprocess
import tempfile

import pytest

from fsmount.tree.boundary import OOPS


@functools.cache
def lack_of_fuse() -> str:
    """Why nothing can be mounted here; empty if it can."""
    from fsmount.fuse.libfuse import LibfuseMount, MountError

    with tempfile.TemporaryDirectory() as directory:
        try:
            LibfuseMount(directory).unmount()
        except MountError as error:
            return str(error)
    return ""


@functools.cache
def lack_of_namespaces() -> str:
    """Why private mount and network namespaces cannot be made here; empty if they can."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return "unshare(1) is missing: apt install util-linux"
    command = [unshare, "-mn"] if os.geteuid() == 0 else [unshare, "-Urmn"]
    done = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else ""


def pytest_configure():
    """A shell's background job ignores SIGINT and SIGQUIT, one of nohup(1) SIGHUP, and so would every program that a test starts and ends."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGQUIT) == signal.SIG_IGN:
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)  # execve(2) makes it the default again


LACKS = {"fuse": lack_of_fuse, "namespaces": lack_of_namespaces}


def required(name: str) -> bool:
    """Whether the environment must have it."""
    listed = os.environ.get("KDUMPFS_REQUIRE", "").split(",")
    return name in listed or os.environ.get("CI") == "true"


def pytest_runtest_setup(item):
    for name, lack in LACKS.items():
        if item.get_closest_marker(name) is None:
            continue
        if reason := lack():
            if required(name):
                pytest.fail(f"{name} is required, but: {reason}", pytrace=False)
            pytest.skip(f"no {name} here: {reason}")


class OopsCatcher(logging.Handler):
    """Keeps what is logged as an oops."""

    def __init__(self):
        super().__init__()
        self.oopses = []

    def emit(self, record):
        self.oopses.append(record.getMessage())


@pytest.fixture(autouse=True)
def oopses():
    """The oopses of this process during the test; it fails if some are left in the list."""
    catcher = OopsCatcher()
    logging.getLogger(OOPS).addHandler(catcher)
    yield catcher.oopses
    logging.getLogger(OOPS).removeHandler(catcher)
    if catcher.oopses:
        pytest.fail("an oops was logged:\n" + "\n".join(catcher.oopses), pytrace=False)
