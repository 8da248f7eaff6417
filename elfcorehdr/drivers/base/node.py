"""NUMA nodes: what memory and CPUs are on them. drivers/base/node.c, mm/numa_memblks.c (v7.1)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from elfcorehdr.lib.range_map import RangeMap
from elfcorehdr.lib.ranges import Range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel


class Nodes:
    """The nodes of a kernel; they follow from memblock and the CPUs."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.hotplugged = RangeMap()
        """Nodes that firmware names for memory that was plugged in."""
        self._boot_reserved: list[Range] | None = None

    def of(self, start: int, end: int) -> list[int]:
        """Nodes of the RAM in start..end (included), ascending."""
        region = self._kernel.memblock.find(start)
        if region is not None and end <= region.end:  # nearly always
            return [region.node]
        return sorted({r.node for r in self._kernel.memblock.overlapping(start, end)})

    def span(self, node: int) -> tuple[int, int]:
        """First and last byte of a node's RAM."""
        return self._kernel.memblock.node_span(node) or (0, 0)

    def for_new(self, address: int) -> int:
        """What firmware says of memory there: when it was plugged in, at boot, else the first node."""
        node = self.hotplugged.get(address)
        if node is None:
            memory = self._kernel.machine.memory
            i = bisect_right(memory, address, key=lambda m: m.start) - 1
            node = memory[i].node if i >= 0 and address <= memory[i].end else self.ids()[0]
        return node

    def kept(self, start: int, end: int) -> int:
        """Bytes of start..end (included) that the page allocator never had."""
        kernel, fadump = self._kernel, self._kernel.platform.fadump
        if self._boot_reserved is None:
            self._boot_reserved = kernel.boot_reserved()
        kept = [*self._boot_reserved, kernel.kexec.crashk_res, kernel.kexec.crashk_low_res]
        if fadump is not None:
            kept.append(fadump.kept)
        return sum(max(0, min(r.end, end) - max(r.start, start) + 1) for r in kept if r is not None)

    def with_memory(self) -> list[int]:
        """Nodes with memory, ascending."""
        return self._kernel.memblock.nodes()

    def ids(self) -> list[int]:
        """Nodes with memory or CPUs, ascending."""
        kernel = self._kernel
        return sorted({*kernel.memblock.nodes(), *kernel.cpus.boot_nodes, 0})

    def block_ids(self, node: int) -> Iterator[int]:
        """The memory blocks with RAM on a node, ascending."""
        memory = self._kernel.memory
        size = memory.block_size
        last = -1
        for region in self._kernel.memblock.node_regions(node):
            for n in range(max(last + 1, region.start // size), region.end // size + 1):
                if memory.code(n):
                    yield n
                last = n

    def memory(self, node: int) -> tuple[int, int]:
        """Bytes that the page allocator has on a node, and free ones.

        Total is online RAM less what boot took and the reservation; only huge pages are ever allocated here.
        """
        kernel = self._kernel
        total = kernel.memblock.node_bytes(node)
        total -= sum(
            kernel.memory.offline(r.start, r.end) for r in kernel.memblock.node_regions(node)
        )
        total -= sum(self.kept(r.start, r.end) for r in kernel.memblock.node_regions(node))
        return max(total, 0), max(total - kernel.hugetlb.node_bytes(node), 0)
