"""`run` while a command asks for much: others are answered, nothing is copied that is not checked, a full disk is borne."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.run.machine import inside, run

pytestmark = pytest.mark.namespaces

LOADS = """
import ctypes, errno, mmap, os, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
GIB, CRASH = 1 << 30, 1
LOAD = {"x86_64": 246, "aarch64": 104, "riscv64": 104, "ppc64le": 268}[os.environ["HOST"]]
class Segment(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("buf", "bufsz", "mem", "memsz")]
def load(*segments, entry=0, flags=0):
    array = (Segment * len(segments))(*segments)
    done = libc.syscall(LOAD, ctypes.c_ulong(entry), len(segments), array, flags)
    return "ok" if done == 0 else errno.errorcode[ctypes.get_errno()]
memory = mmap.mmap(-1, GIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
at = ctypes.addressof(ctypes.c_char.from_buffer(memory))
region = [line for line in open("/proc/iomem") if "Crash kernel" in line][0].split()[0]
start, end = (int(word, 16) for word in region.split("-"))
watch = subprocess.Popen([sys.executable, "-c", '''
import os, time
worst, until = 0, time.monotonic() + 60
print("watching", flush=True)
while not os.path.exists("/tmp/done") and time.monotonic() < until:
    since = time.monotonic()
    os.uname(); open("/sys/kernel/kexec_crash_loaded").read()
    worst = max(worst, time.monotonic() - since)
print("answered" if worst < 1 else f"waited {worst}")
'''], stdout=subprocess.PIPE, text=True)
watch.stdout.readline()
big = 8 * GIB
print("beyond memory", load((at, big, 0, big)))
print("not in the region", load((at, GIB // 2, 1 << 40, GIB // 2), entry=start, flags=CRASH))
print("not on pages", load((at, 100, start + 1, 4096), entry=start, flags=CRASH))
print("larger than its place", load((at, 8192, start, 4096), entry=start, flags=CRASH))
print("no buffer", load((0x1000, 4096, start, 4096), entry=start, flags=CRASH))
print("ends early", load((at + GIB - 4096, 8192, start, 8192), entry=start, flags=CRASH))
size = (end - start + 1) & ~4095
print("the whole region", load((at, size, start, size), entry=start, flags=CRASH))
size = GIB - (256 << 20)
print("much of the memory", load((at, size, GIB // 2, size)))
open("/tmp/done", "w").close()
print(watch.communicate()[0], end="")
"""


def test_segments_are_checked_before_they_are_copied_and_others_are_answered(tmp_path: Path):
    (tmp_path / "loads.py").write_text(LOADS)
    out = inside(f"HOST={os.uname().machine} python3 {tmp_path}/loads.py", "-m", "pc-2g")
    assert out.splitlines() == [
        "beyond memory EINVAL",
        "not in the region EADDRNOTAVAIL",
        "not on pages EADDRNOTAVAIL",
        "larger than its place EINVAL",
        "no buffer EFAULT",
        "ends early EFAULT",
        "the whole region ok",
        "much of the memory ok",
        "answered",
    ]


def test_a_full_disk_ends_the_recording_and_not_the_command():
    done = run(
        "sh",
        "-c",
        "cat /sys/kernel/kexec_crash_loaded; uname -r >/dev/null",
        options=("--record", "/dev/full"),
    )
    assert (done.returncode, done.stdout) == (0, "0\n")
    assert done.stderr == (
        "kdumpfs: --record /dev/full: No space left on device; nothing more is recorded\n"
    )


def test_a_record_that_cannot_be_made_is_one_sentence():
    done = run("true", options=("--record", "/no/such/place"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "kdumpfs: --record /no/such/place: No such file or directory\n"


def test_background_readers_end_quietly_with_the_run():
    done = run("sh", "-c", "cat /dev/kmsg >/dev/null & dmesg -W >/dev/null & sleep 0.3; echo done")
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
