"""scripts/demo shows what it says, and waits for a key on a terminal alone."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time

import pytest

from tests.packaging.conftest import ROOT
from tests.run.userlands import emulator

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.fuse,
    pytest.mark.skipif(not (ROOT / ".venv/bin/kdumpfs").exists(), reason="it makes .venv itself"),
]


def test_it_shows_table_hotplug_bug_and_cure_in_a_hundred_lines() -> None:
    done = subprocess.run(
        ["scripts/demo"],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    for line in (
        r"\(byte for byte what the mail shows\)",
        r"256 MiB at 0x1e0000000 removed; .*",
        r"echo: write error: Invalid argument",
        r"error: row 0x9 .*\[backup-offset-zero\]",
        r"↺ 64 KiB of row 0x9 read from 0x0: not the backup region",
        r"mnt: nothing found",
        r"0x9  0x9  LOAD +0x0 +changed offset +p_offset 0x1af40000 -> 0x0",
        r"╰─+▶ 64 KiB of row 0x9 read from 0x1af40000: the backup region *",
        r"0x9   PT_LOAD            0x1af40000 .*",
        r"6b 65 78 65 63 [ 0-9a-f]+ +>kexeckrkexec  \.\.<",
        r"4c 50 41 52 4c [ 0-9a-f]+ +>LPARLPrLPARL  \.\.<",
    ):
        assert re.search(rf"^ *{line}$", done.stdout, re.M), line
    assert "unmovable" not in done.stdout
    assert done.stdout.count("\n") < 110
    assert max(map(len, re.findall(r"^\$ .*", done.stdout, re.M))) < 130


@pytest.mark.namespaces
@pytest.mark.apt
def test_where_the_emulator_is_the_mails_line_is_typed_to_the_mails_program() -> None:
    path = f"{emulator('ppc64le')}/usr/bin:{os.environ['PATH']}"
    done = subprocess.run(
        ["scripts/demo", "-y"],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=580,
        env={**os.environ, "PATH": path},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    _, _, shown = done.stdout.partition("The mail's own line")
    loads = re.findall(r"^0x[0-9a-f]+ +PT_LOAD +(\S+) .* RWX$", shown, re.M)
    assert loads[1:] == ["0x10000", "0x2ec70000", "0x58000000"]
    assert "DR_TOTAL_RESOURCES=1\n" in shown
    assert "pseries-hotplug-mem: Attempting to hot-add 1 LMB(s)\n" in shown
    assert done.stdout.count("\n") < 120


def test_on_a_terminal_a_key_goes_on_and_q_ends() -> None:
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execvp("scripts/demo", ["scripts/demo"])
    seen, asked, end = "", 0, time.monotonic() + 600
    while time.monotonic() < end:
        if select.select([fd], [], [], 1)[0]:
            try:
                seen += os.read(fd, 4096).decode(errors="replace")
            except OSError:  # the demo has ended
                break
        if seen.count("[a key: go on, q: end]") > asked:
            asked += 1
            os.write(fd, b" " if asked == 1 else b"q")
    os.close(fd)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, seen
    assert asked == 2
    assert "Take a memory block offline" in seen
    assert "The bug" not in seen
