"""Thousands of hotplug events in one go: the header right after each, and what is kept bounded.

Every event is followed by a comparison with a header that is built from nothing, from memblock as it
is then. The blocks are counted in a model besides, which knows nothing of memblock.
"""

from __future__ import annotations

import errno
import gc
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from benchmarks import machines
from elfcorehdr.arch.powerpc.kexec.crash import rebuilt_header
from elfcorehdr.drivers.base.memory import OnlineType
from elfcorehdr.elf import PT_LOAD, ElfCoreHdr
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.kexec_file import KEXEC_FILE_ON_CRASH
from elfcorehdr.kernel.notifier import MemAction, MemoryNotify
from elfcorehdr.lib.ranges import Range
from elfcorehdr.machine.reader import from_toml
from fsmount.cli.boot import declarations_of
from fsmount.devfs.kmsg import KmsgReader
from fsmount.tree.file import joined
from fsmount.tree.kernfs import Tree
from printer.forms import kernel_text

BLOCK, FIRST = machines.BLOCK, machines.RESERVED
DRC = 0x80000000


class Watched:
    """A kernel that compares its header with a new one after each memory event."""

    def __init__(self, blocks: int, nodes: int = 1) -> None:
        self.kernel = machines.booted(blocks, nodes=nodes)
        self.there = set(self.kernel.memory.block_ids())
        self.events = 0
        self.kernel.memory_chain.register(self._after)  # behind the crash notifier

    def _after(self, action: MemAction, notify: MemoryNotify) -> None:
        if action not in (MemAction.ONLINE, MemAction.OFFLINE):
            return
        self.events += 1
        gone = Range(notify.start, notify.end) if action is MemAction.OFFLINE else None
        assert self.header().startswith(self.rebuilt(gone))

    def header(self) -> bytes:
        image = self.kernel.kexec.crash_image
        assert image is not None
        return bytes(image.segments[image.elfcorehdr_index].content)

    def rebuilt(self, gone: Range | None = None) -> bytes:
        image = self.kernel.kexec.crash_image
        assert image is not None
        return bytes(rebuilt_header(self.kernel, image, gone))

    def listed(self) -> set[int]:
        """The blocks that the loaded header lists, but for those in the first 3 GiB."""
        header = self.kernel.kexec.elfcorehdr()
        assert header is not None
        return {
            n
            for p in ElfCoreHdr.unpack(header).phdrs
            if p.p_type == PT_LOAD
            for n in range(max(FIRST, p.p_paddr // BLOCK), (p.p_paddr + p.p_memsz) // BLOCK)
        }

    def store(self, request: str) -> None:
        assert self.kernel.platform.dlpar is not None
        self.kernel.platform.dlpar.store(request)


def test_4096_lmbs_in_one_request_each_leave_the_header_as_a_new_one():
    machine = Watched(8192)
    machine.store("memory remove count 4096")
    assert machine.events == machine.kernel.crash_hp.rebuilds == 4096
    left = set(machine.kernel.memory.block_ids())
    assert len(left) == 4096
    assert machine.listed() == {n for n in left if n >= FIRST}
    machine.store("memory add count 4096")
    assert machine.events == 8192
    assert machine.listed() == set(range(FIRST, 8192))


@pytest.mark.parametrize("nodes", [1, 4])
def test_lmbs_taken_one_by_one_in_no_order_each_leave_the_header_as_a_new_one(nodes):
    machine = Watched(2048, nodes=nodes)
    order = [FIRST + k * 991 % (2048 - FIRST) for k in range(1000)]
    for n in order:
        machine.store(f"memory remove index {DRC + n:#x}")
        machine.there.discard(n)
    assert machine.events == 1000
    assert machine.listed() == {n for n in machine.there if n >= FIRST}
    for n in order[::-1]:
        machine.store(f"memory add index {DRC + n:#x}")
    assert machine.events == 2000
    assert machine.listed() == set(range(FIRST, 2048))


def test_storm_over_blocks_of_alternating_nodes_joins_ranges_as_the_kernel_does():
    """Regions of two nodes that touch stay two until the kernel's list is full (ranges.c)."""
    text = machines.toml(16)
    rows = [(0, FIRST, 0), *((n, 1, n % 2) for n in range(FIRST, 600))]
    memory = "".join(
        f"[[memory]]\nstart = {at * BLOCK:#x}\nsize = {count * BLOCK:#x}\nnode = {node}\n"
        for at, count, node in rows
    )
    described = from_toml(text[: text.index("[[memory]]")] + memory, "nodes.toml")
    machine = Watched(16)
    machine.kernel = Kernel.boot(described)
    machine.kernel.kexec.file_load(None, None, b"", KEXEC_FILE_ON_CRASH)
    machine.kernel.memory_chain.register(machine._after)
    order = [FIRST + k * 211 % (600 - FIRST) for k in range(400)]
    for action in ("remove", "add"):
        for n in order:
            machine.store(f"memory {action} index {DRC + n:#x}")
    assert machine.events == 800
    assert machine.listed() == set(range(FIRST, 600))


def test_1000_writes_to_probe_each_leave_the_header_as_a_new_one():
    machine = Watched(64)
    tree = Tree(machine.kernel, declarations_of())
    probe = tree.open(tree.lookup("sys/devices/system/memory/probe"), 1)
    machine.kernel.memory_hotplug.auto_online = OnlineType.ONLINE
    for k in range(1000):
        assert probe.write(f"{(65 + 2 * k) * BLOCK:#x}".encode(), 0) > 0
    assert machine.events == 1000
    assert machine.listed() == {*range(FIRST, 64), *range(65, 65 + 2000, 2)}
    with pytest.raises(KernelError) as caught:
        probe.write(f"{65 * BLOCK:#x}".encode(), 0)
    assert caught.value.errno == errno.EEXIST


def test_4096_blocks_offline_and_online_again_through_their_files():
    """What `chmem -d 1T` and `chmem -e 1T` do: a write to each block's state, from the top and from the bottom."""
    machine = Watched(4096 + FIRST)
    tree = Tree(machine.kernel, declarations_of())

    def state(n: int, word: str) -> None:
        path = f"sys/devices/system/memory/memory{n}/state"
        assert tree.open(tree.lookup(path), 1).write(word.encode(), 0)

    for n in reversed(range(FIRST, 4096 + FIRST)):
        state(n, "offline")
    assert machine.kernel.memory.count() == 4096 + FIRST
    for n in range(FIRST, 4096 + FIRST):
        state(n, "online")
    assert machine.events == 8192
    assert machine.listed() == set(range(FIRST, 4096 + FIRST))


# What is kept


def storm(kernel: Kernel, blocks: int = 1000) -> None:
    """Out and in again, block by block, as the hypervisor asks: the longest way there is."""
    for n in range(FIRST, FIRST + blocks):
        kernel.platform.unplug_memory(n * BLOCK, BLOCK)
    for n in range(FIRST, FIRST + blocks):
        kernel.platform.plug_memory(n * BLOCK, BLOCK, n % 3)


def text_bytes(kernel: Kernel) -> int:
    return sum(len(record.text.encode()) for record in kernel.log)


def test_log_holds_a_ring_of_256_kib_while_its_numbers_go_on():
    """CONFIG_LOG_BUF_SHIFT is 18 in every distribution's kernel: 2^18 bytes, 2^13 descriptors."""
    kernel = machines.booted(2048)
    early = KmsgReader(kernel.log)
    assert early.read(8192) is not None
    for _ in range(3):
        storm(kernel)
    oldest, newest = kernel.log.first_seq, kernel.log.next_seq
    assert oldest > 3000
    assert newest - oldest <= 1 << 13
    assert newest - oldest == len(list(kernel.log))
    assert (1 << 18) // 2 < text_bytes(kernel) < 1 << 18
    # A reader that was overtaken hears of it once and goes on at the oldest record.
    with pytest.raises(KernelError) as caught:
        early.read(8192)
    assert caught.value.errno == errno.EPIPE
    seqs = [int(record.split(b",")[1]) for record in records(early.read)]
    assert seqs == list(range(oldest, newest))


def records(read: Callable[[int], bytes | None]) -> Iterator[bytes]:
    while (record := read(8192)) is not None:
        yield record


def traced_bytes() -> int:
    """What is in use; circles that nobody has collected yet, up to 20,560 bytes, are not."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def test_nothing_grows_with_the_number_of_events():
    kernel = machines.booted(2048)
    tracemalloc.start()
    try:
        while kernel.log.first_seq < 1 << 13:  # until all it holds are a storm's records
            storm(kernel, 300)
        before = traced_bytes()
        for _ in range(4):
            storm(kernel, 300)
        after = traced_bytes()
    finally:
        tracemalloc.stop()
    # 2,400 events: one word that is kept of each would be 19,200 bytes.
    assert after - before < 5_000
    assert len(kernel.nodes.hotplugged) <= 300


@pytest.mark.parametrize("rows", [512, 4096])
def test_print_in_pieces_is_the_whole_print(rows):
    """Also where an index gets a digit more: row 0x1000."""
    header = machines.booted(4400, gaps=True).kexec.elfcorehdr()
    assert header is not None
    pieces = list(kernel_text.render_chunks(header, rows))
    assert len(pieces) == 1 + -(-len(ElfCoreHdr.unpack(header).phdrs) // rows)
    assert b"".join(pieces).decode() == kernel_text.render(header)


def test_page_of_a_long_print_is_cut_from_as_few_rows_as_fill_it():
    kernel = machines.booted(4400, gaps=True)
    tree = Tree(kernel, declarations_of())
    node = tree.lookup("sys/kernel/kexec/crash_elfcorehdr_print")
    whole = kernel_text.render(kernel.kexec.elfcorehdr() or b"")
    assert tree.open(node).read(1 << 20, 0) == whole.encode()[: kernel.page_size - 1]
    assert [r.text for r in kernel.log][-1] == (
        "fill_read_buffer: kobj_attr_show returned bad count"
    )
    unlimited = Tree(kernel, declarations_of(), page_limit=False)
    assert unlimited.open(node).read(1 << 20, 0) == whole.encode()
    taken = []
    assert joined((taken.append(n) or bytes(1000) for n in range(99)), 4096) == bytes(5000)
    assert len(taken) == 5
