"""What is asked of a hypervisor, in a user's words: it refuses what it does not have, and says why a kernel refused.

The errno, and what the kernel logs, are the platform's.
"""

from __future__ import annotations

import errno

from elfcorehdr.errors import KernelError
from elfcorehdr.lib.ranges import format_ids
from elfcorehdr.machine.sizes import size_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel


def plug_memory(
    kernel: Kernel, size: int, start: int | None = None, node: int = 0, how: str = "dimm"
) -> int:
    """Plug in memory, size in bytes, at an address or where there is room; where it went. KernelError says why not."""
    platform = kernel.platform
    _check_device(kernel, how)
    _check_blocks(kernel, size)
    nodes = kernel.nodes.ids()
    if node not in nodes:
        raise KernelError(errno.EINVAL, f"no node {node}: this machine has {_ids('node', nodes)}")
    at = platform.next_free_memory(size) if start is None else start
    _check_start(kernel, at)
    if kernel.memblock.overlaps(at, at + size - 1):
        there = next(iter(kernel.memblock.overlapping(at, at + size - 1)))
        raise KernelError(errno.EEXIST, f"memory is there already: {there.start:#x}-{there.end:#x}")
    if refusal := platform.room(at, size):
        raise KernelError(errno.EINVAL, refusal)
    try:
        platform.plug_memory(at, size, node, how)
    except KernelError as error:
        if error.errno == errno.E2BIG:
            last = kernel.arch.mappable_end(kernel) - 1
            reason = f"{at + size - 1:#x} is past the last address, {last:#x}"
            raise KernelError(error.errno, reason) from None
        raise
    return at


def unplug_memory(kernel: Kernel, start: int, size: int, how: str = "dimm") -> None:
    """Ask memory back. KernelError says why not."""
    _check_device(kernel, how)
    _check_blocks(kernel, size)
    _check_start(kernel, start)
    asked, there = size // kernel.memory.block_size, kernel.memory.count()
    if asked <= there:
        there = len(kernel.memory.blocks_of(start, size))
    if there != asked:
        most = f", of {asked} blocks {there} at most" if there else ""
        raise KernelError(
            errno.ENODEV, f"no memory, or not all, at {start:#x}-{start + size - 1:#x}{most}"
        )
    kernel.platform.unplug_memory(start, size, how)


def _check_device(kernel: Kernel, how: str) -> None:
    """A kind of memory device that the platform has."""
    kinds = kernel.platform.memory_devices
    if kinds and how not in kinds:
        raise KernelError(
            errno.EOPNOTSUPP,
            f"{kernel.platform.name} has no memory device {how!r}, expected {' or '.join(kinds)}",
        )
    if not kinds:
        raise KernelError(
            errno.EOPNOTSUPP,
            f"{kernel.platform.name} has no memory hotplug: nothing can be plugged",
        )


def _check_blocks(kernel: Kernel, size: int) -> None:
    """A size of whole blocks."""
    block = kernel.memory.block_size
    if size < block:
        raise KernelError(
            errno.EINVAL, f"{size_text(size)} is less than a block, which is {size_text(block)}"
        )
    if size % block:
        raise KernelError(
            errno.EINVAL,
            f"{size_text(size)} is not made of whole blocks, expected a multiple of {size_text(block)}",
        )


def _check_start(kernel: Kernel, start: int) -> None:
    """An address where a block begins."""
    block = kernel.memory.block_size
    if start < 0 or start % block:
        raise KernelError(
            errno.EINVAL, f"no block begins at {start:#x}, expected a multiple of {block:#x}"
        )


def plug_cpu(kernel: Kernel, slot: int, node: int = 0) -> list[int]:
    """Plug a CPU (ppc64: a core) into a slot; the CPUs that came. KernelError says why not."""
    platform = kernel.platform
    free, slots = platform.cpu_slots()
    left = f"{_ids('slot', free)} of {len(slots)} free" if free else f"none of {len(slots)} free"
    if slot not in slots:
        raise KernelError(
            errno.EINVAL, f"no slot {slot}: this machine has {_ids('slot', slots)}, {left}"
        )
    if slot not in free:
        raise KernelError(errno.EEXIST, f"slot {slot} is taken: {left}")
    nodes = kernel.nodes.ids()
    if node not in nodes:
        raise KernelError(errno.EINVAL, f"no node {node}: this machine has {_ids('node', nodes)}")
    return platform.plug_cpu(slot, node)


def unplug_cpu(kernel: Kernel, cpu: int) -> None:
    """Ask a CPU (ppc64: its core) back. KernelError says why not."""
    kernel.platform.cpu_slots()
    if cpu not in kernel.cpus.present:
        present = kernel.cpus.present
        raise KernelError(errno.ENODEV, f"no CPU {cpu}: there are {_ids('CPU', list(present))}")
    kernel.platform.unplug_cpu(cpu)


def _ids(what: str, ids: list[int]) -> str:
    """`node 0`, `nodes 0-3`"""
    return f"{what}{'s' if len(ids) > 1 else ''} {format_ids(ids)}"
