#!/usr/bin/env bash
# hwloc takes a CPU list with groups or steps for the whole range, and says success.
. "$(dirname "$0")/common"
deb libhwloc15=2.9.0-1 'util-linux=2.38.1-5*' libnuma1=2.0.16-1
cat <<TEXT
hwloc 2.9.0 (hwloc_bitmap_list_sscanf), libnuma 2.0.16 (numa_parse_cpustring_all), taskset of util-linux 2.38.1 on CPU lists.
Linux takes 0-7:2/4 wherever it takes a list, isolcpus= and cpusets too: of each 4 the first 2, 0-1,4-5 (Documentation/
admin-guide/kernel-parameters.rst); util-linux takes 0-7:2 for each second, 0,2,4,6 (taskset(1)).
Guess: who does not know a form refuses it.
Seen: libnuma refuses both, taskset Linux's; hwloc takes both and answers 0 (success) and 0-7, each CPU that was to be left out
in it: a number ends where its digits end, and the next one begins behind whatever follows (hwloc/bitmap.c). Numbers are C's:
010 is 8, which Linux takes for 10.
TEXT
cat >"$tmp/read.py" <<'PY'
import ctypes
import sys
reader, text = sys.argv[1:]
if reader == "hwloc":
    lib = ctypes.CDLL("libhwloc.so.15")
    lib.hwloc_bitmap_alloc.restype = ctypes.c_void_p
    lib.hwloc_bitmap_list_sscanf.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    lib.hwloc_bitmap_list_snprintf.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p]
    bitmap, buffer = lib.hwloc_bitmap_alloc(), ctypes.create_string_buffer(256)
    status = lib.hwloc_bitmap_list_sscanf(bitmap, text.encode())
    lib.hwloc_bitmap_list_snprintf(buffer, 256, bitmap)
    print(status, buffer.value.decode() or "none")
else:
    lib = ctypes.CDLL("libnuma.so.1")
    lib.numa_parse_cpustring_all.restype = ctypes.c_void_p
    print("taken" if lib.numa_parse_cpustring_all(text.encode()) else "refused")
PY
hwloc() { python3 "$tmp/read.py" hwloc "$1"; }
numa() { python3 "$tmp/read.py" numa "$1" 2>/dev/null; }
by_taskset() { taskset -c "$1" true 2>/dev/null && echo taken || echo refused; }
expect "0-1,4-5, hwloc" "0 0-1,4-5" "$(hwloc 0-1,4-5)"
expect "0-7:2/4, hwloc" "0 0-7" "$(hwloc 0-7:2/4)"
expect "0-7:2, hwloc" "0 0-7" "$(hwloc 0-7:2)"
expect "010, hwloc" "0 8" "$(hwloc 010)"
expect "0-0, libnuma" taken "$(numa 0-0)"
expect "0-0:1/1, libnuma" refused "$(numa 0-0:1/1)"
expect "0-7:2, taskset" taken "$(by_taskset 0-7:2)"
expect "0-7:2/4, taskset" refused "$(by_taskset 0-7:2/4)"
finish
