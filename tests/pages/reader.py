"""A page, done from top to bottom in one directory, at one terminal, as its reader would.

A block whose first line is `# NAME` is that file; other blocks of Python are run. In a `console` block `$ ` and `> ` are what is
typed, the rest is what must appear; a line `...`, or `...` in a line, is anything. A block of `sh` must succeed; one of
`text` is a drawing. Where a block left off, `cd` and all, the next begins. Comments before a block:

    <!-- not run: why -->        it cannot be run here
    <!-- needs: PROGRAM ... -->  what must be installed for it; the test of the page is skipped without
    <!-- as root -->             as its text says; it is not run as another user
    <!-- until Ctrl-C -->        each line serves until it is interrupted: it must say something, and end by SIGINT
"""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"(?:<!-- ([^\n]*) -->\n)?^```(\w*)\n(.*?)^```$", re.S | re.M)
_FILE = re.compile(r"# ([\w./-]+\.\w+|Makefile)\n")
LIMIT = 180
"""Seconds for one command on a machine that is busy."""


class Block(NamedTuple):
    """One block; mark is the comment before it."""

    line: int
    language: str
    text: str
    mark: str

    @property
    def file(self) -> str:
        """The file that it is; empty if none."""
        found = _FILE.match(self.text)
        return found[1] if found and self.language not in ("console", "sh", "text") else ""

    @property
    def why(self) -> str:
        """Why it is not run; empty if it is."""
        return self.mark.partition("not run: ")[2] or ("a drawing" * (self.language == "text"))

    @property
    def needs(self) -> list[str]:
        """Programs that it needs besides those of any Debian."""
        return self.mark.partition("needs: ")[2].split()


def blocks(page: str) -> list[Block]:
    """All blocks of a page."""
    return [
        Block(page[: m.start(2)].count("\n") + 1, m[2], m[3], m[1] or "")
        for m in _BLOCK.finditer(page)
    ]


def missing(page: str) -> list[str]:
    """Programs that its blocks need and that are not here."""
    needed = {name for block in blocks(page) for name in block.needs}
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    return sorted(name for name in needed if shutil.which(name, path=path) is None)


def commands(text: str) -> list[tuple[str, str]]:
    """What is typed in a console block, and what must appear."""
    found: list[tuple[str, str]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif line.startswith("> ") and found and not found[-1][1]:
            found[-1] = (f"{found[-1][0]}\n{line[2:]}", "")
        else:
            found[-1] = (found[-1][0], found[-1][1] + line + "\n")
    return found


def matches(expected: str, seen: str) -> bool:
    """Whether what appeared is what the page shows, blanks at the end of a line aside."""
    pattern = ""
    seen = "".join(f"{line.rstrip()}\n" for line in seen.splitlines())
    for line in expected.splitlines():
        if line == "...":
            pattern += r"(?:.*\n)*"
        else:
            pattern += ".*".join(map(re.escape, line.rstrip().split("..."))) + r"\n"
    return re.fullmatch(pattern, seen) is not None


class Reader:
    """Who does what a page says: a directory, a terminal, the commands in the PATH."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.at = directory
        self._tools = directory / ".reader"
        bin_ = self._tools / "bin"
        bin_.mkdir(parents=True)
        for name, module in (("kdumpfs", "kdumpfs"), ("elfcorehdr", "printer.cli.main")):
            script = bin_ / name
            script.write_text(f'#!/bin/sh\nexec {sys.executable} -m {module} "$@"\n')
            script.chmod(0o755)
        for name in ("python", "pytest"):
            words = "" if name == "python" else "-m pytest"
            (bin_ / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
            (bin_ / name).chmod(0o755)
        (directory / "examples").symlink_to(ROOT / "examples")
        self.environment = {
            **os.environ,
            "PATH": f"{bin_}:{os.environ['PATH']}:/usr/sbin:/sbin",
            "PYTHONPATH": str(ROOT),
            "LC_ALL": "C.UTF-8",
            "TERM": "dumb",
            "COLUMNS": "80",
            "NO_COLOR": "1",
            "PYTEST_ADDOPTS": "-p no:cacheprovider",
            "GIT_CONFIG_GLOBAL": str(self._tools / "gitconfig"),
        }
        (self._tools / "gitconfig").write_text(
            "[user]\nname = A Developer\nemail = dev@example.org\n"
        )
        self._ours, self._theirs = pty.openpty()

    def type(self, command: str, *, until_interrupted: bool = False) -> tuple[int, str]:
        """Do a command at the terminal: exit status, and what appears."""
        left, functions = self._tools / "left", self._tools / "functions"
        functions.touch()
        leave = f"pwd > {left}; declare -f > {functions}"
        done = subprocess.Popen(
            ["bash", "-c", f". {functions}; trap '{leave}' EXIT; {command}"],
            cwd=self.at,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self._theirs,
            stderr=self._theirs,
            start_new_session=until_interrupted,
        )
        seen, until = b"", time.monotonic() + LIMIT
        while True:
            ended = done.poll() is not None
            ready, _, _ = select.select([self._ours], [], [], 0.05)
            if ready:
                seen += os.read(self._ours, 1 << 16)
                if until_interrupted and b"\n" in seen:
                    os.killpg(done.pid, signal.SIGINT)
                    until_interrupted = False
            elif ended:
                break
            if time.monotonic() > until:
                done.kill()
                seen += f"\nno end after {LIMIT} s\n".encode()
                break
        if left.exists():
            self.at = Path(left.read_text().rstrip("\n"))
        text = seen.decode(errors="replace").replace("\r\n", "\n")
        text = re.sub(
            r"[^\n]*\r(?:\x1b\[K)?", "", text
        )  # progress: the rest of its line writes over it
        text = re.sub(
            r"^bash: line \d+: ", "bash: ", text, flags=re.M
        )  # as an interactive one says it
        # On a machine that is busy a function may take a second: true, and not the page's.
        return done.wait(), re.sub(r".*nobody else was answered meanwhile\n", "", text)

    def close(self) -> None:
        """Unmount what is still mounted."""
        self.at = self.directory
        for point in self.directory.glob("*/"):
            if os.path.ismount(point):
                self.type(f"kdumpfs umount --lazy {point.name}")
        os.close(self._ours)
        os.close(self._theirs)

    def do(self, block: Block) -> str:
        """Do a block; what is not as the page says, empty if all is."""
        if block.why or (block.mark == "as root" and os.geteuid() != 0):
            return ""
        if block.file:
            path = self.at / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text.split("\n", 1)[1].lstrip("\n"))
            return ""
        if block.language == "python":
            (self._tools / "block.py").write_text(block.text)
            return _failed(*self.type(f"python {self._tools}/block.py"))
        if block.language == "sh" and block.mark == "until Ctrl-C":
            for line in filter(None, block.text.splitlines()):
                status, seen = self.type(line, until_interrupted=True)
                if status not in (0, 130, -signal.SIGINT) or "Traceback" in seen:
                    return f"$ {line}\n{_failed(status, seen)}"
            return ""
        if block.language == "sh":
            return _failed(*self.type(f"set -e\n{block.text}"))
        if block.language != "console":
            return f"a block of {block.language} that is no file and is not run"
        for command, expected in commands(block.text):
            _, seen = self.type(command)
            if not matches(expected, seen):
                return f"$ {command}\nexpected:\n{expected}\nseen:\n{seen}"
        return ""


def _failed(status: int, seen: str) -> str:
    return f"exit status {status}:\n{seen}" if status else ""
