#!/usr/bin/env bash
# eu-elfcmp: two cores of different memory are equal.
. "$(dirname "$0")/common"
deb elfutils=0.188-2.1 libelf1=0.188-2.1 libdw1=0.188-2.1 libasm1=0.188-2.1
cat <<TEXT
eu-elfcmp of elfutils 0.188 on pairs of cores without sections: one byte of a PT_LOAD differs, or the pid in NT_PRSTATUS.
Guess: what a core has is what its segments have, so they differ: status 1. (eu-elfcmp --help: "Compare relevant parts of two
ELF files for equality.")
Seen: equal, status 0, nothing said. Compared are the headers' tables and the sections; all that no section covers is a "gap",
and gaps are ignored unless --gaps=match is given (src/elfcmp.c): in a core without sections that is every note and all memory.
A pair that differs in p_memsz is told apart.
TEXT
python3 - "$here" "$tmp" <<'PY'
import sys
sys.path.insert(0, sys.argv[1])
from core import core, prstatus, vmcoreinfo
def made(name, pid=1, last=b"A", size=4096):
    core(f"{sys.argv[2]}/{name}", prstatus(pid) + vmcoreinfo(), [(0x1000, b"A" * 4095 + last, size)])
made("core")
made("memory", last=b"B")
made("pid", pid=2)
made("size", size=8192)
PY
status() { local status=0; eu-elfcmp "$@" >/dev/null 2>&1 || status=$?; echo $status; }
expect "a byte of memory, cmp" 1 "$(cmp -s "$tmp/core" "$tmp/memory" && echo 0 || echo 1)"
expect "a byte of memory" 0 "$(status "$tmp/core" "$tmp/memory")"
expect "the pid of a note" 0 "$(status "$tmp/core" "$tmp/pid")"
expect "a byte of memory, --gaps=match" 1 "$(status --gaps=match "$tmp/core" "$tmp/memory")"
expect "p_memsz" 1 "$(status "$tmp/core" "$tmp/size")"
finish
