"""What no single field of a machine shows: memory in order, and everything else on memory that is there.

Each check tells its faults and goes on; cpus.py has those of CPUs. Imports .cpus, .facts, .faults, .sizes, .spans.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from elfcorehdr.errors import ProfileError
from elfcorehdr.machine import Machine, MemoryRange
from elfcorehdr.machine.cpus import check_cpus
from elfcorehdr.machine.facts import (
    BLOCKS_MAX,
    CACHE_TYPES,
    COMMAND_LINE_SIZE,
    CONFIG,
    FACTS,
    LPARCFG,
    POLICIES,
    REGION_FLAGS,
    STATES,
    VULNERABILITIES,
    ZONES,
)
from elfcorehdr.machine.faults import Faults
from elfcorehdr.machine.places import check_places
from elfcorehdr.machine.sizes import U64, parse_runs, shown, size_text
from elfcorehdr.machine.spans import Spans
from elfcorehdr.machine.uses import check_use

_NODES = frozenset({"chosen", "cpus", "rtas", "ibm,opal", "ibm,dynamic-reconfiguration-memory"})
"""Nodes that the tree has: no property may take their place."""


def check(machine: Machine, faults: Faults) -> None:
    """Tell what is wrong with a machine whose fields have the right types."""
    _check_words(machine, faults)
    if _check_pages(machine, faults) and _check_memory(machine, faults):
        ram = Spans((m.start, m.end) for m in _rows_of_ram(machine))
        check_places(machine, ram, faults)
        _check_rows(machine, faults)
        check_use(machine, ram, faults)
        _check_blocks(machine, ram, faults)
        _check_lmbs(machine, faults)
        nodes = {m.node for m in (*machine.memory, *machine.nested_memory)}
        check_cpus(machine, nodes | {g.node for g in machine.blocks if g.node >= 0}, faults)
    _check_kdump(machine, faults)
    _check_devicetree(machine, faults)
    _check_lparcfg(machine, faults)
    _check_processor(machine, faults)


def _rows_of_ram(machine: Machine) -> Iterator[MemoryRange]:
    yield from machine.memory
    yield from machine.nested_memory
    yield from machine.system_ram


def _check_words(machine: Machine, faults: Faults) -> None:
    """Names and words from lists."""
    facts = FACTS[machine.arch]
    for key in ("name", "source"):
        if not getattr(machine, key).strip():
            faults.add(key, getattr(machine, key), "a text that says something")
    if machine.platform and machine.platform not in facts.platforms:
        faults.word("platform", machine.platform, facts.platforms)
    if machine.auto_online_blocks and machine.auto_online_blocks not in POLICIES:
        faults.word("auto_online_blocks", machine.auto_online_blocks, POLICIES)
    for option in machine.config:
        if option not in CONFIG:
            name = option.removeprefix("CONFIG_")
            hint = f"{name}, without CONFIG_" if name in CONFIG else ""
            faults.word(f"config.{option[:60]}", option, CONFIG, hint)
    if len(machine.cmdline.encode()) >= COMMAND_LINE_SIZE:
        most = f"at most {COMMAND_LINE_SIZE - 1} (COMMAND_LINE_SIZE)"
        faults.say(f"cmdline: {len(machine.cmdline.encode())} bytes, expected {most}")
    if machine.kernel:
        from elfcorehdr.changes.change import parse_version

        try:
            parse_version(machine.kernel)
        except ProfileError as error:
            faults.say(str(error))
    if machine.pinned_for and not machine.crashkernel:
        faults.say("pinned_for: there is no crashkernel that it pins, expected one")
    for word in machine.pinned_for.split():
        if not word.startswith("crashkernel="):
            faults.add("pinned_for", word, "crashkernel= words of a command line")


def _check_pages(machine: Machine, faults: Faults) -> bool:
    """Page and block size; whether the rest can be judged by them."""
    facts, before = FACTS[machine.arch], len(faults)
    if machine.page_size not in facts.page_sizes:
        known = " or ".join(map(str, sorted(facts.page_sizes)))
        faults.add("page_size", machine.page_size, f"{known} on {machine.arch}")
    block = machine.memory_block_size
    _, least, most = facts.block_of(machine.page_size)
    if block & (block - 1) or not least <= block <= most:
        sizes = size_text(least) if least == most else f"a power of two from {size_text(least)}"
        upto = "" if least == most else f" to {size_text(most)}"
        why = " (one section of memory)" if least == most else ""
        faults.say(f"memory_block_size: {block:#x}, expected {sizes}{upto} on {machine.arch}{why}")
    for key in ("nr_cpus", "nr_cpus_default"):
        said = key == "nr_cpus" or facts.nr_cpus_default
        if said and getattr(machine, key) > facts.nr_cpus_max:
            faults.add(key, getattr(machine, key), f"at most {facts.nr_cpus_max} on {machine.arch}")
    if not 1 <= machine.crash_max_memory_ranges <= 1 << 20:
        faults.add("crash_max_memory_ranges", machine.crash_max_memory_ranges, "1 to 1048576")
    return len(faults) == before


def _check_memory(machine: Machine, faults: Faults) -> bool:
    """The ranges of memory: whole pages, ascending, of known kinds, not too far up."""
    before, facts = len(faults), FACTS[machine.arch]
    if not machine.memory:
        faults.say("memory: empty, expected at least one range")
        return False
    block, limit = machine.memory_block_size, 1 << facts.physmem_bits
    # Page tables of four levels map 64 TiB: MAX_PHYSMEM_BITS, arch/x86/include/asm/sparsemem.h.
    if facts.four_level_bits and not 0 < machine.direct_map_base < 0xFFFF800000000000:
        limit = 1 << facts.four_level_bits
    limit = min(limit, BLOCKS_MAX * block)
    last = -1
    for i, m in enumerate(machine.memory):
        at = f"memory[{i}]"
        if _check_range(machine, m, at, limit, faults):
            if m.start <= last:
                faults.say(
                    f"{at}.start: {m.start:#x}, expected ascending ranges that do not overlap"
                )
            last = max(last, m.end)
        if facts.powerpc and (m.start | m.size) % block:
            faults.say(
                f"{at}: {m.start:#x} + {m.size:#x}, expected whole memory blocks of "
                f"{size_text(block)} (memory_block_size)"
            )
    for key in ("nested_memory", "system_ram"):
        for i, m in enumerate(getattr(machine, key)):
            _check_range(machine, m, f"{key}[{i}]", limit, faults)
    if facts.powerpc and machine.memory[0].start:
        faults.say(f"memory[0].start: {machine.memory[0].start:#x}, expected 0 on ppc64")
    if facts.four_level_bits and block > facts.block_min and (last + 1) % block:
        # probe_memory_block_size(), arch/x86/mm/init_64.c
        faults.say(
            f"memory_block_size: {block:#x}, expected a divisor of the end of memory, {last + 1:#x}"
        )
    return len(faults) == before


def _check_range(machine: Machine, m: MemoryRange, at: str, limit: int, faults: Faults) -> bool:
    """One range by itself."""
    before = len(faults)
    # An e820 table counts bytes; memblock of an architecture with larger pages counts pages.
    whole = machine.page_size == 4096 or not (m.start | m.size) % machine.page_size
    if not m.size or not whole:
        faults.say(f"{at}: {m.start:#x} + {m.size:#x}, expected whole pages, not empty")
    elif machine.page_size == 4096 and ((m.start | m.size) & 7 or m.size < 64):
        faults.say(f"{at}: {m.start:#x} + {m.size:#x}, expected whole words of 8 bytes, 64 or more")
    if m.start + m.size > limit:
        faults.say(
            f"{at}: {m.start:#x} + {m.size:#x}, expected an end of at most {limit:#x} on "
            f"{machine.arch} with blocks of {size_text(machine.memory_block_size)}"
        )
    nodes = FACTS[machine.arch].nodes
    if m.node >= nodes:
        faults.add(f"{at}.node", m.node, f"a node below {nodes}")
    for flag in m.flags.split("|"):
        if flag not in REGION_FLAGS:
            faults.word(f"{at}.flags", flag, REGION_FLAGS)
    if not re.fullmatch(r"System RAM( \([\w.-]+\))?", m.name):
        faults.add(
            f"{at}.name", m.name, "'System RAM', or with its driver 'System RAM (virtio_mem)'"
        )
    return len(faults) == before


def _check_rows(machine: Machine, faults: Faults) -> None:
    """The rows of /proc/iomem: a tree, in which two rows nest or have nothing in common."""
    rows: list[tuple[int, int, int, str]] = []
    for key in ("resources", "nested_memory"):
        for i, row in enumerate(getattr(machine, key)):
            at = f"{key}[{i}]"
            if not row.size:
                faults.say(f"{at}: {row.start:#x} + 0x0, expected more than nothing")
            elif row.start + row.size > U64:
                faults.say(f"{at}: {row.start:#x} + {row.size:#x}, expected an end of at most 2^64")
            else:
                rows.append((row.start, -(row.start + row.size - 1), len(rows), at))
            if not row.name.strip():
                faults.add(f"{at}.name", row.name, "a name as /proc/iomem has it")
    for i, m in enumerate(machine.system_ram or machine.memory):
        rows.append((m.start, -m.end, -1, f"memory[{i}]"))
    around: list[tuple[int, str]] = []
    rows.sort()
    for start, minus_end, _, at in rows:
        while around and around[-1][0] < start:
            around.pop()
        if around and around[-1][0] < -minus_end:
            faults.say(
                f"{at}: {start:#x} to {-minus_end:#x}, expected inside {around[-1][1]} "
                "or outside it: in /proc/iomem two rows nest or have nothing in common"
            )
            continue
        if around and at.startswith("memory["):
            faults.say(f"{around[-1][1]}: expected not to hold {at}: memory lies in no other row")
        around.append((-minus_end, at))
    ram = Spans((m.start, m.end) for m in machine.memory)
    known: dict[tuple[int, int, str], int] = {}
    for i, row in enumerate(machine.resources):
        if row.name.startswith("Kernel ") and row.size and not ram.covers(row.start, row.size):
            faults.say(f"resources[{i}]: {row.name!r}, expected a place in memory")
        first = known.setdefault((row.start, row.size, row.name), i)
        if first != i:
            faults.say(
                f"resources[{i}]: {row.start:#x} + {row.size:#x} {shown(row.name)}, the same as "
                f"resources[{first}], expected each row once"
            )


def _check_blocks(machine: Machine, ram: Spans, faults: Faults) -> None:
    """The blocks that are not as the rest: on memory, each named once."""
    size, seen = machine.memory_block_size, [(-2, -2)]
    limit = (ram.end - 1) // size + 1
    nodes = FACTS[machine.arch].nodes
    for i, group in enumerate(machine.blocks):
        at = f"blocks[{i}]"
        runs = parse_runs(group.blocks, 10**9)
        if not runs:
            faults.add(f"{at}.blocks", group.blocks, "a list of block numbers such as 0-3,6")
            continue
        for first, last in runs:
            if last >= limit or not _all_backed(ram, first, last, size):
                faults.say(
                    f"{at}.blocks: {first}-{last}, expected blocks of {size_text(size)} that "
                    f"memory backs, below {limit}"
                )
            if any(first <= hi and lo <= last for lo, hi in seen):
                faults.say(f"{at}.blocks: {first}-{last}: a block is named twice")
            seen.append((first, last))
        if group.state not in STATES:
            faults.word(f"{at}.state", group.state, STATES)
        for zone in group.valid_zones.split(" ") if group.valid_zones else ():
            if zone not in ZONES:
                faults.word(f"{at}.valid_zones", zone, ZONES)
        if group.node >= nodes:
            faults.add(f"{at}.node", group.node, f"a node below {nodes}")


def _all_backed(ram: Spans, first: int, last: int, size: int) -> bool:
    """Whether each block from first to last (included) has memory."""
    if ram.covers(first * size, (last - first + 1) * size):
        return True
    return all(ram.touches(n * size, (n + 1) * size - 1) for n in range(first, last + 1))


def _check_lmbs(machine: Machine, faults: Faults) -> None:
    """The LMB table: one LMB a block of boot memory, none over another, each connector once."""
    if not machine.lmbs:
        return
    if not FACTS[machine.arch].powerpc or machine.platform == "powernv":
        faults.say("lmbs: only pseries has a table of logical memory blocks")
        return
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


def _check_kdump(machine: Machine, faults: Faults) -> None:
    """Sizes of the capture kernel's parts."""
    parts = machine.kdump
    for i, part in enumerate(parts.kernel):
        at = f"kdump.kernel[{i}]"
        if not machine.page_size <= part.memsz < 1 << 40:
            faults.say(f"{at}.memsz: {part.memsz:#x}, expected a page or more, less than 1T")
        if part.filesz > part.memsz:
            faults.say(f"{at}.filesz: {part.filesz:#x}, expected at most memsz, {part.memsz:#x}")
        if not part.align or part.align & (part.align - 1) or part.align > 1 << 30:
            faults.say(f"{at}.align: {part.align:#x}, expected a power of two, at most 1G")
    for key in ("purgatory", "initrd", "fdt"):
        if getattr(parts, key) >= 1 << 40:
            faults.say(f"kdump.{key}: {getattr(parts, key):#x}, expected less than 1T")


def _check_processor(machine: Machine, faults: Faults) -> None:
    """What the machine says of its processors' caches and faults."""
    for name in machine.vulnerabilities:
        if name not in VULNERABILITIES:
            faults.word(f"vulnerabilities.{name[:60]}", name, VULNERABILITIES)
    for i, leaf in enumerate(machine.caches):
        if leaf.type not in CACHE_TYPES:
            faults.word(f"caches[{i}].type", leaf.type, CACHE_TYPES)


def _check_lparcfg(machine: Machine, faults: Faults) -> None:
    """Rows that are firmware's, of a partition."""
    platform = machine.platform or next(iter(FACTS[machine.arch].platforms), "")
    if machine.lparcfg and platform != "pseries":
        faults.say("lparcfg: there is none here, only on pseries")
    for name in machine.lparcfg:
        if name not in LPARCFG:
            faults.word(f"lparcfg.{name[:60]}", name, LPARCFG)


def _check_devicetree(machine: Machine, faults: Faults) -> None:
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
