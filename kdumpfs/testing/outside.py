"""A machine mounted, and commands in a machine: through the command line, as everybody has it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from elfcorehdr.errors import ProfileError
from fsmount.cli.boot import QUICK, BootOptions
from kdumpfs.testing.header import Header
from kdumpfs.testing.machine import Lack, options_of

TIMEOUT_S = 120
LACKING = (
    *("/dev/fuse", "fusepy", "libfuse", "cannot be mounted", "cannot mount", "cannot make"),
    *("cannot map", "cannot bind", "cannot set up the machine", "seccomp", "guard"),
)
"""Words in a refusal that is the host's, not the test's."""


def _kdumpfs(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kdumpfs", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )


def _words(options: BootOptions) -> list[str]:
    """The options as the command line has them."""
    words = ["-m", options.machine, "--print-mode", options.print_mode]
    words += ["--kernel", options.kernel] if options.kernel else []
    words += [word for change in options.with_ for word in ("--with", change)]
    words += [word for change in options.without for word in ("--without", change)]
    words += [word for module in options.modules for word in ("--module", module)]
    words += ["--cmdline", options.cmdline] if options.cmdline is not None else []
    words += [w for key in QUICK if (size := getattr(options, key)) for w in (_option(key), size)]
    words += ["--load"] if options.load else []
    words += [] if options.page_limit else ["--no-page-limit"]
    return words + (["--debug"] if options.debug else [])


def _option(key: str) -> str:
    return "--" + key.replace("_", "-")


def _raise(said: str) -> None:
    """Lack if the host is to blame, else ProfileError."""
    sentence = (said.strip().splitlines() or [""])[-1].removeprefix("kdumpfs: ")
    if any(word in sentence for word in LACKING):
        raise Lack(sentence)
    raise ProfileError(sentence)


class Mounted:
    """A machine's files below `path`: open them, or hand the path to a program."""

    def __init__(self, path: Path) -> None:
        self.path = path
        """Where it is mounted."""

    def file(self, path: str) -> Path:
        """Where a file of the machine, such as /sys/kernel/kexec/loaded, is on this host."""
        return self.path / path.lstrip("/")

    def read(self, path: str) -> str:
        """A file's text; OSError."""
        return self.file(path).read_text("utf-8", errors="surrogateescape")

    def read_bytes(self, path: str) -> bytes:
        """A file's content; OSError."""
        return self.file(path).read_bytes()

    def write(self, path: str, text: str) -> None:
        """One write(2); OSError."""
        fd = os.open(self.file(path), os.O_WRONLY)
        try:
            os.write(fd, text.encode(errors="surrogateescape"))
        finally:
            os.close(fd)

    def shell(self, line: str) -> str:
        """What a line prints that bash runs in the mounted tree; CalledProcessError if it fails."""
        return subprocess.run(
            ["bash", "-c", line],
            cwd=self.path,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=TIMEOUT_S,
            env={**os.environ, "LC_ALL": "C"},
        ).stdout

    def kdumpfs(self, command: str, *words: str) -> str:
        """`kdumpfs COMMAND DIR WORDS`, such as plug, load, reload: what it prints. ProfileError."""
        done = _kdumpfs(command, str(self.path), *words)
        if done.returncode:
            raise ProfileError(done.stderr.strip().removeprefix("kdumpfs: "))
        return done.stdout

    @property
    def header(self) -> Header | None:
        """The loaded crash image's ELF core header, as it is now; None without one."""
        data = (self.path / "control/elfcorehdr").read_bytes()
        return Header(data) if data else None

    @property
    def log(self) -> list[str]:
        """The kernel log's lines, without their time stamps."""
        return [line.split("] ", 1)[-1] for line in self.kdumpfs("dmesg").splitlines()]

    @property
    def uevents(self) -> list[str]:
        """The uevents so far: `offline@/devices/system/memory/memory30`."""
        return [line.split(" ", 1)[1] for line in self.kdumpfs("uevents").splitlines()]


@contextmanager
def mounted(name: str | os.PathLike[str] = "pseries-16g", **options: Any) -> Iterator[Mounted]:
    """A machine, mounted on a directory of its own while this lasts. Lack, ProfileError."""
    with tempfile.TemporaryDirectory(prefix="kdumpfs.") as directory:
        path = Path(directory, "mnt")
        path.mkdir()
        words = _words(options_of(name, **options))
        done = _kdumpfs("mount", *words, str(path))
        if done.returncode:
            _raise(done.stderr)
        try:
            yield Mounted(path)
        finally:
            ended = _kdumpfs("umount", str(path))
            if ended.returncode:
                _kdumpfs("umount", "--lazy", str(path))


def run(
    command: str | Sequence[str],
    name: str | os.PathLike[str] = "pseries-16g",
    *,
    check: bool = False,
    **options: Any,
) -> subprocess.CompletedProcess[str]:
    """Run a command in the machine; a str is a line for sh. Its output and exit status. Lack, ProfileError.

    check raises CalledProcessError for an exit status other than 0.
    """
    argv = ["sh", "-c", command] if isinstance(command, str) else list(command)
    done = _kdumpfs("run", *_words(options_of(name, **options)), "--", *argv)
    if done.returncode == 2 and done.stderr.startswith("kdumpfs: "):
        _raise(done.stderr)
    if check and done.returncode:
        raise subprocess.CalledProcessError(
            done.returncode, shlex.join(argv), done.stdout, done.stderr
        )
    return done
