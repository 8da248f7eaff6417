"""struct page, made from runs of use: include/linux/mm_types.h, page-flags.h (v6.1 to v7.3).

Where the fields lie and what values mean comes from the kernel's VMCOREINFO, so that a tool that reads one finds
the other. Imports .page_use and kernel.vmcoreinfo.text.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from elfcorehdr.kernel.vmcoreinfo.text import VmcoreInfo, release_of
from elfcorehdr.mm.page_use import PageUse, Run

U64 = (1 << 64) - 1
PAGE_MAPPING_ANON = 1
TAIL_MAPPING = 0xDEAD000000000400
"""include/linux/poison.h, with the architectures' POISON_POINTER_DELTA."""
_PG_UPTODATE, _PG_REFERENCED = 1 << 2, 1 << 1
"""Bits that no tool here reads; 6.12's places."""


class StructPage:
    """How one kernel's struct page is laid out.

    address(phys): the virtual address of an object of the kernel's in the direct map; page_va(pfn): of a struct page.
    masks: whether the tails of a compound page hold a mask (HVO, since 7.1).
    """

    def __init__(
        self,
        info: VmcoreInfo,
        page_va: Callable[[int], int],
        objects: int,
        *,
        masks: bool,
    ) -> None:
        self.size = info.size("page")
        self._info = info
        self._release = release_of(info.lines.get("OSRELEASE", ""))
        self._page_va = page_va
        self._mapping = objects & ~7
        """Something that looks like a struct address_space or anon_vma: an address in the direct map."""
        self._at = {
            name: info.offset(f"page.{name}")
            for name in ("flags", "_refcount", "_mapcount", "mapping", "private", "lru")
        }
        head = info.offset("page.compound_info")
        self._masks = head is not None and masks and not self.size & (self.size - 1)
        self._head_at = head if head is not None else info.offset("page.compound_head")
        self._order_at = info.offset("page.compound_order")
        self._dtor_at = info.offset("page.compound_dtor")
        self._made: dict[tuple[str, int], bytes] = {}

    def _bit(self, name: str) -> int:
        bit = self._info.number(name)
        return 0 if bit is None else 1 << bit

    def _page(
        self, flags: int = 0, count: int = 1, mapcount: int = -1, mapping: int = 0, private: int = 0
    ) -> bytearray:
        page = bytearray(self.size)
        for name, form, value in (
            ("flags", "<Q", flags),
            ("_refcount", "<I", count),
            ("_mapcount", "<I", mapcount & 0xFFFFFFFF),
            ("mapping", "<Q", mapping),
            ("private", "<Q", private),
        ):
            at = self._at[name]
            if at is not None:
                struct.pack_into(form, page, at, value)
        return page

    def _typed(self, name: str) -> int:
        value = self._info.number(f"PAGE_{name}_MAPCOUNT_VALUE")
        return -1 if value is None else value

    def head(self, kind: str, order: int) -> bytearray:
        """The first struct page of a block."""
        lru, private = self._bit("PG_lru"), self._bit("PG_private")
        compound = (self._info.number("PG_head_mask") or 0) if order else 0
        cache = lru | _PG_UPTODATE | compound
        match kind:
            case "free":
                return self._page(0, 0, self._typed("BUDDY"), private=order)
            case "cache":
                return self._page(cache | _PG_REFERENCED, 2, mapping=self._mapping)
            case "private-cache":
                return self._page(cache | private, 3, mapping=self._mapping, private=self._mapping)
            case "anon":
                flags = cache | self._bit("PG_swapbacked")
                return self._page(flags, 1, 0, self._mapping | PAGE_MAPPING_ANON)
            case "slab":
                return self._page(self._bit("PG_slab") | compound, 1, self._typed("SLAB"))
            case "hugetlb":
                typed = self._typed("HUGETLB")
                return self._page(_PG_UPTODATE | compound, 1, typed, self._mapping)
            case "offline":
                return self._page(0, 1, self._typed("OFFLINE"))
            case "hwpoison":
                return self._page(self._bit("PG_hwpoison"), 1)
            case "isolated":
                return self._page(0, 0)
            case _:
                return self._page(compound, 1)

    def _tail(self) -> bytearray:
        """A page behind the head: prep_compound_tail()."""
        return self._page(0, 0, mapping=TAIL_MAPPING)

    def _first_tail(self, kind: str, order: int) -> bytearray:
        """The second struct page: it has the order, what the compound page is, and its counts (struct folio).

        Where the counts lie decides what a tool that takes it for a page of its own sees in `mapping`.
        """
        page = self._tail()
        mapped = 0 if kind in ("anon", "hugetlb") else -1
        for at, value in zip(range(16, 40, 4), self._counts(mapped), strict=True):
            struct.pack_into("<i", page, at, value)
        if self._order_at is not None and self._dtor_at is not None:
            page[self._order_at] = order
            hugetlb = self._info.number("HUGETLB_PAGE_DTOR") or 2
            page[self._dtor_at] = hugetlb if kind == "hugetlb" else 1
        else:
            flags = order | (self._bit("PG_hugetlb") if kind == "hugetlb" else 0)
            struct.pack_into("<Q", page, self._at["flags"] or 0, flags)
        return page

    def _compound(self, page: bytearray, head_pfn: int, order: int) -> bytes:
        if self._head_at is not None:
            if self._masks:
                value = U64 << (order + self.size.bit_length() - 1) & U64
            else:
                value = self._page_va(head_pfn)
            struct.pack_into("<Q", page, self._head_at, value | 1)
        return bytes(page)

    def block(self, kind: str, pfn: int, order: int) -> bytes:
        """The struct pages of one block."""
        key = (kind, order)
        fixed = kind == "free" or not order or self._masks
        if fixed and key in self._made:
            return self._made[key]
        head = bytes(self.head(kind, order))
        if not order:
            made = head
        elif kind == "free":
            made = head + bytes(self._page(0, 0)) * ((1 << order) - 1)
        else:
            made = head + self._compound(self._first_tail(kind, order), pfn, order)
            made += self._compound(self._tail(), pfn, order) * ((1 << order) - 2)
        if fixed:
            self._made[key] = made
        return made

    def _counts(self, mapped: int) -> tuple[int, int, int, int, int, int]:
        """Bytes 16 to 39 of the second struct page."""
        if self._release >= (6, 15):
            # _large_mapcount, _nr_pages_mapped, _entire_mapcount, _pincount, _mm_id_mapcount
            return mapped, 0, mapped, 0, -1, -1
        if self._release >= (6, 6):
            # _large_mapcount, _entire_mapcount, _nr_pages_mapped, _pincount
            return mapped, mapped, 0, 0, 0, 0
        return 0, mapped, 0, 0, 0, 0  # dtor and order, compound_mapcount, compound_pincount

    def of_run(self, use: PageUse, run: Run) -> bytes:
        """The struct pages of a run of whole blocks."""
        page = use.page_size
        parts: list[bytes] = []
        kind = run.use.kind
        for address, order, count in use.blocks(run):
            # A run cut at its edge leaves no huge page whole.
            is_kind = "anon" if kind == "hugetlb" and order < run.use.order else kind
            fixed = is_kind == "free" or not order or self._masks
            if fixed:
                parts.append(self.block(is_kind, address // page, order) * count)
            else:
                parts += [
                    self.block(is_kind, (address // page) + (n << order), order)
                    for n in range(count)
                ]
        return b"".join(parts)

    def pages(self, use: PageUse, first: int, last: int) -> bytes:
        """The struct pages of page frames first..last-1."""
        page = use.page_size
        # Blocks are aligned: from the border of the largest, each block is seen whole.
        step = 1 << use.max_block
        begin, end = first // step * step, -(-last // step) * step
        parts: list[bytes] = []
        at = begin
        for run in use.runs(begin * page, end * page):
            pfn, stop = max(-(-run.start // page), at), -(-run.end // page)
            if stop > first and pfn < last and stop > pfn:
                made = self.of_run(use, Run(pfn * page, stop * page, run.use))
                lo, hi = max(first - pfn, 0), min(last, stop) - pfn
                parts.append(made[lo * self.size : hi * self.size])
            at = max(at, stop)
        return b"".join(parts)
