"""A person at a terminal: Ctrl-C, what a long step says, and that pipes see none of it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.headers import SEED, packed

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "printer.cli.main"]


def taken(pipe: int) -> None:
    """Wait until what was written into a pipe has been read, and the reader waits for more."""
    for _ in range(200):
        time.sleep(0.1)
        if fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)) == bytes(4):
            break
    time.sleep(0.2)


@pytest.mark.parametrize(
    "arguments",
    [
        ["print", "-"],
        ["check", "-"],
        ["map", "-"],
        ["print", "-f", "json", "-"],
        ["diff", "-", "{seed}"],
    ],
    ids=" ".join,
)
def test_ctrl_c_ends_with_130(arguments, tmp_path):
    seed = tmp_path / "seed.bin"
    seed.write_bytes(packed(*SEED))
    command = [*COMMAND, *(a.format(seed=seed) for a in arguments)]
    out, into = os.pipe()
    with subprocess.Popen(
        command, stdin=out, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as process:
        os.write(into, packed(*SEED)[:100])  # a header that goes on: it waits
        taken(out)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)
        os.close(into)
        os.close(out)
    assert (process.returncode, output) == (130, b"")
    assert b"Traceback" not in errors


def at_a_terminal(arguments: list[object], stdin: int) -> bytes:
    """What a command says first on a terminal as standard error."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        cwd=ROOT,
    )
    os.close(theirs)
    readable, _, _ = select.select([ours], [], [], 30)
    said = os.read(ours, 4096) if readable else b""
    process.send_signal(signal.SIGINT)
    process.wait(20)
    os.close(ours)
    return said


def test_what_takes_over_two_seconds_says_what_it_does():
    out, into = os.pipe()
    try:
        assert b"reading standard input" in at_a_terminal(["print", "-f", "table", "-"], out)
    finally:
        os.close(out)
        os.close(into)


def test_scan_tells_how_far_it_is(tmp_path):
    out, into = os.pipe()
    process = subprocess.Popen(["cat", "/dev/zero"], stdout=into)
    os.close(into)
    try:
        said = at_a_terminal(["print", "--scan", "-"], out)
    finally:
        process.kill()
        process.wait()
        os.close(out)
    assert b"searching standard input: " in said or b"no elfcorehdr found" in said


def test_a_pipe_sees_nothing_of_it(tmp_path):
    out, into = os.pipe()
    with subprocess.Popen(
        [*COMMAND, "check", "-"], stdin=out, stderr=subprocess.PIPE, cwd=ROOT
    ) as process:
        time.sleep(2.8)
        os.close(into)
        os.close(out)
        _, errors = process.communicate(timeout=20)
    assert (
        errors
        == b"elfcorehdr: -: is empty, expected an ELF core header or the kernel's print of one\n"
    )
