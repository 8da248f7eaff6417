"""What no single field of a machine shows: memory in order, and everything else on memory that is there.

Each check tells its faults and goes on; cpus.py has those of CPUs. Imports .cpus, .facts, .faults, .sizes, .spans.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

from elfcorehdr.errors import ProfileError
from elfcorehdr.machine import Machine, MemoryRange, Region
from elfcorehdr.machine.cpus import check_cpus
from elfcorehdr.machine.facts import (
    BLOCKS_MAX,
    COMMAND_LINE_SIZE,
    CONFIG,
    CRASH_KINDS,
    CRASHK_CMA_RANGES_MAX,
    FACTS,
    LPARCFG,
    POLICIES,
    REGION_FLAGS,
    STATES,
    ZONES,
)
from elfcorehdr.machine.faults import Faults, near_of
from elfcorehdr.machine.sizes import U64, parse_runs, shown, size_text
from elfcorehdr.machine.spans import Spans
from elfcorehdr.machine.uses import check_use

VMCOREINFO_HEAD = 36
"""Bytes of vmcoreinfo's note besides a page: VMCOREINFO_NOTE_SIZE, include/linux/crash_core.h."""
_NODES = frozenset({"chosen", "cpus", "rtas", "ibm,opal", "ibm,dynamic-reconfiguration-memory"})
"""Nodes that the tree has: no property may take their place."""


def check(machine: Machine, faults: Faults) -> None:
    """Tell what is wrong with a machine whose fields have the right types."""
    _check_words(machine, faults)
    if _check_pages(machine, faults) and _check_memory(machine, faults):
        ram = Spans((m.start, m.end) for m in _rows_of_ram(machine))
        _check_on_ram(machine, ram, faults)
        _check_rows(machine, faults)
        check_use(machine, ram, faults)
        _check_blocks(machine, ram, faults)
        _check_lmbs(machine, faults)
        nodes = {m.node for m in (*machine.memory, *machine.nested_memory)}
        check_cpus(machine, nodes | {g.node for g in machine.blocks if g.node >= 0}, faults)
    _check_kdump(machine, faults)
    _check_devicetree(machine, faults)
    _check_lparcfg(machine, faults)


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
        _word(faults, "platform", machine.platform, facts.platforms)
    if machine.auto_online_blocks and machine.auto_online_blocks not in POLICIES:
        _word(faults, "auto_online_blocks", machine.auto_online_blocks, POLICIES)
    for option in machine.config:
        if option not in CONFIG:
            name = option.removeprefix("CONFIG_")
            hint = f"{name}, without CONFIG_" if name in CONFIG else ""
            _word(faults, f"config.{option[:60]}", option, CONFIG, hint)
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


def _word(faults: Faults, at: str, value: str, known: Iterable[str], hint: str = "") -> None:
    """A word that is none of those known."""
    words = sorted(w for w in known if w)
    near = hint and f" (did you mean {hint}?)"
    said = f"{at}: {shown(value)}{near or near_of(value, words)}"
    faults.say(f"{said}, expected one of {', '.join(words)}")


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
            _word(faults, f"{at}.flags", flag, REGION_FLAGS)
    if not re.fullmatch(r"System RAM( \([\w.-]+\))?", m.name):
        faults.add(
            f"{at}.name", m.name, "'System RAM', or with its driver 'System RAM (virtio_mem)'"
        )
    return len(faults) == before


def _check_on_ram(machine: Machine, ram: Spans, faults: Faults) -> None:
    """What lies in memory does."""
    facts = FACTS[machine.arch]
    in_memory: list[tuple[str, int, int]] = []
    for key in ("rtas", "opal"):
        region: Region | None = getattr(machine, key)
        if region is None:
            continue
        if not facts.powerpc:
            faults.say(f"{key}: only ppc64 has it")
            continue
        in_memory.append((key, region.start, region.size))
        if key == "rtas" and region.start + region.size > 1 << 32:
            faults.say(f"rtas: {region.start:#x} + {region.size:#x}, expected below 4G")
    if machine.vmcoreinfo:
        in_memory.append(("vmcoreinfo", machine.vmcoreinfo, machine.page_size + VMCOREINFO_HEAD))
        if machine.vmcoreinfo % machine.page_size:
            faults.say(f"vmcoreinfo: {machine.vmcoreinfo:#x}, expected whole pages")
    for cpu, address in machine.crash_notes.items():
        in_memory.append((f"crash_notes.{cpu}", address, facts.note_bytes))
    for i, region in enumerate(machine.pinned):
        in_memory.append((f"pinned[{i}]", region.start, region.size))
    if machine.kernel_text is not None:
        text = machine.kernel_text
        in_memory.append(("kernel_text", text.paddr, text.size))
        if text.vaddr + text.size > U64:
            faults.say(f"kernel_text.vaddr: {text.vaddr:#x} + {text.size:#x}, expected below 2^64")
    elif facts.kernel_at >= 0:
        size = max(machine.kernel_end - facts.kernel_at, 0)
        in_memory.append(("kernel_end", facts.kernel_at, size))
    in_memory += _check_reservation(machine, faults)
    for at, start, size in in_memory:
        if not size:
            faults.say(f"{at}: {start:#x} + 0x0, expected more than nothing")
        elif not ram.covers(start, size):
            faults.say(f"{at}: {start:#x} + {size:#x}, expected a place in memory")
    if machine.rma_size and not ram.covers(0, machine.rma_size):
        faults.say(f"rma_size: {machine.rma_size:#x}, expected at most the memory from 0 on")
    if machine.fadump and not facts.powerpc:
        faults.say("fadump: true, expected false: only ppc64 has it")
    if machine.fadump_reserved and not machine.fadump:
        faults.say("fadump_reserved: expected with fadump = true")
    elif machine.fadump_reserved >= ram.end:
        faults.say(f"fadump_reserved: {machine.fadump_reserved:#x}, expected less than memory")


def _check_reservation(machine: Machine, faults: Faults) -> Iterator[tuple[str, int, int]]:
    """The pinned reservation: known kinds, each once, none over another."""
    count = dict.fromkeys(CRASH_KINDS, 0)
    taken: list[tuple[int, int, str]] = []
    for i, region in enumerate(machine.crashkernel):
        at = f"crashkernel[{i}]"
        if region.kind not in count:
            _word(faults, f"{at}.kind", region.kind, CRASH_KINDS)
        else:
            count[region.kind] += 1
        end = region.start + region.size - 1
        over = next((name for lo, hi, name in taken if region.start <= hi and lo <= end), "")
        if over:
            faults.say(f"{at}: {region.start:#x} + {region.size:#x}, overlaps {over}")
        taken.append((region.start, end, at))
        yield at, region.start, region.size
    for kind, most in (("crashk_res", 1), ("crashk_low_res", 1), ("cma", CRASHK_CMA_RANGES_MAX)):
        if count[kind] > most:
            faults.say(f"crashkernel: {count[kind]} of kind {kind}, expected at most {most}")
    if (
        machine.crashkernel
        and not count["crashk_res"]
        and not any(r.kind not in CRASH_KINDS for r in machine.crashkernel)
    ):
        faults.say("crashkernel: none of kind crashk_res, expected one")


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
    for start, minus_end, _, at in sorted(rows):
        while around and around[-1][0] < start:
            around.pop()
        if around and around[-1][0] < -minus_end:
            faults.say(
                f"{at}: {start:#x} to {-minus_end:#x}, expected inside {around[-1][1]} "
                "or outside it: in /proc/iomem two rows nest or have nothing in common"
            )
            continue
        around.append((-minus_end, at))


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
            _word(faults, f"{at}.state", group.state, STATES)
        for zone in group.valid_zones.split(" ") if group.valid_zones else ():
            if zone not in ZONES:
                _word(faults, f"{at}.valid_zones", zone, ZONES)
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
        if run.drc + run.count > 1 << 32:
            faults.say(f"{at}.drc: {run.drc:#x} and {run.count - 1} more, expected 32 bits")
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
        if not 0 < part.memsz < 1 << 40:
            faults.say(f"{at}.memsz: {part.memsz:#x}, expected more than 0, less than 1T")
        if part.filesz > part.memsz:
            faults.say(f"{at}.filesz: {part.filesz:#x}, expected at most memsz, {part.memsz:#x}")
        if not part.align or part.align & (part.align - 1) or part.align > 1 << 30:
            faults.say(f"{at}.align: {part.align:#x}, expected a power of two, at most 1G")
    for key in ("purgatory", "initrd", "fdt"):
        if getattr(parts, key) >= 1 << 40:
            faults.say(f"kdump.{key}: {getattr(parts, key):#x}, expected less than 1T")


def _check_lparcfg(machine: Machine, faults: Faults) -> None:
    """Rows that are firmware's, of a partition."""
    platform = machine.platform or next(iter(FACTS[machine.arch].platforms), "")
    if machine.lparcfg and platform != "pseries":
        faults.say("lparcfg: there is none here, only on pseries")
    for name in machine.lparcfg:
        if name not in LPARCFG:
            _word(faults, f"lparcfg.{name[:60]}", name, LPARCFG)


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
