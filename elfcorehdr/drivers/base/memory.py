"""Memory blocks as devices: drivers/base/memory.c (v7.1). mm/memory_hotplug.py changes them.

One byte a block is all that is kept; a MemoryBlock is made when somebody looks. Node and zone
follow from memblock and the states.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from enum import Enum

from elfcorehdr.errors import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel


class MemState(Enum):
    """State of a block, as its `state` file says it."""

    ONLINE = "online"
    OFFLINE = "offline"
    GOING_OFFLINE = "going-offline"


class OnlineType(Enum):
    """MMOP_*, as online_type_to_str[] says it: what to do with a block, or with new ones."""

    OFFLINE = "offline"
    ONLINE = "online"
    ONLINE_KERNEL = "online_kernel"
    ONLINE_MOVABLE = "online_movable"


ABSENT, OFFLINE, KERNEL, MOVABLE, GOING = range(5)
"""The byte of a block: there is none, it is offline, online in a kernel zone or in Movable, on the way."""
_STATE = {
    OFFLINE: MemState.OFFLINE,
    KERNEL: MemState.ONLINE,
    MOVABLE: MemState.ONLINE,
    GOING: MemState.GOING_OFFLINE,
}

_PRESENT = bytes(code != ABSENT for code in range(256))


class MemoryBlock:
    """One block as it is named in sysfs; id = start address / block size."""

    __slots__ = ("id", "memory")

    def __init__(self, memory: Memory, id: int) -> None:
        self.memory = memory
        self.id = id

    @property
    def start(self) -> int:
        """First byte."""
        return self.id * self.memory.block_size

    @property
    def end(self) -> int:
        """Last byte."""
        return self.start + self.memory.block_size - 1

    @property
    def state(self) -> MemState:
        """Online, offline or on the way; KernelError(ENODEV) if the block is gone."""
        code = self.memory.code(self.id)
        if code == ABSENT:
            raise KernelError(errno.ENODEV, f"memory{self.id} is gone")
        return _STATE[code]

    @property
    def online(self) -> bool:
        """Whether its pages are in use, in whichever zone."""
        return self.state is MemState.ONLINE

    @property
    def devpath(self) -> str:
        """The device's path below /sys."""
        return f"/devices/system/memory/memory{self.id}"

    @property
    def kernel(self) -> Kernel:
        """The kernel it belongs to."""
        return self.memory.kernel

    def uevent_env(self) -> tuple[tuple[str, str], ...]:
        """Its uevent variables: none."""
        return ()


class Memory:
    """All blocks of a kernel."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.block_size = kernel.machine.memory_block_size
        """Bytes of a block."""
        regions = kernel.memblock
        self.boot_end = regions.end_of_dram()
        """The address behind the last byte of RAM at boot."""
        self._codes = bytearray([KERNEL]) * ((self.boot_end - 1) // self.block_size + 1)
        self._removals: dict[int, int] = {}
        behind = 0
        for region in regions:
            first = region.start // self.block_size
            if first > behind:
                self._codes[behind:first] = bytes(first - behind)
            behind = region.end // self.block_size + 1
        self._count = len(self._codes) - self._codes.count(ABSENT)

    # looking

    def code(self, n: int) -> int:
        """The state byte of block n; 0 where there is none."""
        return self._codes[n] if 0 <= n < len(self._codes) else ABSENT

    def block(self, n: int) -> MemoryBlock | None:
        """Block n, or None."""
        return MemoryBlock(self, n) if self.code(n) != ABSENT else None

    def removals(self, n: int) -> int:
        """How often block n was taken away: tells a block that came back from the one before it."""
        return self._removals.get(n, 0)

    def block_ids(self) -> Iterator[int]:
        """The numbers of all blocks, ascending."""
        codes = self._codes
        return (n for n in range(len(codes)) if codes[n])

    def offline_ids(self) -> Iterator[int]:
        """The numbers of the blocks that are offline, ascending."""
        n = self._codes.find(OFFLINE)
        while n >= 0:
            yield n
            n = self._codes.find(OFFLINE, n + 1)

    def present(self, first: int, count: int) -> bytearray:
        """For each of count block numbers from first on a byte: 1 where there is a block, else 0."""
        whole = not first and count == len(self._codes)
        codes = self._codes if whole else self._codes[first : first + count]
        codes = codes.translate(_PRESENT)
        return codes if len(codes) == count else codes.ljust(count, b"\0")

    def blocks_of(self, start: int, size: int) -> list[MemoryBlock]:
        """The blocks of start, size (bytes) that are there, ascending."""
        first, last = start // self.block_size, (start + size - 1) // self.block_size
        return [MemoryBlock(self, n) for n in range(first, last + 1) if self.code(n)]

    def runs(self) -> Iterator[tuple[int, int, int]]:
        """The blocks there are as (first number, how many, byte), neighbours of one byte as one, ascending."""
        for run in re.finditer(rb"([^\0])\1*", self._codes, re.DOTALL):
            yield run.start(), run.end() - run.start(), run[1][0]

    def count(self) -> int:
        """How many blocks there are."""
        return self._count

    def nodes(self, block: MemoryBlock) -> list[int]:
        """NUMA nodes the block's memory is on, ascending."""
        return self.kernel.nodes.of(block.start, block.end)

    def first(self, code: int, start: int, stop: int) -> int:
        """The first block from start up to stop (not included) whose byte is code; -1 if there is none."""
        return self._codes.find(code, start, stop)

    def last(self, code: int, start: int, stop: int) -> int:
        """The last one; -1 if there is none."""
        return self._codes.rfind(code, start, stop)

    def not_in_kernel_zones(self, start: int, end: int) -> int:
        """Bytes of start..end (included), which is RAM, in blocks that are offline or in Movable."""
        return self._bytes_of((OFFLINE, MOVABLE), start, end)

    def movable(self, start: int, end: int) -> int:
        """Bytes of start..end (included), which is RAM, in blocks that are online in Movable."""
        return self._bytes_of((MOVABLE,), start, end)

    def offline(self, start: int, end: int) -> int:
        """Bytes of start..end (included), which is RAM, in blocks that are offline."""
        return self._bytes_of((OFFLINE,), start, end)

    def _bytes_of(self, codes: tuple[int, ...], start: int, end: int) -> int:
        """Counted by blocks, of which the first and the last may lie in it in part."""
        size = self.block_size
        first, last = start // size, end // size
        total = sum(self._codes.count(code, first, last + 1) for code in codes) * size
        if self.code(first) in codes:
            total -= start - first * size
        if self.code(last) in codes:
            total -= (last + 1) * size - 1 - end
        return total

    # changing

    def set_code(self, n: int, code: int) -> None:
        """Give block n another byte, without a word to anybody."""
        if n >= len(self._codes):
            self._codes.extend(bytes(n + 1 - len(self._codes)))
        self._count += (code != ABSENT) - (self._codes[n] != ABSENT)
        self._codes[n] = code

    def create(self, ids: range) -> None:
        """create_memory_block_devices(): blocks appear, offline."""
        for n in ids:
            self.set_code(n, OFFLINE)
            self.uevent("add", MemoryBlock(self, n))
        self.kernel.names_changed()

    def remove(self, ids: list[int]) -> None:
        """remove_memory_block_devices()"""
        for n in ids:
            self.uevent("remove", MemoryBlock(self, n))
            self.set_code(n, ABSENT)
            self.kernel.pm.forget(f"/devices/system/memory/memory{n}")
            self._removals[n] = self._removals.get(n, 0) + 1

    def uevent(self, action: str, block: MemoryBlock) -> None:
        """Say what happened to a block."""
        self.kernel.uevents.send(action, block.devpath, "memory")
