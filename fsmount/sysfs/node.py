"""/sys/devices/system/node/: drivers/base/node.c (v7.1)."""

from __future__ import annotations

import errno

from elfcorehdr.changes import in_sysfs
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.crashkernel import memparse
from elfcorehdr.lib.ranges import format_ids
from fsmount.sysfs.cpu import cpulist, cpulist_bytes, cpumap, cpumap_bytes
from fsmount.sysfs.device import device_uevent, named, subsystem
from fsmount.sysfs.power import power
from fsmount.sysfs.vmstat import node_meminfo, node_vmstat
from fsmount.tree.entries import numbered
from fsmount.tree.kobject import AttributeGroup, Declaration, Kset, Link, singleton

root = AttributeGroup("devices/system/node", singleton)


class Node:
    """A NUMA node that is online: it has memory or CPUs."""

    __slots__ = ("id", "kernel")

    def __init__(self, kernel: Kernel, id: int) -> None:
        self.kernel = kernel
        self.id = id

    @property
    def devpath(self) -> str:
        """The device's path below /sys."""
        return f"/devices/system/node/node{self.id}"

    def uevent_env(self) -> tuple[tuple[str, str], ...]:
        """Its uevent variables: none."""
        return ()

    def cpus(self) -> list[int]:
        """Its CPUs with a device, ascending."""
        return self.kernel.cpus.of_node(self.id)

    def online_mask(self) -> int:
        """Its running CPUs: bit n is CPU n."""
        bits = bytearray(self.kernel.cpus.nr_cpu_ids + 7 >> 3)
        for n in self.cpus():
            if n in self.kernel.cpus.online:
                bits[n >> 3] |= 1 << (n & 7)
        return int.from_bytes(bits, "little")


def _list(nodes: list[int]) -> str:
    return format_ids(nodes) + "\n"


@root.show
def possible_show(kernel: Kernel) -> str:
    """Nodes there can ever be."""
    return _list(kernel.nodes.ids())


@root.show
def online_show(kernel: Kernel) -> str:
    """Nodes with memory or CPUs."""
    return _list(kernel.nodes.ids())


@root.show
def has_normal_memory_show(kernel: Kernel) -> str:
    """Nodes with memory that the kernel itself can use."""
    return _list(kernel.nodes.with_memory())


@root.show
def has_memory_show(kernel: Kernel) -> str:
    """Nodes with memory."""
    return _list(kernel.nodes.with_memory())


@root.show
def has_cpu_show(kernel: Kernel) -> str:
    """Nodes with running CPUs."""
    return _list(sorted({kernel.cpus.node_of(n) for n in kernel.cpus.online}))


@root.show
def has_generic_initiator_show(kernel: Kernel) -> str:
    """Nodes with devices that start memory traffic of their own: none here."""
    return "\n"


nodes: Kset[Node] = Kset(
    names=lambda kernel: named("node", iter(kernel.nodes.ids())),
    lookup=lambda kernel, name: _node(kernel, name),
    count=lambda kernel: len(kernel.nodes.ids()),
)
"""The set of the NUMA nodes that are online: a Node for each of devices/system/node/node*."""


def _node(kernel: Kernel, name: str) -> Node | None:
    n = numbered("node", name)
    return Node(kernel, n) if n is not None and n in kernel.nodes.ids() else None


node = AttributeGroup("devices/system/node/node*", nodes)


@node.bin_show(size=lambda n: cpumap_bytes(n.kernel))
def cpumap_show(n: Node) -> bytes:
    """Its running CPUs, as a mask."""
    return (cpumap(n.online_mask(), n.kernel.cpus.nr_cpu_ids) + "\n").encode()


@node.bin_show(size=lambda n: cpulist_bytes(n.kernel))
def cpulist_show(n: Node) -> bytes:
    """Its running CPUs, as a list."""
    return (cpulist(n.online_mask()) + "\n").encode()


@node.show
def meminfo_show(n: Node) -> str:
    """Its memory in kB; what is used is the kernel and the crash kernel's reservation alone."""
    return node_meminfo(n.kernel, n.id)


@node.show
def vmstat_show(n: Node) -> str:
    """Its counters, one a line."""
    return node_vmstat(n.kernel, n.id)


@node.show
def distance_show(n: Node) -> str:
    """Distance to every node, 10 for itself."""
    other = str(n.kernel.arch.node_distance)
    return " ".join("10" if m == n.id else other for m in n.kernel.nodes.ids()) + "\n"


@node.show
def numastat_show(n: Node) -> str:
    """Allocation counters; nothing allocates here."""
    names = ("numa_hit", "numa_miss", "numa_foreign", "interleave_hit", "local_node", "other_node")
    return "".join(f"{name} 0\n" for name in names)


@node.store
def compact_store(n: Node, buf: str) -> None:
    """Compact the node's memory: nothing to do here."""


@node.store(is_visible=lambda kernel, n: kernel.has(in_sysfs.NODE_RECLAIM))
def reclaim_store(n: Node, buf: str) -> None:
    """Free memory of the node: so many bytes, with a unit. EINVAL, EAGAIN: nobody uses any."""
    size, rest = memparse(buf.split("\0", 1)[0].strip())
    if not size or rest:
        raise KernelError(errno.EINVAL, "not a size")
    raise KernelError(errno.EAGAIN, "less was freed than was asked for")


device_uevent(node, "node")

memory_failure = AttributeGroup(
    "devices/system/node/node*/memory_failure",
    nodes,
    is_visible=lambda kernel, n: (
        kernel.config("MEMORY_FAILURE") and kernel.has(in_sysfs.MEMORY_FAILURE_STATS)
    ),
)
for _name in ("total", "ignored", "failed", "delayed", "recovered"):
    memory_failure.add(_name, show=lambda n: "0\n", doc="Poisoned pages; none are.")

node_blocks: Kset[int] = Kset(
    names=lambda n: named("memory", n.kernel.nodes.block_ids(n.id)),
    lookup=lambda n, name: _node_block(n, name),
    count=lambda n: 0,  # links add nothing to a directory's link count
    parent=nodes,
)


def _node_block(n: Node, name: str) -> int | None:
    number = numbered("memory", name)
    if number is None or (block := n.kernel.memory.block(number)) is None:
        return None
    return number if n.id in n.kernel.memory.nodes(block) else None


node_cpus: Kset[int] = Kset(
    names=lambda n: named("cpu", iter(n.cpus())),
    lookup=lambda n, name: _node_cpu(n, name),
    count=lambda n: 0,
    parent=nodes,
)


def _node_cpu(n: Node, name: str) -> int | None:
    number = numbered("cpu", name)
    if number is None or n.kernel.cpus.device(number) is None:
        return None
    return number if n.kernel.cpus.node_of(number) == n.id else None


GROUPS: tuple[Declaration, ...] = (
    root,
    node,
    memory_failure,
    power("devices/system/node", singleton),
    power("devices/system/node/node*", nodes),
    Link(
        "devices/system/node/node*/memory*",
        node_blocks,
        lambda b: f"devices/system/memory/memory{b}",
    ),
    Link("devices/system/node/node*/cpu*", node_cpus, lambda c: f"devices/system/cpu/cpu{c}"),
    *subsystem("node", nodes, "node"),
)
