#!/usr/bin/env bash
# eu-stack: a core without NT_PRPSINFO is "not a valid ELF file".
. "$(dirname "$0")/common"
deb elfutils=0.188-2.1 libelf1=0.188-2.1 libdw1=0.188-2.1 libasm1=0.188-2.1 gdb-minimal=13.1-3 libipt2=2.0.5-1 libreadline8=8.2-1.3 libdebuginfod1=0.188-2.1
cat <<TEXT
eu-stack, eu-readelf 0.188 and gdb 13.1 on x86-64 cores of two threads, with and without NT_PRPSINFO (the kernel's vmcore and
QEMU's dump-guest-memory have none), the note before or behind those of the threads.
Guess: eu-stack lists both threads' pc; NT_PRPSINFO is a name and a pid, and each NT_PRSTATUS has a pid of its own.
Seen: without it eu-stack refuses the file, "dwfl_core_file_attach: not a valid ELF file", though libelf reads it and eu-readelf
shows its notes: no pid is an error there, and the error is DWFL_E_BADELF (libdwfl/linux-core-attach.c). gdb takes it.
TEXT
python3 - "$here" "$tmp" <<'PY'
import sys
sys.path.insert(0, sys.argv[1])
from core import core, note
def thread(pid, rip):
    return note(b"CORE", 1, bytes(32) + pid.to_bytes(4, "little") + bytes(204) + rip.to_bytes(8, "little") + bytes(88))
psinfo = note(b"CORE", 3, bytes(24) + (42).to_bytes(4, "little") + bytes(12) + b"sleep".ljust(16, b"\0") + bytes(80))
threads = thread(42, 0x1111) + thread(43, 0x2222)
for name, notes in {"before": psinfo + threads, "behind": threads + psinfo, "without": threads}.items():
    core(f"{sys.argv[2]}/{name}", notes, [(0x1000, b"A" * 4096, 4096)])
PY
by_stack() { eu-stack --core "$tmp/$1" 2>&1 | grep -oE 'not a valid ELF file|0x[0-9a-f]+$' | sed 's/0x0*//' | paste -sd, || true; }
by_gdb() { gdb -q -batch -nx -ex 'info threads' -c "$tmp/$1" 2>/dev/null | sed -nE 's/^.* LWP [0-9]+ +0x0*([0-9a-f]+) .*/\1/p' | paste -sd, ; }
for name in before behind without; do
    case $name in
        without) stack="not a valid ELF file" notes=2 ;;
        *) stack="1111,2222" notes=3 ;;
    esac
    expect "$name: notes, eu-readelf" "$notes" "$(eu-readelf -n "$tmp/$name" | grep -cE '^  CORE ')"
    expect "$name: eu-stack" "$stack" "$(by_stack $name)"
    expect "$name: gdb" 1111,2222 "$(by_gdb $name)"
done
finish
