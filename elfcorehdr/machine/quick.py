"""A machine of another size: memory, CPUs, threads, nodes, pages and blocks over one that is described.

What was captured with the old size (addresses of notes, rows of /proc/iomem, the reservation) goes.
"""

from __future__ import annotations

from elfcorehdr.errors import ProfileError
from elfcorehdr.lib.ranges import format_ids
from elfcorehdr.lib.record import Record, fields_of, replace
from elfcorehdr.machine import BlockState, Lmbs, Machine, MemoryRange, Region
from elfcorehdr.machine.checks import check
from elfcorehdr.machine.facts import COMMAND_LINE_SIZE, FACTS
from elfcorehdr.machine.faults import Faults
from elfcorehdr.machine.sizes import parse_size, shown, size_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PC_LOW, PC_SPLIT = 0xC0000000, 0xE0000000
"""Where QEMU's pc ends its memory below 4 GiB, once there is as much as the second: pc_init1(), hw/i386/pc_piix.c."""
PC_ACPI = 0x20000
"""What its firmware keeps at the end of that memory."""
SZ_4G = 4 << 30


class Quick(Record):
    """What is asked for on the command line, as it was written; empty: as the machine has it."""

    memory: str = ""
    cpus: str = ""
    threads: str = ""
    nodes: str = ""
    page_size: str = ""
    block_size: str = ""

    @property
    def said(self) -> str:
        """The options as they were given."""
        return " ".join(
            f"--{key.replace('_', '-')} {value}" for key, value in fields_of(self).items() if value
        )


def quick(machine: Machine, wanted: Quick) -> Machine:
    """The machine as it is wanted; itself if nothing is. ProfileError names the option."""
    if not wanted.said:
        return machine
    changes: dict[str, Any] = {}
    for key, field, text in (
        ("--page-size", "page_size", wanted.page_size),
        ("--block-size", "memory_block_size", wanted.block_size),
    ):
        if text:
            changes[field] = _size(key, text)
    if "page_size" in changes and not wanted.block_size:
        block = FACTS[machine.arch].block_of(changes["page_size"])
        if not block[1] <= machine.memory_block_size <= block[2]:
            changes["memory_block_size"] = block[0]
    if wanted.block_size:
        _check_block(machine, changes)
    nodes = _count("--nodes", wanted.nodes) or _nodes(machine)
    if wanted.memory or wanted.nodes or wanted.block_size:
        total = _size("--memory", wanted.memory) if wanted.memory else _total(machine)
        block = changes.get("memory_block_size", machine.memory_block_size)
        changes |= _memory(machine, total, nodes, block)
    if wanted.cpus or wanted.threads or wanted.nodes:
        cpus, threads = _count("--cpus", wanted.cpus), _count("--threads", wanted.threads)
        changes |= _cpus(machine, cpus, threads or machine.cpus.threads, nodes)
    if {"memory", "page_size"} & changes.keys():
        changes |= {
            "crash_notes": {},
            "crash_notes_first": 0,
            "crash_notes_step": 0,
            "vmcoreinfo": 0,
        }
    changes["source"] = f"{machine.source}; changed: {wanted.said}"
    made = replace(machine, **changes)
    faults = Faults(f"{wanted.said} over {machine.name}")
    check(made, faults)
    faults.raise_if_any()
    return made


def with_cmdline(machine: Machine, cmdline: str) -> Machine:
    """The machine with another command line; ProfileError where no kernel would take it whole."""
    size = len(cmdline.encode(errors="surrogateescape"))
    if size >= COMMAND_LINE_SIZE:
        raise ProfileError(
            f"--cmdline: {size} bytes, expected at most {COMMAND_LINE_SIZE - 1} (COMMAND_LINE_SIZE)"
        )
    if not cmdline.isprintable():
        raise ProfileError(f"--cmdline: {shown(cmdline)}, expected text of one line")
    pinned_for = (machine.pinned_for or machine.cmdline) if machine.crashkernel else ""
    words = " ".join(word for word in pinned_for.split() if word.startswith("crashkernel="))
    if machine.crashkernel and not words:  # what it was pinned for asked for nothing
        machine = replace(machine, crashkernel=())
    return replace(machine, cmdline=cmdline, pinned_for=words)


def obeyed(machine: Machine, before: str) -> Machine:
    """The machine as its command line leaves it: nr_cpus= and maxcpus=, where they are not those of `before`.

    What the machine's own command line says was obeyed when it was captured. ProfileError for mem= and memmap=, which
    would have to change memory: --memory does.
    """
    had, asked = (
        dict(w.partition("=")[::2] for w in text.split()) for text in (before, machine.cmdline)
    )
    new = {name: value for name, value in asked.items() if had.get(name) != value}
    for name in ("mem", "memmap"):
        if name in new:
            raise ProfileError(
                f"--cmdline: {shown(f'{name}={new[name]}')}: not obeyed here, --memory says how much there is"
            )
    cpus = machine.cpus
    for name in ("nr_cpus", "maxcpus"):
        if name in new and not (
            new[name].isascii() and new[name].isdecimal() and len(new[name]) < 8
        ):
            raise ProfileError(
                f"--cmdline: {shown(f'{name}={new[name]}')}, expected a number of CPUs"
            )
    if int(new.get("nr_cpus", 0)):
        threads = cpus.threads if FACTS[machine.arch].powerpc else 1  # whole cores
        have = list(machine.possible_cpus)[: -(-int(new["nr_cpus"]) // threads) * threads]
        keep = set(have)
        cpus = replace(
            cpus,
            possible=format_ids(have),
            present=format_ids([n for n in machine.present_cpus if n in keep]),
            online=format_ids([n for n in machine.online_cpus if n in keep]),
            node={n: node for n, node in cpus.node.items() if n in keep},
            refuse={n: word for n, word in cpus.refuse.items() if n in keep},
        )
        notes = {n: at for n, at in machine.crash_notes.items() if n in keep}
        machine = replace(machine, cpus=cpus, crash_notes=notes)
    if "maxcpus" in new:  # 0 is one, without the rest of SMP
        online = list(machine.online_cpus)[: max(int(new["maxcpus"]), 1)]
        machine = replace(machine, cpus=replace(machine.cpus, online=format_ids(online)))
    return machine


def _count(option: str, text: str) -> int:
    """A number of things; 0 if it is not given."""
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) < 8 and int(text)):
        raise ProfileError(f"{option}: {shown(text)}, expected a number from 1 to 9999999")
    return int(text)


def _nodes(machine: Machine) -> int:
    """How many nodes a machine has."""
    return len({m.node for m in machine.memory} | {*machine.block_nodes().values()})


def _size(option: str, text: str) -> int:
    size = parse_size(text)
    if not size:
        raise ProfileError(f"{option}: {shown(text)}, expected a size such as 48G, above 0")
    return size


def _total(machine: Machine) -> int:
    """Bytes of memory; of a PC with what its firmware keeps, as one buys it."""
    total = sum(m.size for m in machine.memory)
    return total if FACTS[machine.arch].powerpc else -(-total // (64 << 20)) * (64 << 20)


def _check_block(machine: Machine, changes: dict[str, Any]) -> None:
    """ProfileError for a block that no memory can have; where the page size is wrong that is told later."""
    page, block = changes.get("page_size", machine.page_size), changes["memory_block_size"]
    _, least, most = FACTS[machine.arch].block_of(page)
    if block & (block - 1) or not least <= block <= most:
        sizes = size_text(least)
        if least != most:
            sizes = f"a power of two from {sizes} to {size_text(most)}"
        raise ProfileError(f"--block-size: {size_text(block)}, expected {sizes} on {machine.arch}")


def _memory(machine: Machine, total: int, nodes: int, block: int) -> dict[str, Any]:
    """Fields of a machine with so many bytes of memory, split evenly."""
    facts = FACTS[machine.arch]
    if nodes > facts.nodes:
        raise ProfileError(f"--nodes: {nodes}, expected at most {facts.nodes} on {machine.arch}")
    share = total // nodes
    if total % nodes or share % block:
        each = f" for each of {nodes} nodes" if nodes > 1 else ""
        given = total != _total(machine)
        raise ProfileError(
            f"--memory: {size_text(total)}, expected a multiple of {size_text(block)}{each}"
            if given
            else f"--nodes: {nodes}, expected that {size_text(total)} of memory are a multiple of "
            f"{size_text(block)}{each}"
        )
    changes: dict[str, Any] = dict.fromkeys(
        ("nested_memory", "system_ram", "blocks", "crashkernel", "pinned", "use"), ()
    ) | {"pinned_for": ""}
    if facts.nr_cpus_default:
        return changes | _pc_memory(machine, total, share, block)
    base = machine.memory[0].start
    rows = tuple(MemoryRange(base + n * share, share, n) for n in range(nodes))
    rma = min(machine.rma_size, share)
    resources = tuple(
        r
        for r in machine.resources
        if r.name.startswith("Kernel ") or r.range.end < base or r.start >= base + total
    )
    changes |= {"memory": rows, "rma_size": rma, "resources": resources}
    if machine.rtas is not None:  # firmware puts it below the end of the real mode area
        end = min(rma or share, machine.rtas.range.end + 1)
        start = max(end - machine.rtas.size, 0)
        changes["rtas"] = Region(start // 0x10000 * 0x10000, machine.rtas.size)
    if machine.lmbs:
        changes["lmbs"] = _lmbs(machine, total, block)
    return changes


def _lmbs(machine: Machine, total: int, block: int) -> tuple[Lmbs, ...]:
    """A run for boot memory, then as many free ones as the machine had."""
    first = machine.lmbs[0]
    spare = sum(run.count for run in machine.lmbs) - _total(machine) // machine.memory_block_size
    count = total // block
    drc = max(first.drc, 0x80000000)
    rows = [Lmbs(count, 0, first.drc and drc, first.flags)]
    if spare > 0:
        rows.append(Lmbs(spare, total, drc + count))
    return tuple(rows)


def _pc_memory(machine: Machine, total: int, share: int, block: int) -> dict[str, Any]:
    """The e820 table that QEMU's pc gives: below 3 GiB, the rest from 4 GiB on; nodes by their memory blocks."""
    low = PC_LOW if total >= PC_SPLIT else total
    rows = [MemoryRange(0x1000, 0x9EC00), MemoryRange(0x100000, low - PC_ACPI - 0x100000)]
    if total > low:
        rows.append(MemoryRange(SZ_4G, total - low))
    blocks: list[BlockState] = []
    for node in range(total // share if total > share else 0):
        begin, end = node * share, (node + 1) * share
        for start, stop in ((begin, min(end, low)), (max(begin, low), end)):
            if start < stop:
                up = 0 if start < low else SZ_4G - low
                first, last = (start + up) // block, (stop + up - 1) // block
                blocks.append(BlockState(f"{first}-{last}", node=node))
    keep = [
        r
        for r in machine.resources
        if r.range.end < 0x100000
        or r.name.startswith("Kernel ")
        or 0xFEC00000 <= r.start < SZ_4G
        or (r.start >= SZ_4G + total - low and r.name == "Reserved")
    ]
    keep.append(Region(low - PC_ACPI, PC_ACPI, "Reserved"))
    keep.append(Region(low, 0xFEC00000 - low, "PCI Bus 0000:00"))
    keep.sort(key=lambda r: (r.start, -r.size))
    return {"memory": tuple(rows), "resources": tuple(keep), "blocks": tuple(blocks)}


def _cpus(machine: Machine, cpus: int, threads: int, nodes: int) -> dict[str, Any]:
    """Fields of a machine with so many CPUs, all of them running, spread evenly over the nodes."""
    most = FACTS[machine.arch].threads
    if threads > most or threads & (threads - 1):
        known = ", ".join(str(1 << i) for i in range(most.bit_length()))
        raise ProfileError(f"--threads: {threads}, expected one of {known} on {machine.arch}")
    count = cpus or len(machine.present_cpus)
    if count % threads:
        raise ProfileError(f"--cpus: {count}, expected a multiple of {threads} threads")
    cores = count // threads
    node = {n: n // threads * nodes // cores for n in range(count)} if nodes > 1 else {}
    topology = replace(
        machine.cpus,
        possible=f"0-{count - 1}" if count > 1 else "0",
        present="",
        online="",
        threads=threads,
        node={n: at for n, at in node.items() if at},
        cores_per_package=0,
        refuse={},
    )
    return {"cpus": topology, "crash_notes": {}}
