"""Who a recorded machine is: its processors as /proc/cpuinfo and sysfs tell them, its partition."""

from __future__ import annotations

import re
from typing import Any

from elfcorehdr.lib.ranges import ids_of
from elfcorehdr.machine import CacheLeaf
from elfcorehdr.machine.facts import LPARCFG, VULNERABILITIES
from elfcorehdr.machine.files import CPU, Files

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
    """What lparcfg says of firmware, and of the device tree's root."""
    rows = {
        name: value
        for line in (files.text("proc/powerpc/lparcfg") or "").splitlines()
        for name, _, value in [line.partition("=")]
        if value
    }
    root = {ROOT[name]: value for name, value in rows.items() if name in ROOT}
    if number := int(rows.get("partition_id", "0")):
        root["ibm,partition-no"] = f"{number:#010x}"
    own = {n: int(value) for n, value in rows.items() if n in LPARCFG and value.isdecimal()}
    return {"devicetree": root, "lparcfg": own} if rows else {}


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
    first = next(iter(files.matching(rf"{CPU}/cpu\d+/cache/index0/type")), "")
    cpu = first.removesuffix("/cache/index0/type")
    leaves = []
    for index in range(len(files.matching(rf"{cpu}/cache/index\d+/type")) if cpu else 0):
        at = f"{cpu}/cache/index{index}"
        level = files.text(f"{at}/level") or ""
        if not level.isdecimal():
            break
        leaves.append(
            CacheLeaf(
                level=int(level),
                type=files.text(f"{at}/type") or "Unified",
                size=_number(files, f"{at}/size") << 10,
                line=_number(files, f"{at}/coherency_line_size"),
                ways=_number(files, f"{at}/ways_of_associativity"),
                sets=_number(files, f"{at}/number_of_sets"),
                cores=_cores(files, cpu, at),
            )
        )
    return tuple(leaves)


def _number(files: Files, path: str) -> int:
    """The number that a text begins with; 0 without one."""
    match = re.match(r"\d+", files.text(path) or "")
    return int(match[0]) if match else 0


def _cores(files: Files, cpu: str, at: str) -> int:
    """How many cores share a cache; 0 if all of the package do."""
    shared = files.text(f"{at}/shared_cpu_list") or ""
    if shared == (files.text(f"{cpu}/topology/package_cpus_list") or None):
        return 0 if shared != files.text(f"{cpu}/topology/core_cpus_list") else 1
    threads = len(ids_of(files.text(f"{cpu}/topology/core_cpus_list") or "0"))
    return max(len(ids_of(shared or "0")) // max(threads, 1), 1)
