"""Listings and binary files while others plug and unplug: whole answers."""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.mounted.running import running

pytestmark = pytest.mark.fuse

STEADY = range(0, 300, 2)
"""Counters that are there all the time; the odd ones come and go."""

PLUG = """
import os, random, sys
plug, unplug = (os.open(f"{sys.argv[1]}/{name}", os.O_WRONLY) for name in ("plug", "unplug"))
chance, there = random.Random(1), {1}
while True:
    number = chance.randrange(1, 300, 2)
    os.write(unplug if number in there else plug, str(number).encode())
    there ^= {number}
"""

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def hotplug(counters: Path) -> Iterator[None]:
    for number in STEADY[2:]:
        (counters / "plug").write_text(str(number))
    with running([sys.executable, "-c", PLUG, counters]) as plugging:
        yield
        assert plugging.poll() is None


def getdents(fd: int, size: int) -> list[tuple[str, int]]:
    """Names and d_off of one getdents64(2) with a buffer of that size."""
    buf = ctypes.create_string_buffer(size)
    length = _libc.getdents64(fd, buf, size)
    assert length >= 0, os.strerror(ctypes.get_errno())
    found, at = [], 0
    while at < length:
        _, position, reclen, _ = struct.unpack_from("=QqHB", buf.raw, at)
        found.append((buf.raw[at + 19 : at + reclen].partition(b"\0")[0].decode(), position))
        at += reclen
    return found


def listed(directory: Path, size: int) -> list[str]:
    """What a reader with a buffer of that size sees."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    names: list[str] = []
    while part := getdents(fd, size):
        names += (name for name, _ in part)
    os.close(fd)
    return names


def wrong(names: list[str]) -> tuple[list[str], set[str]]:
    """What is listed twice, and what is missing that was there all the time."""
    steady = {".", "..", "plug", "unplug", "online", *(f"counter{number}" for number in STEADY)}
    return [name for name, times in Counter(names).items() if times > 1], steady - set(names)


@pytest.mark.parametrize("size", [280, 1000, 4096, 32768])
def test_a_listing_has_each_entry_once_whatever_is_plugged_meanwhile(counters: Path, size: int):
    with hotplug(counters):
        found = [wrong(listed(counters, size)) for _ in range(40)]
    assert [one for one in found if one != ([], set())] == []


def test_ls_of_many_readers_at_once(counters: Path):
    with hotplug(counters):
        readers = [
            subprocess.Popen(["ls", "-aU", counters], stdout=subprocess.PIPE, text=True)
            for _ in range(30)
        ]
        found = [wrong(reader.communicate()[0].split()) for reader in readers]
    assert [one for one in found if one != ([], set())] == []


def test_a_position_is_kept_though_its_entry_has_gone(counters: Path):
    for number in STEADY[2:]:
        (counters / "plug").write_text(str(number))
    (counters / "plug").write_text("151")
    fd = os.open(counters, os.O_RDONLY | os.O_DIRECTORY)
    read: list[tuple[str, int]] = []
    while part := getdents(fd, 600):
        read += part
    names = [name for name, _ in read]
    gone = names.index("counter151")
    (counters / "unplug").write_text("151")
    for at in (gone, 3, len(names) - 1, 0):
        os.lseek(fd, read[at][1], os.SEEK_SET)
        rest: list[str] = []
        while part := getdents(fd, 600):
            rest += (name for name, _ in part)
        assert rest == [name for name in names[at + 1 :] if name != "counter151"]
    os.close(fd)


def test_a_binary_file_is_a_snapshot_from_its_read_at_the_start(text: Path):
    (text / "text").write_text("a" * 3000)
    fd = os.open(text / "raw", os.O_RDONLY)
    assert os.read(fd, 1000) == b"a" * 1000
    (text / "text").write_text("b" * 100)
    assert os.pread(fd, 4000, 2000) == b"a" * 1000
    assert os.read(fd, 4000) == b"a" * 2000
    assert os.pread(fd, 4000, 0) == b"b" * 100
    assert os.pread(fd, 4000, 50) == b"b" * 50
    os.close(fd)


def test_the_header_of_a_mount_is_whole_during_hotplug(tmp_path: Path):
    from tests.mounted.test_shell import kdumpfs

    root = tmp_path / "mnt"
    root.mkdir()
    assert kdumpfs("mount", "--load", root).returncode == 0
    state = root / "sys/devices/system/memory/memory30/state"
    code = (
        "import sys\nwhile True:\n for w in ('offline', 'online'): open(sys.argv[1], 'w').write(w)"
    )
    try:
        with running([sys.executable, "-c", code, state]) as plugging:
            until, printed = time.monotonic() + 5, 0
            while time.monotonic() < until or printed < 6:
                with (root / "control/elfcorehdr").open("rb", buffering=0) as file:
                    head = file.read(64)
                    rows = int.from_bytes(head[56:58], "little")
                    assert len(head + file.read(1 << 16)) >= 64 + 56 * rows
                command = [sys.executable, "-m", "printer.cli.main", "print", str(root)]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                assert (done.returncode, done.stderr) == (0, "")
                printed += 1
                assert plugging.poll() is None
    finally:
        assert kdumpfs("umount", root).returncode == 0
