"""Memory blocks and their hotplug: drivers/base/memory.c and mm/memory_hotplug.c (v7.1).

One byte a block is all that is kept; a MemoryBlock is made when somebody looks. Node and zone
follow from memblock and the states. Imports .errors, .notifier, .ranges.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING

from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.notifier import MemAction, MemoryNotify
from elfcorehdr.kernel.resource import SYSTEM_RAM

if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel


class MemState(Enum):
    """State of a block, as its `state` file says it."""

    ONLINE = "online"
    OFFLINE = "offline"
    GOING_OFFLINE = "going-offline"


class OnlineType(Enum):
    """online_type_to_str[] of drivers/base/memory.c: what to do with a block, or with new ones."""

    OFFLINE = "offline"
    ONLINE = "online"
    ONLINE_KERNEL = "online_kernel"
    ONLINE_MOVABLE = "online_movable"


_ABSENT, _OFFLINE, _KERNEL, _MOVABLE, _GOING = range(5)
_STATE = {
    _OFFLINE: MemState.OFFLINE,
    _KERNEL: MemState.ONLINE,
    _MOVABLE: MemState.ONLINE,
    _GOING: MemState.GOING_OFFLINE,
}

_PRESENT = bytes(code != _ABSENT for code in range(256))

ZONE_NORMAL, ZONE_MOVABLE = "Normal", "Movable"


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
        if code == _ABSENT:
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
    """All blocks of a kernel, the policy for new ones, and what plugs, onlines and removes them."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.block_size = kernel.machine.memory_block_size
        self.auto_online = OnlineType.OFFLINE
        regions = kernel.memblock
        self._codes = bytearray([_KERNEL]) * (regions[len(regions) - 1].end // self.block_size + 1)
        self._forced_zones: dict[int, str] = {}
        self._removals: dict[int, int] = {}
        behind = 0
        for region in regions:
            first = region.start // self.block_size
            if first > behind:
                self._codes[behind:first] = bytes(first - behind)
            behind = region.end // self.block_size + 1
        self._count = len(self._codes) - self._codes.count(_ABSENT)

    def boot_state(self, ids: tuple[int, ...], state: str, valid_zones: str) -> None:
        """Set what a machine description says of blocks at boot."""
        for n in ids:
            self._reach(n)
            self._count += self._codes[n] == _ABSENT
            movable = valid_zones.split(" ")[0] == ZONE_MOVABLE
            self._codes[n] = _OFFLINE if state == "offline" else _MOVABLE if movable else _KERNEL
            if valid_zones == "none":
                self._forced_zones[n] = valid_zones

    # looking

    def code(self, n: int) -> int:
        """The state byte of block n; 0 where there is none."""
        return self._codes[n] if 0 <= n < len(self._codes) else _ABSENT

    def block(self, n: int) -> MemoryBlock | None:
        """Block n, or None."""
        return MemoryBlock(self, n) if self.code(n) != _ABSENT else None

    def removals(self, n: int) -> int:
        """How often block n was taken away: tells a block that came back from the one before it."""
        return self._removals.get(n, 0)

    def block_ids(self) -> Iterator[int]:
        """The numbers of all blocks, ascending."""
        codes = self._codes
        return (n for n in range(len(codes)) if codes[n])

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

    def count(self) -> int:
        """How many blocks there are."""
        return self._count

    def nodes(self, block: MemoryBlock) -> list[int]:
        """NUMA nodes the block's memory is on, ascending."""
        return self.kernel.nodes_of(block.start, block.end)

    # zones

    def valid_zones(self, block: MemoryBlock) -> str:
        """valid_zones_show(): the zone of an online block, or where an offline one may go, default first."""
        if block.online:
            if block.id in self._forced_zones:
                return self._forced_zones[block.id]
            if self._codes[block.id] == _MOVABLE:
                return ZONE_MOVABLE
            zones = self.kernel.arch.zones_of(self.kernel, block.start, block.end)
            return zones[0] if len(zones) == 1 else "none"
        default = self._zone_for(block, OnlineType.ONLINE)
        kernel_zone = self._zone_for(block, OnlineType.ONLINE_KERNEL)
        others = [zone for zone in (kernel_zone, ZONE_MOVABLE) if zone != default]
        return " ".join([default, *others])

    def _zone_for(self, block: MemoryBlock, online_type: OnlineType) -> str:
        """zone_for_pfn_range(): where the block's pages would go."""
        kernel_zone = self._kernel_zone(block)
        if online_type is OnlineType.ONLINE_KERNEL:
            return kernel_zone
        if online_type is OnlineType.ONLINE_MOVABLE:
            return ZONE_MOVABLE
        in_kernel = self._spans(block, kernel_zone)
        in_movable = self._spans(block, ZONE_MOVABLE)
        return ZONE_MOVABLE if in_movable and not in_kernel else kernel_zone

    def _kernel_zone(self, block: MemoryBlock) -> str:
        """default_kernel_zone_for_pfn(): the lowest zone whose span reaches over the block, else Normal.

        A zone below Normal shrinks when blocks at its ends go offline; they come back into Normal.
        """
        for zone in self.kernel.arch.zones_of(self.kernel, block.start, block.end):
            if zone != ZONE_NORMAL and self._spans(block, zone):
                return zone
        return ZONE_NORMAL

    def _spans(self, block: MemoryBlock, zone_name: str) -> bool:
        """Whether a zone's span, first to last online block on this node, reaches over the block."""
        code = _MOVABLE if zone_name == ZONE_MOVABLE else _KERNEL
        lo, hi = self.kernel.node_span((self.nodes(block) or [0])[0])
        if code == _KERNEL:
            limits = self.kernel.arch.zone_limits(self.kernel, zone_name)
            lo, hi = max(lo, limits.start), min(hi, limits.end)
        first_id, end_id = lo // self.block_size, hi // self.block_size + 1
        zone = bytes([code])
        first = self._codes.find(zone, first_id, end_id)
        return 0 <= first <= block.id <= self._codes.rfind(zone, first_id, end_id)

    # transitions

    def online(self, block: MemoryBlock, online_type: OnlineType) -> bool:
        """device_online(): bring an offline block into a zone; False if it is online already.

        KernelError is what a notifier vetoed with; the block is then as before.
        """
        if block.online:
            return False
        chain, notify = self.kernel.memory_chain, MemoryNotify(block.start, block.end)
        to = self._zone_for(block, online_type)
        movable = to == ZONE_MOVABLE
        try:
            chain.notify(MemAction.GOING_ONLINE, notify)
        except KernelError:
            self.kernel.debug(
                "memory_hotplug",
                f"online_pages [mem {block.start:#010x}-{block.end:#010x}] failed",
            )
            chain.notify(MemAction.CANCEL_ONLINE, notify)
            raise
        chain.notify(MemAction.ONLINE, notify)
        self._codes[block.id] = _MOVABLE if movable else _KERNEL
        self._forced_zones.pop(block.id, None)
        if not movable and to not in self.kernel.arch.zones_of(self.kernel, block.start, block.end):
            self._forced_zones[block.id] = to
        self._uevent("online", block)
        return True

    def offline(self, block: MemoryBlock) -> bool:
        """device_offline(): take an online block out of use; False if it is offline already.

        KernelError: EINVAL where the block has holes or spans zones, EBUSY where something in it
        cannot be moved (Kernel.unmovable()), or what a notifier vetoed with.
        """
        if not block.online:
            return False
        kernel, before = self.kernel, self._codes[block.id]
        chain, notify = kernel.memory_chain, MemoryNotify(block.start, block.end)
        if not kernel.ram_covers(block.start, block.end):
            raise self._offline_failed(block, errno.EINVAL, "memory holes")
        if self.valid_zones(block) == "none":
            raise self._offline_failed(block, errno.EINVAL, "multizone range")
        self._codes[block.id] = _GOING
        try:
            if kernel.unmovable(block.start, block.end):
                kernel.log.warning("page dumped because: unmovable page")
                raise self._offline_failed(block, errno.EBUSY, "failure to isolate range")
            try:
                chain.notify(MemAction.GOING_OFFLINE, notify)
            except KernelError as error:
                chain.notify(MemAction.CANCEL_OFFLINE, notify)
                raise self._offline_failed(block, error.errno, "notifier failure") from None
            chain.notify(MemAction.OFFLINE, notify)
        except KernelError:
            self._codes[block.id] = before
            raise
        kernel.debug("memory_hotplug", f"Offlined Pages {self.block_size // kernel.page_size}")
        self._codes[block.id] = _OFFLINE
        self._uevent("offline", block)
        return True

    def _offline_failed(self, block: MemoryBlock, code: int, reason: str) -> KernelError:
        where = f"[mem {block.start:#010x}-{block.end:#010x}]"
        self.kernel.debug("memory_hotplug", f"memory offlining {where} failed due to {reason}")
        return KernelError(code, reason)

    # devices

    def add(
        self,
        start: int,
        size: int,
        node: int,
        online: OnlineType | None = None,
        name: str = SYSTEM_RAM,
    ) -> None:
        """add_memory_resource(): new blocks over start, size; online says how (None: the policy).

        name is that of the resource, "System RAM (virtio_mem)" for a driver's. All blocks appear, then each goes online. KernelError: EINVAL with a log line where the
        range is not made of whole blocks, E2BIG beyond what can be addressed, EEXIST where
        something is there already.
        """
        kernel, block_size = self.kernel, self.block_size
        if not size or start % block_size or size % block_size:
            kernel.log.err(
                f"Block size [{block_size:#x}] unaligned hotplug range: start {start:#x}, size {size:#x}"
            )
            raise KernelError(errno.EINVAL, "unaligned hotplug range")
        end = start + size - 1
        if end >> kernel.arch.max_physmem_bits(kernel):
            raise KernelError(errno.E2BIG, "beyond the addressable range")
        first, last = start // block_size, end // block_size
        if any(self._codes[first : last + 1]) or kernel.iomem_busy(start, end):
            raise KernelError(errno.EEXIST, "memory is there already")
        kernel.memory_added(start, end, node, name)
        self._reach(last)
        for n in range(first, last + 1):
            self._codes[n] = _OFFLINE
            self._count += 1
            self._uevent("add", MemoryBlock(self, n))
        kernel.names_changed()
        policy = self.auto_online if online is None else online
        if policy is not OnlineType.OFFLINE:
            for n in range(first, last + 1):
                self.online(MemoryBlock(self, n), policy)

    def remove(self, start: int, size: int) -> None:
        """__remove_memory(): take blocks away that are all offline.

        KernelError: EBUSY with a log line if one is online.
        """
        first, last = start // self.block_size, (start + size - 1) // self.block_size
        ids = [n for n in range(first, last + 1) if self.code(n)]
        for n in ids:
            if self._codes[n] != _OFFLINE:
                block = MemoryBlock(self, n)
                self.kernel.log.warning(
                    f"removing memory fails, because memory [{block.start:#018x}-{block.end:#018x}] is onlined"
                )
                raise KernelError(errno.EBUSY, "a block is online")
        for n in ids:
            self._uevent("remove", MemoryBlock(self, n))
            self._codes[n] = _ABSENT
            self._count -= 1
            self.kernel.pm.pop(f"/devices/system/memory/memory{n}", None)
            self._removals[n] = self._removals.get(n, 0) + 1
        self.kernel.memory_removed(start, start + size - 1)
        self.kernel.names_changed()

    def probe(self, address: int) -> None:
        """probe_store(): add the one block that begins at address; EINVAL unaligned, EEXIST there already."""
        if address % self.block_size:
            raise KernelError(errno.EINVAL, "not the start of a block")
        node = self.kernel.arch.node_for_probe(self.kernel, address)
        self.add(address, self.block_size, node)

    def _reach(self, last: int) -> None:
        """Make room for block number `last`."""
        if last >= len(self._codes):
            self._codes.extend(bytes(last + 1 - len(self._codes)))

    def _uevent(self, action: str, block: MemoryBlock) -> None:
        self.kernel.uevents.send(action, block.devpath, "memory")
