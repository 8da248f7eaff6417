"""Who a recorded machine is: its processors as /proc/cpuinfo and sysfs tell them, its partition."""

from __future__ import annotations

import re

from elfcorehdr.lib.ranges import ids_of
from elfcorehdr.lib.typed import Any
from elfcorehdr.machine import CacheLeaf
from elfcorehdr.machine.derive.files import CPU, TREE, Files
from elfcorehdr.machine.facts import LPARCFG, VULNERABILITIES

ROOT = {
    "system_type": "model",
    "serial_number": "system-id",
    "partition_name": "ibm,partition-name",
}
"""Rows of lparcfg that are properties of the device tree's root."""


def cpuinfo_of(files: Files, known: frozenset[str]) -> dict[str, str]:
    """The rows of /proc/cpuinfo that a machine's file may say."""
    found: dict[str, str] = {}
    for line in (files.text("proc/cpuinfo") or "").splitlines():
        key, colon, value = line.partition(":")
        if colon and (key := key.strip()) in known:
            found.setdefault(key, value.strip())
    return found


def lparcfg_of(files: Files) -> dict[str, Any]:
    """What lparcfg says of firmware, and the properties of the device tree's root; lparcfg's own where that was not kept."""
    rows = {
        name: value
        for line in (files.text("proc/powerpc/lparcfg") or "").splitlines()
        for name, _, value in [line.partition("=")]
        if value
    }
    root = {ROOT[name]: value for name, value in rows.items() if name in ROOT}
    if (number := rows.get("partition_id", "0")).isdecimal() and int(number):
        root["ibm,partition-no"] = f"{int(number):#010x}"
    root |= root_of(files)
    own = {n: int(value) for n, value in rows.items() if n in LPARCFG and value.isdecimal()}
    return ({"devicetree": root} if root else {}) | ({"lparcfg": own} if own else {})


GIVEN = ("name", "#address-cells", "#size-cells", "compatible", "device_type")
"""What a root always has."""


def root_of(files: Files) -> dict[str, str]:
    """The properties of a device tree's root: text, or 0x and bytes in hex."""
    found = {}
    for name in files.names(TREE):
        value = files.data(f"{TREE}/{name}")
        if value is None or name in GIVEN or (value and not value.strip(b"\0")):
            continue
        text = value.removesuffix(b"\0")
        plain = value.endswith(b"\0") and text.isascii() and text.decode().isprintable()
        plain = plain and not text.startswith(b"0x")
        found[name] = text.decode() if plain and text else f"0x{value.hex()}"
    return found


def vulnerabilities_of(files: Files) -> dict[str, str]:
    """What the kernel says of each vulnerability that it knows."""
    found = {}
    for path in files.matching(rf"{CPU}/vulnerabilities/\w+"):
        text = files.text(path)
        if text and (name := path.rpartition("/")[2]) in VULNERABILITIES:
            found[name] = text
    return found


def caches_of(files: Files) -> tuple[CacheLeaf, ...]:
    """The index directories of the first CPU that has any, as far as they tell level and type."""
    numbers = sorted(int(p.rpartition("cpu")[2]) for p in files.matching(rf"{CPU}/cpu\d+"))
    cpus = (f"{CPU}/cpu{n}" for n in numbers)
    cpu = next((path for path in cpus if files.data(f"{path}/cache/index0/type")), "")
    leaves: list[CacheLeaf] = []
    for index in range(len(files.matching(rf"{cpu}/cache/index\d+/type")) if cpu else 0):
        at = f"{cpu}/cache/index{index}"
        level, type_ = files.text(f"{at}/level") or "", files.text(f"{at}/type") or "Unified"
        if not level.isdecimal() or any((int(level), type_) == (o.level, o.type) for o in leaves):
            break  # a machine of two kinds of processors: the first is told
        size, line = _number(files, f"{at}/size") << 10, _number(files, f"{at}/coherency_line_size")
        ways = _number(files, f"{at}/ways_of_associativity")
        sets = _number(files, f"{at}/number_of_sets")
        if size and line * ways * sets not in (0, size):
            ways = sets = 0
        cores = _cores(files, cpu, at)
        leaves.append(
            CacheLeaf(int(level), type_, size, line, ways, sets, cores, _sharing(files, at, index))
        )
    return tuple(leaves)


def _sharing(files: Files, at: str, index: int) -> int:
    """CPUs that cpuid tells share a cache, where its id differs among those that do; else 0."""
    shared = ids_of(files.text(f"{at}/shared_cpu_list") or "")
    ids = {files.text(f"{CPU}/cpu{n}/cache/index{index}/id") for n in shared}
    return len(shared) // len(ids) if len(ids) > 1 and None not in ids else 0


def _number(files: Files, path: str) -> int:
    """The number that a text begins with; 0 without one."""
    match = re.match(r"\d+", files.text(path) or "")
    return int(match[0]) if match else 0


def _cores(files: Files, cpu: str, at: str) -> int:
    """How many cores share a cache; 0 if all of the package do. CPUs that are offline are in no list."""
    shared = files.text(f"{at}/shared_cpu_list") or ""
    core = files.text(f"{cpu}/topology/core_cpus_list") or ""
    core = core or files.text(f"{cpu}/topology/thread_siblings_list") or ""
    package = files.text(f"{cpu}/topology/package_cpus_list") or ""
    package = package or files.text(f"{cpu}/topology/core_siblings_list") or ""
    if shared == (package or None):
        return 0 if shared != core else 1
    if shared == core:
        return 1
    threads = len(ids_of(core or "0"))
    return max(len(ids_of(shared or "0")) // max(threads, 1), 1)
