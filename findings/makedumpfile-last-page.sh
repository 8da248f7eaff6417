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
from core import DIRECT, core, for_makedumpfile, prstatus
low, info = for_makedumpfile()
rows = [(0x2000, low), (0x10000, b"A" * 0x1800), (0x20000, b"B" * 0xC00)]
rows += [(0x30000, b"C" * 0x1000), (0x40800, b"D" * 0x800)]
notes = prstatus(1) + info
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
