"""control/picture: what a page draws of a machine, in runs, so that 262,144 blocks take a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel
    from elfcorehdr.lib.ranges import Range

PRESENT, ONLINE = 1, 2
"""The number of a CPU's state in `cpus`; 0: it is possible only."""


def picture(kernel: Kernel) -> dict[str, Any]:
    """Memory, reservation, loaded image and CPUs as they are now. Addresses and sizes in bytes, ends excluded.

    blocks: [first block, how many, state], the state as in drivers/base/memory.py (1 offline, 2 online in a kernel
    zone, 3 online in Movable, 4 going offline), absent ones left out; nodes: [start, end, node] of memblock's
    RAM; reserved, segments: [start, end, what]; cpus: [first, how many, state, node].
    """
    memory, image = kernel.memory, kernel.kexec.crash_image
    header = image.elfcorehdr() if image is not None else None
    return {
        "machine": kernel.machine.name,
        "summary": kernel.machine.summary(),
        "release": kernel.release,
        "arch": kernel.machine.arch,
        "dead": kernel.panic.why if kernel.dead else "",
        "captured": kernel.vmcore is not None,
        "block_size": memory.block_size,
        "block_count": memory.count(),
        "blocks": list(memory.runs()),
        "nodes": list(_nodes(kernel)),
        "reserved": list(_reserved(kernel)),
        "loaded": image is not None,
        "segments": [
            _named(one.range, "elfcorehdr" if one is header else "segment")
            for one in image.segments
        ]
        if image is not None
        else [],
        "backup": (image.backup_start or image.backup_by_user or None) if image else None,
        "threads": kernel.machine.cpus.threads,
        "cpus": list(_cpus(kernel)),
    }


def sequence(kernel: Kernel) -> str:
    """Another text whenever something happened that a page shows."""
    counts = (kernel.boots, kernel.log.next_seq, kernel.uevents.seqnum, kernel.names_seq)
    return " ".join(map(str, (*counts, id(kernel.kexec.crash_image), kernel.panic.why)))


def _named(span: Range, what: str) -> tuple[int, int, str]:
    return span.start, span.end + 1, what


def _nodes(kernel: Kernel) -> Iterator[tuple[int, int, int]]:
    """RAM by node, neighbours of one node as one."""
    start = end = node = -1
    for region in kernel.memblock:
        if (region.start, region.node) == (end, node):
            end = region.end + 1
            continue
        if end > 0:
            yield start, end, node
        start, end, node = region.start, region.end + 1, region.node
    if end > 0:
        yield start, end, node


def _reserved(kernel: Kernel) -> Iterator[tuple[int, int, str]]:
    kexec, machine = kernel.kexec, kernel.machine
    named: Iterable[tuple[Range | None, str]] = (
        (kexec.crashk_res, "crashkernel"),
        (kexec.crashk_low_res, "crashkernel, low"),
        *((area, "crashkernel, cma") for area in kexec.crashk_cma_ranges),
        (machine.rtas.range if machine.rtas else None, "RTAS"),
    )
    return (_named(span, what) for span, what in named if span)


def _cpus(kernel: Kernel) -> Iterator[tuple[int, int, int, int]]:
    """The possible CPUs, in runs of one state and node."""
    cpus = kernel.cpus
    first = count = state = node = -1
    for n in cpus.possible:
        is_ = (n in cpus.present) + (n in cpus.present and n in cpus.online)
        on = cpus.node_of(n)
        if (is_, on, n) == (state, node, first + count):
            count += 1
            continue
        if count > 0:
            yield first, count, state, node
        first, count, state, node = n, 1, is_, on
    if count > 0:
        yield first, count, state, node
