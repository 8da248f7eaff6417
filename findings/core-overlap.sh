#!/usr/bin/env bash
# Two PT_LOADs of one address: gdb, drgn and libkdumpfile each read another row.
. "$(dirname "$0")/common"
deb gdb-minimal=13.1-3 libipt2=2.0.5-1 libreadline8=8.2-1.3 libdebuginfod1=0.188-2.1 libkdumpfile10=0.5.1-1 libsnappy1v5=1.1.9-3 liblzo2-2=2.10-2
wheels drgn==0.3.0
cat <<TEXT
gdb 13.1, drgn 0.3.0, libkdumpfile 0.5.1 on ELF cores in which two PT_LOADs cover one address. gABI wants PT_LOADs to ascend
and says nothing of overlap; Linux's vmcores do both: the row of the kernel's text comes first and its memory again below.
Guess: the first row of the table wins everywhere; a row without bytes (p_filesz 0) gives way to one that has them.
Seen: gdb takes the first row of the table, drgn the last, libkdumpfile the one that starts lower wherever it stands
(drgn: docs, Program.add_memory_segment: "If it overlaps a previously registered segment, the new segment takes
precedence"). In drgn a later row of p_filesz 0 hides the bytes of an earlier one: zeros are read, and no error.
TEXT
python - "$here" "$tmp" <<'PY'
import sys
sys.path.insert(0, sys.argv[1])
from core import core, prstatus, vmcoreinfo
notes = prstatus(1) + vmcoreinfo()
a, b = b"A" * 4096, b"B" * 4096
core(sys.argv[2] + "/outer first", notes, [(0x1000, a * 3, 0x3000), (0x2000, b, 4096)])
core(sys.argv[2] + "/inner first", notes, [(0x2000, b, 4096), (0x1000, a * 3, 0x3000)])
core(sys.argv[2] + "/empty last", notes, [(0x2000, a, 4096), (0x2000, b"", 4096)])
PY
cat >"$tmp/with_drgn.py" <<'PY'
import sys
import drgn
program = drgn.Program()
program.set_core_dump(sys.argv[1])
print("0x" + program.read(0x2000, 1, physical=True).hex())
PY
cat >"$tmp/with_kdumpfile.py" <<'PY'
import sys
sys.path.insert(0, sys.argv[1])
from kdumpfile import Dump
print(Dump(sys.argv[2]).byte(0x2000))
PY
gdb_byte() { gdb -q -batch -nx -ex 'x/1xb 0x2000' -c "$1" 2>"$tmp/err" | awk '/^0x2000/ { print $2 }'; }
while IFS='|' read -r name gdb drgn kdumpfile; do
    expect "$name, gdb" "$gdb" "$(gdb_byte "$tmp/$name")"
    expect "$name, drgn" "$drgn" "$(python "$tmp/with_drgn.py" "$tmp/$name")"
    expect "$name, libkdumpfile" "$kdumpfile" "$(python "$tmp/with_kdumpfile.py" "$here" "$tmp/$name")"
done <<TABLE
outer first|0x41|0x42|0x41
inner first|0x42|0x41|0x41
empty last|0x41|0x00|0x41
TABLE
finish
