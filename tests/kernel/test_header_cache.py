"""A header that is spliced from event to event against one that is built anew each time."""

from __future__ import annotations

import itertools
import random
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elfcorehdr import profiles
from elfcorehdr.arch.powerpc.kexec.crash import sync_backup_region_phdr
from elfcorehdr.drivers.base.memory import OnlineType
from elfcorehdr.elf import ElfCoreHdr
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.crash_core import crash_prepare_elf64_headers
from elfcorehdr.kernel.kexec_file import KEXEC_FILE_ON_CRASH
from elfcorehdr.kernel.phdrs import load_rows
from elfcorehdr.lib.journal import Edit, Journal
from elfcorehdr.lib.ranges import Range
from elfcorehdr.machine import (
    CpuTopology,
    CrashRegion,
    KdumpFiles,
    LoadSegment,
    Machine,
    MemoryRange,
)
from elfcorehdr.machine import Region as NamedRegion
from elfcorehdr.mm.memblock import Memblock, Region

MIB = 1 << 20
BLOCK = 16 * MIB
RESERVED = 24
"""Blocks at the start of every machine here: kernel, reservation, firmware."""


def machine(rng: random.Random, runs: int) -> Machine:
    """Memory in `runs` pieces behind the first blocks, on three nodes, with and without gaps."""
    memory, at = [], RESERVED
    if rng.random() < 0.8:
        memory = [MemoryRange(0, RESERVED * BLOCK)]
    else:
        memory = [MemoryRange(0, MIB), MemoryRange(MIB, RESERVED * BLOCK - MIB, node=1)]
    for _ in range(runs):
        at += rng.choice((0, 0, 0, 1, 2))
        count = rng.choice((1, 1, 1, 2, 5))
        memory.append(MemoryRange(at * BLOCK, count * BLOCK, rng.randrange(3)))
        at += count
    rtas = None
    if rng.random() < 0.8:
        # inside the reservation, in RAM, across an edge of memory, at a seam, or nowhere
        end = memory[-1].end + 1
        start = rng.choice((6 * BLOCK, 20 * BLOCK + 0x1000, end - MIB, RESERVED * BLOCK, 2 * end))
        rtas = NamedRegion(start, rng.choice((MIB, 2 * MIB)))
    crashkernel = [CrashRegion(4 * BLOCK, 8 * BLOCK)]
    if rng.random() < 0.4:
        piece = rng.choice(memory[1:] or memory)
        crashkernel.append(CrashRegion(piece.start, piece.size // rng.choice((1, 2)), "cma"))
    return Machine(
        name="random",
        source="made by a test",
        arch="ppc64",
        platform="pseries",
        memory=tuple(memory),
        cpus=CpuTopology("0-7", online="0-3", threads=4),
        page_size=0x10000,
        memory_block_size=BLOCK,
        kernel_end=2 * BLOCK,
        rma_size=RESERVED * BLOCK,
        rtas=rtas,
        vmcoreinfo=BLOCK,
        crash_notes_first=MIB,
        crash_notes_step=0x10000,
        crashkernel=tuple(crashkernel),
        crash_max_memory_ranges=rng.choice((200, 8192)),
        kdump=KdumpFiles((LoadSegment(2 * BLOCK),)),
    )


def do(kernel: Kernel, action: str, n: int, node: int) -> None:
    """One thing that happens to block n, or to CPU n modulo 8; refusals are part of life."""
    memory = kernel.memory
    block = memory.block(n)
    with suppress(KernelError):
        match action:
            case "offline" if block is not None:
                kernel.memory_hotplug.offline(block)
            case "online" if block is not None:
                kernel.memory_hotplug.online(block, OnlineType.ONLINE)
            case "unplug" if block is not None:
                kernel.memory_hotplug.offline(block)
                kernel.memory_hotplug.remove(block.start, BLOCK)
            case "plug":
                kernel.memory_hotplug.add(n * BLOCK, BLOCK * (1 + node), node, OnlineType.ONLINE)
            case "plug offline":
                kernel.memory_hotplug.add(n * BLOCK, BLOCK, node, OnlineType.OFFLINE)
            case "remove" if block is not None:
                kernel.memory_hotplug.remove(block.start, BLOCK)
            case "cpu":
                (kernel.cpus.down if node else kernel.cpus.up)(n % 8)
            case "core":
                assert kernel.platform.dlpar is not None
                (kernel.platform.dlpar.cpu.add if node else kernel.platform.dlpar.cpu.remove)(
                    0x10000000 + n % 2
                )
            case "load":
                kernel.kexec.file_load(None, None, b"", KEXEC_FILE_ON_CRASH)
            case _:
                pass


ACTIONS = ("offline", "online", "unplug", "plug", "plug offline", "remove", "cpu", "core", "load")
WEIGHTS = (20, 10, 20, 20, 3, 5, 2, 2, 1)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    runs=st.sampled_from((0, 3, 30, 125, 140, 300)),
    release=st.sampled_from(("6.12", "6.18", "7.0", "7.1", "7.3")),
    change=st.sampled_from(((), ("split-not-wrapped",), ("generic-exclude-ppc64",))),
)
def test_spliced_header_is_the_rebuilt_one_after_any_events(seed, runs, release, change):
    rng = random.Random(seed)
    described = machine(rng, runs)
    spliced = Kernel.boot(described, release, also=change, clock=lambda: 0)
    # With ranges.c's messages on, every range is really added, sorted and merged again.
    rebuilt = Kernel.boot(
        described, release, also=change, clock=lambda: 0, dynamic_debug=("ranges",)
    )
    last = described.memory[-1].end // BLOCK
    favourites = [rng.randrange(RESERVED, last + 8) for _ in range(12)]
    for kernel in (spliced, rebuilt):
        do(kernel, "load", 0, 0)
    for _ in range(40):
        action = rng.choices(ACTIONS, WEIGHTS)[0]
        n = rng.choice(favourites) if rng.random() < 0.7 else rng.randrange(last + 8)
        node = rng.randrange(3)
        for kernel in (spliced, rebuilt):
            do(kernel, action, n, node)
        one, other = spliced.kexec.crash_image, rebuilt.kexec.crash_image
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert [s.content for s in one.segments] == [s.content for s in other.segments]
    assert spliced.crash_hp.rebuilds == rebuilt.crash_hp.rebuilds
    said = [r.text for r in rebuilt.log if r.level < 7]
    also_said = [r.text for r in spliced.log if r.level < 7]
    assert also_said[len(also_said) - len(said) :] == said  # debug texts push older ones out


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32), release=st.sampled_from(("6.6", "6.12", "7.1")))
def test_x86_64_header_follows_the_resource_tree_after_any_events(seed, release):
    rng = random.Random(seed)
    memory = [MemoryRange(0x1000, 0x9E000), MemoryRange(MIB, RESERVED * BLOCK - MIB)]
    memory += [MemoryRange((RESERVED + n) * BLOCK, BLOCK) for n in range(30) if rng.random() < 0.5]
    kernel = Kernel.boot(
        Machine(
            name="random",
            source="made by a test",
            arch="x86_64",
            memory=tuple(memory),
            cpus=CpuTopology("0-7", online="0-3"),
            memory_block_size=BLOCK,
            resources=(NamedRegion((RESERVED + 30) * BLOCK, 20 * BLOCK, "Soft Reserved"),),
            crashkernel=(CrashRegion(4 * BLOCK, 8 * BLOCK),),
        ),
        release,
    )
    do(kernel, "load", 0, 0)
    image = kernel.kexec.crash_image
    assert image is not None
    for _ in range(40):
        action = rng.choices(ACTIONS[:6], WEIGHTS[:6])[0]
        n, virtio = RESERVED + rng.randrange(50), rng.random() < 0.3
        before = kernel.crash_hp.rebuilds
        if action == "plug" and virtio:
            with suppress(KernelError):
                name = "System RAM (virtio_mem)"
                kernel.memory_hotplug.add(n * BLOCK, BLOCK, 0, OnlineType.ONLINE, name)
        else:
            do(kernel, action, n, 0)
        if kernel.crash_hp.rebuilds > before and action != "unplug":
            anew = crash_prepare_elf64_headers(kernel, kernel.arch.crash_ranges(kernel))
            assert image.segments[image.elfcorehdr_index].content[: len(anew)] == anew


def big_kernel(regions: int) -> Kernel:
    memory = [MemoryRange(0, RESERVED * BLOCK)]
    memory += [MemoryRange((RESERVED + 1 + 2 * i) * BLOCK, BLOCK) for i in range(regions)]
    kernel = Kernel.boot(
        Machine(
            name="big",
            source="made by a test",
            arch="ppc64",
            platform="pseries",
            memory=tuple(memory),
            cpus=CpuTopology("0-7", threads=8),
            page_size=0x10000,
            memory_block_size=BLOCK,
            kernel_end=2 * BLOCK,
            rma_size=RESERVED * BLOCK,
            crashkernel=(CrashRegion(4 * BLOCK, 8 * BLOCK),),
            kdump=KdumpFiles((LoadSegment(2 * BLOCK),)),
        )
    )
    kernel.kexec.file_load(None, None, b"", KEXEC_FILE_ON_CRASH)
    return kernel


def test_event_packs_only_the_rows_that_change(monkeypatch):
    kernel = big_kernel(2000)
    kernel.memory_hotplug.offline(kernel.memory.block(RESERVED + 1))  # the first event builds all
    packed = []

    def counted(kernel, ranges):
        packed.append(len(ranges))
        return load_rows(kernel, ranges)

    monkeypatch.setattr("elfcorehdr.kernel.header_cache.load_rows", counted)
    for n in range(RESERVED + 3, RESERVED + 203, 2):
        block = kernel.memory.block(n)
        kernel.memory_hotplug.offline(block)
        kernel.memory_hotplug.remove(block.start, BLOCK)
    assert packed
    assert sum(packed) <= 2 * 100
    header = ElfCoreHdr.unpack(kernel.kexec.elfcorehdr())
    # All but the last removal, which is not in memblock's journal at the time of its own event.
    assert len(header.phdrs) == 9 + 3 + 2000 - 100


def test_header_right_after_each_of_a_thousand_events_lists_what_is_in_memblock():
    kernel = big_kernel(1200)
    for n in range(RESERVED + 1, RESERVED + 1 + 2 * 1000, 2):
        block = kernel.memory.block(n)
        kernel.memory_hotplug.offline(block)
        kernel.memory_hotplug.remove(block.start, BLOCK)
        listed = {p.p_paddr for p in ElfCoreHdr.unpack(kernel.kexec.elfcorehdr()).phdrs[-4:]}
        assert block.start not in listed
    assert [p.p_paddr for p in ElfCoreHdr.unpack(kernel.kexec.elfcorehdr()).phdrs[9:13]] == [
        0,
        0x10000,
        12 * BLOCK,
        (RESERVED + 1 + 2 * 1000) * BLOCK,
    ]


def test_storm_on_64_tib_keeps_header_and_log_right():
    """240 LMBs at once, each with its event: the header is the rebuilt one, the log a ring."""
    kernel = Kernel.boot(profiles.load("pseries-64t"))
    kernel.kexec.file_load(None, None, b"", KEXEC_FILE_ON_CRASH)
    assert kernel.platform.dlpar is not None
    for request in ("remove count 240", "add count 240", "remove count 17", "add count 3"):
        kernel.platform.dlpar.store(f"memory {request}")
        image = kernel.kexec.crash_image
        assert image is not None
        if "add" in request:
            anew = crash_prepare_elf64_headers(kernel, kernel.arch.crash_ranges(kernel))
            sync_backup_region_phdr(kernel, image, anew, to_kimage=False)
            assert image.segments[image.elfcorehdr_index].content[: len(anew)] == anew
    assert kernel.crash_hp.rebuilds == 500
    assert sum(len(r.text) for r in kernel.log) < kernel.log.size


def test_journal_gives_all_since_or_says_that_some_are_forgotten():
    journal = Journal()
    for n in range(Journal.KEPT + 1):
        journal.append(Edit(True, n, n))
    assert journal.since(journal.seq) == []
    assert journal.since(journal.seq - 2) == [
        Edit(True, Journal.KEPT - 1, Journal.KEPT - 1),
        Edit(True, Journal.KEPT, Journal.KEPT),
    ]
    assert journal.since(0) is None
    seq = journal.seq
    journal.forget()
    assert journal.since(seq) is None
    assert journal.since(journal.seq) == []


@pytest.mark.parametrize("seed", range(20))
def test_memblock_knows_its_nodes_and_seams_after_any_edits(seed):
    rng = random.Random(seed)
    memblock = Memblock(
        Region(n * 10, n * 10 + 9, rng.randrange(3)) for n in range(30) if rng.random() < 0.7
    )
    for _ in range(200):
        start = rng.randrange(40) * 10
        if rng.random() < 0.5:
            memblock.remove(start, start + rng.choice((4, 9, 29)))
        elif not memblock.overlaps(start, start + 9):
            memblock.add(start, start + 9, rng.randrange(3))
        regions = list(memblock)
        behind = itertools.pairwise(regions)
        assert memblock.seams == [b.start for a, b in behind if a.end + 1 == b.start]
        assert memblock.nodes() == sorted({r.node for r in regions})
        assert memblock.total() == sum(r.end - r.start + 1 for r in regions)
        for node in range(3):
            own = [r for r in regions if r.node == node]
            assert list(memblock.node_regions(node)) == own
            assert memblock.node_bytes(node) == sum(r.end - r.start + 1 for r in own)
            span = Range(own[0].start, own[-1].end) if own else None
            assert memblock.node_span(node) == span
