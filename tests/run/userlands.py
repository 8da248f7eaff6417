"""Foreign userlands for the tests, by our own `kdumpfs userland`, and the emulator that they need."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fsmount.foreign.qemu import find
from fsmount.foreign.userland import guest_of
from fsmount.host.mountns import RunError
from tests.conftest import required
from tests.run.machine import PROJECT
from tests.run.packages import made

SMALLEST = {"bookworm": "gcc-12-base", "sid": "gcc-16-base"}
"""A package that has next to nothing in it."""


@functools.cache
def userland(architecture: str, suite: str, *names: str) -> Path:
    """Foreign packages of a suite with what they need."""
    return _fetched("-".join((architecture, suite, *names)), architecture, "--suite", suite, *names)


@functools.cache
def emulator(machine: str) -> Path:
    """A package that holds qemu-user for a guest: the system's if it is new enough, else Debian unstable's."""
    guest = guest_of(machine)
    try:
        found = find(guest, (), os.environ["PATH"])
    except RunError:
        names = ("--suite", "sid", "--qemu", SMALLEST["sid"])
        return _fetched(f"qemu-{machine}", guest.machine, *names)

    def make(work: Path) -> None:
        (work / "usr/bin").mkdir(parents=True)
        (work / "usr/bin" / f"qemu-{machine}").symlink_to(found.path)

    return made(f"qemu-{machine}-of-the-system", make)


def _fetched(name: str, *argv: str) -> Path:
    def make(work: Path) -> None:
        command = [sys.executable, "-m", "fsmount.cli.main", "userland", "-o", str(work), *argv]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
        if not done.returncode:
            return
        said = done.stderr.strip().splitlines()[-1]
        if required("apt"):
            pytest.fail(f"apt is required, but: {said}", pytrace=False)
        pytest.skip(f"no such packages here: {said}")

    return made("".join(c if c.isalnum() or c in "-." else "_" for c in name), make)


def options(*packages: Path) -> tuple[str, ...]:
    """The options that lay these over the system."""
    return tuple(part for package in packages for part in ("--package", str(package)))
