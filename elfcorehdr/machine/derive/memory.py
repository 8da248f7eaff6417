"""A recorded machine's memory: /proc/iomem, memblock, memory blocks, the device tree. See main.py."""

from __future__ import annotations

import re

from elfcorehdr.errors import ProfileError
from elfcorehdr.lib.record import NamedTuple, replace
from elfcorehdr.lib.typed import Any
from elfcorehdr.machine import BlockState, CrashRegion, KernelText, Lmbs, MemoryRange, Region
from elfcorehdr.machine.derive.files import MEMORY, NODE, TREE, Files

SYSTEM_RAM, CRASH_KERNEL = "System RAM", "Crash kernel"
VIRTIO_MEM = "System RAM (virtio_mem)"
_ROW = re.compile(r"( *)([0-9a-f]+)-([0-9a-f]+) : (.*)")
_X86_START, _X86_MAP = 0x1000000, 0xFFFFFFFF81000000
"""LOAD_PHYSICAL_ADDR, and __START_KERNEL_map + that: where the kernel is without KASLR."""


USUAL_BLOCK = {"x86_64": 128 << 20, "ppc64": 256 << 20, "arm64": 128 << 20, "riscv64": 128 << 20}
"""Bytes of a memory block where nothing says them: SECTION_SIZE_BITS, on ppc64 the LMB that PowerVM gives."""


KERNEL_ROWS = ("Kernel code", "Kernel rodata", "Kernel data", "Kernel bss")


class Row(NamedTuple):
    """A line of /proc/iomem; end included."""

    level: int
    start: int
    end: int
    name: str

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start + 1


def memory_of(files: Files, arch: str, missing: list[str]) -> dict[str, Any]:
    """The keys of a machine's file that are about memory. ProfileError if there is none to be seen."""
    block = int(files.text(f"{MEMORY}/block_size_bytes") or "0", 16)
    block = block or int(files.head.get("block_size", 0))
    if not block:
        block = USUAL_BLOCK[arch]
        missing.append(f"the size of a memory block: {block >> 20} MiB are assumed")
    rows = iomem_rows(files.text("proc/iomem") or "")
    blocks = blocks_of(files)
    if not rows:
        missing.append("/proc/iomem: not there, or its addresses are hidden (root alone sees them)")
    memblock = _memblock(files.text("sys/kernel/debug/memblock/memory") or "")
    ram = [Row(0, r.start, r.end, r.name) for r in rows if not r.level and r.name == SYSTEM_RAM]
    memory = (
        memblock if memblock and arch in ("ppc64", "arm64") else [(r.start, r.end, "") for r in ram]
    )
    if not memory:
        memory = _from_blocks(blocks, block)
    nodes: list[int] = []
    if not memory:
        memory, nodes = _from_totals(files, arch, block)
        if memory:
            missing.append(
                "where memory lies: nothing tells it; as much as MemTotal, without a hole"
            )
    if not memory:
        raise ProfileError(
            "no memory in the recording, expected /proc/iomem as root reads it, the memory blocks"
            f" of /{MEMORY}, or /proc/meminfo"
        )
    fields: dict[str, Any] = {"memory_block_size": block}
    fields["memory"] = _split(memory, blocks, block)
    if nodes:
        fields["memory"] = tuple(
            MemoryRange(start, end - start + 1, node)
            for (start, end, _), node in zip(memory, nodes, strict=True)
        )
    rows_differ = [(r.start, r.end) for r in ram] != [m[:2] for m in memory]
    if ram and rows_differ and (arch == "arm64" or sum(r.size for r in ram) == _bytes(memory)):
        fields["system_ram"] = tuple(MemoryRange(r.start, r.size) for r in ram)
    fields |= _reservation(files, arch, rows, missing)
    if arch == "ppc64":
        fields |= _powerpc(files)
    else:
        fields |= _rows(rows)
        fields |= _kernel_text(files, arch, rows, missing)
    fields["blocks"] = _block_states(blocks, fields["memory"], block)
    return fields


def iomem_rows(text: str) -> list[Row]:
    """The lines of /proc/iomem; none if all addresses are hidden."""
    rows = [
        Row(len(m[1]) // 2, int(m[2], 16), int(m[3], 16), m[4])
        for line in text.splitlines()
        if (m := _ROW.fullmatch(line))
    ]
    return rows if any(row.end for row in rows) else []


def _memblock(text: str) -> list[tuple[int, int, str]]:
    """debugfs' memblock/memory: start, end (included), flags."""
    found = []
    for line in text.splitlines():
        if m := re.match(r"\s*\d+: 0x([0-9a-f]+)\.\.0x([0-9a-f]+)(?:\s+\d+)?\s*(\S*)", line):
            flags = "" if m[3] == "NONE" else m[3]
            found.append((int(m[1], 16), int(m[2], 16), flags))
    return found


class Blocks(NamedTuple):
    """A run of memory blocks that are alike; last included. node is the lowest of those that they are linked to."""

    first: int
    last: int
    state: str
    zones: str
    node: int


def blocks_of(files: Files) -> list[Blocks]:
    """The memory blocks in order, in runs: as the recorder says, else by their files."""
    said = files.head.get("blocks")
    if said is None:
        numbers = [int(p.rpartition("/memory")[2]) for p in files.matching(rf"{MEMORY}/memory\d+")]
        said = (
            (
                n,
                n,
                files.text(f"{MEMORY}/memory{n}/state") or "online",
                files.text(f"{MEMORY}/memory{n}/valid_zones") or "",
                [int(m[1]) for name in names if (m := re.fullmatch(r"node(\d+)", name))],
            )
            for n in sorted(numbers)
            for names in [files.names(f"{MEMORY}/memory{n}")]
        )
    found: list[Blocks] = []
    for first, last, state, zones, nodes in said:
        one = Blocks(int(first), int(last), str(state), str(zones), min(nodes, default=0))
        if found and found[-1].last == one.first - 1 and found[-1][2:] == one[2:]:
            found[-1] = found[-1]._replace(last=one.last)
        else:
            found.append(one)
    return found


def _bytes(memory: list[tuple[int, int, str]]) -> int:
    return sum(end - start + 1 for start, end, _ in memory)


def _from_blocks(blocks: list[Blocks], size: int) -> list[tuple[int, int, str]]:
    """What is between holes, where nothing better is there."""
    runs: list[tuple[int, int, str]] = []
    for one in blocks if size else ():
        start, end = one.first * size, (one.last + 1) * size - 1
        if runs and runs[-1][1] == start - 1:
            runs[-1] = (runs[-1][0], end, "")
        else:
            runs.append((start, end, ""))
    return runs


RAM_STARTS = {"arm64": 0x40000000, "riscv64": 0x80000000}
"""Where RAM begins that need not begin at 0: QEMU's virt machines."""


def _from_totals(
    files: Files, arch: str, size: int
) -> tuple[list[tuple[int, int, str]], list[int]]:
    """A range for each node of as many blocks as its MemTotal needs, and the nodes; of /proc/meminfo without nodes."""
    totals = {}
    for path in files.matching(rf"{NODE}/node\d+/meminfo"):
        if m := re.search(r"MemTotal:\s*(\d+) kB", files.text(path) or ""):
            totals[int(path.split("/")[-2][4:])] = int(m[1]) << 10
    if not any(totals.values()):
        m = re.search(r"(?m)^MemTotal:\s*(\d+) kB", files.text("proc/meminfo") or "")
        totals = {0: int(m[1]) << 10} if m else {}
    found, nodes, start = [], [], RAM_STARTS.get(arch, 0)
    for node, total in sorted(totals.items()):
        if total:
            end = start + -(-total // size) * size
            found.append((start, end - 1, ""))
            nodes.append(node)
            start = end
    return found, nodes


def _split(
    memory: list[tuple[int, int, str]], blocks: list[Blocks], size: int
) -> tuple[MemoryRange, ...]:
    """Each region with the node of its first block; what its other blocks say is in `blocks`."""
    return tuple(
        MemoryRange(start, end - start + 1, _node(blocks, start // size), flags)
        for start, end, flags in memory
    )


def _node(blocks: list[Blocks], n: int) -> int:
    return next((one.node for one in blocks if one.first <= n <= one.last), 0)


def _block_states(
    blocks: list[Blocks], memory: tuple[MemoryRange, ...], size: int
) -> tuple[BlockState, ...]:
    """Runs of blocks that are not as a boot leaves them: their state, zones or node."""
    # Where the node that a boot gives changes: at the ranges' ends.
    edges = sorted({edge // size for m in memory for edge in (m.start, m.end + size)})
    found: list[tuple[int, int, tuple[str, str, int]]] = []
    for one in blocks:
        cuts = [e for e in edges if one.first < e <= one.last]
        for first, last in zip([one.first, *cuts], [*(c - 1 for c in cuts), one.last], strict=True):
            at = first * size
            given = next(
                (m.node for m in memory if m.start <= at + size - 1 and at <= m.end), one.node
            )
            odd = one.zones == "none" or one.zones.startswith("Movable")
            what = (one.state, one.zones if odd else "", -1 if one.node == given else one.node)
            if what == ("online", "", -1):
                continue
            if found and found[-1][1] == first - 1 and found[-1][2] == what:
                found[-1] = (found[-1][0], last, what)
            else:
                found.append((first, last, what))
    return tuple(
        BlockState(str(first) if first == last else f"{first}-{last}", state, zones, node)
        for first, last, (state, zones, node) in found
    )


def _reservation(files: Files, arch: str, rows: list[Row], missing: list[str]) -> dict[str, Any]:
    """crashk_res and crashk_low_res: of two the lower one is low. And the contiguous-memory ones."""
    found = [(r.start, r.size) for r in rows if r.name == CRASH_KERNEL]
    for base in (TREE, "proc/device-tree"):
        start = files.data(f"{base}/chosen/linux,crashkernel-base")
        size = files.data(f"{base}/chosen/linux,crashkernel-size")
        if arch == "ppc64" and start and size and int.from_bytes(size, "big"):
            found = [(int.from_bytes(start, "big"), int.from_bytes(size, "big"))]
    found.sort()
    kinds = ["crashk_low_res", "crashk_res"] if len(found) == 2 else ["crashk_res"] * len(found)
    regions = [CrashRegion(s, n, kind) for (s, n), kind in zip(found, kinds, strict=True)]
    cma = files.text("sys/kernel/kexec/crash_cma_ranges") or ""
    regions += [
        CrashRegion(int(m[1], 16), int(m[2], 16) - int(m[1], 16) + 1, "cma")
        for m in re.finditer(r"(?m)^([0-9a-f]+)-([0-9a-f]+)$", cma)
    ]
    size_now = files.text("sys/kernel/kexec_crash_size") or files.text(
        "sys/kernel/kexec/crash_size"
    )
    if not regions and size_now is None:
        missing.append("whether and where memory is reserved for a crash kernel: nothing says it")
    if not regions and size_now not in (None, "0"):
        missing.append(f"where the {size_now} bytes of crashkernel lie: they are computed")
    return {"crashkernel": tuple(regions)} if regions else {}


def _rows(rows: list[Row]) -> dict[str, Any]:
    """The other rows of /proc/iomem, and System RAM below another one."""
    others, nested = [], []
    for row in rows:
        ram = row.name in (SYSTEM_RAM, VIRTIO_MEM)
        if row.level and ram:
            nested.append(MemoryRange(row.start, row.size, name=row.name))
        elif row.name != CRASH_KERNEL and row.name != SYSTEM_RAM:
            others.append(Region(row.start, row.size, row.name))
    return {"resources": tuple(others), "nested_memory": tuple(nested)}


def _kernel_text(files: Files, arch: str, rows: list[Row], missing: list[str]) -> dict[str, Any]:
    """_text to _end, physical and virtual, and the direct map's base."""
    maps = kcore_maps(str(files.head.get("kcore", "")))
    # The image is mapped a second time: its row lies in that of the RAM, at another distance.
    image = next((m for m in maps if any(_lies_in(m, other) for other in maps)), None)
    direct = next((m for m in maps if m != image), None)
    fields: dict[str, Any] = {}
    if direct is not None:
        fields["direct_map_base"] = (direct[0] - direct[1]) & ((1 << 64) - 1)
    else:
        missing.append(
            "the direct map's base: /proc/kcore was not recorded; without KASLR is assumed"
        )
    if image is not None:
        fields["kernel_text"] = KernelText(image[1], image[0], image[2])
        return fields
    named = [r for r in rows if r.name == "Kernel image"]
    named = named or [r for r in rows if r.name in KERNEL_ROWS]
    if not named:
        return fields
    start, end = min(r.start for r in named), max(r.end for r in named)
    virtual = int(files.head.get("symbols", {}).get("_text", "0"), 16)
    if not virtual and arch == "x86_64":
        virtual = _X86_MAP + start - _X86_START
        missing.append("the kernel's virtual address: hidden; without KASLR is assumed")
    if virtual:
        fields["kernel_text"] = KernelText(start, virtual, end - start + 1)
    else:
        missing.append(
            "the kernel's virtual address: hidden, so the header has no row for its text"
        )
    return fields


def _lies_in(inner: tuple[int, int, int], outer: tuple[int, int, int]) -> bool:
    (v, p, size), (v2, p2, size2) = inner, outer
    return p2 <= p and p + size <= p2 + size2 and v - p != v2 - p2


def kcore_maps(hexadecimal: str) -> list[tuple[int, int, int]]:
    """The PT_LOADs of /proc/kcore that have a physical address: virtual, physical, size in bytes."""
    head = bytes.fromhex(hexadecimal) if re.fullmatch(r"([0-9a-f]{2})*", hexadecimal) else b""
    if len(head) < 64:
        return []
    phoff, phnum = int.from_bytes(head[32:40], "little"), int.from_bytes(head[56:58], "little")
    found = []
    for at in range(phoff, min(phoff + 56 * phnum, len(head) - 55), 56):
        kind, vaddr, paddr, size = (
            int.from_bytes(head[at + a : at + b], "little")
            for a, b in ((0, 4), (16, 24), (24, 32), (40, 48))
        )
        if kind == 1 and paddr != (1 << 64) - 1:
            found.append((vaddr, paddr, size))
    return found


def _powerpc(files: Files) -> dict[str, Any]:
    """What the device tree says: the kernel's end, RTAS, OPAL, the LMB table."""
    fields: dict[str, Any] = {}
    base = TREE if files.names(TREE) else "proc/device-tree"

    def number(path: str) -> int:
        return int.from_bytes(files.data(f"{base}/{path}") or b"", "big")

    if end := number("chosen/linux,kernel-end"):
        fields["kernel_end"] = end
    if size := number("rtas/rtas-size"):
        fields["rtas"] = Region(number("rtas/linux,rtas-base"), size, "")
    if size := number("ibm,opal/opal-runtime-size"):
        fields["opal"] = Region(number("ibm,opal/opal-base-address"), size, "")
    table = files.data(f"{base}/ibm,dynamic-reconfiguration-memory/ibm,dynamic-memory-v2")
    if table:
        lmbs = lmbs_of(table)
        reg = files.data(f"{base}/memory@0/reg") or b""
        rma = int.from_bytes(reg[8:16], "big") if len(reg) == 16 else 0
        if any(run.start >= rma and run.flags & Lmbs.ASSIGNED for run in lmbs) and rma:
            # All that memory@0 has; its LMBs are marked as reserved, as they are in both.
            fields["rma_size"] = rma
            lmbs = [
                replace(run, flags=run.flags & ~Lmbs.RESERVED) if run.start < rma else run
                for run in lmbs
            ]
        fields["lmbs"] = tuple(lmbs)
    if files.data(f"{base}/rtas/ibm,configure-kernel-dump"):
        fields["fadump"] = True
    return fields


def lmbs_of(table: bytes) -> list[Lmbs]:
    """ibm,dynamic-memory-v2: sets of LMBs, drivers/of and arch/powerpc/mm/drmem.c; cells are big endian."""
    count = int.from_bytes(table[:4], "big")
    found = []
    for at in range(4, min(4 + 24 * count, len(table) - 23), 24):
        cells = [
            int.from_bytes(table[at + a : at + b], "big")
            for a, b in ((0, 4), (4, 12), (12, 16), (20, 24))
        ]
        found.append(Lmbs(*cells))
    return found
