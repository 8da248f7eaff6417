"""What memory is said to be used for, `[[use]]`: known kinds, on RAM, in whole pages, none over another. Imports .faults, .sizes, .spans."""

from __future__ import annotations

from elfcorehdr.machine import PAGE_KINDS, Machine
from elfcorehdr.machine.faults import Faults, near_of
from elfcorehdr.machine.places import kernel_place
from elfcorehdr.machine.spans import Spans

ORDER_MAX = 18
"""A page of 1 GiB, of 4 KiB ones."""


def check_use(machine: Machine, ram: Spans, faults: Faults) -> None:
    """Tell each fault."""
    page, behind = machine.page_size, -1
    for i, u in sorted(enumerate(machine.use), key=lambda row: row[1].start):
        at, where = f"use[{i}]", f"{u.start:#x} + {u.size:#x}"
        if u.kind not in PAGE_KINDS:
            faults.say(
                f"{at}.kind: {u.kind!r}, expected one of {', '.join(PAGE_KINDS)}{near_of(u.kind, PAGE_KINDS)}"
            )
        elif u.kind == "hwpoison" and not machine.config.get("MEMORY_FAILURE", True):
            faults.say(f"{at}.kind: 'hwpoison', expected a kernel with config.MEMORY_FAILURE")
        if u.order > ORDER_MAX or u.start % (page << min(u.order, ORDER_MAX)):
            faults.say(
                f"{at}.order: {u.order}, expected log2 of a block's pages, at most {ORDER_MAX}, that start is aligned to"
            )
        if not u.size or u.start % page or u.size % page:
            faults.say(f"{at}: {where}, expected whole pages, at least one")
        elif not ram.covers(u.start, u.size):
            faults.say(f"{at}: {where}, expected a place in memory")
        if u.kind in ("hugetlb", "slab", "free") and u.size % (page << min(u.order, ORDER_MAX)):
            faults.say(f"{at}.size: {u.size:#x}, expected whole blocks of order {u.order}")
        start, size = kernel_place(machine)
        if size and u.kind != "kernel" and u.start < start + size and start < u.start + u.size:
            faults.say(
                f"{at}.kind: {u.kind!r}, expected 'kernel': the running one lies there, at {start:#x}"
            )
        if u.content.startswith("file:") and not u.content.startswith("file:/"):
            faults.say(f"{at}.content: {u.content!r}, expected the absolute path of a file")
        if u.start <= behind:
            faults.say(f"{at}: {where}, expected memory that no other use has")
        behind = max(behind, u.start + u.size - 1)
