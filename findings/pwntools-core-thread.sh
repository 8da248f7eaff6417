#!/usr/bin/env bash
# pwntools' Corefile of a process with threads: signal of the thread that crashed, registers of the last one.
. "$(dirname "$0")/common"
deb gdb-minimal=13.1-3 libipt2=2.0.5-1 libreadline8=8.2-1.3 libdebuginfod1=0.188-2.1 libdw1=0.188-2.1 libelf1=0.188-2.1
wheels pwntools==4.15.0
cat <<TEXT
pwntools 4.15.0 (pwnlib.elf.corefile.Corefile) and gdb 13.1 on x86-64 cores of one and of three threads, notes in Linux's
order: the thread that crashed first, its NT_PRSTATUS followed by NT_SIGINFO (SIGSEGV at 0xdead), then the other threads'
NT_PRSTATUS (fs/binfmt_elf.c, fill_note_info); and on an aarch64 core of either byte order.
Guess: pid, pc and registers are those of the thread that crashed, which signal and fault_addr are about, as in gdb; a
big-endian core, which pwntools calls big, is read so.
Seen: each NT_PRSTATUS takes the place of the one before (pwnlib/elf/corefile.py, Corefile.__init__), so pid, pc and registers
are the last thread's, beside signal and fault_addr of the first; there is no other way to the first. The structs are ctypes
of the machine's own order: the big-endian core has pid 704643072 for 42, without a word.
TEXT
cat >"$tmp/write.py" <<'PY'
import struct
import sys
def write(name, order, machine, size, pc_at, threads):
    def note(kind, desc):
        return struct.pack(order + "3I", 5, len(desc), kind) + b"CORE\0\0\0\0" + desc + bytes(-len(desc) % 4)
    notes = b""
    for pid, pc in threads:
        status = bytearray(size)
        struct.pack_into(order + "ihxx", status, 32, pid, 0)
        struct.pack_into(order + "h", status, 12, 0 if notes else 11)
        struct.pack_into(order + "Q", status, 112 + pc_at, pc)
        first = not notes
        notes += note(1, bytes(status))
        if first:
            notes += note(0x53494749, struct.pack(order + "3i4xQ", 11, 0, 1, 0xDEAD).ljust(128, b"\0"))
    ehdr = b"\x7fELF" + bytes([2, 1 if order == "<" else 2, 1]) + bytes(9)
    ehdr += struct.pack(order + "2HI3QI6H", 4, machine, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    phdr = struct.pack(order + "2I6Q", 4, 0, 0x100, 0, 0, len(notes), len(notes), 4)
    with open(f"{sys.argv[1]}/{name}", "wb") as file:
        file.write((ehdr + phdr).ljust(0x100, b"\0") + notes)
write("one", "<", 62, 336, 128, [(42, 0x1111)])
write("three", "<", 62, 336, 128, [(42, 0x1111), (43, 0x2222), (44, 0x3333)])
write("little", "<", 183, 392, 256, [(42, 0x1111)])
write("big", ">", 183, 392, 256, [(42, 0x1111)])
PY
cat >"$tmp/read.py" <<'PY'
import sys
from pwnlib.context import context
context.log_level = "error"
from pwnlib.elf.corefile import Corefile
core = Corefile(sys.argv[1])
print(f"{core.endian} pid {core.pid} pc {core.pc:#x} signal {core.signal} at {core.fault_addr:#x}")
PY
python3 "$tmp/write.py" "$tmp"
export PWNLIB_NOTERM=1 PWNLIB_SILENT=1
by_pwntools() { HOME=$tmp python "$tmp/read.py" "$tmp/$1" 2>/dev/null; }
by_gdb() { gdb -q -batch -nx -ex 'info threads' -c "$tmp/$1" 2>/dev/null | sed -nE 's/^\* .*LWP ([0-9]+) +0x0*([0-9a-f]+) .*/pid \1 pc 0x\2/p'; }
expect "one thread, gdb" "pid 42 pc 0x1111" "$(by_gdb one)"
expect "one thread, pwntools" "little pid 42 pc 0x1111 signal 11 at 0xdead" "$(by_pwntools one)"
expect "three threads, gdb's current one" "pid 42 pc 0x1111" "$(by_gdb three)"
expect "three threads, pwntools" "little pid 44 pc 0x3333 signal 11 at 0xdead" "$(by_pwntools three)"
expect "aarch64, pwntools" "little pid 42 pc 0x1111 signal 11 at 0xdead" "$(by_pwntools little)"
expect "aarch64 big-endian, pwntools" "big pid 704643072 pc 0x1111000000000000 signal 184549376 at 0xadde000000000000" "$(by_pwntools big)"
finish
