#!/usr/bin/env bash
# objcopy and strip of a core: status 0, and a core without memory.
. "$(dirname "$0")/common"
deb binutils=2.40-2 libbinutils=2.40-2 binutils-x86-64-linux-gnu=2.40-2 binutils-common=2.40-2 libctf0=2.40-2 libctf-nobfd0=2.40-2 libgprofng0=2.40-2 gdb-minimal=13.1-3 libipt2=2.0.5-1 libreadline8=8.2-1.3 libdebuginfod1=0.188-2.1 libdw1=0.188-2.1 libelf1=0.188-2.1 elfutils=0.188-2.1 libasm1=0.188-2.1
cat <<TEXT
binutils 2.40, gdb 13.1, elfutils 0.188: objcopy IN OUT and strip of a core with notes and a page at 0x1000, without options.
Guess: a copy with the same segments; or, as BFD can only read cores, an error.
Seen: both end with 0. The copy is a core (ET_CORE) with the same program headers, p_vaddr and p_paddr too, but p_filesz and
p_memsz of every one are 0: no notes, no memory, and gdb can read no byte. The bytes are in sections that BFD made up
(note0, .reg/1, load1). All that is said is a warning, "allocated section 'load1' not in segment". strip without -o leaves
that in place of the core. eu-strip leaves such a file alone, says "illformed file", and ends with 0, too.
TEXT
python3 - "$here" "$tmp/core" <<'PY'
import sys
sys.path.insert(0, sys.argv[1])
from core import core, prstatus, vmcoreinfo
core(sys.argv[2], prstatus(1) + vmcoreinfo(), [(0x1000, b"A" * 4096, 4096)])
PY
sizes() { readelf -lW "$1" | awk -v type="$2" '$1 == type { print $4, $5, $6 }'; }
byte() { gdb -q -batch -nx -ex 'x/1xb 0x1000' -c "$1" 2>&1 | grep -oE '0x[0-9a-f]{2}$|Cannot access memory' | tail -1; }
status=0
objcopy "$tmp/core" "$tmp/copied" 2>"$tmp/said" || status=$?
sed "s|.*/|  objcopy: |" "$tmp/said"
expect "objcopy, status" 0 $status
status=0
strip -o "$tmp/stripped" "$tmp/core" 2>"$tmp/said" || status=$?
expect "strip, status" 0 $status
cp "$tmp/core" "$tmp/untouched"
status=0
eu-strip "$tmp/untouched" 2>"$tmp/said" || status=$?
expect "eu-strip, status and what it says" "0 illformed file" "$status $(grep -o 'illformed file' "$tmp/said")"
expect "eu-strip, the file after it" same "$(cmp -s "$tmp/core" "$tmp/untouched" && echo same || echo other)"
paddr=0x0000000000001000
for file in core copied stripped; do
    case $file in
        core) load="$paddr 0x001000 0x001000" note="0x0001e8 0x0001e8" byte=0x41 ;;
        *) load="$paddr 0x000000 0x000000" note="0x000000 0x000000" byte="Cannot access memory" ;;
    esac
    expect "$file, type" CORE "$(readelf -hW "$tmp/$file" | awk '$1 == "Type:" { print $2 }')"
    expect "$file, PT_LOAD's p_paddr, p_filesz, p_memsz" "$load" "$(sizes "$tmp/$file" LOAD)"
    expect "$file, PT_NOTE's p_filesz, p_memsz" "$note" "$(sizes "$tmp/$file" NOTE | cut -d' ' -f2-)"
    expect "$file, gdb, the byte at 0x1000" "$byte" "$(byte "$tmp/$file")"
done
finish
