"""nodeN/hugepages/: mm/hugetlb.c (v7.1). No page is ever allocated, so the pools stay empty."""

from __future__ import annotations

import errno
import re

from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.lib.kstrtox import kstrtoull
from elfcorehdr.lib.record import Record
from fsmount.sysfs.node import Node, nodes
from fsmount.tree.kobject import AttributeGroup, Declaration, Kset


class Hstate(Record):
    """One size of huge pages on a node, in kB: struct hstate."""

    node: Node
    size: int

    @property
    def demote_size(self) -> int:
        """The next smaller size, in kB; 0 if there is none."""
        return max((s for s in _sizes(self.node) if s < self.size), default=0)


def _sizes(node: Node) -> tuple[int, ...]:
    return node.kernel.arch.huge_page_sizes(node.kernel)


hstates: Kset[Hstate] = Kset(
    names=lambda node: (f"hugepages-{size}kB" for size in _sizes(node)),
    lookup=lambda node, name: next(
        (Hstate(node, size) for size in _sizes(node) if name == f"hugepages-{size}kB"), None
    ),
    count=lambda node: len(_sizes(node)),
    parent=nodes,
)
hugepages = AttributeGroup(
    "devices/system/node/node*/hugepages",
    nodes,
    is_visible=lambda kernel, obj: kernel.config("HUGETLB_PAGE"),
)
hstate = AttributeGroup("devices/system/node/node*/hugepages/hugepages-*", hstates)


@hstate.show
def nr_hugepages_show(h: Hstate) -> str:
    """Huge pages in the pool."""
    return "0\n"


@hstate.store
def nr_hugepages_store(h: Hstate, buf: str) -> None:
    """Ask for so many; as with fragmented memory, none can be had, and that is no error. EINVAL."""
    kstrtoull(buf)


@hstate.show
def free_hugepages_show(h: Hstate) -> str:
    """Huge pages that nobody uses."""
    return "0\n"


@hstate.show
def surplus_hugepages_show(h: Hstate) -> str:
    """Huge pages beyond the pool's size."""
    return "0\n"


def _can_demote(kernel: Kernel, h: Hstate) -> bool:
    """Whether there is a smaller size."""
    return bool(h.demote_size)


@hstate.store(is_visible=_can_demote)
def demote_store(h: Hstate, buf: str) -> None:
    """Split so many huge pages into smaller ones; there are none to split. EINVAL."""
    kstrtoull(buf)


@hstate.show(is_visible=_can_demote)
def demote_size_show(h: Hstate) -> str:
    """The size that demote splits into."""
    return f"{h.demote_size}kB\n"


@hstate.store
def demote_size_store(h: Hstate, buf: str) -> None:
    """Only the next smaller size can be chosen: there are two. EINVAL."""
    match = re.match(r"(\d+)([kmg]?)", buf, re.IGNORECASE)
    kib = int(match[1]) << {"": 0, "k": 10, "m": 20, "g": 30}[match[2].lower()] if match else 0
    if kib != h.demote_size << 10:
        raise KernelError(errno.EINVAL, "no smaller size of huge pages")


GROUPS: tuple[Declaration, ...] = (hugepages, hstate)
