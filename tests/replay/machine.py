"""A replay.json's machine as a Machine, and what a case tells only through its log lines or failures."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from elfcorehdr.machine import (
    BlockState,
    CpuTopology,
    CrashRegion,
    KdumpFiles,
    KernelText,
    Lmbs,
    LoadSegment,
    Machine,
    MemoryRange,
    Region,
)

Json = dict[str, Any]
DEBUG_MODULES = ("crash_core", "ranges", "hotplug-memory", "hotplug-cpu")


def number(text: str | int) -> int:
    """Addresses and sizes are hex strings."""
    return text if isinstance(text, int) else int(text, 0)


def memory_ranges(rows: Iterable[Json]) -> tuple[MemoryRange, ...]:
    """`memory` or `nested_memory` of a machine or a step."""
    return tuple(
        MemoryRange(
            number(r["start"]),
            number(r["size"]),
            r.get("node", (r.get("nodes") or [0])[0]),
            r.get("flags", ""),
            r.get("name", "System RAM"),
        )
        for r in rows
    )


def region(row: Json | None) -> Region | None:
    """A start and size, if there."""
    if row is None:
        return None
    return Region(number(row["start"]), number(row["size"]), row.get("name", ""))


def kdump_files(case: Json) -> KdumpFiles:
    """Sizes of the files that were loaded: from the load's log, else from where the backup region came to lie.

    These are inputs (the files' sizes); the addresses that follow from them are what is compared.
    """
    if case["arch"] != "ppc64":
        # Kernel and initrd are given to each load (files.py); the device tree is the kernel's own work.
        lines = (line for step in case["steps"] for line in step["seen"].get("log", ()))
        sizes = [
            m.group(1) for line in lines if (m := re.search(r"segment\[4\].*bufsz=(\S+)", line))
        ]
        return KdumpFiles(fdt=number(sizes[0]) if sizes and case["arch"] == "riscv64" else 0)
    kernel, purgatory, initrd, fdt = (LoadSegment(0x2000000),), 0x10000, 0, 0x10000
    crashk = next(
        (r for r in case["machine"].get("crashkernel", []) if r["kind"] == "crashk_res"), None
    )
    for step in case["steps"]:
        do = step["do"]
        if do["op"] != "load" or do.get("syscall") != "kexec_file_load" or "backup" not in do:
            continue
        assert crashk is not None
        kernel = (LoadSegment(number(do["backup"]) - number(crashk["start"])),)
        sizes = {}
        for line in step["seen"].get("log", ()):
            if m := re.match(r"kexec_file: segment\[(\d)\]: .*bufsz=(\S+) .*memsz=(\S+)", line):
                sizes[int(m.group(1))] = (number(m.group(2)), number(m.group(3)))
        if sizes:
            kernel = (LoadSegment(sizes[0][1], sizes[0][0]),)
            purgatory, fdt = sizes[1][0], sizes[max(sizes)][0]
            initrd = sizes[4][0] if len(sizes) == 6 else 0
            break
    return KdumpFiles(kernel, purgatory, initrd, fdt)


def _kernel_end(arch: str, files: KdumpFiles) -> dict[str, int]:
    """Where a kernel ends that no kernel_text tells of: the capture kernel is the running one."""
    if arch not in ("ppc64", "x86_64"):
        return {}
    return {"kernel_end": files.kernel[0].memsz if files.kernel else 0}


def build(case: Json) -> Machine:
    """The machine at boot."""
    m, kernel = case["machine"], case["kernel"]
    cpus = m["cpus"]
    text = m.get("kernel_text")
    files = kdump_files(case)
    no_kexec_file = any(s["do"].get("fails") == "ENOSYS" for s in case["steps"])
    notes = {int(cpu): number(a) for cpu, a in m.get("crash_notes", {}).items()}
    notes |= (
        {int(c): number(a) for c, a in (m.get("crash_notes_from_header") or {}).items()}
        if isinstance(m.get("crash_notes_from_header"), dict)
        else {}
    )
    node_of = m.get("cpu_nodes") or {}
    return Machine(
        name=case["case"],
        source="replay.json",
        arch=case["arch"],
        memory=memory_ranges(m["memory"]),
        nested_memory=memory_ranges(m.get("nested_memory", ())),
        system_ram=memory_ranges(m.get("system_ram", ())),
        cpus=CpuTopology(
            cpus["possible"],
            cpus["present"],
            cpus["online"],
            node={int(c): n for c, n in node_of.items()},
            type=cpu_type(case),
            modalias=modalias(case),
            compatible=m.get("compatible", ""),
        ),
        page_size=kernel.get("page_size", 4096),
        memory_block_size=number(m["memory_block_size"]),
        cmdline=m.get("cmdline", ""),
        **_kernel_end(case["arch"], files),
        rtas=region(m.get("rtas")),
        crash_notes=notes,
        vmcoreinfo=number(m["vmcoreinfo"]["start"]),
        kdump=files,
        lmbs=tuple(
            Lmbs(r["count"], number(r["start"]), number(r["drc"]), number(r["flags"]))
            for r in m.get("lmbs", ())
        ),
        crashkernel=tuple(
            CrashRegion(number(r["start"]), number(r["size"]), r["kind"])
            for r in m.get("crashkernel", ())
        ),
        resources=tuple(r for r in map(region, m.get("resources", ())) if r),
        kernel_text=KernelText(number(text["paddr"]), number(text["vaddr"]), number(text["size"]))
        if text
        else None,
        direct_map_base=number(m.get("direct_map_base", 0)),
        nr_cpus_default=kernel.get("nr_cpus_default", 8192),
        crash_max_memory_ranges=kernel.get("crash_max_memory_ranges", 8192),
        blocks=tuple(
            BlockState(
                b["blocks"], b.get("state", "online"), b.get("valid_zones", ""), b.get("node", -1)
            )
            for b in m.get("blocks", ())
        ),
        auto_online_blocks=kernel.get("auto_online_blocks", ""),
        kexec_file=kernel.get("kexec_file", not no_kexec_file),
        config=kernel.get("config", {}),
    )


def modalias(case: Json) -> str:
    """The CPUs' type and features: only a uevent file that was read tells them."""
    if "modalias" in case["machine"]:
        return str(case["machine"]["modalias"])
    for step in case["steps"]:
        if m := re.search(r"^MODALIAS=(.*)$", step["seen"].get("value") or "", re.M):
            return m.group(1)
    return ""


def cpu_type(case: Json) -> str:
    """A core's name: only the log tells it."""
    for step in case["steps"]:
        for line in step["seen"].get("log", ()):
            if m := re.search(r"CPU (PowerPC,\w+)", line):
                return m.group(1)
    return CpuTopology("0").type


@dataclass(frozen=True, slots=True)
class Boot:
    """How a kernel was started: which single changes, which debug messages."""

    also: tuple[str, ...]
    without: tuple[str, ...]
    dynamic_debug: tuple[str, ...]


def boot_options(case: Json, steps: list[Json]) -> Boot:
    """For one boot: `fixes` of the case, and whether its log shows debug messages."""
    also, without = [], ["crash-elfcorehdr-print"]
    for name, has in case["kernel"].get("fixes", {}).items():
        (also if has else without).append(name.replace("_", "-"))
    if "crash_hotplug" in case["kernel"] and not case["kernel"]["crash_hotplug"]:
        without += ["crash-hotplug-ppc64", "crash-hotplug-x86"]
    lines = [line for s in steps for line in s["seen"].get("log", ())]
    debug: tuple[str, ...] = ()
    if case["arch"] == "ppc64" and any("hp_action" in line for line in lines):
        debug += DEBUG_MODULES  # elsewhere the command line tells
    if any(re.match(r"Offlined Pages|memory offlining", line) for line in lines):
        debug += ("memory_hotplug",)
    return Boot(tuple(also), tuple(without), debug)
