"""Memory that comes, goes, and changes its zone: mm/memory_hotplug.c (v7.1)."""

from __future__ import annotations

import errno

from elfcorehdr import changes
from elfcorehdr.drivers.base.memory import (
    GOING,
    KERNEL,
    MOVABLE,
    OFFLINE,
    Memory,
    MemoryBlock,
    OnlineType,
)
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.notifier import MemAction, MemoryNotify
from elfcorehdr.kernel.resource import SYSTEM_RAM
from elfcorehdr.lib.ranges import Range, parse_ids
from elfcorehdr.mm.memblock import DRV_MNG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel


ZONE_NORMAL, ZONE_MOVABLE = "Normal", "Movable"


class MemoryHotplug:
    """The policy for new blocks, and what adds, onlines, offlines and removes them."""

    def __init__(self, kernel: Kernel, memory: Memory) -> None:
        self._kernel = kernel
        self._memory = memory
        self._forced_zones: dict[int, str] = {}
        """Zones that do not follow from the address: of blocks that came back into Normal, or spanned two at boot."""
        self.auto_online = self._policy_at_boot()
        """mhp_get_default_online_type()"""

    def _policy_at_boot(self) -> OnlineType:
        """The machine's, or the kernel's own; memhp_default_state= goes first."""
        kernel = self._kernel
        usual = "online" if kernel.has(changes.AUTO_ONLINE) else "offline"
        policy = kernel.machine.auto_online_blocks or usual
        for word in kernel.cmdline.split():
            if word.startswith("memhp_default_state="):
                policy = word.partition("=")[2]
        known = {t.value: t for t in OnlineType}
        return known.get(policy, OnlineType.OFFLINE)

    def boot(self) -> None:
        """Give the blocks the states that the machine describes."""
        for group in self._kernel.machine.blocks:
            movable = group.valid_zones.split(" ")[0] == ZONE_MOVABLE
            online = MOVABLE if movable else KERNEL
            for n in parse_ids(group.blocks):
                self._memory.set_code(n, OFFLINE if group.state == "offline" else online)
                if group.valid_zones == "none":
                    self._forced_zones[n] = group.valid_zones

    # zones

    def valid_zones(self, block: MemoryBlock) -> str:
        """valid_zones_show(): the zone of an online block, or where an offline one may go, default first."""
        if block.online:
            if block.id in self._forced_zones:
                return self._forced_zones[block.id]
            if self._memory.code(block.id) == MOVABLE:
                return ZONE_MOVABLE
            zones = self._kernel.arch.zones_of(self._kernel, block.start, block.end)
            if len(zones) > 1:
                zones = [zone for zone in zones if self._of_node(block, zone)]
            return zones[0] if len(zones) == 1 else "none"
        default = self._zone_for(block, OnlineType.ONLINE)
        kernel_zone = self._zone_for(block, OnlineType.ONLINE_KERNEL)
        others = [zone for zone in (kernel_zone, ZONE_MOVABLE) if zone != default]
        return " ".join([default, *others])

    def _of_node(self, block: MemoryBlock, zone: str) -> bool:
        """zone_intersects(), of a zone as far as the block's node reaches: zone_spanned_pages_in_node()."""
        kernel = self._kernel
        span = kernel.memblock.node_span(kernel.nodes.of(block.start, block.end)[0])
        limits = kernel.arch.zone_limits(kernel, zone)
        if span is None:
            return True
        low = max(span.start, limits.start, block.start)
        return low <= min(span.end, limits.end, block.end)

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
        for zone in self._kernel.arch.zones_of(self._kernel, block.start, block.end):
            if zone != ZONE_NORMAL and self._spans(block, zone):
                return zone
        return ZONE_NORMAL

    def _spans(self, block: MemoryBlock, zone_name: str) -> bool:
        """Whether a zone's span, first to last online block on this node, reaches over the block."""
        memory = self._memory
        code = MOVABLE if zone_name == ZONE_MOVABLE else KERNEL
        lo, hi = self._kernel.nodes.span((memory.nodes(block) or [0])[0])
        if code == KERNEL:
            limits = self._kernel.arch.zone_limits(self._kernel, zone_name)
            lo, hi = max(lo, limits.start), min(hi, limits.end)
        first_id, end_id = lo // memory.block_size, hi // memory.block_size + 1
        first = memory.first(code, first_id, end_id)
        return 0 <= first <= block.id <= memory.last(code, first_id, end_id)

    # transitions

    def online(self, block: MemoryBlock, online_type: OnlineType) -> bool:
        """device_online(): bring an offline block into a zone; False if it is online already.

        KernelError is what a notifier vetoed with; the block is then as before.
        """
        self._kernel.cond_resched()
        if block.online:
            return False
        chain, notify = self._kernel.memory_chain, MemoryNotify(block.start, block.end)
        to = self._zone_for(block, online_type)
        movable = to == ZONE_MOVABLE
        try:
            chain.notify(MemAction.GOING_ONLINE, notify)
        except KernelError:
            self._kernel.log.debug(
                "memory_hotplug",
                f"online_pages [mem {block.start:#010x}-{block.end:#010x}] failed",
            )
            chain.notify(MemAction.CANCEL_ONLINE, notify)
            raise
        chain.notify(MemAction.ONLINE, notify)
        self._memory.set_code(block.id, MOVABLE if movable else KERNEL)
        self._forced_zones.pop(block.id, None)
        if not movable and to not in self._kernel.arch.zones_of(
            self._kernel, block.start, block.end
        ):
            self._forced_zones[block.id] = to
        self._memory.uevent("online", block)
        return True

    def offline(self, block: MemoryBlock) -> bool:
        """device_offline(): take an online block out of use; False if it is offline already.

        KernelError: EINVAL where the block has holes or spans zones, EBUSY where something in it
        cannot be moved (PageIsolation.unmovable()), or what a notifier vetoed with.
        """
        self._kernel.cond_resched()
        if not block.online:
            return False
        kernel, before = self._kernel, self._memory.code(block.id)
        chain, notify = kernel.memory_chain, MemoryNotify(block.start, block.end)
        if not kernel.memblock.covers(block.start, block.end):
            raise self._offline_failed(block, errno.EINVAL, "memory holes")
        if self.valid_zones(block) == "none":
            raise self._offline_failed(block, errno.EINVAL, "multizone range")
        self._memory.set_code(block.id, GOING)
        try:
            if kernel.page_isolation.unmovable(block.start, block.end):
                kernel.log.warning("page dumped because: unmovable page")
                raise self._offline_failed(block, errno.EBUSY, "failure to isolate range")
            try:
                chain.notify(MemAction.GOING_OFFLINE, notify)
            except KernelError as error:
                chain.notify(MemAction.CANCEL_OFFLINE, notify)
                raise self._offline_failed(block, error.errno, "notifier failure") from None
            chain.notify(MemAction.OFFLINE, notify)
        except BaseException:  # whatever a notifier raises
            self._memory.set_code(block.id, before)
            raise
        kernel.log.debug(
            "memory_hotplug", f"Offlined Pages {self._memory.block_size // kernel.page_size}"
        )
        self._memory.set_code(block.id, OFFLINE)
        self._memory.uevent("offline", block)
        return True

    def _offline_failed(self, block: MemoryBlock, code: int, reason: str) -> KernelError:
        where = f"[mem {block.start:#010x}-{block.end:#010x}]"
        self._kernel.log.debug("memory_hotplug", f"memory offlining {where} failed due to {reason}")
        return KernelError(code, reason)

    # adding and removing

    def add(
        self,
        start: int,
        size: int,
        node: int,
        online: OnlineType | None = None,
        name: str = SYSTEM_RAM,
    ) -> None:
        """add_memory_resource(): new blocks over start, size; online says how (None: the policy).

        name is that of the resource, "System RAM (virtio_mem)" for a driver's. All blocks appear, then
        each goes online. KernelError: EINVAL with a log line where the range is not made of whole
        blocks, E2BIG beyond what can be addressed, EEXIST where something is there already.
        """
        kernel, memory = self._kernel, self._memory
        block_size = memory.block_size
        if not size or start % block_size or size % block_size:
            kernel.log.err(
                f"Block size [{block_size:#x}] unaligned hotplug range: start {start:#x}, size {size:#x}"
            )
            raise KernelError(errno.EINVAL, "unaligned hotplug range")
        end = start + size - 1
        if end >= kernel.arch.mappable_end(kernel):
            raise KernelError(errno.E2BIG, "beyond the addressable range")
        ids = range(start // block_size, end // block_size + 1)
        if memory.blocks_of(start, size) or kernel.memblock.overlaps(start, end):
            raise KernelError(errno.EEXIST, "memory is there already")
        self._add_resource(start, end, node, name)
        memory.create(ids)
        policy = self.auto_online if online is None else online
        if policy is not OnlineType.OFFLINE:
            for n in ids:
                self.online(MemoryBlock(memory, n), policy)

    def _add_resource(self, start: int, end: int, node: int, name: str) -> None:
        """A resource, a memblock region, then the architecture maps it.

        A driver's memory (name has the driver in parentheses) is merged with what it added before.
        """
        kernel, driver = self._kernel, name != SYSTEM_RAM
        if not driver:
            kernel.firmware_map.add_hotplug(start, end)
        kernel.iomem.add_memory(start, end, name, merge=driver)
        kernel.memblock.add(start, end, node, DRV_MNG if driver else "")
        kernel.arch.memory_added(kernel, Range(start, end))

    def remove(self, start: int, size: int) -> None:
        """__remove_memory(): take blocks away that are all offline.

        KernelError: EBUSY with a log line if one is online.
        """
        kernel, memory = self._kernel, self._memory
        blocks = memory.blocks_of(start, size)
        for block in blocks:
            if memory.code(block.id) != OFFLINE:
                kernel.log.warning(
                    f"removing memory fails, because memory [{block.start:#018x}-{block.end:#018x}] is onlined"
                )
                raise KernelError(errno.EBUSY, "a block is online")
        end = start + size - 1
        memory.remove([block.id for block in blocks])
        kernel.memblock.remove(start, end)
        kernel.iomem.remove_memory(start, end)
        kernel.firmware_map.remove(start, end)
        kernel.names_changed()

    def probe(self, address: int) -> None:
        """probe_store(): add the one block that begins at address; EINVAL unaligned, EEXIST there already."""
        if address % self._memory.block_size:
            raise KernelError(errno.EINVAL, "not the start of a block")
        node = self._kernel.arch.node_for_probe(self._kernel, address)
        self.add(address, self._memory.block_size, node)
