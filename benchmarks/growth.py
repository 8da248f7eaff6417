"""How costs grow with the size of the machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median

from benchmarks import engine, machines
from benchmarks.curves import Curves
from benchmarks.measure import cpu_in_process, wall_of
from benchmarks.mounted import mount_to_first_file
from benchmarks.mounts import MEMORY, Workshop
from printer.forms import kernel_text

BLOCKS = (16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144)
CPUS = (8, 32, 128, 512, 2048, 8192)
HEADERS = (24, 100, 1000, 8000, 65_534)


def measured(shop: Workshop, rounds: int, *, quick: bool) -> Curves:
    """Every curve; quick takes every other size."""
    step = 2 if quick else 1
    sizes = {
        "memory blocks": BLOCKS[::-1][::step][::-1],
        "CPUs": CPUS[::-1][::step][::-1],
        "program headers": HEADERS[::-1][::step][::-1],
    }
    curves: Curves = {axis: {} for axis in sizes}

    def point(axis: str, line: str, size: int, cost: Callable[[], float]) -> None:
        cost()
        value = median(cost() for _ in range(rounds))
        curves[axis].setdefault(line, {})[size] = value

    for size in sizes["memory blocks"]:
        machine = machines.write(shop.path, size)
        point(
            "memory blocks",
            "mount to first file",
            size,
            partial(mount_to_first_file, shop, machine),
        )
        with shop.ours(machine) as root:
            at = f"{root}/{MEMORY}"
            point("memory blocks", "ls -U", size, partial(wall_of, f"ls -U {at}"))
            point("memory blocks", "cat one state", size, partial(_reads, f"{at}/memory{{}}/state"))
    for size in sizes["CPUs"]:
        machine = machines.write(shop.path, 64, size)
        point("CPUs", "mount to first file", size, partial(mount_to_first_file, shop, machine))
        kernel = machines.booted(64, size)
        point("CPUs", "memory event with its header", size, partial(engine.events, kernel))
        with shop.ours(machine) as root:
            at = f"{root}/sys/devices/system/cpu"
            point("CPUs", "ls -U", size, partial(wall_of, f"ls -U {at}"))
            point(
                "CPUs", "lscpu --sysroot -e", size, partial(wall_of, f"lscpu --sysroot {root} -e")
            )
            point("CPUs", "cat the mask of online CPUs", size, partial(_reads, f"{at}/online"))
    for size in sizes["program headers"]:
        axis, kernel = "program headers", engine.full_kernel(size)
        engine.events(kernel)
        point(axis, "event with its header", size, partial(engine.events, kernel))
        anew = partial(cpu_in_process, partial(engine.rebuild, kernel))
        point(axis, "rebuild", size, anew)
        text = partial(kernel_text.render, engine.header_of(kernel))
        point(axis, "print", size, partial(cpu_in_process, text))
    return curves


def _reads(path: str, count: int = 16) -> float:
    """Seconds for one open, read and close."""
    from_ = time.perf_counter()
    for n in range(count):
        with open(path.format(n), "rb") as file:
            file.read()
    return (time.perf_counter() - from_) / count
