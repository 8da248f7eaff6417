"""Rows about /proc/vmcore: reading it, dump tools on it, and the machine of 64 TiB."""

from __future__ import annotations

import mmap
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import interleaved, kdumpfs, wall_of
from benchmarks.mounts import Workshop, resident
from benchmarks.rows import Cost, Row, ratio, seconds
from benchmarks.vmcore import machines

STEP = 1 << 20


def _read(path: str) -> float:
    """Seconds to read a file from its beginning, 1 MiB at a time."""
    fd = os.open(path, os.O_RDONLY)
    try:
        buf = bytearray(STEP)
        from_ = time.perf_counter()
        while os.readv(fd, [buf]):
            pass
        return time.perf_counter() - from_
    finally:
        os.close(fd)


@contextmanager
def _crashed(shop: Workshop, gib: int, cpus: int = 4) -> Iterator[str]:
    """The mount of a machine that has crashed."""
    with shop.ours(machines.write(shop.path, gib, cpus), "--load") as point:
        subprocess.run(kdumpfs("crash", point), check=True, stdout=subprocess.DEVNULL)
        yield point


def _first_read(path: str) -> float:
    """Seconds to read a file that nobody has read, into free memory that is there.

    A virtual machine may have given its free memory back (virtio_balloon's page reporting): to have 2 GiB again takes up to
    a second, whoever reads. So as much is taken and freed first.
    """
    populated = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    mmap.mmap(-1, os.stat(path).st_size, flags=populated).close()
    return _read(path)


def _cold(shop: Workshop, gib: int) -> float:
    """The first read of the vmcore of a machine that has just crashed: dropping a page cache leaves what is passed through."""
    with _crashed(shop, gib) as point:
        return _first_read(f"{point}/proc/vmcore")


def _cold_in_c(shop: Workshop, size: int) -> float:
    """The same of a server in C that has just started."""
    with _in_c(shop, size) as file:
        return _first_read(file)


@contextmanager
def _in_c(shop: Workshop, size: int) -> Iterator[str]:
    """The same bytes' kind from the C reference, which the host reads ahead in as far as in ours."""
    point = shop.point()
    with shop.served([shop.compiled("memory_high_level"), point, str(size)], point):
        minor = os.minor(os.stat(point).st_dev)
        Path(f"/sys/class/bdi/0:{minor}/read_ahead_kb").write_text("2048")
        yield f"{point}/vmcore"


def _dump(vmcore: str, dump: Path) -> float:
    dump.unlink(missing_ok=True)
    return wall_of(f"makedumpfile -d 31 {vmcore} {dump} 2>&1")


def _reads(shop: Workshop, rounds: int) -> list[Cost]:
    file, dump = shop.path / "sparse", shop.path / "dump"
    with _crashed(shop, 2) as point, _in_c(shop, os.stat(f"{point}/proc/vmcore").st_size) as in_c:
        vmcore, size = f"{point}/proc/vmcore", os.stat(in_c).st_size
        # Reads it all once: from then on it is warm.
        subprocess.run(kdumpfs("vmcore", point, "-o", str(file)), check=True)
        costs = interleaved(
            {
                "cold": lambda: _cold(shop, 2),
                "cold in C": lambda: _cold_in_c(shop, size),
                "warm": lambda: _read(vmcore),
                "warm in C": lambda: _read(in_c),
                "tmpfs": lambda: _read(str(file)),
                "dump": lambda: _dump(vmcore, dump),
                "dump of the file": lambda: _dump(str(file), dump),
            },
            2 * rounds,
        )
    file.unlink()
    return [
        ratio(costs, "tmpfs", "warm"),
        ratio(costs, "cold in C", "cold"),
        ratio(costs, "dump", "dump of the file"),
        ratio(costs, "warm in C", "warm"),
    ]


def _largest(shop: Workshop, _rounds: int) -> list[Cost]:
    with shop.ours(machines.write(shop.path, 65536, 8192), "--load") as point:
        vmcore, log = f"{point}/proc/vmcore", shop.path / "log"
        trigger = f"echo c > {point}/proc/sysrq-trigger"
        dmesg = wall_of(f"{trigger}; vmcore-dmesg {vmcore} | tail -1")
        dumped = wall_of(f"makedumpfile --dump-dmesg -f {vmcore} {log} 2>&1")
        held = resident(point)
    return [
        Cost(dmesg, seconds(dmesg)),
        Cost(dumped, seconds(dumped)),
        Cost(held / 1e6, "after both"),
    ]


def _tebibyte(shop: Workshop, _rounds: int) -> list[Cost]:
    with _crashed(shop, 1024, 64) as point:
        took = wall_of(f"makedumpfile -F -d 31 {point}/proc/vmcore > /dev/null 2>&1")
    return [Cost(took, "into /dev/null")]


ROWS = (
    Row("21", "/proc/vmcore of 2 GiB, warm, 1 MiB reads, rate", "the sparse file on tmpfs", ">=", 0.8, 1.0, "1: it is tmpfs", _reads),
    Row("21b", "/proc/vmcore of 2 GiB, warm, 1 MiB reads, rate", "C libfuse3 high level", ">=", 0.9, 1.0, "1: no request is made; passed through, more", _reads, 3),
    Row("22", "/proc/vmcore of 2 GiB, cold, rate", "C libfuse3 high level", ">=", 0.5, 0.9, "1", _reads, 1),
    Row("23", "makedumpfile -d 31 of it", "on the sparse file", "<=", 1.5, 1.1, "1", _reads, 2),
    Row("24", "64 TiB, 8,192 CPUs: echo c to vmcore-dmesg's end", "", "<=", 3, 1.5, "", _largest, 0, "s"),
    Row("25", "makedumpfile --dump-dmesg of it", "", "<=", 5, 1, "", _largest, 1, "s"),
    Row("26", "its server's resident memory", "", "<=", 250, 100, "", _largest, 2, "MB"),
    Row("27", "1 TiB: makedumpfile -d 31", "", "<=", 90, 60, "", _tebibyte, 0, "s"),
)  # fmt: skip
