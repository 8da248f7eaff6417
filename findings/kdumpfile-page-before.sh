#!/usr/bin/env bash
# libkdumpfile reads a page that no PT_LOAD covers.
. "$(dirname "$0")/common"
deb libkdumpfile10=0.5.1-1 libsnappy1v5=1.1.9-3 liblzo2-2=2.10-2
cat <<TEXT
libkdumpfile 0.5.1, an ELF core with PT_LOADs of a page at 0x1000 and 0x5000 (p_filesz = p_memsz = 0x1000), and one in
which the row at 0x5000 has p_filesz 0x1000 of p_memsz 0x2000.
Guess: what no row covers is "no data"; what p_memsz covers without bytes reads as zeros (so do gdb and drgn).
Seen: the other way round. The page that ends where a row begins, in no row, reads as zeros without an error (as if the
search for the row took an end that equals a start for an overlap); whole pages between p_filesz and p_memsz are "not found".
TEXT
python3 - "$here" "$tmp" <<'PY'
import sys
sys.path.insert(0, sys.argv[1])
from core import core, prstatus, vmcoreinfo
notes, page = prstatus(1) + vmcoreinfo(), b"A" * 4096
core(sys.argv[2] + "/rows", notes, [(0x1000, page, 4096), (0x5000, page, 4096)])
core(sys.argv[2] + "/tail", notes, [(0x1000, page, 4096), (0x5000, page, 0x2000)])
PY
byte() { python3 -c 'import sys; sys.path.insert(0, sys.argv[1])
from kdumpfile import Dump
print(Dump(sys.argv[2]).byte(int(sys.argv[3], 16)))' "$here" "$tmp/$1" "$2"; }
expect "0x2000, covered by no row" "Page not found" "$(byte rows 0x2000)"
expect "0x3000, covered by no row" "Page not found" "$(byte rows 0x3000)"
expect "0x4000, covered by no row, a row begins at 0x5000" "0x00" "$(byte rows 0x4000)"
expect "0x5000, in a row" "0x41" "$(byte rows 0x5000)"
expect "0x6000, after the rows" "Page not found" "$(byte rows 0x6000)"
expect "0x6000, in p_memsz and not in p_filesz" "Page not found" "$(byte tail 0x6000)"
finish
