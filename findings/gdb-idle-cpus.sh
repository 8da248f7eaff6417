#!/usr/bin/env bash
# gdb on a vmcore: an idle CPU has the registers of the CPU that panicked; of two idle CPUs one goes.
. "$(dirname "$0")/common"
deb gdb-minimal=13.1-3 libipt2=2.0.5-1 libreadline8=8.2-1.3 libdebuginfod1=0.188-2.1 libdw1=0.188-2.1 libelf1=0.188-2.1 elfutils=0.188-2.1 libasm1=0.188-2.1
cat <<TEXT
gdb 13.1 on vmcores of two and three CPUs. Linux writes one NT_PRSTATUS a CPU with the pid of its task, and the task of an
idle CPU has pid 0 (crash_save_cpu(), kernel/crash_core.c; before 6.9 kernel/kexec_core.c). No executable is given.
Guess: "info threads" has one row a CPU, each with its own registers.
Seen: where the first note is of pid 7 the idle CPU is "process 1", and its rip is that of pid 7: a thread without LWP number
reads the section .reg, which BFD makes of the first note, never .reg/0 (gdb/gdbcore.h, thread_section_name). Each further
note of pid 0 takes the place of the one before ("The OS is reusing this id", gdb/thread.c, add_thread_silent), so its
registers are nobody's; when that was the first note, gdb has no thread to start with. eu-readelf shows all three.
TEXT
python3 - "$here" "$tmp" <<'PY'
import sys
sys.path.insert(0, sys.argv[1])
from core import core, note, vmcoreinfo
def cpu(pid, rip):
    return note(b"CORE", 1, bytes(32) + pid.to_bytes(4, "little") + bytes(204) + rip.to_bytes(8, "little") + bytes(88))
busy, idle, idle2 = cpu(7, 0x7777), cpu(0, 0x1111), cpu(0, 0x2222)
for name, cpus in {"one": busy + idle, "two": busy + idle + idle2, "first": idle + busy + idle2, "numbered": busy + cpu(8, 0x1111)}.items():
    core(f"{sys.argv[2]}/{name}", cpus + vmcoreinfo(), [(0x1000, b"A" * 4096, 4096)])
PY
threads() { gdb -q -batch -nx -ex 'info threads' -c "$tmp/$1" 2>/dev/null | sed -nE 's/^.* (LWP|process) ([0-9]+) +0x0*([0-9a-f]+) .*/\1 \2 at \3/p' | paste -sd, ; }
expect "pids 7 and 8, gdb" "LWP 7 at 7777,LWP 8 at 1111" "$(threads numbered)"
expect "pids 7 and 0, gdb (the second CPU's rip is 1111)" "LWP 7 at 7777,process 1 at 7777" "$(threads one)"
expect "pids 7, 0, 0, gdb (1111 and 2222)" "LWP 7 at 7777,process 1 at 7777" "$(threads two)"
expect "pids 0, 7, 0, gdb" "LWP 7 at 7777,process 1 at 1111" "$(threads first)"
expect "pids 0, 7, 0, gdb, a current thread" "The current thread has terminated" "$(gdb -q -batch -nx -ex 'info registers rip' -c "$tmp/first" 2>&1 | tail -1)"
expect "pids 7, 0, 0, eu-readelf" "7777 1111 2222" "$(eu-readelf -n "$tmp/two" | sed -nE 's/.*rip: +0x0*([0-9a-f]+).*/\1/p' | xargs)"
finish
