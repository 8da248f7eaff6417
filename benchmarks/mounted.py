"""Rows about the mounted tree: round trips, big directories, lsmem, start, memory, readers that wait."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks import machines
from benchmarks.measure import PROJECT, PYTHON, Contestant, interleaved, wall_of
from benchmarks.mounts import MEMORY, Workshop, resident
from benchmarks.rows import Cost, Row, ratio

FEW, MANY, HUGE = 190, 8192, 262_144
TIMES = {"read": 3000, "write": 3000, "stat": 100_000}


def _client(shop: Workshop, what: str, root: str | Path, file: str) -> float:
    """Seconds for one operation on a block's file (or, with no file, on the block)."""
    command = [shop.compiled("client"), what, f"{root}/{MEMORY}", file, str(FEW), str(TIMES[what])]
    return float(subprocess.run(command, check=True, capture_output=True).stdout) / 1e9


def round_trips(shop: Workshop, rounds: int) -> dict[str, float]:
    """open+read+close, stat and echo on every server, taken in one interleaved run."""
    with ExitStack() as stack:
        ours = stack.enter_context(shop.ours(machines.write(shop.path, FEW)))
        cached = stack.enter_context(shop.high_level(FEW, 1))
        in_c = stack.enter_context(shop.low_level(FEW))
        uncached = stack.enter_context(shop.high_level(FEW, 0))
        tmpfs = shop.static(FEW, files=True)
        return interleaved(
            {
                "read ours": lambda: _client(shop, "read", ours, "state"),
                "read cached": lambda: _client(shop, "read", cached, "state"),
                "read uncached": lambda: _client(shop, "read", uncached, "state"),
                "stat ours": lambda: _client(shop, "stat", ours, "state"),
                "stat tmpfs": lambda: _client(shop, "stat", tmpfs, "state"),
                "stat in C": lambda: _client(shop, "stat", in_c, "state"),
                # 1 to `online` of a block that is online: taken, and nothing happens.
                "write ours": lambda: _client(shop, "write", ours, "online"),
                "write cached": lambda: _client(shop, "write", cached, "online"),
            },
            rounds,
        )


def _rates(shop: Workshop, rounds: int) -> list[Cost]:
    costs = round_trips(shop, 3 * rounds)
    pairs = (
        ("read cached", "read ours"),
        ("read uncached", "read ours"),
        ("stat tmpfs", "stat ours"),
        ("write cached", "write ours"),
        ("stat in C", "stat ours"),
    )
    return [ratio(costs, reference, ours) for reference, ours in pairs]


def _listing(shop: Workshop, rounds: int) -> list[Cost]:
    tmpfs = shop.static(HUGE, files=False)
    huge, tenth = machines.write(shop.path, HUGE), machines.write(shop.path, HUGE // 16)
    with shop.ours(huge) as ours, shop.ours(tenth) as small:
        costs = interleaved(
            {
                "ours": lambda: wall_of(f"ls -U {ours}/{MEMORY} | wc -l"),
                "tmpfs": lambda: wall_of(f"ls -U {tmpfs}/{MEMORY} | wc -l"),
                "huge": lambda: _names(ours) / HUGE,
                "small": lambda: _names(small) / (HUGE // 16),
            },
            rounds,
        )
    return [ratio(costs, "ours", "tmpfs"), ratio(costs, "huge", "small")]


def _names(root: str) -> float:
    """Seconds to read all names of the blocks' directory."""
    from_ = time.perf_counter()
    count = len(os.listdir(f"{root}/{MEMORY}"))
    assert count > HUGE // 16
    return time.perf_counter() - from_


def _lsmem(shop: Workshop, rounds: int) -> list[Cost]:
    tmpfs, machine = shop.static(MANY, files=True), machines.write(shop.path, MANY)
    second: dict[str, float] = {}

    def twice(name: str, root: str) -> float:
        first = wall_of(f"lsmem --sysroot {root}")
        second[name] = wall_of(f"lsmem --sysroot {root}")
        return first

    def ours() -> float:
        with shop.ours(machine) as root:
            return twice("ours", root)

    def reference() -> float:
        with shop.low_level(MANY) as root:
            return twice("low level", root)

    def again(run: Contestant, name: str) -> float:
        run()
        return second[name]

    runs = {"ours": ours, "low level": reference, "tmpfs": lambda: twice("tmpfs", str(tmpfs))}
    first = interleaved(runs, rounds)
    later = interleaved({name: partial(again, run, name) for name, run in runs.items()}, rounds)
    return [
        ratio(first, "ours", "tmpfs"),
        ratio(later, "ours", "tmpfs"),
        ratio(first, "ours", "low level"),
        ratio(later, "ours", "low level"),
    ]


def _lscpu(shop: Workshop, rounds: int) -> list[Cost]:
    """Of the shipped machine with 2,048 CPUs; a new mount each time, so nothing of it is cached."""
    copy = shop.path / "lscpu"
    places = ("sys/devices/system/cpu", "sys/devices/system/node", "proc/cpuinfo")
    with shop.ours("pseries-64t") as root:
        for place in places:
            (copy / place).parent.mkdir(parents=True, exist_ok=True)
            # What can only be written is a complaint, as on a real sysfs.
            command = ["cp", "-r", f"{root}/{place}", f"{copy}/{place}"]
            subprocess.run(command, check=False, stderr=subprocess.DEVNULL)

    def ours() -> float:
        with shop.ours("pseries-64t") as root:
            return wall_of(f"lscpu --sysroot {root}")

    costs = interleaved({"ours": ours, "tmpfs": lambda: wall_of(f"lscpu --sysroot {copy}")}, rounds)
    return [ratio(costs, "ours", "tmpfs")]


def mount_to_first_file(shop: Workshop, machine: str) -> float:
    """Seconds from the command to the content of a block's state."""
    point = shop.point()
    from_ = time.perf_counter()
    subprocess.run(shop.mount_command(machine, point), check=True, cwd=PROJECT)
    with open(f"{point}/{MEMORY}/memory0/state") as file:
        assert file.read() == "online\n"
    took = time.perf_counter() - from_
    subprocess.run(["umount", point], check=True)
    return took


def _start(shop: Workshop, rounds: int) -> list[Cost]:
    machine = machines.write(shop.path, HUGE, 8192)
    costs = interleaved(
        {
            "ours": lambda: mount_to_first_file(shop, machine),
            "import fuse": lambda: wall_of(f"{PYTHON} -I -c 'import fuse'"),
        },
        4 * rounds,
    )
    return [ratio(costs, "ours", "import fuse")]


def _memory(shop: Workshop, rounds: int) -> list[Cost]:
    def held(blocks: int) -> float:
        with shop.ours(machines.write(shop.path, blocks)) as root:
            return float(resident(root))

    costs = interleaved({"huge": lambda: held(HUGE), "small": lambda: held(16)}, rounds)
    more = (costs["huge"] - costs["small"]) / (1 << 20)
    return [Cost(max(0.0, more), f"{costs['huge'] / (1 << 20):.1f} MB in all")]


def _stale(shop: Workshop, rounds: int) -> list[Cost]:
    found = []
    for names in ("announced", "stale"):
        point = shop.point()
        command = [PYTHON, "-m", "benchmarks.staleness", point, names, "1000", shop.via or "direct"]
        done = subprocess.run(command, check=True, cwd=PROJECT, capture_output=True, text=True)
        found.append(int(done.stdout))
    if not found[1]:
        raise RuntimeError("with announcing switched off nothing was stale: the check sees nothing")
    return [Cost(found[0], f"{found[1]} if the host's kernel is not told")]


def _waiting(shop: Workshop, rounds: int) -> list[Cost]:
    with ExitStack() as stack:
        machine = machines.write(shop.path, FEW)
        alone = stack.enter_context(shop.ours(machine))
        busy = stack.enter_context(shop.ours(machine))
        reader = subprocess.Popen(
            [PYTHON, "-c", "import os, sys; fd = os.open(sys.argv[1], 0); os.lseek(fd, 0, 2)\n"
             "print(flush=True); os.read(fd, 8192)", f"{busy}/dev/kmsg"],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        assert reader.stdout is not None
        reader.stdout.readline()
        try:
            costs = interleaved(
                {
                    "alone": lambda: _client(shop, "read", alone, "state"),
                    "busy": lambda: _client(shop, "read", busy, "state"),
                },
                2 * rounds,
            )
            assert reader.poll() is None, "the reader did not wait"
        finally:
            reader.kill()
            reader.wait()
    return [ratio(costs, "busy", "alone")]


HL1, HL0 = "C libfuse3 high level, timeouts 1 s", "C libfuse3 high level, timeouts 0"
TMPFS, LL = "the same on tmpfs", "C libfuse3 low level, cached"
READ = "open+read+close of memoryN/state, rate"
ROWS = (
    Row("1", READ, HL1, ">=", 0.50, 0.60, "1", _rates),
    Row("2", READ, HL0, ">=", 1.3, 1.6, "2.6 to 3.3", _rates, 1),
    Row("3", "stat of a warm name, rate", TMPFS, ">=", 0.9, 1.0, "1", _rates, 2),
    Row("3b", "stat of a warm name, rate", LL, ">=", 0.95, 1.0, "1: no request is made", _rates, 4),
    Row("4", "echo 1 > online of an online block, rate", HL1, ">=", 0.35, 0.47, "1", _rates, 3),
    Row("5", "ls -U | wc -l, 262,144 blocks", TMPFS, "<=", 3.0, 1.7, "0.5", _listing),
    Row("6", "readdir per entry, 262,144 blocks", "16,384 blocks", "<=", 1.5, 1.1, "1", _listing, 1),
    Row("7", "lsmem, 8,192 blocks, first run", TMPFS, "<=", 25, 18, "12", _lsmem),
    Row("7", "lsmem, 8,192 blocks, second run", TMPFS, "<=", 18, 13, "7.6", _lsmem, 1),
    Row("7b", "lsmem, 8,192 blocks, first run", LL, "<=", 1.5, 1.2, "1", _lsmem, 2),
    Row("7b", "lsmem, 8,192 blocks, second run", LL, "<=", 1.5, 1.2, "1", _lsmem, 3),
    Row(
        "8",
        "mount to first file, 262,144 blocks, 8,192 CPUs",
        'python -I -c "import fuse"',
        "<=",
        1.6,
        1.1,
        "1 (0.46 without libfuse)",
        _start,
    ),
    Row("9", "resident memory, 262,144 blocks", "16 blocks", "<=", 1.0, 0.3, "0.25", _memory, 0, "MB more"),
    Row("10", "stale answers in 1,000 rounds of hotplug", "", "<=", 0, 0, "0", _stale, 0, "stale"),
    Row("28", "lscpu, 2,048 CPUs, first run", TMPFS, "<=", 18, 13, "", _lscpu),
    Row("18", "read while another waits in kmsg", "read alone", "<=", 3.0, 1.5, "1", _waiting),
)  # fmt: skip
