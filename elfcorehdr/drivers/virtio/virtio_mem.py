"""Memory that grows and shrinks by blocks: drivers/virtio/virtio_mem.c (v7.1)."""

from __future__ import annotations

import errno
from collections.abc import Iterable

from elfcorehdr.errors import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

RESOURCE_NAME = "System RAM (virtio_mem)"


def plug(kernel: Kernel, start: int, size: int, node: int) -> None:
    """virtio_mem_mb_add(): block by block, each merged with its neighbours and then, by policy, online.

    start and size in bytes. KernelError: as MemoryHotplug.add().
    """
    block = kernel.memory.block_size
    if not size or start % block or size % block:
        raise KernelError(errno.EINVAL, "not made of whole memory blocks")
    for at in range(start, start + size, block):
        kernel.memory_hotplug.add(at, block, node, name=RESOURCE_NAME)


def unplug(kernel: Kernel, start: int, size: int, order: Iterable[int] = ()) -> None:
    """virtio_mem_mb_offline_and_remove(): block by block from the top, or in the order of block numbers given.

    KernelError(EBUSY) if any block stays; the others are gone then.
    """
    hotplug = kernel.memory_hotplug
    blocks = {block.id: block for block in kernel.memory.blocks_of(start, size)}
    given = [n for n in order if n in blocks]
    rest = sorted(blocks.keys() - set(given), reverse=True)
    stays = 0
    for n in (*given, *rest):
        try:
            hotplug.offline(blocks[n])
        except KernelError:
            stays += 1
            continue
        hotplug.remove(blocks[n].start, kernel.memory.block_size)
    if stays:
        raise KernelError(errno.EBUSY, f"{stays} memory blocks stay")
