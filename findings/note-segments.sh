#!/usr/bin/env bash
# A core with more than one PT_NOTE: makedumpfile reads the last and writes the first.
. "$(dirname "$0")/common"
deb makedumpfile=1:1.7.2-1 libdw1=0.188-2.1 libelf1=0.188-2.1 liblzo2-2=2.10-2 libkdumpfile10=0.5.1-1 libsnappy1v5=1.1.9-3 crash=8.0.2-1 binutils=2.40-2 libbinutils=2.40-2 binutils-x86-64-linux-gnu=2.40-2 binutils-common=2.40-2 libctf0=2.40-2 libctf-nobfd0=2.40-2 libgprofng0=2.40-2
wheels drgn==0.3.0
cat <<TEXT
makedumpfile 1.7.2, crash 8.0.2, drgn 0.3.0, readelf 2.40 on an x86-64 core of two CPUs whose notes stand in one PT_NOTE, in
three (one a CPU and one of VMCOREINFO, as in the header that kexec loads; /proc/vmcore merges them), or behind the PT_LOADs.
Guess: gABI counts and orders no PT_NOTE, so all find the three notes, and "makedumpfile -d 0 -E" keeps them.
Seen: drgn and readelf do. makedumpfile reads VMCOREINFO in the last PT_NOTE only (elf_info.c, get_elf_info: each set_pt_note()
replaces the one before) and copies the first only (makedumpfile.c, write_elf_header): with VMCOREINFO at the end it does its
work by it and leaves it out, with the second CPU, status 0; with VMCOREINFO in front the compressed dump has none. crash takes
the first program header for the notes, whatever its type is (netdump.c, is_netdump). Same in their sources of 2026.
TEXT
python3 - "$here" "$tmp" <<'PY'
import struct
import sys
sys.path.insert(0, sys.argv[1])
from core import DIRECT, for_makedumpfile, prstatus
low, info = for_makedumpfile()
cpus = [prstatus(1), prstatus(2)]
notes = lambda data: (4, 0, 0, data)
memory = [(1, 7, 0x2000, low), (1, 7, 0x10000, b"A" * 4096)]
cores = {"one": [notes(cpus[0] + cpus[1] + info), *memory], "behind": [*memory, notes(cpus[0] + cpus[1] + info)]}
cores["last"] = [notes(cpus[0]), notes(cpus[1]), notes(info), *memory]
cores["first"] = [notes(info), notes(cpus[0]), notes(cpus[1]), *memory]
for name, segments in cores.items():
    rows, body = b"", b""
    for kind, flags, paddr, data in segments:
        address = DIRECT + paddr if kind == 1 else 0
        rows += struct.pack("<2I6Q", kind, flags, 0x1000 + len(body), address, paddr, len(data), len(data), 0)
        body += data + bytes(-len(data) % 4096)
    ehdr = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<2HI3QI6H", 4, 62, 1, 0, 64, 0, 0, 64, 56, len(segments), 0, 0, 0)
    with open(f"{sys.argv[2]}/{name}", "wb") as file:
        file.write((ehdr + rows).ljust(0x1000, b"\0") + body)
PY
names() { readelf -nW "$tmp/$1" 2>/dev/null | awk '$1 == "CORE" || $1 == "VMCOREINFO" { print $1 }' | xargs; }
release() { python -c 'import sys, drgn
program = drgn.Program()
try:
    program.set_core_dump(sys.argv[1])
    print("6.1.0" if b"OSRELEASE=6.1.0" in program["VMCOREINFO"].string_() else "other")
except Exception:
    print("none")' "$tmp/$1"; }
for name in one behind last first; do
    all="CORE CORE VMCOREINFO" crash=6.1.0 kept=$all elf=6.1.0 compressed=6.1.0
    case $name in
        behind) crash=unknown ;;
        last) crash=unknown kept=CORE elf=none ;;
        first) all="VMCOREINFO CORE CORE" kept=VMCOREINFO compressed=none ;;
    esac
    for how in E c; do
        status=0
        makedumpfile -"$how" -d 0 "$tmp/$name" "$tmp/$name.$how" >"$tmp/said" 2>&1 || status=$?
        expect "$name: makedumpfile -$how -d 0, status" 0 $status
    done
    expect "$name: notes, readelf" "$all" "$(names $name)"
    expect "$name: release, drgn" 6.1.0 "$(release $name)"
    expect "$name: release, crash" "$crash" "$(crash --osrelease "$tmp/$name" 2>/dev/null | tail -1)"
    expect "$name: notes of makedumpfile -E, readelf" "$kept" "$(names $name.E)"
    expect "$name: release of makedumpfile -E, drgn" "$elf" "$(release $name.E)"
    expect "$name: release of makedumpfile -c, drgn" "$compressed" "$(release $name.c)"
done
finish
