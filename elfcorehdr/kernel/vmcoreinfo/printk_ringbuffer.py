"""The printk ring buffer in memory: kernel/printk/printk_ringbuffer.c (v5.10 to v7.3, one layout).

Bytes are made from the log as Printk keeps it. Imports .printk and .vmcoreinfo_text.
"""

from __future__ import annotations

import struct

from elfcorehdr.kernel.printk import PRB_AVGBITS, Printk
from elfcorehdr.kernel.vmcoreinfo.text import VmcoreInfo
from elfcorehdr.lib.record import NamedTuple

U64 = (1 << 64) - 1
DESC_FLAGS_SHIFT = 62
DESC_ID_MASK = (1 << DESC_FLAGS_SHIFT) - 1
FINALIZED, REUSABLE, COMMITTED = 2, 3, 1
FAILED_LPOS = 0x1
LOG_NEWLINE = 2


class Ring(NamedTuple):
    """The pieces: struct printk_ringbuffer without its pointers set, descriptors, infos, text."""

    head_id: int
    tail_id: int
    head_lpos: int
    tail_lpos: int
    count_bits: int
    size_bits: int
    descs: bytes
    infos: bytes
    text: bytes


def ring(log: Printk, info: VmcoreInfo) -> Ring:
    """The ring's content for a log: descriptors and infos of every record that has not been overwritten.

    Ids start at -(count + 1), positions at -size; a block that would cross the end starts again at 0.
    """
    size_bits = log.size.bit_length() - 1
    count_bits = size_bits - PRB_AVGBITS
    count = 1 << count_bits
    desc_size, info_size = info.size("prb_desc"), info.size("printk_info")
    state_at = info.offset("prb_desc.state_var") or 0
    blk_at = info.offset("prb_desc.text_blk_lpos") or 8
    begin_at = blk_at + (info.offset("prb_data_blk_lpos.begin") or 0)
    next_at = blk_at + (info.offset("prb_data_blk_lpos.next") or 8)
    descs, infos, text = (
        bytearray(desc_size * count),
        bytearray(info_size * count),
        bytearray(log.size),
    )
    first_id = (-(count + 1)) & DESC_ID_MASK

    def put(seq: int, state: int, begin: int, behind: int) -> None:
        id_ = (first_id + 1 + seq) & DESC_ID_MASK
        at = id_ % count * desc_size
        struct.pack_into("<Q", descs, at + state_at, state << DESC_FLAGS_SHIFT | id_)
        struct.pack_into("<Q", descs, at + begin_at, begin & U64)
        struct.pack_into("<Q", descs, at + next_at, behind & U64)

    # The descriptor before the first record: reusable, without text (_DEFINE_PRINTKRB).
    last = (count - 1) * desc_size
    struct.pack_into("<Q", descs, last + state_at, REUSABLE << DESC_FLAGS_SHIFT | first_id)
    struct.pack_into("<QQ", descs, last + begin_at, FAILED_LPOS, FAILED_LPOS)
    struct.pack_into("<Q", infos, info.offset("printk_info.seq") or 0, -count & U64)
    base = -log.size
    next_seq = log.next_seq
    # Records whose text was overwritten keep their descriptor until that is needed.
    for seq in range(max(0, next_seq - count), log.first_seq):
        put(seq, REUSABLE, FAILED_LPOS, FAILED_LPOS)
    dev_at = info.offset("printk_info.dev_info") or 24
    begins = base + log.head
    for record, start, behind, is_open in log.blocks():
        content = record.text.encode(errors="surrogateescape")
        begin = base + start
        begins = min(begins, begin)
        put(record.seq, COMMITTED if is_open else FINALIZED, begin, base + behind)
        id_ = struct.pack("<Q", (first_id + 1 + record.seq) & DESC_ID_MASK)
        at = begin % log.size
        text[at : at + 8] = id_
        if log.wraps(start, behind):
            at = 0  # the block lies at the start then; its id stands at both places
            text[0:8] = id_
        text[at + 8 : at + 8 + len(content)] = content
        at = record.seq % count * info_size
        struct.pack_into("<Q", infos, at + (info.offset("printk_info.seq") or 0), record.seq)
        struct.pack_into(
            "<Q", infos, at + (info.offset("printk_info.ts_nsec") or 8), record.ts_usec * 1000
        )
        struct.pack_into(
            "<HBBI", infos, at + (info.offset("printk_info.text_len") or 16),
            len(content), record.facility, record.level << 5 | (0 if is_open else LOG_NEWLINE), 0,
        )  # fmt: skip
        infos[at + dev_at : at + dev_at + 16] = record.subsystem.encode()[:15].ljust(16, b"\0")
        infos[at + dev_at + 16 : at + dev_at + 64] = record.device.encode()[:47].ljust(48, b"\0")
    head_id = (first_id + next_seq) & DESC_ID_MASK
    tail_id = (first_id + max(0, next_seq - count + 1)) & DESC_ID_MASK
    return Ring(
        head_id, tail_id, (base + log.head) & U64, begins & U64,
        count_bits, size_bits, bytes(descs), bytes(infos), bytes(text),
    )  # fmt: skip


def ringbuffer(made: Ring, info: VmcoreInfo, descs: int, infos: int, text: int) -> bytes:
    """struct printk_ringbuffer, with the virtual addresses of its parts."""
    out = bytearray(info.size("printk_ringbuffer"))
    desc_ring = info.offset("printk_ringbuffer.desc_ring") or 0
    data_ring = info.offset("printk_ringbuffer.text_data_ring") or 0

    def put(form: str, base: int, member: str, value: int) -> None:
        struct.pack_into(form, out, base + (info.offset(member) or 0), value)

    put("<I", desc_ring, "prb_desc_ring.count_bits", made.count_bits)
    put("<Q", desc_ring, "prb_desc_ring.descs", descs)
    put("<Q", desc_ring, "prb_desc_ring.infos", infos)
    put("<Q", desc_ring, "prb_desc_ring.head_id", made.head_id)
    put("<Q", desc_ring, "prb_desc_ring.tail_id", made.tail_id)
    put("<I", data_ring, "prb_data_ring.size_bits", made.size_bits)
    put("<Q", data_ring, "prb_data_ring.data", text)
    put("<Q", data_ring, "prb_data_ring.head_lpos", made.head_lpos)
    put("<Q", data_ring, "prb_data_ring.tail_lpos", made.tail_lpos)
    return bytes(out)
