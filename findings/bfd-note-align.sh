#!/usr/bin/env bash
# One PT_NOTE of p_align 16: BFD, and gdb with it, does not know the file any more.
. "$(dirname "$0")/common"
deb binutils=2.40-2 libbinutils=2.40-2 binutils-x86-64-linux-gnu=2.40-2 binutils-common=2.40-2 libctf0=2.40-2 libctf-nobfd0=2.40-2 libgprofng0=2.40-2 elfutils=0.188-2.1 libelf1=0.188-2.1 libdw1=0.188-2.1 libasm1=0.188-2.1 gdb-minimal=13.1-3 libipt2=2.0.5-1 libreadline8=8.2-1.3 libdebuginfod1=0.188-2.1
cat <<TEXT
binutils 2.40, gdb 13.1, elfutils 0.188 on a core whose notes stand at multiples of 4 in a PT_NOTE that has p_align 2 or 16
(a power of two, as gABI asks; p_offset = 0x1000, p_vaddr = 0).
Guess: p_align of a segment that is never loaded does not matter; or, as for 0, 1 and 2, it is read as 4.
Seen: 0, 1, 2 and 4 are read as 4; from 16 on objdump and gdb refuse the whole core, its PT_LOADs too ("file format not
recognized"): one PT_NOTE that fails ends the probing of the file (bfd/elf.c, elf_parse_notes: below 4 is 4, then anything
but 4 and 8 is false). readelf shows the table and warns; eu-readelf reads the notes.
TEXT
python3 - "$here" "$tmp" <<'PY'
import sys
sys.path.insert(0, sys.argv[1])
from core import core, prstatus, vmcoreinfo
for align in (2, 16):
    core(f"{sys.argv[2]}/{align}", prstatus(1) + vmcoreinfo(), [(0x1000, b"A" * 4096, 4096)], align)
PY
for align in 2 16; do
    case $align in
        2) sections=1 byte=0x41 notes=2 ;;
        16) sections=0 byte="" notes=0 ;;
    esac
    file=$tmp/$align
    expect "p_align $align, objdump -h, sections of PT_LOAD" "$sections" "$(objdump -h "$file" 2>/dev/null | grep -c ' load' || :)"
    expect "p_align $align, gdb, the byte at 0x1000" "$byte" "$(gdb -q -batch -nx -ex 'x/1xb 0x1000' -c "$file" 2>/dev/null | awk '/^0x1000/ { print $2 }')"
    expect "p_align $align, readelf -n, notes" "$notes" "$(readelf -nW "$file" 2>/dev/null | grep -cE '^ *(CORE|VMCOREINFO) ' || :)"
    expect "p_align $align, eu-readelf -n, notes" 2 "$(eu-readelf -n "$file" 2>/dev/null | grep -cE '^ *(CORE|VMCOREINFO) ' || :)"
    expect "p_align $align, readelf -l, PT_LOADs" 1 "$(readelf -lW "$file" 2>/dev/null | grep -c '^ *LOAD' || :)"
done
objdump -h "$tmp/16" 2>&1 | sed 's|.*/|  objdump: |' || :
finish
