"""A server of the counters' tree in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


class Server:
    """The mounted tree and the process behind it."""

    def __init__(self, directory: Path, kind: str, *options: str) -> None:
        self.root = directory / "mnt"
        self.root.mkdir()
        self._stderr = directory / "stderr"
        options += ("announced", "4096", "")[len(options) :]
        with self._stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.mounted.serve", str(self.root), kind, *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=Path(__file__).parents[2],
            )
        self.oops_expected = False
        assert self.process.stdout.readline() == b"ready\n", self.stderr()

    def stderr(self) -> str:
        return self._stderr.read_text()

    def stop(self) -> None:
        """Unmount; the process must end well, the mount be gone, and no oops be left unexpected."""
        self.process.terminate()
        try:
            status = self.process.wait(10)
        finally:
            self.process.kill()
            if os.path.ismount(self.root):
                subprocess.run(["umount", "-l", self.root], check=False)
        self.process.stdout.close()
        self.process.stdin.close()
        assert status == 0, self.stderr()
        assert ("Oops" in self.stderr()) == self.oops_expected, self.stderr()


@pytest.fixture(params=["libfuse", "direct"])
def kind(request):
    """Which of the two servers: through libfuse, or without."""
    if request.param == "direct" and os.geteuid():
        pytest.skip("only root may mount without libfuse")
    return request.param


@pytest.fixture
def server(tmp_path, kind):
    server = Server(tmp_path, kind)
    yield server
    server.stop()


@pytest.fixture
def server_with(tmp_path, kind):
    """A function that starts a server with options: name cache, page size."""
    servers = []

    def serve(*options):
        servers.append(Server(tmp_path, kind, *options))
        return servers[-1]

    yield serve
    for server in servers:
        server.stop()


@pytest.fixture
def text(server):
    return server.root / "sys/kernel/text"


@pytest.fixture
def counters(server):
    return server.root / "sys/devices/system/counter"
