"""What is mounted to be measured: our tree, the C references, and static files on tmpfs."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.conditions import VIA
from benchmarks.measure import PROJECT, kdumpfs

MEMORY = "sys/devices/system/memory"
C = PROJECT / "benchmarks" / "c"
FILES = {
    "online": "1\n",
    "phys_device": "0\n",
    "removable": "1\n",
    "state": "online\n",
    "valid_zones": "Normal\n",
}


class Workshop:
    """A directory for all that a run makes: compiled references, machines, mount points."""

    def __init__(self, directory: Path, via: str = "") -> None:
        self.path = directory
        self.via = via
        """Who serves our mounts: a word of conditions.VIA."""
        self._points = 0
        self._static: dict[int, Path] = {}

    def compiled(self, name: str) -> str:
        """benchmarks/c/NAME.c as a program, made when first asked for."""
        program = self.path / name
        if not program.exists():
            flags = []
            if name.endswith("_level"):
                found = subprocess.run(
                    ["pkg-config", "--cflags", "--libs", "fuse3"],
                    check=True,
                    capture_output=True,
                    text=True,
                )
                flags = found.stdout.split()
            source = str(C / f"{name}.c")
            subprocess.run(["cc", "-O2", "-o", str(program), source, *flags], check=True)
        return str(program)

    def point(self) -> str:
        """An empty directory to mount on."""
        self._points += 1
        path = self.path / f"mnt{self._points}"
        path.mkdir()
        return str(path)

    def static(self, blocks: int, *, files: bool) -> Path:
        """The blocks as directories on tmpfs, with their files or without."""
        key = -blocks if files else blocks
        if key in self._static:
            return self._static[key]
        root = Path(tempfile.mkdtemp(dir=self.path))
        memory = root / MEMORY
        memory.mkdir(parents=True)
        (memory / "block_size_bytes").write_text("10000000\n")
        for name, text in FILES.items():
            (root / name).write_text(text)
        for n in range(blocks):
            os.mkdir(memory / f"memory{n}")
            if files:
                for name in FILES:
                    os.link(root / name, memory / f"memory{n}" / name)
                (memory / f"memory{n}/phys_index").write_text(f"{n:08x}\n")
                # lsmem opens every block's directory if the first one has a node in it: four requests of sixteen.
                os.symlink("../../node/node0", memory / f"memory{n}/node0")
        self._static[key] = root
        return root

    def mount_command(self, machine: str, point: str, *options: str) -> list[str]:
        """The command that mounts our tree of a machine."""
        return kdumpfs("mount", "-m", machine, *VIA[self.via], *options, point)

    @contextmanager
    def ours(self, machine: str, *options: str) -> Iterator[str]:
        """Our tree of a machine, mounted."""
        point = self.point()
        subprocess.run(self.mount_command(machine, point, *options), check=True, cwd=PROJECT)
        try:
            yield point
        finally:
            subprocess.run(kdumpfs("umount", point), check=True, cwd=PROJECT)

    @contextmanager
    def served(self, command: list[str], point: str) -> Iterator[str]:
        """A server in the foreground: a C reference, or one of benchmarks/."""
        server = subprocess.Popen([*command[:1], *command[1:]], cwd=PROJECT)
        try:
            until = time.monotonic() + 10
            while not os.path.ismount(point):
                if server.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"{command[0]} does not serve")
                time.sleep(0.01)
            yield point
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(10)
            if os.path.ismount(point):
                subprocess.run(["umount", "-l", point], check=True)

    @contextmanager
    def high_level(self, blocks: int, timeout_s: int) -> Iterator[str]:
        """The C reference on libfuse 3's high level."""
        point = self.point()
        command = [self.compiled("high_level"), point, str(blocks), str(timeout_s)]
        with self.served(command, point):
            yield point

    @contextmanager
    def low_level(self, blocks: int) -> Iterator[str]:
        """The C reference on libfuse 3's low level, all cached."""
        point = self.point()
        with self.served([self.compiled("low_level"), point, str(blocks)], point):
            yield point


@contextmanager
def workshop(via: str = "") -> Iterator[Workshop]:
    """A Workshop on tmpfs, gone afterwards; via is a word of conditions.VIA."""
    with tempfile.TemporaryDirectory(prefix="kdumpfs-bench.", dir="/dev/shm") as directory:
        yield Workshop(Path(directory), via)


def resident(point: str) -> int:
    """Bytes that the server of a mount of ours holds in memory, private and shared."""
    import json

    pid = json.loads(Path(point, "control/machine").read_text())["pid"]
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmRSS")
