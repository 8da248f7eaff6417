"""/sys/devices/system/memory/: drivers/base/memory.c (v7.1)."""

from __future__ import annotations

import errno

from elfcorehdr.changes import in_sysfs
from elfcorehdr.drivers.base.memory import MemoryBlock, OnlineType
from elfcorehdr.errors import KernelError, short
from elfcorehdr.init.main import Kernel
from elfcorehdr.lib.kstrtox import kstrtobool, kstrtoull, sysfs_streq
from fsmount.sysfs.device import device_uevent, named, subsystem
from fsmount.sysfs.kexec_core import has_crash_hotplug
from fsmount.sysfs.power import power
from fsmount.tree.entries import numbered
from fsmount.tree.kobject import (
    CAP_SYS_ADMIN,
    AttributeGroup,
    Caller,
    Declaration,
    Kset,
    Link,
    singleton,
)

memory = AttributeGroup("devices/system/memory", singleton)


def online_type(buf: str) -> OnlineType:
    """mhp_online_type_from_str(); KernelError(EINVAL)."""
    for member in OnlineType:
        if sysfs_streq(buf, member.value):
            return member
    raise KernelError(errno.EINVAL, f"{short(buf)} is no online type")


@memory.show
def block_size_bytes_show(kernel: Kernel) -> str:
    """Size of a memory block, hex without 0x."""
    return f"{kernel.memory.block_size:x}\n"


@memory.show
def auto_online_blocks_show(kernel: Kernel) -> str:
    """What happens to new blocks: offline, online, online_kernel or online_movable."""
    return f"{kernel.memory_hotplug.auto_online.value}\n"


@memory.store
def auto_online_blocks_store(kernel: Kernel, buf: str) -> None:
    """Set what happens to new blocks; EINVAL for any other word."""
    kernel.memory_hotplug.auto_online = online_type(buf)


@memory.show(is_visible=has_crash_hotplug)
def crash_hotplug_show(kernel: Kernel) -> str:
    """1 if the kernel itself keeps the loaded crash image up to date on memory hotplug, else 0."""
    return f"{int(kernel.kexec.crash_hotplug())}\n"


@memory.store(is_visible=lambda kernel, obj: kernel.arch.has_memory_probe)
def probe_store(kernel: Kernel, buf: str) -> None:
    """Add the memory block at this physical address; EINVAL not a block's, EEXIST there already."""
    kernel.memory_hotplug.probe(kstrtoull(buf))


def _poison(kernel: Kernel, buf: str, caller: Caller) -> int:
    """The address written to one of the poison files; EPERM, EINVAL, ENXIO where there is no page."""
    if not caller.capable(CAP_SYS_ADMIN):
        raise KernelError(errno.EPERM, "CAP_SYS_ADMIN")
    try:
        address = kstrtoull(buf)
    except KernelError:
        raise KernelError(errno.EINVAL, "not an address") from None
    if kernel.memblock.find(address) is None:
        raise KernelError(errno.ENXIO, "no page there")
    return address


def _has_memory_failure(kernel: Kernel, obj: object) -> bool:
    return kernel.config("MEMORY_FAILURE")


@memory.store(is_visible=_has_memory_failure)
def soft_offline_page_store(kernel: Kernel, buf: str, caller: Caller) -> None:
    """Move a page's content away and use the page no more."""
    kernel.log.info(
        f"Memory failure: {_poison(kernel, buf, caller) // kernel.page_size:#x}: soft offlined"
    )


@memory.store(is_visible=_has_memory_failure)
def hard_offline_page_store(kernel: Kernel, buf: str, caller: Caller) -> None:
    """Use a page no more, as after a hardware error; EBUSY or ENXIO where there is no page."""
    try:
        address = _poison(kernel, buf, caller)
        what, result = "free page", "Recovered"
    except KernelError as error:
        if error.errno != errno.ENXIO or not kernel.has(in_sysfs.PFN_WITHOUT_PAGE):
            if error.errno == errno.ENXIO:
                pfn = kstrtoull(buf) // kernel.page_size
                kernel.log.err(f"Memory failure: {pfn:#x}: memory outside kernel control")
            raise
        address, what, result = kstrtoull(buf), "non struct page pfn", "Ignored"
    pfn = address // kernel.page_size
    kernel.log.err(f"Memory failure: {pfn:#x}: recovery action for {what}: {result}")
    if result == "Ignored":
        raise KernelError(errno.EBUSY, "no page there")


blocks: Kset[MemoryBlock] = Kset(
    names=lambda kernel: named("memory", kernel.memory.block_ids()),
    lookup=lambda kernel, name: _block(kernel, name),
    count=lambda kernel: kernel.memory.count(),
    identity=lambda b: b.memory.removals(b.id),
)
"""The set of the memory blocks: a MemoryBlock for each of devices/system/memory/memory*."""


def _block(kernel: Kernel, name: str) -> MemoryBlock | None:
    n = numbered("memory", name)
    return None if n is None else kernel.memory.block(n)


block = AttributeGroup("devices/system/memory/memory*", blocks)


@block.show
def online_show(b: MemoryBlock) -> str:
    """1 if the block is online, else 0."""
    return f"{int(b.online)}\n"


@block.store
def online_store(b: MemoryBlock, buf: str) -> None:
    """Take the block on- or offline; where it is so already, nothing happens. EINVAL, or as state."""
    if kstrtobool(buf):
        b.kernel.memory_hotplug.online(b, OnlineType.ONLINE)
    else:
        b.kernel.memory_hotplug.offline(b)


@block.show
def phys_index_show(b: MemoryBlock) -> str:
    """The block's number, eight hex digits."""
    return f"{b.id:08x}\n"


@block.show
def state_show(b: MemoryBlock) -> str:
    """online, offline or going-offline."""
    return f"{b.state.value}\n"


@block.store
def state_store(b: MemoryBlock, buf: str) -> None:
    """Take the block on- or offline; EINVAL for any other word, and where it is so already.

    EBUSY if something in it cannot be moved; a notifier's errno.
    """
    wanted = online_type(buf)
    changed = (
        b.kernel.memory_hotplug.offline(b)
        if wanted is OnlineType.OFFLINE
        else b.kernel.memory_hotplug.online(b, wanted)
    )
    if not changed:
        raise KernelError(errno.EINVAL, f"already {b.state.value}")


@block.show
def phys_device_show(b: MemoryBlock) -> str:
    """Always 0."""
    return "0\n"


@block.show
def removable_show(b: MemoryBlock) -> str:
    """Always 1: kept for old tools, no check is made."""
    return "1\n"


@block.show
def valid_zones_show(b: MemoryBlock) -> str:
    """The block's zone, or the zones it may go to, the default one first."""
    return f"{b.kernel.memory_hotplug.valid_zones(b)}\n"


device_uevent(block, "memory")


def _node_names(b: MemoryBlock) -> list[str]:
    return [f"node{n}" for n in b.memory.nodes(b)]


block_nodes: Kset[int] = Kset(
    names=_node_names,
    lookup=lambda b, name: next((n for n in b.memory.nodes(b) if f"node{n}" == name), None),
    count=lambda b: len(b.memory.nodes(b)),
    parent=blocks,
)
node_link = Link(
    "devices/system/memory/memory*/node*", block_nodes, lambda n: f"devices/system/node/node{n}"
)
firmware_node = Link(
    "devices/system/memory/memory*/firmware_node",
    blocks,
    lambda b: f"devices/{b.kernel.platform.firmware_node(b.start)}",
    is_visible=lambda kernel, b: bool(kernel.platform.firmware_node(b.start)),
)
GROUPS: tuple[Declaration, ...] = (
    memory,
    block,
    node_link,
    firmware_node,
    power("devices/system/memory", singleton),
    power("devices/system/memory/memory*", blocks),
    *subsystem("memory", blocks, "memory"),
)
