"""Storms: many writers and readers at once on a mounted machine, judged by serial replay and by a rebuild."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import NamedTuple

from benchmarks.machines import RESERVED
from tests.soak.server import BLOCKS, CPUS, Outcome, Store, replayed

PROJECT = Path(__file__).parents[2]
STEADY = range(RESERVED, 2 * RESERVED)
"""Blocks that no writer touches."""
DRC = 0x80000000


class Found(NamedTuple):
    """What a storm has shown; `wrong` must be empty."""

    stores: int
    refused: int
    listings: int
    headers: int
    grown_kb: int
    descriptors: int
    wrong: list[str]


def write(root: str, seed: int, count: int) -> None:
    """A writer: that many random stores, each open of its own, errors and all."""
    chance = Random(seed)
    for _ in range(count):
        block = chance.randrange(STEADY.stop, BLOCKS)
        memory = f"{root}/sys/devices/system/memory/memory{block}"
        path, text = chance.choice(
            [
                (f"{memory}/state", "offline"),
                (f"{memory}/state", "online"),
                (f"{memory}/state", "nonsense"),
                (f"{memory}/online", "0"),
                (f"{memory}/online", "1"),
                (f"{root}/sys/kernel/dlpar", f"memory remove index {DRC + block:#x}"),
                (f"{root}/sys/kernel/dlpar", f"memory add index {DRC + block:#x}"),
                (f"{root}/sys/kernel/dlpar", f"memory remove indexed-count {chance.randrange(4)} {DRC + block:#x}"),
                (f"{root}/sys/kernel/dlpar", f"memory add count {chance.randrange(4)}"),
                (f"{root}/sys/devices/system/cpu/cpu{chance.randrange(CPUS)}/online", chance.choice("01")),
            ]
        )  # fmt: skip
        with suppress(OSError):
            fd = os.open(path, os.O_WRONLY)
            try:
                os.write(fd, text.encode())
            finally:
                os.close(fd)


def read(root: str, until: float) -> tuple[int, int, list[str]]:
    """A reader: listings and headers until then; how many of each, and what was wrong."""
    wrong: list[str] = []
    listings = headers = 0
    memory = f"{root}/sys/devices/system/memory"
    steady = {f"memory{n}" for n in STEADY} | {"block_size_bytes", "auto_online_blocks"}
    while time.monotonic() < until:
        names = Counter(os.listdir(memory))
        twice = [name for name, times in names.items() if times > 1]
        missing = steady - set(names)
        if twice or missing:
            wrong.append(f"listing: twice {twice[:3]}, missing {sorted(missing)[:3]}")
        listings += 1
        with open(f"{root}/control/elfcorehdr", "rb", buffering=0) as file:
            head = file.read(64)
            rest = b""
            while part := file.read(777):
                rest += part
        rows = int.from_bytes(head[56:58], "little")
        if len(rest) != 56 * rows or any(
            rest[at : at + 4] not in (b"\1\0\0\0", b"\4\0\0\0") for at in range(0, len(rest), 56)
        ):
            wrong.append(f"header: {len(rest)} bytes for {rows} rows")
        headers += 1
    return listings, headers, wrong


def storm(events: int, writers: int, *, seed: int = 1) -> Found:
    """events stores by so many writers, two readers beside them."""
    with tempfile.TemporaryDirectory() as directory:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.soak.server", directory],
            cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            if server.stdout.readline() != "ready\n":
                raise RuntimeError("the server of the storm does not start")
            listings, headers, wrong, grown, descriptors = _blow(
                directory, server.pid, events, writers, seed
            )
            server.stdin.write("end\n")
            server.stdin.close()
            told = json.loads(server.stdout.read())
            if server.wait(60):
                wrong.append(f"the server ended with {server.returncode}")
        finally:
            server.kill()
            server.wait()
            if os.path.ismount(directory):
                subprocess.run(["umount", "-l", directory], check=False)
    stores = [Store(*store) for store in told["stores"]]
    there = Outcome(*told["outcome"])
    again, other = replayed(stores)
    if other:
        wrong.append(f"replay: {len(other)} stores ended otherwise, such as {other[0]}")
    for name, value in there._asdict().items():
        if value != getattr(again, name):
            wrong.append(f"replay: {name} differs")
    if not there.rebuilt:
        wrong.append("the header is not that of a rebuild")
    done = [store for store in stores if store.text is not None]
    refused = sum(store.result < 0 for store in done)
    return Found(len(done), refused, listings, headers, grown, descriptors, wrong)


def _blow(
    root: str, server: int, events: int, writers: int, seed: int
) -> tuple[int, int, list[str], int, int]:
    each = -(-events // writers)
    code = "from tests.soak import storm; import sys; storm.write(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))"
    held, files = _resident(server), _descriptors(server)
    processes = [
        subprocess.Popen([sys.executable, "-c", code, root, str(seed * 1000 + n), str(each)], cwd=PROJECT)
        for n in range(writers)
    ]  # fmt: skip
    listings = headers = 0
    wrong: list[str] = []
    while any(process.poll() is None for process in processes):
        found = read(root, time.monotonic() + 0.2)
        listings, headers = listings + found[0], headers + found[1]
        wrong += found[2]
    wrong += [f"a writer ended with {p.returncode}" for p in processes if p.returncode]
    return listings, headers, wrong, _resident(server) - held, _descriptors(server) - files


def _resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def _descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))
