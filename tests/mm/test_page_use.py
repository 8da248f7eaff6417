"""What pages are used for: runs, blocks, and the struct pages that are made from them."""

from __future__ import annotations

import struct

import pytest

from elfcorehdr.errors import ProfileError
from elfcorehdr.kernel.vmcoreinfo.text import vmcoreinfo_of
from elfcorehdr.machine import CpuTopology, Machine, MemoryRange, MemoryUse
from elfcorehdr.mm.mm_init import counts
from elfcorehdr.mm.page_use import PERIOD, PageUse, Run, Use
from elfcorehdr.mm.physmem import PhysMem
from elfcorehdr.mm.struct_page import StructPage
from fsmount.host.mapped import MappedFiles
from tests.crashed import crashed

GIB = 1 << 30
VMEMMAP = 0xFFFFEA0000000000


def use_of(ram=((0, GIB),), page=4096, order=10) -> PageUse:
    return PageUse(ram, page, order)


def test_runs_cover_all_and_nothing_twice():
    use = use_of([(0x1000, 0x9FC00), (0x100000, GIB)])
    use.put(0x2000000, 0x2400000, Use("hugetlb", 9))
    use.put(0x2200000, 0x2201000, Use("hwpoison"))
    at = 0
    for run in use.runs(0, 2 * GIB):
        assert run.start == at
        at = run.end
    assert at == 2 * GIB
    assert [r.use.kind for r in use.runs(0x2100000, 0x2300000)] == [
        "hugetlb",
        "hwpoison",
        "hugetlb",
    ]
    assert [r.use.kind for r in use.runs(0x9FC00, 0x100000)] == ["hole"]


@pytest.mark.parametrize(("start", "end"), [(0, 1 << 22), (0x3000, 0x405000), (0x7FF000, 0x801000)])
def test_blocks_are_aligned_to_their_size(start, end):
    use = use_of()
    at = start
    for address, order, count in use.blocks(Run(start, end, Use("free", 10))):
        assert address == at
        assert address % (4096 << order) == 0
        at += count * (4096 << order)
    assert at == end


def test_the_mixture_is_the_same_everywhere():
    use = use_of([(0, 4 * GIB)])
    kinds = [[r.use for r in use.runs(n * PERIOD, (n + 1) * PERIOD)] for n in (0, 5)]
    assert kinds[0] == kinds[1]


def pages(release: str, use: PageUse, first: int, last: int) -> list[bytes]:
    info = vmcoreinfo_of("x86_64", 4096, release)
    made = StructPage(info, lambda pfn: VMEMMAP + 64 * pfn, 0xFFFF888001000000, masks=True)
    raw = made.pages(use, first, last)
    assert len(raw) == 64 * (last - first)
    return [raw[n : n + 64] for n in range(0, len(raw), 64)]


@pytest.mark.parametrize(
    ("release", "buddy"), [("6.1", -129), ("6.12.107", -(0x10 << 24)), ("7.3.4", -(0x10 << 24))]
)
def test_free_block_has_its_order_in_its_first_page(release, buddy):
    use = use_of()
    use.put(0, 1 << 22, Use("free", 10))
    made = pages(release, use, 0, 1024)
    assert struct.unpack_from("<i", made[0], 48) == (buddy,)
    assert struct.unpack_from("<Q", made[0], 40) == (10,)
    assert all(struct.unpack_from("<i", page, 48) == (-1,) for page in made[1:])


@pytest.mark.parametrize("release", ["6.1", "6.12.107", "7.3.4"])
def test_tails_lead_to_their_head(release):
    use = use_of()
    use.put(1 << 22, 1 << 23, Use("cache", 4))
    first = (1 << 22) // 4096
    for n, page in enumerate(pages(release, use, first + 16, first + 32)):
        (word,) = struct.unpack_from("<Q", page, 8)
        assert word & 1 == (n > 0)
        if n:
            here, head = VMEMMAP + 64 * (first + 16 + n), VMEMMAP + 64 * (first + 16)
            found = here & (word - 1) if release == "7.3.4" else word - 1
            assert found == head


@pytest.mark.parametrize(
    ("first", "last"), [(0, 1), (1, 2), (1023, 1025), (700, 5000), (4095, 4097)]
)
def test_any_piece_of_the_array_is_a_piece_of_it(first, last):
    use = use_of()
    use.put(5 << 20, (5 << 20) + 0x7000, Use("kernel"))
    whole = pages("7.3.4", use, 0, 8192)
    assert pages("7.3.4", use, first, last) == whole[first:last]


def test_counts_are_those_of_the_runs():
    kernel = crashed("pc-2g")
    loads = [(r.paddr, r.paddr + r.size) for r in kernel.vmcore.ranges[1:]]
    made = counts(kernel.memory_image, loads)
    assert sum(made.values()) == sum(end - start for start, end in loads) // 4096
    assert made["free"] == 0x2B71A  # what makedumpfile 1.7.8 found in this vmcore


def test_the_lowest_mib_of_x86_is_the_kernels_whatever_ram_is_there():
    """No header has it: a free block over its end would have no head in the dump."""
    ram, cpus = (MemoryRange(0, GIB),), CpuTopology("0")
    words = {"cmdline": "crashkernel=128M", "memory_block_size": 128 << 20, "cpus": cpus}
    machine = Machine("all", "none", "x86_64", ram, **words)
    for made in (machine, "pc-2g"):
        use = crashed(made, "6.12.107").memory_image.use
        runs = list(use.runs(0, 4 << 20))
        assert {r.use.kind for r in runs if r.end <= 1 << 20} <= {"kernel", "hole"}
        assert next(r.start for r in runs if r.use.kind == "free") == 1 << 20


@pytest.mark.parametrize(
    ("machine", "start", "most"), [("pc-2g", 0x30000000, 10), ("pseries-4g", 0x80000000, 8)]
)
def test_a_larger_free_block_is_several_of_the_largest_there_are(machine, start, most):
    use = MemoryUse(start, 128 << 20, "free", 11)
    image = crashed(machine, "6.12.107", use=(use,)).memory_image
    blocks = [
        b for r in image.use.runs(use.start, use.start + use.size) for b in image.use.blocks(r)
    ]
    assert {order for _, order, _ in blocks} == {most}


@pytest.mark.parametrize("kind", ["offline", "hwpoison"])
def test_each_page_that_is_offline_or_poisoned_says_so_itself(kind):
    """Whatever the order: virtio_mem_set_fake_offline(), memory_failure()."""
    use = MemoryUse(0x20000000, 0x10000, kind, 3)
    image = crashed("pc-2g", "6.12.107", use=(use,)).memory_image
    made = image.pages.pages(image.use, use.start >> 12, (use.start + use.size) >> 12)
    assert made[64:] == made[:-64]
    assert made[:64] == bytes(image.pages.head(kind, 0))


def test_a_compound_page_of_the_kernels_has_a_head():
    use = MemoryUse(0x20000000, 0x8000, "kernel", 3)
    image = crashed("pc-2g", "6.12.107", use=(use,)).memory_image
    (flags,) = struct.unpack_from("<Q", image.pages.pages(image.use, 0x20000, 0x20008))
    assert flags == image.info.number("PG_head_mask")


def test_a_file_is_mapped_in_from_where_its_use_begins(tmp_path):
    (tmp_path / "image").write_bytes(b"abc" + bytes(4093) + b"second page")
    content = f"file:{tmp_path}/image"
    use = use_of()
    use.put(0x2000000, 0x2003000, Use("kernel", 0, content))
    mem = PhysMem(use)
    mem.read_file = MappedFiles([content, "zero"]).read
    assert mem.read(0x2000000, 3) == b"abc"
    assert mem.read(0x2001007, 6) == b"page\0\0"
    assert mem.read(0x2002000, 4096) == bytes(4096)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(
        ProfileError, match=r"^\[\[use\]\] file:/nowhere: No such file or directory$"
    ):
        MappedFiles(["file:/nowhere"])
    with pytest.raises(ProfileError, match="Is a directory"):
        MappedFiles([f"file:{tmp_path}"])
