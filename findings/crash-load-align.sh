#!/usr/bin/env bash
# crash: the p_align of the first PT_LOAD says which tool wrote the file.
. "$(dirname "$0")/common"
deb crash=8.0.2-1 liblzo2-2=2.10-2 libsnappy1v5=1.1.9-3
cat <<TEXT
crash 8.0.2, crash --osrelease on a core with NT_PRSTATUS, VMCOREINFO (OSRELEASE=6.1.0) and two PT_LOADs of a page each;
p_align is 0 (as the kernel's kexec writes it) or 4096, in the first or in both.
Guess: p_align of a PT_LOAD is nothing to a tool that reads VMCOREINFO; 4096 is the more proper value (gABI: p_vaddr and
p_offset agree modulo the page, as here).
Seen: with p_align 4096 in the first PT_LOAD the file is one of netdump's, not of kdump's, and VMCOREINFO is not looked for:
OSRELEASE is "unknown" (crash, netdump.c, is_netdump: the second row of the table decides; kdump's has a p_offset inside a
page or p_align 0). In the second PT_LOAD the same value changes nothing.
TEXT
python3 - "$here" "$tmp" <<'PY'
import struct
import sys
sys.path.insert(0, sys.argv[1])
from core import core, prstatus, vmcoreinfo
page = b"A" * 4096
P_ALIGN = 48
for name, aligns in (("none", (0, 0)), ("first", (4096, 0)), ("second", (0, 4096)), ("both", (4096, 4096))):
    path = f"{sys.argv[2]}/{name}"
    core(path, prstatus(1) + vmcoreinfo(), [(0x2000, page, 4096), (0x5000, page, 4096)])
    with open(path, "r+b") as file:
        for row, align in enumerate(aligns, 1):
            file.seek(64 + 56 * row + P_ALIGN)
            file.write(struct.pack("<Q", align))
PY
release() { crash --osrelease "$tmp/$1" 2>/dev/null | tail -1; }
expect "p_align 0 in both" 6.1.0 "$(release none)"
expect "p_align 4096 in the first" unknown "$(release first)"
expect "p_align 4096 in the second" 6.1.0 "$(release second)"
expect "p_align 4096 in both" unknown "$(release both)"
finish
