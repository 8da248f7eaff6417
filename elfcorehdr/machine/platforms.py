"""Keys that not every architecture or platform has, and those that are one platform's: LMBs, lparcfg, the device tree.

Imports .facts, .faults, .sizes, .spans.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from elfcorehdr.machine import CpuTopology, Machine
from elfcorehdr.machine.facts import BLOCKS_MAX, FACTS, LPARCFG
from elfcorehdr.machine.faults import Faults
from elfcorehdr.machine.sizes import shown, size_text
from elfcorehdr.machine.spans import Spans

OWNERS: dict[str, tuple[str, ...]] = {
    "rma_size": ("pseries",),
    "rtas": ("pseries",),
    "opal": ("powernv",),
    "lmbs": ("pseries",),
    "kernel_end": ("ppc64", "x86_64"),
    "fadump": ("ppc64",),
    "fadump_reserved": ("ppc64",),
    "nr_cpus_default": ("x86_64",),
    "system_ram": ("arm64", "ppc64"),
    "direct_map_base": ("x86_64", "arm64", "riscv64"),
}
"""The architectures and platforms that a key of Machine is for; the others are for all, or have their own sentence."""
_NODES = frozenset({"chosen", "cpus", "rtas", "ibm,opal", "ibm,dynamic-reconfiguration-memory"})
"""Nodes that the tree has: no property may take their place."""
_COMPUTED = (
    ("chosen/bootargs", "cmdline"),
    ("chosen/linux,crashkernel-(base|size)", "crashkernel= on the command line, or crashkernel"),
    ("chosen/linux,(kernel-end|memory-limit)", "kernel_end and memory"),
    ("rtas/(linux,rtas-base|rtas-size)", "rtas"),
    ("cpus/[^/]*@[^/]*/(reg|ibm,ppc-interrupt-server#s|ibm,my-drc-index)", "cpus"),
)
"""Properties that the kernel or firmware makes, by pattern, and the key that says them."""
CPU_OWNERS: dict[str, tuple[str, ...]] = {
    "cores_per_package": ("x86_64",),
    "type": ("ppc64",),
    "compatible": ("arm64", "riscv64"),
}
"""As OWNERS, of CpuTopology."""


def check_owners(machine: Machine, faults: Faults) -> None:
    """Tell each key that this machine has no use for."""
    facts = FACTS[machine.arch]
    ours = {machine.arch, machine.platform or facts.platforms[0]}
    for at, record, kind, owners in (
        ("", machine, Machine, OWNERS),
        ("cpus.", machine.cpus, CpuTopology, CPU_OWNERS),
    ):
        for key, of in owners.items():
            if ours.isdisjoint(of) and getattr(record, key) != kind._defaults[key]:
                here = machine.platform if machine.platform in facts.platforms else machine.arch
                faults.say(f"{at}{key}: not on {here}, only on {' and '.join(of)}")


def check_lmbs(machine: Machine, faults: Faults) -> None:
    """The LMB table: one LMB a block of boot memory, none over another, each connector once."""
    if not machine.lmbs:
        return
    if not FACTS[machine.arch].powerpc or machine.platform == "powernv":
        return  # .owners says it
    size = machine.memory_block_size
    spans: list[tuple[int, int, str]] = []
    connectors: list[tuple[int, int, str]] = []
    for i, run in enumerate(machine.lmbs):
        at = f"lmbs[{i}]"
        if not 0 < run.count <= BLOCKS_MAX:
            faults.add(f"{at}.count", run.count, f"1 to {BLOCKS_MAX}")
            continue
        if run.start % size:
            faults.say(f"{at}.start: {run.start:#x}, expected a multiple of {size_text(size)}")
        end = run.start + run.count * size
        if end > BLOCKS_MAX * size:
            faults.say(f"{at}: ends at {end:#x}, expected at most {BLOCKS_MAX * size:#x}")
        spans.append((run.start, end - 1, at))
        if run.drc:
            connectors.append((run.drc, run.drc + run.count - 1, at))
        if run.drc and not 8 << 28 <= run.drc <= (9 << 28) - run.count:
            faults.say(
                f"{at}.drc: {run.drc:#x} and {run.count - 1} more, expected 0x80000000 to 0x8fffffff"
            )
        if run.flags >= 1 << 32:
            faults.say(f"{at}.flags: {run.flags:#x}, expected 32 bits")
    for what, taken in (("address", spans), ("drc", connectors)):
        taken.sort()
        for (_, before, one), (start, _, other) in pairwise(taken):
            if start <= before:
                faults.say(f"{other}: {what} {start:#x} is in {one} too, expected each once")
    table = Spans((start, end) for start, end, _ in spans)
    for i, m in enumerate(machine.memory):
        if not table.covers(m.start, m.size):
            faults.say(
                f"lmbs: too few: memory[{i}], {m.start:#x} + {m.size:#x}, is in no LMB or only in part"
            )


def check_lparcfg(machine: Machine, faults: Faults) -> None:
    """Rows that are firmware's, of a partition."""
    platform = machine.platform or next(iter(FACTS[machine.arch].platforms), "")
    if machine.lparcfg and platform != "pseries":
        faults.say("lparcfg: there is none here, only on pseries")
    elif machine.lparcfg and not machine.config.get("LPARCFG", True):
        faults.say("lparcfg: expected none with config.LPARCFG = false")
    for name in machine.lparcfg:
        if name not in LPARCFG:
            faults.word(f"lparcfg.{name[:60]}", name, LPARCFG)


def check_devicetree(machine: Machine, faults: Faults) -> None:
    """Properties by their path below the root; values as text, or 0x and bytes in hex."""
    if machine.devicetree and not FACTS[machine.arch].powerpc:
        faults.say(f"devicetree: none is emulated on {machine.arch}, only on ppc64")
        return
    nodes = {path.rpartition("/")[0] for path in machine.devicetree}
    nodes |= {p for path in nodes for p in _parents(path)}
    for path, value in machine.devicetree.items():
        at = f"devicetree.{shown(path)}"
        parts = path.split("/")
        if any(part in ("", ".", "..") or len(part) > 255 for part in parts):
            faults.say(
                f"{at}: expected a path below the root, without a slash in front or behind, "
                "such as 'model' or 'chosen/stdout-path'"
            )
        elif computed := next((key for form, key in _COMPUTED if re.fullmatch(form, path)), ""):
            faults.say(f"{at}: follows from {computed}, expected that instead")
        elif path in nodes or path in _NODES or path.startswith("memory@"):
            faults.say(f"{at}: is a node, expected a property")
        if value.startswith("0x") and (
            len(value) % 2 or not re.fullmatch(r"0x[0-9a-fA-F]*", value)
        ):
            faults.add(at, value, "text, or 0x and two hex digits a byte")


def _parents(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition("/")[0]
