#!/usr/bin/env bash
# A log record that ends exactly where the ring buffer ends: vmcore-dmesg prints another record's text in its place.
. "$(dirname "$0")/common"
deb kexec-tools=1:2.0.25-3+deb12u3
cat <<TEXT
vmcore-dmesg of kexec-tools 2.0.25 (its source of June 2026 and makedumpfile's, printk.c, calculate the same) on a vmcore whose
printk ring has 1024 bytes of text, the last record's block at 936 to 1024, as a kernel from 6.19 on leaves it.
Guess: the log's layout is that of 5.10 to today (one set of VMCOREINFO lines), so every record comes out as it was.
Seen: the record that ends at 1024 comes out as the first bytes of the ring: text of another record, in the length of its own,
without a word. Linux 6.19 stopped wrapping records that fit exactly (is_blk_wrapped(), kernel/printk/printk_ringbuffer.c);
the tools take begin > next, both modulo the size, for a record that wrapped (util_lib/elf_info.c, dump_record()), and next is 0.
TEXT
python3 - "$here" "$tmp/vmcore" <<'PY'
import struct, sys
sys.path.insert(0, sys.argv[1])
from core import core, note, prstatus
BASE, SIZE, DESCS = 0xFFFF888000100000, 1024, 32
texts = [b"the first record of the log", *(b"record %d " % n + b"." * 108 for n in range(2, 9)), b"the last words " + b"!" * 65]
ring, descs, infos, at = bytearray(SIZE), bytearray(24 * DESCS), bytearray(88 * DESCS), 0
for n, text in enumerate(texts):
    size = -(-(8 + len(text)) // 8) * 8
    ring[at : at + 8 + len(text)] = n.to_bytes(8, "little") + text
    struct.pack_into("<3Q", descs, 24 * n, 2 << 62 | n, SIZE + at, SIZE + at + size)
    struct.pack_into("<QQH", infos, 88 * n, n, n * 1000000, len(text))
    at += size
assert at == SIZE, at
where = {"descs": BASE + 0x1000, "infos": BASE + 0x2000, "text": BASE + 0x3000}
prb = struct.pack("<I4x5Q", 5, where["descs"], where["infos"], len(texts) - 1, 0, 0)[:40] + bytes(8)
prb += struct.pack("<I4x3QQ", 10, where["text"], SIZE + at, SIZE, 0)
memory = struct.pack("<Q", BASE + 0x100).ljust(0x100, b"\0") + prb
for part in (descs, infos, ring):
    memory = memory.ljust(-(-len(memory) // 4096) * 4096, b"\0") + bytes(part)
memory = memory.ljust(0x4000, b"\0")
lines = f"""OSRELEASE=7.1.0
PAGESIZE=4096
SYMBOL(prb)={BASE:x}
SIZE(printk_ringbuffer)=88
OFFSET(printk_ringbuffer.desc_ring)=0
OFFSET(printk_ringbuffer.text_data_ring)=48
OFFSET(prb_desc_ring.count_bits)=0
OFFSET(prb_desc_ring.descs)=8
OFFSET(prb_desc_ring.infos)=16
OFFSET(prb_desc_ring.head_id)=24
OFFSET(prb_desc_ring.tail_id)=32
SIZE(prb_desc)=24
OFFSET(prb_desc.state_var)=0
OFFSET(prb_desc.text_blk_lpos)=8
OFFSET(prb_data_blk_lpos.begin)=0
OFFSET(prb_data_blk_lpos.next)=8
SIZE(printk_info)=88
OFFSET(printk_info.ts_nsec)=8
OFFSET(printk_info.text_len)=16
OFFSET(prb_data_ring.size_bits)=0
OFFSET(prb_data_ring.data)=8
OFFSET(atomic_long_t.counter)=0
"""
core(sys.argv[2], prstatus(1) + note(b"VMCOREINFO", 0, lines.encode()), [])
body = open(sys.argv[2], "rb").read()
rows = struct.pack("<2I6Q", 4, 0, 0x1000, 0, 0, len(prstatus(1) + note(b"VMCOREINFO", 0, lines.encode())), 0, 4)
rows += struct.pack("<2I6Q", 1, 7, 0x2000, BASE, 0x100000, len(memory), len(memory), 0)
ehdr = body[:56] + struct.pack("<H", 2) + body[58:64]
open(sys.argv[2], "wb").write((ehdr + rows).ljust(0x1000, b"\0") + body[0x1000:].ljust(0x1000, b"\0") + memory)
PY
line() { vmcore-dmesg "$tmp/vmcore" 2>&1 | sed -n "$1p" | cut -d']' -f2- | cut -c1-46; }
expect "record 1" " the first record of the log" "$(line 1)"
expect "record 2" " record 2 ...................................." "$(line 2)"
expect "record 9, \"the last words !!!...\"" " the first record of the log\x00\x00\x00\x00\x" "$(line 9)"
finish
