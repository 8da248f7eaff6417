"""What no single field of a machine shows: memory in order, and everything else on memory that is there.

Each check tells its faults and goes on; cpus.py has those of CPUs. Imports .cpus, .facts, .faults, .sizes, .spans.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from elfcorehdr.errors import ProfileError
from elfcorehdr.machine import Machine, MemoryRange
from elfcorehdr.machine.cpus import check_cpus
from elfcorehdr.machine.facts import (
    BLOCKS_MAX,
    COMMAND_LINE_SIZE,
    CONFIG,
    FACTS,
    POLICIES,
    REGION_FLAGS,
    STATES,
)
from elfcorehdr.machine.faults import Faults
from elfcorehdr.machine.places import check_places, kernel_place
from elfcorehdr.machine.platforms import check_devicetree, check_lmbs, check_lparcfg, check_owners
from elfcorehdr.machine.processor import check_processor
from elfcorehdr.machine.sizes import U64, parse_runs, shown, size_text
from elfcorehdr.machine.spans import Spans
from elfcorehdr.machine.uses import check_use

SETUP_MAX = 256 * 512
"""The boot sector and 255 more: setup_sects is a byte, Documentation/arch/x86/boot.rst."""
COMPUTED_ROWS = {
    "System RAM": "memory or nested_memory",
    "Crash kernel": "crashkernel= on the command line, or crashkernel",
}
"""Rows of /proc/iomem that follow from other keys."""


def check(machine: Machine, faults: Faults) -> None:
    """Tell what is wrong with a machine whose fields have the right types."""
    _check_words(machine, faults)
    check_owners(machine, faults)
    if _check_pages(machine, faults) and _check_memory(machine, faults):
        ram = Spans((m.start, m.end) for m in _rows_of_ram(machine))
        check_places(machine, ram, faults)
        _check_rows(machine, faults)
        check_use(machine, ram, faults)
        _check_blocks(machine, ram, faults)
        check_lmbs(machine, faults)
        nodes = {m.node for m in (*machine.memory, *machine.nested_memory)}
        check_cpus(machine, nodes | {g.node for g in machine.blocks if g.node >= 0}, faults)
    _check_kdump(machine, faults)
    check_devicetree(machine, faults)
    check_lparcfg(machine, faults)
    check_processor(machine, faults)


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
    if not re.fullmatch("([0-9a-f]{2}){0,64}", machine.build_id):
        faults.add("build_id", machine.build_id, "bytes in hex, such as readelf -n shows")
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
    if machine.without:
        from elfcorehdr.changes import find

        for name in machine.without:
            try:
                find(name)
            except ProfileError as error:
                faults.say(f"without: {error}")
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
            at = f"{key}[{i}]"
            if not _check_range(machine, m, at, limit, faults) or key != "system_ram":
                continue
            if not Spans((r.start, r.end) for r in machine.memory).covers(m.start, m.size):
                faults.say(f"{at}: {m.start:#x} + {m.size:#x}, expected a place in memory")
    for key in ("name", "flags"):
        usual = MemoryRange._defaults[key]
        # memory of a driver, or that firmware keeps, holds no kernel
        if all(
            getattr(m, key) != usual and (key == "name" or m.flags == "NOMAP")
            for m in machine.memory
        ):
            faults.add(
                f"memory[0].{key}", getattr(machine.memory[0], key), f"a range that has {usual!r}"
            )
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
    counts_bytes = FACTS[machine.arch].nr_cpus_default
    whole = counts_bytes or not (m.start | m.size) % machine.page_size
    if not m.size or not whole:
        faults.say(f"{at}: {m.start:#x} + {m.size:#x}, expected whole pages, not empty")
    elif counts_bytes and ((m.start | m.size) & 7 or m.size < 64):
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
            elif key == "resources" and row.name in COMPUTED_ROWS:
                faults.add(f"{at}.name", row.name, f"{COMPUTED_ROWS[row.name]} in its place")
            if key == "nested_memory" and not any(
                r.start <= row.start and row.end < r.start + r.size for r in machine.resources
            ):
                faults.say(
                    f"{at}: {row.start:#x} + {row.size:#x}, expected inside a row of resources"
                )
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
    whole = {(m.start, m.size): i for i, m in enumerate(machine.memory)}
    for i, row in enumerate(machine.resources):
        if (row.start, row.size) in whole:
            at = f"memory[{whole[row.start, row.size]}]"
            faults.say(
                f"resources[{i}]: {shown(row.name)} is all of {at}, expected to leave some of it"
            )
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
        elif group.state == "offline":
            spans = ((first * size, (last + 1) * size - 1) for first, last in runs)
            _check_offline(machine, Spans(spans), at, faults)
        _check_zones(machine, group.valid_zones, f"{at}.valid_zones", faults)
        if group.node >= nodes:
            faults.add(f"{at}.node", group.node, f"a node below {nodes}")


def _check_offline(machine: Machine, offline: Spans, at: str, faults: Faults) -> None:
    """No block that holds what the kernel cannot do without."""
    held = [("the kernel", *kernel_place(machine))]
    held += [(f"crash_notes.{cpu}", place, 1) for cpu, place in machine.crash_notes.items()]
    held += [(f"crashkernel[{i}]", r.start, r.size) for i, r in enumerate(machine.crashkernel)]
    held += [
        ("crash_notes_first", machine.crash_notes_first, 1),
        ("vmcoreinfo", machine.vmcoreinfo, 1),
    ]
    for what, start, length in held:
        if (
            length
            and (start or what == "the kernel")
            and offline.touches(start, start + length - 1)
        ):
            faults.say(f"{at}.state: 'offline', expected online: {what} lies there, at {start:#x}")
            return


def _check_zones(machine: Machine, text: str, at: str, faults: Faults) -> None:
    """valid_zones_show(): none alone, or zones of the architecture, each once."""
    zones, known = text.split(" ") if text else [], FACTS[machine.arch].zones
    if "none" in zones and len(zones) > 1:
        faults.add(at, text, "zones, or none alone")
        return
    for zone in zones:
        if zone not in (*known, "none"):
            faults.word(at, zone, ("none", *known))
            return
    if len(set(zones)) < len(zones):
        faults.add(at, text, "each zone once")


def _all_backed(ram: Spans, first: int, last: int, size: int) -> bool:
    """Whether each block from first to last (included) has memory."""
    if ram.covers(first * size, (last - first + 1) * size):
        return True
    return all(ram.touches(n * size, (n + 1) * size - 1) for n in range(first, last + 1))


def _check_kdump(machine: Machine, faults: Faults) -> None:
    """Sizes of the capture kernel's parts."""
    parts = machine.kdump
    if FACTS[machine.arch].one_image and len(parts.kernel) > 1:
        faults.say(
            f"kdump.kernel: {len(parts.kernel)} parts, expected one: {machine.arch} boots an image"
        )
    for i, part in enumerate(parts.kernel):
        at = f"kdump.kernel[{i}]"
        if not machine.page_size <= part.memsz < 1 << 40:
            faults.say(f"{at}.memsz: {part.memsz:#x}, expected a page or more, less than 1T")
        if part.paddr + part.memsz > 1 << 40:
            faults.say(f"{at}.paddr: {part.paddr:#x}, expected an end of at most 1T")
        if part.setup > SETUP_MAX or part.setup % 512:
            faults.say(
                f"{at}.setup: {part.setup:#x}, expected sectors of 512 bytes, at most {SETUP_MAX:#x}"
            )
        if part.filesz > part.memsz:
            faults.say(f"{at}.filesz: {part.filesz:#x}, expected at most memsz, {part.memsz:#x}")
        if not part.align or part.align & (part.align - 1) or part.align > 1 << 30:
            faults.say(f"{at}.align: {part.align:#x}, expected a power of two, at most 1G")
    if not parts.purgatory:
        faults.say("kdump.purgatory: 0, expected more than nothing")
    for key in ("purgatory", "initrd", "fdt"):
        if getattr(parts, key) >= 1 << 40:
            faults.say(f"kdump.{key}: {getattr(parts, key):#x}, expected less than 1T")
