"""A page of docs, done from top to bottom in one directory, at one terminal, as its reader would.

A block whose first line is `# NAME` is that file. In a `console` block `$ ` and `> ` are what is typed, the
rest is what must appear; a line `...`, or `...` in a line, is anything. A block of `sh` must succeed.
`<!-- not run: why -->` stands before a block that cannot be run here.
"""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"(?:<!-- not run: ([^\n]*) -->\n)?```(\w+)\n(.*?)```", re.S)
_FILE = re.compile(r"# ([\w./-]+\.\w+|Makefile)\n")


class Block(NamedTuple):
    """One block; why says why it is not run."""

    line: int
    language: str
    text: str
    why: str

    @property
    def file(self) -> str:
        """The file that it is; empty if none."""
        found = _FILE.match(self.text)
        return found[1] if found and self.language not in ("console", "sh") else ""


def blocks(page: str) -> list[Block]:
    """All blocks of a page."""
    return [
        Block(page[: m.start(2)].count("\n") + 1, m[2], m[3], m[1] or "")
        for m in _BLOCK.finditer(page)
    ]


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
    """Whether what appeared is what the page shows."""
    pattern = ""
    for line in expected.splitlines():
        if line == "...":
            pattern += r"(?:.*\n)*"
        else:
            pattern += ".*".join(map(re.escape, line.split("..."))) + r"\n"
    return re.fullmatch(pattern, seen) is not None


class Reader:
    """Who does what a page says: a directory, a terminal, the commands in the PATH."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        bin_ = directory / ".bin"
        bin_.mkdir()
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
            "PATH": f"{bin_}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "LC_ALL": "C.UTF-8",
            "TERM": "dumb",
            "COLUMNS": "80",
            "NO_COLOR": "1",
            "PYTEST_ADDOPTS": "-p no:cacheprovider",
            "GIT_CONFIG_GLOBAL": str(directory / ".gitconfig"),
        }
        (directory / ".gitconfig").write_text(
            "[user]\nname = A Developer\nemail = dev@example.org\n"
        )
        self._ours, self._theirs = pty.openpty()

    def type(self, command: str) -> tuple[int, str]:
        """Do a command at the terminal: exit status, and what appears."""
        done = subprocess.Popen(
            ["bash", "-c", command],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self._theirs,
            stderr=self._theirs,
        )
        seen, until = b"", time.monotonic() + 120
        while True:
            ended = done.poll() is not None
            ready, _, _ = select.select([self._ours], [], [], 0.05)
            if ready:
                seen += os.read(self._ours, 1 << 16)
            elif ended:
                break
            if time.monotonic() > until:
                done.kill()
                break
        text = seen.decode(errors="replace").replace("\r\n", "\n")
        # On a machine that is busy a function may take a second: true, and not the page's.
        return done.wait(), re.sub(r".*nobody else was answered meanwhile\n", "", text)

    def close(self) -> None:
        """Unmount what is still mounted."""
        for point in self.directory.glob("*/"):
            if os.path.ismount(point):
                self.type(f"kdumpfs umount --lazy {point.name}")
        os.close(self._ours)
        os.close(self._theirs)

    def do(self, block: Block) -> str:
        """Do a block; what is not as the page says, empty if all is."""
        if block.why:
            return ""
        if block.file:
            path = self.directory / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text.split("\n", 1)[1].lstrip("\n"))
            return ""
        if block.language == "sh":
            status, seen = self.type(f"set -e\n{block.text}")
            return f"exit status {status}:\n{seen}" if status else ""
        if block.language != "console":
            return f"a block of {block.language} that is no file and is not run"
        for command, expected in commands(block.text):
            _, seen = self.type(command)
            if not matches(expected, seen):
                return f"$ {command}\nexpected:\n{expected}\nseen:\n{seen}"
        return ""
