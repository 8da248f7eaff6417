"""The resource tree: nesting, System RAM in order, merging, splitting."""

from __future__ import annotations

import pytest

from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.resource import Iomem, Resource
from elfcorehdr.lib.ranges import Range


def tree(*rows):
    iomem = Iomem()
    for start, end, name in rows:
        iomem.insert(Resource(start, end, name))
    return iomem


def text(iomem):
    return [f"{'  ' * level}{r.start:x}-{r.end:x} {name}" for level, r, name in iomem.rows()]


def test_a_resource_goes_into_the_smallest_that_holds_it_whatever_the_order():
    rows = [(0, 0xFFF, "Reserved"), (0x1000, 0x8FFF, "System RAM"), (0x2000, 0x2FFF, "Kernel code")]
    expected = ["0-fff Reserved", "1000-8fff System RAM", "  2000-2fff Kernel code"]
    assert text(tree(*rows)) == text(tree(*reversed(rows))) == expected


def test_of_two_with_the_same_bytes_the_new_one_is_outside_unless_asked_inside():
    iomem = tree((0, 9, "old"))
    iomem.insert(Resource(0, 9, "around"))
    iomem.insert(Resource(0, 9, "within"), inside=True)
    assert text(iomem) == ["0-9 around", "  0-9 old", "    0-9 within"]


def test_a_resource_that_would_cut_another_is_refused():
    iomem = tree((0, 9, "one"))
    with pytest.raises(KernelError, match="EBUSY"):
        iomem.insert(Resource(5, 15, "two"))
    assert text(iomem) == ["0-9 one"]


def test_nested_system_ram_counts_only_where_no_system_ram_is_around_it():
    iomem = tree(
        (0x1000, 0x8FFF, "System RAM"),
        (0x3000, 0x3FFF, "System RAM"),
        (0xA000, 0xFFFF, "virtio0"),
        (0xB000, 0xBFFF, "System RAM (virtio_mem)"),
        (0xC000, 0xCFFF, "System RAMble"),
    )
    assert list(iomem.system_ram()) == [
        Range(0x1000, 0x8FFF),
        Range(0xB000, 0xBFFF),
        Range(0xC000, 0xCFFF),
    ]


def test_memory_that_a_driver_adds_is_merged_with_its_neighbours_and_with_nothing_else():
    iomem = tree((0, 0xFFFF, "virtio0"), (0x10000, 0x1FFFF, "System RAM"))
    name = "System RAM (virtio_mem)"
    for start in (0x1000, 0x3000, 0x2000, 0xF000):
        iomem.add_memory(start, start + 0xFFF, name, merge=True)
    assert text(iomem) == [
        "0-ffff virtio0",
        f"  1000-3fff {name}",
        f"  f000-ffff {name}",
        "10000-1ffff System RAM",
    ]


def test_dimms_side_by_side_stay_apart():
    iomem = Iomem()
    iomem.add_memory(0x1000, 0x1FFF, "System RAM", merge=False)
    iomem.add_memory(0x2000, 0x2FFF, "System RAM", merge=False)
    assert text(iomem) == ["1000-1fff System RAM", "2000-2fff System RAM"]


def test_taking_memory_out_splits_its_row_and_keeps_what_lies_in_the_parts():
    iomem = tree((0, 0xFFFF, "virtio0"), (0x1000, 0x8FFF, "System RAM"), (0x1800, 0x1FFF, "x"))
    iomem.remove_memory(0x4000, 0x4FFF)
    iomem.remove_memory(0x8000, 0x8FFF)
    assert text(iomem) == [
        "0-ffff virtio0",
        "  1000-3fff System RAM",
        "    1800-1fff x",
        "  5000-7fff System RAM",
    ]
    iomem.remove_memory(0x20000, 0x20FFF)  # nothing there: as the kernel, it goes on
    assert len(text(iomem)) == 4


def test_releasing_a_resource_takes_what_lies_in_it_along():
    iomem = tree((0, 0xFF, "a"), (0x10, 0x1F, "b"), (0x12, 0x13, "c"))
    found = iomem.find(0x10, 0x1F, "b")
    assert found is not None
    assert iomem.find(0x10, 0x1F, "c") is None
    iomem.release(found)
    assert text(iomem) == ["0-ff a"]
