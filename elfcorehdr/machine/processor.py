"""What a machine's file says of its processors: rows of /proc/cpuinfo, caches, vulnerabilities. Imports .facts, .faults, .sizes.

Each architecture prints them (arch/*/kernel); here is what may stand in them.
"""

from __future__ import annotations

import re

from elfcorehdr.machine import CacheLeaf, Machine
from elfcorehdr.machine.cpus import count_of
from elfcorehdr.machine.facts import CACHE_TYPES, FACTS, VULNERABILITIES
from elfcorehdr.machine.faults import Faults
from elfcorehdr.machine.sizes import parse_runs

LEVELS = 4
"""Levels of cache, at most: enum of arch/x86/kernel/cpu/cacheinfo.c, CLIDR_EL1's in a machine that is built."""

_NUMBER = (r"\d{1,10}", "a number")
_DECIMAL = (r"\d{1,10}\.\d{1,6}", "a number such as 2596.320")
_HEX = (r"0x[0-9a-f]{1,16}", "a number in hex such as 0x41")
_YES = (r"yes|no", "yes or no")
ROWS: dict[str, dict[str, tuple[str, str]]] = {
    "x86_64": {
        **dict.fromkeys(
            ("cpu family", "model", "stepping", "cpuid level", "clflush size", "cache_alignment"),
            _NUMBER,
        ),
        **dict.fromkeys(("cpu MHz", "bogomips"), _DECIMAL),
        **dict.fromkeys(("fpu", "fpu_exception", "wp"), _YES),
        "microcode": _HEX,
        "cache size": (r"\d{1,10} KB", "a size such as 512 KB"),
        "address sizes": (
            r"\d\d bits physical, \d\d bits virtual",
            "such as '40 bits physical, 48 bits virtual'",
        ),
    },
    "ppc64": {
        "clock": (r"\d{1,10}\.\d{6}MHz", "a frequency such as 2250.000000MHz"),
        "revision": (
            r"\d{1,3}\.\d{1,3} \(pvr [0-9a-f]{4} [0-9a-f]{4}\)",
            "such as '2.0 (pvr 0080 0200)'",
        ),
        "timebase": (r"[1-9]\d{0,10}", "a number of ticks a second such as 512000000"),
        "platform": (r"pSeries|PowerNV", "pSeries or PowerNV"),
        "MMU": (r"Radix|Hash", "Radix or Hash"),
    },
    "arm64": {
        **dict.fromkeys(("CPU implementer", "CPU variant", "CPU part"), _HEX),
        **dict.fromkeys(("CPU architecture", "CPU revision"), _NUMBER),
        "BogoMIPS": _DECIMAL,
    },
    "riscv64": {
        **dict.fromkeys(("mvendorid", "marchid", "mimpid"), _HEX),
        **dict.fromkeys(("isa", "hart isa"), (r"rv64[a-z0-9_]+", "an ISA such as rv64imafdc")),
        "mmu": (r"sv(39|48|57)", "sv39, sv48 or sv57"),
    },
}
"""Rows whose text has a form, by architecture: what fits it, and in words."""
PROSE: dict[str, tuple[str, ...]] = {
    "x86_64": (
        *("vendor_id", "model name", "flags", "vmx flags", "bugs", "TLB size", "power management"),
    ),
    "ppc64": ("cpu", "model", "machine", "firmware"),
    "arm64": ("Features",),
    "riscv64": ("uarch",),
}
"""The other rows, by architecture."""
MAY_BE_EMPTY = frozenset(
    ("flags", "vmx flags", "bugs", "power management", "TLB size", "model", "firmware")
)
"""Rows without a word in them: of these some are then left out."""


def check_processor(machine: Machine, faults: Faults) -> None:
    """Tell each fault."""
    forms, prose = ROWS[machine.arch], PROSE[machine.arch]
    for key, value in machine.cpuinfo.items():
        pattern, expected = forms.get(key, (r"(?s).*\S.*", "a text that says something"))
        if key not in forms and key not in prose:
            faults.word(f"cpuinfo.{key[:60]}", key, (*forms, *prose))
        elif (value or key not in MAY_BE_EMPTY) and not re.fullmatch(pattern, value, re.ASCII):
            faults.add(f"cpuinfo.{key[:60]}", value, expected)
    platform = machine.platform or FACTS[machine.arch].platforms[0]
    said = machine.cpuinfo.get("platform", "")
    if FACTS[machine.arch].powerpc and said and said.lower() != platform:
        faults.add("cpuinfo.platform", said, f"that of platform, {platform}")
    for name, value in machine.vulnerabilities.items():
        if name not in VULNERABILITIES:
            faults.word(f"vulnerabilities.{name[:60]}", name, VULNERABILITIES)
        elif not value.strip():
            faults.add(f"vulnerabilities.{name}", value, "a text that says something")
    _check_caches(machine, faults)


def _check_caches(machine: Machine, faults: Faults) -> None:
    """Leaves in the order of their levels, of each level one for data and one for instructions, or one for both."""
    cores = count_of(parse_runs(machine.cpus.possible, 1 << 30) or []) // (
        machine.cpus.threads or 1
    )
    seen: set[tuple[int, str]] = set()
    last = 0
    for i, leaf in enumerate(machine.caches):
        at = f"caches[{i}]"
        if not 1 <= leaf.level <= LEVELS:
            faults.add(f"{at}.level", leaf.level, f"1 to {LEVELS}")
        elif leaf.level < last:
            faults.add(f"{at}.level", leaf.level, f"{last} or more: caches come by their levels")
        last = max(last, leaf.level)
        if leaf.type not in CACHE_TYPES:
            faults.word(f"{at}.type", leaf.type, CACHE_TYPES)
        for kind in ("Data", "Instruction") if leaf.type == "Unified" else (leaf.type,):
            if (leaf.level, kind) in seen:
                faults.say(
                    f"{at}: level {leaf.level} has a cache for {kind.lower()} already, expected one"
                )
                break
            seen.add((leaf.level, kind))
        if leaf.cores > max(cores, 1):
            faults.add(
                f"{at}.cores", leaf.cores, f"at most the {cores} cores, 0 for all of a package"
            )
        if not 0 <= leaf.sharing <= 1 << 16:
            faults.add(f"{at}.sharing", leaf.sharing, "0 to 65536 CPUs")
        _check_geometry(leaf, at, faults)


def _check_geometry(leaf: CacheLeaf, at: str, faults: Faults) -> None:
    """Lines of a power of two; a size that is that of its lines."""
    if leaf.line & (leaf.line - 1) or leaf.line > 4096:
        faults.add(f"{at}.line", leaf.line, "a power of two, at most 4096")
    if leaf.size % 1024 or leaf.size >= 1 << 40:
        faults.add(f"{at}.size", leaf.size, "a multiple of 1K, less than 1T")
    parts = (leaf.line, leaf.ways, leaf.sets)
    if leaf.size and all(parts) and leaf.line * leaf.ways * leaf.sets != leaf.size:
        product = leaf.line * leaf.ways * leaf.sets
        faults.add(f"{at}.size", leaf.size, f"line times ways times sets, {product}")
