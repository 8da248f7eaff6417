"""nodeN/hugepages/ and /sys/kernel/mm/hugepages/: mm/hugetlb.c, mm/hugetlb_sysfs.c (v7.3). The pools are elfcorehdr/mm/hugetlb.py."""

from __future__ import annotations

import errno
from collections.abc import Callable

from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.crashkernel import memparse
from elfcorehdr.lib.kstrtox import kstrtoull
from elfcorehdr.lib.record import Record
from fsmount.sysfs.node import Node, nodes
from fsmount.tree.kobject import AttributeGroup, Declaration, IsVisible, Kset, singleton

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Hstate(Record):
    """One size of huge pages, in kB, on a node or on all: struct hstate."""

    kernel: Kernel
    size: int
    node: int | None = None

    @property
    def demote_size(self) -> int:
        """The next smaller size, in kB; 0 if there is none."""
        return max((s for s in self.kernel.hugetlb.sizes() if s < self.size), default=0)

    @property
    def pages(self) -> int:
        """How many are in the pool."""
        return self.kernel.hugetlb.count(self.size, self.node)


def _kset(
    parent: Kset[Any] | None,
    kernel_of: Callable[[Any], Kernel],
    node_of: Callable[[Any], int | None],
) -> Kset[Hstate]:
    """The sizes of a node, or of all."""

    def lookup(obj: Any, name: str) -> Hstate | None:
        kernel = kernel_of(obj)
        for size in kernel.hugetlb.sizes():
            if name == f"hugepages-{size}kB":
                return Hstate(kernel, size, node_of(obj))
        return None

    return Kset(
        names=lambda obj: (f"hugepages-{size}kB" for size in kernel_of(obj).hugetlb.sizes()),
        lookup=lookup,
        count=lambda obj: len(kernel_of(obj).hugetlb.sizes()),
        parent=parent,
    )


def _kernel_of(node: Node) -> Kernel:
    return node.kernel


def _node_of(node: Node) -> int:
    return node.id


hstates = _kset(nodes, _kernel_of, _node_of)
all_hstates = _kset(None, lambda kernel: kernel, lambda _: None)


def _has_hugetlb(kernel: Kernel, obj: object) -> bool:
    return kernel.hugetlb.supported


hugepages = AttributeGroup("devices/system/node/node*/hugepages", nodes, is_visible=_has_hugetlb)
hstate = AttributeGroup("devices/system/node/node*/hugepages/hugepages-*", hstates)
all_hugepages = AttributeGroup("kernel/mm/hugepages", singleton, is_visible=_has_hugetlb)
all_hstate = AttributeGroup("kernel/mm/hugepages/hugepages-*", all_hstates)


def nr_hugepages_show(h: Hstate) -> str:
    """Huge pages in the pool."""
    return f"{h.pages}\n"


def nr_hugepages_store(h: Hstate, buf: str) -> None:
    """Ask for so many; there are as many as memory allows, and fewer is no error. EINVAL."""
    h.kernel.hugetlb.set(h.size, kstrtoull(buf), h.node)


def free_hugepages_show(h: Hstate) -> str:
    """Huge pages that nobody uses."""
    return f"{h.pages}\n"


def surplus_hugepages_show(h: Hstate) -> str:
    """Huge pages beyond the pool's size."""
    return "0\n"


def resv_hugepages_show(h: Hstate) -> str:
    """Huge pages that somebody has asked for and not touched."""
    return "0\n"


def nr_overcommit_hugepages_show(h: Hstate) -> str:
    """How many more there may be when somebody needs them."""
    return f"{h.kernel.hugetlb.overcommit.get(h.size, 0)}\n"


def nr_overcommit_hugepages_store(h: Hstate, buf: str) -> None:
    """Set it. EINVAL, for gigantic pages too."""
    pages = kstrtoull(buf)
    if h.size > h.kernel.hugetlb.default_size:
        raise KernelError(errno.EINVAL, "gigantic pages are not had on demand")
    h.kernel.hugetlb.overcommit[h.size] = pages


def _can_demote(kernel: Kernel, h: Hstate) -> bool:
    """Whether there is a smaller size."""
    return bool(h.demote_size)


def demote_store(h: Hstate, buf: str) -> None:
    """Split so many huge pages into smaller ones. EINVAL."""
    h.kernel.hugetlb.demote(h.size, kstrtoull(buf), h.demote_size, h.node)


def demote_size_show(h: Hstate) -> str:
    """The size that demote splits into."""
    return f"{h.demote_size}kB\n"


def demote_size_store(h: Hstate, buf: str) -> None:
    """Only the next smaller size can be chosen. EINVAL."""
    if memparse(buf)[0] != h.demote_size << 10:
        raise KernelError(errno.EINVAL, "no smaller size of huge pages")


def _declare(group: AttributeGroup[Hstate], everywhere: bool) -> None:
    """The files of a directory; those of all nodes are more."""

    def both(
        name: str, show: Any = None, store: Any = None, visible: IsVisible[Hstate] | None = None
    ) -> None:
        group.add(name, show=show, store=store, is_visible=visible)

    both("nr_hugepages", nr_hugepages_show, nr_hugepages_store)
    both("free_hugepages", free_hugepages_show)
    both("surplus_hugepages", surplus_hugepages_show)
    both("demote", None, demote_store, _can_demote)
    both("demote_size", demote_size_show, demote_size_store, _can_demote)
    if everywhere:
        both("nr_hugepages_mempolicy", nr_hugepages_show, nr_hugepages_store)
        both("nr_overcommit_hugepages", nr_overcommit_hugepages_show, nr_overcommit_hugepages_store)
        both("resv_hugepages", resv_hugepages_show)


_declare(hstate, everywhere=False)
_declare(all_hstate, everywhere=True)

GROUPS: tuple[Declaration, ...] = (hugepages, hstate, all_hugepages, all_hstate)
