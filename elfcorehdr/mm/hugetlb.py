"""The pools of huge pages: mm/hugetlb.c (v7.3). Pages are taken as long as there is memory; it never lies in pieces."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

SIZE = r"(\d+)([kmgKMG]?)"


class Hugetlb:
    """How many pages of each size each node has in its pool. Sizes are in kB."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._pages: dict[tuple[int, int], int] = {}
        self.overcommit: dict[int, int] = {}
        """nr_overcommit_hugepages, by size."""
        self._default = 0

    @property
    def default_size(self) -> int:
        """The size that /proc/meminfo and the sysctls speak of."""
        return self._default or self._kernel.arch.default_huge_page(self._kernel)

    def boot(self) -> None:
        """hugetlb_init(): the pools that the command line asks for."""
        if "hugepage" in self._kernel.cmdline:
            self._cmdline()

    def _cmdline(self) -> None:
        """hugepagesz_setup(), hugepages_setup(), default_hugepagesz_setup()"""
        sizes, size = self.sizes(), self.default_size
        for word in self._kernel.cmdline.split():
            name, _, value = word.partition("=")
            if name in ("hugepagesz", "default_hugepagesz") and (m := re.fullmatch(SIZE, value)):
                asked = int(m[1]) << {"": 0, "k": 10, "m": 20, "g": 30}[m[2].lower()] >> 10
                size = asked if asked in sizes else 0
                if size and name == "default_hugepagesz":
                    self._default = size
            elif name == "hugepages" and value.isdecimal() and size:
                self.set(size, int(value))

    def sizes(self) -> tuple[int, ...]:
        """The sizes there are, the largest first."""
        kernel = self._kernel
        fadump = kernel.platform.fadump
        disabled = fadump is not None and fadump.had_dump and fadump.enabled  # hugetlb_disabled
        if disabled or not kernel.config("HUGETLB_PAGE"):
            return ()
        return kernel.arch.huge_page_sizes(kernel)

    @property
    def supported(self) -> bool:
        """hugepages_supported(): whether there is any size."""
        return bool(self.sizes())

    def count(self, size: int, node: int | None = None) -> int:
        """Pages of a size in the pool of a node; None for all."""
        if node is not None:
            return self._pages.get((size, node), 0)
        return sum(n for (kib, _), n in self._pages.items() if kib == size)

    def node_bytes(self, node: int) -> int:
        """Memory in a node's pools."""
        return sum(n * kib << 10 for (kib, at), n in self._pages.items() if at == node)

    def total_kib(self) -> int:
        """Memory in all pools: the row Hugetlb of /proc/meminfo."""
        return sum(n * kib for (kib, _), n in self._pages.items())

    def set(self, size: int, pages: int, node: int | None = None) -> None:
        """set_max_huge_pages(): grow or shrink the pool of a node, or all in turn; as far as there is memory."""
        nodes = [node] if node is not None else self._kernel.nodes.with_memory()
        missing = pages - sum(self.count(size, n) for n in nodes)
        while missing > 0:
            room = [(n, self._kernel.nodes.memory(n)[1] // (size << 10)) for n in nodes]
            room = [(n, free) for n, free in room if free > 0]
            if not room:
                return
            each = max(1, missing // len(room))
            for n, free in room:
                taken = min(each, free, missing)
                self._pages[size, n] = self.count(size, n) + taken
                missing -= taken
        while missing < 0:
            full = [n for n in nodes if self.count(size, n)]
            each = max(1, -missing // len(full))
            for n in full:
                given = min(each, self.count(size, n), -missing)
                self._pages[size, n] -= given
                missing += given

    def demote(self, size: int, pages: int, to: int, node: int | None = None) -> None:
        """demote_store(): split pages into smaller ones."""
        for n in [node] if node is not None else self._kernel.nodes.with_memory():
            split = min(pages, self.count(size, n))
            pages -= split
            if split:
                self._pages[size, n] -= split
                self._pages[to, n] = self.count(to, n) + split * (size // to)
