"""Dumps of real /sys trees, compared with the emulated ones: names, types, modes, sizes, contents.

What is left out is listed here with its reason, and in docs/fidelity.md.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

import pytest

from elfcorehdr.errors import KernelError
from tests.replay.machine import Json
from tests.replay.run import Run

GOLDEN = Path(__file__).parent / "golden/kernel"

NOT_EMULATED = {
    r"cpu/vulnerabilities(/|$)": "the host CPU's, not kdump's",
    r"cpu/cpufreq$|cpu/cpuidle(/|$)|cpu\d+/(cache|regs)$": "drivers of the CPU",
    r"cpu/hotplug(/states)?$": "names of states depend on what is built in",
    r"node\d+/(vmstat|x86|hugepages)(/|$)": "counters of the page allocator, SGX, huge pages",
    r"kernel/notes$": "the build id of a vmlinux",
    r"kernel/(oops_count|warn_count|rcu_stall_count)$": "counters of faults",
    r"kernel/debug/": "debugfs",
}
CONTENTS_DIFFER = {
    r"node\d+/(meminfo|numastat)$": "what a running system has allocated",
    r"kernel/uevent_seqnum$": "events of a boot",
}
NOT_DUMPED = {
    r"^/proc(/|$)": "but for iomem and cmdline",
    r"^/sys$|^/sys/devices(/system)?$|^/sys/bus(/|$)|^/sys/firmware(/devicetree.*|/memmap)?$": "",
    r"^/sys/kernel/(address_bits|cpu_byteorder|rcu_expedited|rcu_normal)$": "",
}
NOT_DUMPED_DEEPLY = {
    r"cpu\d*/(hotplug|power|topology)(/|$)": "the arm64 and riscv64 dumps go less deep"
}


class Dump(NamedTuple):
    """A dump, the steps of its case before it was made, and what the kernel was built without."""

    case: str
    file: str
    steps: int
    without: tuple[str, ...] = ()


LAB = ("MEMORY_FAILURE", "NO_HZ_FULL")
DUMPS = (
    Dump("x86_64/k7.3-hotplug-file", "sysfs-dump-before-load.json.gz", 0),
    Dump("x86_64/k7.3-hotplug-file", "sysfs-dump.json.gz", 1),
    Dump("x86_64/k7.3-hotplug-file", "sysfs-dump-after-hotplug.json.gz", 12),
    Dump("x86_64/k7.3-numa2-6g-high", "sysfs-dump-after-hotplug.json.gz", 11),
    Dump("x86_64/k7.3-memhp-offline", "sysfs-dump-after-hotplug.json.gz", 7),
    Dump("x86_64/k7.3-no-crashkernel", "sysfs-dump.json.gz", 0),
    Dump("x86_64/k6.12-hotplug-file", "sysfs-dump-before-load.json.gz", 0),
    Dump("x86_64/k6.12-hotplug-file", "sysfs-dump.json.gz", 1),
    Dump("x86_64/k6.12-hotplug-file", "sysfs-dump-after-hotplug.json.gz", 12),
    Dump("x86_64/k6.1-hotplug-file", "sysfs-dump-before-load.json.gz", 0),
    Dump("x86_64/k6.1-hotplug-file", "sysfs-dump.json.gz", 1),
    Dump("x86_64/k6.1-hotplug-file", "sysfs-dump-after-hotplug.json.gz", 13),
    Dump(
        "arm64/B-7.3.4-lab-kexec_file_load",
        "sysfs-dump-unloaded.json.gz",
        0,
        (*LAB, "PM_ADVANCED_DEBUG"),
    ),
    Dump("arm64/B-7.3.4-lab-kexec_file_load", "sysfs-dump.json.gz", 2, (*LAB, "PM_ADVANCED_DEBUG")),
    Dump("riscv64/A-7.2.13-lab-kexec_file_load", "sysfs-dump-unloaded.json.gz", 0, (*LAB, "PM")),
    Dump("riscv64/A-7.2.13-lab-kexec_file_load", "sysfs-dump.json.gz", 1, (*LAB, "PM")),
)


def excused(path: str, table: dict[str, str]) -> bool:
    return any(re.search(pattern, path) for pattern in table)


def dumped(dump: Dump) -> dict[str, Json]:
    """Path to entry, in one form for all architectures."""
    with gzip.open(GOLDEN / dump.case / dump.file) as file:
        data = json.load(file)
    return {e["path"]: e for e in data} if isinstance(data, list) else data


def booted(dump: Dump, entries: dict[str, Json]) -> Run:
    """The case's machine with what only the dump tells of it (the CPU's features, all of iomem)."""
    case_dir = GOLDEN / dump.case
    case = json.loads((case_dir / "replay.json").read_text())
    uevent = entries["/sys/devices/system/cpu/cpu0/uevent"]
    text = uevent.get("data", uevent.get("text", ""))
    told = (("modalias", r"MODALIAS=(.*)"), ("compatible", r"OF_COMPATIBLE_0=(.*)"))
    for key, pattern in told:
        if m := re.search(pattern, text):
            case["machine"][key] = m.group(1)
    machine = json.loads((case_dir / "machine.json").read_text())
    iomem = machine.get("iomem_text") or machine.get("iomem") or ""
    lines = iomem.splitlines() if isinstance(iomem, str) else iomem
    rows = [m.groups() for line in lines if (m := re.match(r" *(\w+)-(\w+) : (.*)", line))]
    if rows:
        case["machine"]["resources"] = [
            {"start": f"0x{start}", "size": hex(int(end, 16) - int(start, 16) + 1), "name": name}
            for start, end, name in rows
            if name not in ("System RAM", "Crash kernel")
        ]
    case["kernel"]["config"] = dict.fromkeys(dump.without, False)
    run = Run(case, case_dir)
    for i, step in enumerate(case["steps"][: dump.steps]):
        run.step(i, step)
    return run


def walked(run: Run, path: str) -> dict[str, Json]:
    """The emulated tree below a path, as the dumps have it."""
    tree = run.tree
    node = tree.lookup(path)
    found = tree.getattr(node)
    entry: Json = {"mode": f"{stat.S_IMODE(found.mode):04o}", "size": found.size}
    if stat.S_ISLNK(found.mode):
        return {f"/{path}": {"type": "link", "target": tree.readlink(node)}}
    if stat.S_ISREG(found.mode):
        try:
            data = tree.open(node, os.O_RDONLY).read(1 << 20, 0)
        except KernelError:
            return {f"/{path}": entry | {"type": "file"}}
        return {f"/{path}": entry | {"type": "file", "data": data.decode("latin-1")}}
    out = {f"/{path}": {"type": "dir", "mode": entry["mode"]}}
    for name, _ in tree.names(node):
        out |= walked(run, f"{path}/{name}")
    return out


def differences(path: str, real: Json, made: Json) -> list[str]:
    """What differs between a real file and the emulated one."""
    if real["type"] == "file" and made["type"] == "link":
        return []  # the riscv64 dump followed the links to the old names
    keys = ["type", "mode"] if real["type"] == "dir" else ["type", "target"]
    if real["type"] == "file":
        keys = ["type", "mode", "size"]
        real = real | {"data": real.get("data", real.get("text"))}
        if not excused(path, CONTENTS_DIFFER):
            keys.append("data")
    if path.startswith("/proc/") and "size" in keys:
        keys.remove("size")  # taken from what was read
    return [
        f"{path}: {key} {real.get(key)!r}, got {made.get(key)!r}"
        for key in keys
        if real.get(key) != made.get(key)
    ]


@pytest.mark.parametrize("dump", DUMPS, ids=lambda d: f"{d.case.split('/')[1]}-{d.steps}")
def test_a_dump_of_a_real_kernel_is_what_the_tree_has(dump: Dump) -> None:
    real = {
        p: e for p, e in dumped(dump).items() if re.match(r"/sys(/|$)|/proc/(iomem|cmdline)$", p)
    }
    run = booted(dump, real)
    made = walked(run, "sys") | walked(run, "proc")
    missing = [p for p in real if p not in made and not excused(p, NOT_EMULATED)]
    assert missing == []
    not_dumped = NOT_DUMPED | ({} if run.kernel.arch.name == "x86_64" else NOT_DUMPED_DEEPLY)
    assert [p for p in made if p not in real and not excused(p, not_dumped)] == []
    both = sorted(real.keys() & made.keys())
    assert [d for p in both for d in differences(p, real[p], made[p])] == []
    assert len(both) > 100
