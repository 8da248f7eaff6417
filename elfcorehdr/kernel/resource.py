"""The tree of physical memory resources, /proc/iomem: kernel/resource.c (v7.1)."""

from __future__ import annotations

import errno
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from elfcorehdr.errors import KernelError
from elfcorehdr.lib.journal import Edit, Journal
from elfcorehdr.lib.ranges import Range

SYSTEM_RAM = "System RAM"
CRASH_KERNEL = "Crash kernel"


class Resource:
    """One resource: start..end in bytes, both included, and what lies in it, ascending."""

    __slots__ = ("children", "end", "mergeable", "name", "start", "system_ram")

    def __init__(self, start: int, end: int, name: str, *, mergeable: bool = False) -> None:
        self.start = start
        self.end = end
        self.name = name
        self.mergeable = mergeable
        """IORESOURCE_SYSRAM_MERGEABLE"""
        self.system_ram = name.startswith(SYSTEM_RAM)
        """IORESOURCE_SYSTEM_RAM with IORESOURCE_BUSY: "System RAM (virtio_mem)" has them too."""
        self.children: list[Resource] = []

    @property
    def range(self) -> Range:
        """Its bytes, end included."""
        return Range(self.start, self.end)

    def holds(self, other: Resource) -> bool:
        """Whether other lies wholly in it."""
        return self.start <= other.start and other.end <= self.end

    def child_around(self, other: Resource) -> Resource | None:
        """The child that other lies wholly in, or None."""
        at = bisect_right(self.children, other.start, key=_start) - 1
        if at >= 0 and self.children[at].holds(other):
            return self.children[at]
        return None

    def same(self, other: Resource) -> bool:
        """Whether they are the same bytes."""
        return self.start == other.start and self.end == other.end


def _start(resource: Resource) -> int:
    return resource.start


def _end(resource: Resource) -> int:
    return resource.end


class Iomem:
    """iomem_resource"""

    def __init__(self) -> None:
        self._root = Resource(0, (1 << 64) - 1, "PCI mem")
        self.edits = Journal()
        """What add_memory() and remove_memory() did to system_ram(); anything else begins it anew."""

    # looking

    def rows(self) -> Iterator[tuple[int, Range, str]]:
        """Level, range and name of every resource, a parent before its children."""
        return self._rows(self._root, 0)

    def _rows(self, parent: Resource, level: int) -> Iterator[tuple[int, Range, str]]:
        for child in parent.children:
            yield level, child.range, child.name
            yield from self._rows(child, level + 1)

    def system_ram(self) -> Iterator[Range]:
        """walk_system_ram_res(): System RAM from the lowest address on, each byte once.

        A nested row counts only where no System RAM lies around it.
        """
        return self._system_ram(self._root)

    def _system_ram(self, parent: Resource) -> Iterator[Range]:
        for child in parent.children:
            if child.system_ram:
                yield child.range
            else:
                yield from self._system_ram(child)

    # changing

    def insert(self, new: Resource, *, inside: bool = False) -> None:
        """insert_resource(): under the smallest resource that holds it, taking over those it holds.

        One of the same bytes is taken over too, unless `inside`: then new goes into it, as a driver's
        row goes into its device's. KernelError(EBUSY) if it would cut another one in two.
        """
        self._insert(new, inside=inside)
        self.edits.forget()

    def _insert(self, new: Resource, *, inside: bool = False) -> bool:
        """insert(); whether it lies in the root or in what is no System RAM, and holds nothing."""
        parent = self._root
        while (around := parent.child_around(new)) is not None:
            if around.same(new) and not inside:
                break
            parent = around
        first = bisect_left(parent.children, new.start, key=_end)
        last = bisect_right(parent.children, new.end, key=_start)
        clash = parent.children[first:last]
        if any(not new.holds(c) for c in clash):
            raise KernelError(errno.EBUSY, f"{new.name} overlaps {clash[0].name}")
        new.children = clash
        parent.children[first:last] = [new]
        return not clash and not parent.system_ram

    def find(self, start: int, end: int, name: str) -> Resource | None:
        """The resource with these ends (both included) and this name, or None."""
        wanted, parent = Resource(start, end, name), self._root
        while (around := parent.child_around(wanted)) is not None:
            if around.same(wanted) and around.name == name:
                return around
            parent = around
        return None

    def release(self, old: Resource) -> None:
        """release_resource(): it goes, with all that lies in it."""
        siblings = self._siblings(old)
        del siblings[bisect_left(siblings, old.start, key=_start)]
        self.edits.forget()

    def add_memory(self, start: int, end: int, name: str, *, merge: bool) -> None:
        """register_memory_resource(); merge joins it with like neighbours, as virtio-mem asks.

        Mirrors add_memory_resource(), mm/memory_hotplug.c, and merge_system_ram_resource().
        """
        new = Resource(start, end, name, mergeable=merge)
        plain = self._insert(new)
        if merge:
            self._merge(new)
        self.edits.append(Edit(True, start, end, new.start < start, new.end > end))
        if not plain or not new.system_ram:
            self.edits.forget()

    def _merge(self, new: Resource) -> None:
        """merge_system_ram_resource()"""
        siblings = self._siblings(new)
        at = bisect_left(siblings, new.start, key=_start)
        if at and _mergeable(siblings[at - 1], new):
            new.start = siblings[at - 1].start
            del siblings[at - 1]
            at -= 1
        if at + 1 < len(siblings) and _mergeable(new, siblings[at + 1]):
            new.end = siblings[at + 1].end
            del siblings[at + 1]

    def remove_memory(self, start: int, end: int) -> None:
        """release_mem_region_adjustable(): cut start..end (included) out of the System RAM around it."""
        gone, parent = Resource(start, end, ""), self._root
        while (around := parent.child_around(gone)) is not None and not around.system_ram:
            parent = around
        if around is None:
            return  # Unable to release resource: the kernel warns and goes on
        siblings = parent.children
        at = bisect_left(siblings, around.start, key=_start)
        left: list[Resource] = []
        for lo, hi in ((around.start, start - 1), (end + 1, around.end)):
            if lo <= hi:
                part = Resource(lo, hi, around.name, mergeable=around.mergeable)
                part.children = [c for c in around.children if part.holds(c)]
                left.append(part)
        siblings[at : at + 1] = left
        self.edits.append(Edit(False, start, end))

    def _siblings(self, resource: Resource) -> list[Resource]:
        parent = self._root
        while (around := parent.child_around(resource)) is not None and around is not resource:
            parent = around
        return parent.children


def _mergeable(one: Resource, other: Resource) -> bool:
    """system_ram_resources_mergeable()"""
    return (
        one.mergeable
        and other.mergeable
        and one.end + 1 == other.start
        and one.name == other.name
        and not one.children
        and not other.children
    )
