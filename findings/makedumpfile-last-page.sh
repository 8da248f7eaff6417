#!/usr/bin/env bash
# makedumpfile -d 0 drops the end of a PT_LOAD that does not end at a page.
. "$(dirname "$0")/common"
deb makedumpfile=1:1.7.2-1 libdw1=0.188-2.1 libelf1=0.188-2.1 liblzo2-2=2.10-2 libkdumpfile10=0.5.1-1 libsnappy1v5=1.1.9-3 binutils=2.40-2 libbinutils=2.40-2 binutils-x86-64-linux-gnu=2.40-2 binutils-common=2.40-2 libctf0=2.40-2 libctf-nobfd0=2.40-2 libgprofng0=2.40-2
cat <<TEXT
makedumpfile 1.7.2, dump level 0 (keep everything), on a core of x86-64 with PT_LOADs of 0x1800 bytes at 0x10000, 0xc00 at
0x20000 (as the first row of a PC, whose low memory often ends at 0x9fc00), 0x1000 at 0x30000 and 0x800 at 0x40800.
Guess: every byte is in the dump; the page that is only half there is filled with zeros.
Seen: what follows the last whole page is left out, with status 0 and "Completed": in an ELF dump (-E) p_filesz shrinks and
p_memsz stays, so that gdb and drgn read zeros; in a compressed one (-c) the page is an excluded one. A row that begins inside
a page keeps all. A change of 2017 (commit 622f0d7, "Prevent data loss in last page of ELF core dumpfile") mended
create_1st_bitmap_file(); create_bitmap_from_memhole() rounds the end down still (makedumpfile.c, 1.7.2 and June 2026).
TEXT
python3 - "$here" "$tmp/vmcore" <<'PY'
import struct
import sys
sys.path.insert(0, sys.argv[1])
from core import core, note, prstatus
KERNEL, DIRECT = 0xFFFFFFFF80000000, 0xFFFF888000000000
# makedumpfile walks page tables to the release: two pages that map the first GiB at KERNEL, and one with utsname.
pgd, pud, uts = bytearray(4096), bytearray(4096), bytearray(4096)
struct.pack_into("<Q", pgd, 511 * 8, 0x3003)
struct.pack_into("<Q", pud, 510 * 8, 0x83)
for n, text in enumerate((b"Linux", b"host", b"6.1.0", b"#1", b"x86_64", b"none")):
    struct.pack_into("65s", uts, 65 * n, text)
struct.pack_into("<Q", uts, 0x800, DIRECT + 0x5000)
lines = f"""OSRELEASE=6.1.0
PAGESIZE=4096
SYMBOL(init_uts_ns)={KERNEL + 0x4000:x}
OFFSET(uts_namespace.name)=0
SYMBOL(_stext)={KERNEL + 0x1000000:x}
SYMBOL(init_top_pgt)={KERNEL + 0x2000:x}
SYMBOL(swapper_pg_dir)={KERNEL + 0x2000:x}
SYMBOL(mem_map)={KERNEL + 0x4800:x}
SIZE(page)=64
OFFSET(page.flags)=0
OFFSET(page._refcount)=52
OFFSET(page.mapping)=24
OFFSET(page.lru)=8
OFFSET(page._mapcount)=48
OFFSET(page.private)=40
OFFSET(page.compound_head)=8
NUMBER(phys_base)=0
NUMBER(sme_mask)=0
KERNELOFFSET=0
"""
rows = [(0x2000, bytes(pgd + pud + uts)), (0x10000, b"A" * 0x1800), (0x20000, b"B" * 0xC00)]
rows += [(0x30000, b"C" * 0x1000), (0x40800, b"D" * 0x800)]
notes = prstatus(1) + note(b"VMCOREINFO", 0, lines.encode())
core(sys.argv[2], notes, [(address, data, len(data)) for address, data in rows])
with open(sys.argv[2], "r+b") as file:
    for n, (address, _) in enumerate(rows, 1):
        file.seek(64 + 56 * n + 16)
        file.write(struct.pack("<Q", DIRECT + address))
PY
sizes() { readelf -lW "$1" | awk -v paddr="$2" '$1 == "LOAD" && $4 ~ paddr "$" { print $5, "of", $6 }'; }
byte() { python3 -c 'import sys; sys.path.insert(0, sys.argv[1])
from kdumpfile import Dump
print(Dump(sys.argv[2]).byte(int(sys.argv[3], 16)))' "$here" "$1" "$2"; }
for how in E c; do
    status=0
    makedumpfile -"$how" -d 0 "$tmp/vmcore" "$tmp/$how" >"$tmp/said" 2>&1 || status=$?
    expect "makedumpfile -$how -d 0" "status 0, Completed" "status $status, $(grep -o Completed "$tmp/said")"
done
expect "-E, p_filesz of 0x1800 bytes at 0x10000" "0x001000 of 0x001800" "$(sizes "$tmp/E" 10000)"
expect "-E, p_filesz of 0xc00 bytes at 0x20000" "0x000000 of 0x000c00" "$(sizes "$tmp/E" 20000)"
expect "-E, p_filesz of 0x1000 bytes at 0x30000" "0x001000 of 0x001000" "$(sizes "$tmp/E" 30000)"
expect "-E, p_filesz of 0x800 bytes at 0x40800" "0x000800 of 0x000800" "$(sizes "$tmp/E" 40800)"
expect "the input at 0x11000, libkdumpfile" 0x41 "$(byte "$tmp/vmcore" 0x11000)"
expect "-c, 0x10000, libkdumpfile" 0x41 "$(byte "$tmp/c" 0x10000)"
expect "-c, 0x11000, libkdumpfile" "Excluded page" "$(byte "$tmp/c" 0x11000)"
expect "-c, 0x20000, libkdumpfile" "Excluded page" "$(byte "$tmp/c" 0x20000)"
expect "-c, 0x40800, libkdumpfile" 0x44 "$(byte "$tmp/c" 0x40800)"
finish
