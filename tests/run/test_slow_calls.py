"""`run` while a command asks for much: others are answered, nothing is copied that is not checked, a full disk is borne."""

from __future__ import annotations

import os
import sys
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


NEVER = """
import ctypes, errno, os, socket, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
os.makedirs("/tmp/m", exist_ok=True)
server = subprocess.Popen([sys.executable, sys.argv[1] + "/server.py", "/tmp/m"], stdout=subprocess.PIPE)
assert server.stdout.readline() == b"ready\\n"
fd = os.open("/tmp/m/sys/slow", os.O_RDONLY)
absent = ctypes.c_void_p(libc.mmap(None, 65536, 3, 2, fd, 0))
unix = socket.socket(socket.AF_UNIX)
region = [line for line in open("/proc/iomem") if "Crash kernel" in line][0].split("-")[0]
segment = (ctypes.c_uint64 * 4)(absent.value, 4096, int(region, 16), 4096)
calls = {
    "uname": (63, absent), "delete_module": (176, absent, 0), "connect": (42, unix.fileno(), absent, 20),
    "sysinfo": (99, absent), "sched_setaffinity": (203, 0, 8, absent), "sethostname": (170, absent, 8),
    "kexec_load": (246, 0, 1, absent, 1), "a segment": (246, ctypes.c_uint64(int(region, 16)), 1, segment, 1),
    "finit_module": (313, fd, b"", 0), "kexec_file_load": (320, fd, fd, 1, b"", 0),
}
said = {}
for name, args in calls.items():
    out, into = os.pipe()
    said[name] = os.fdopen(out)
    if os.fork() == 0:
        done = libc.syscall(*args)
        os.write(into, errno.errorcode.get(ctypes.get_errno(), "0").encode() + b"\\n" if done else b"0\\n")
        os._exit(0)
    os.close(into)
time.sleep(0.3)
worst, until = 0, time.monotonic() + 3
while time.monotonic() < until:
    since = time.monotonic()
    os.uname(); open("/sys/kernel/kexec_crash_loaded").read(); os.statvfs("/sys")
    worst = max(worst, time.monotonic() - since)
print("answered" if worst < 1 else f"waited {worst}")
for name, pipe in said.items():
    print(name, pipe.readline(), end="")
server.kill()
"""

SERVER = """
import os, sys, time
from fsmount.host import mountns
mountns.FSTYPE = "fuse.other"
from fsmount.cli.mount import mount_at
from fsmount.fuse import proto
from fsmount.fuse.direct import Connection
from fsmount.tree.kernfs import Tree
from fsmount.tree.kobject import AttributeGroup, singleton
from tests.counters import Machine
proto.FOPEN_NOFLUSH = 0
answer = Connection._answer
def slow(self, size):
    while proto.IN_START.unpack_from(self._buf)[1] in (15, 25):  # READ, FLUSH
        time.sleep(1000)
    return answer(self, size)
Connection._answer = slow
class File:
    def read(self, size, offset, flags=0):
        return b""
group = AttributeGroup("", singleton)
group.add("slow", open=lambda *_: File(), size=1 << 20)
mount = mount_at(Tree(Machine(), [group]), sys.argv[1], direct=True)
mount.serve(lambda: os.write(1, b"ready\\n"))
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86_64's calls")
def test_memory_and_files_that_never_come_are_waited_for_by_their_caller_alone(tmp_path: Path):
    (tmp_path / "never.py").write_text(NEVER)
    (tmp_path / "server.py").write_text(SERVER)
    out = inside(f"{sys.executable} {tmp_path}/never.py {tmp_path}", "-m", "pc-2g")
    assert out.splitlines() == [
        "answered",
        *(f"{name} EFAULT" for name in ("uname", "delete_module", "connect", "sysinfo")),
        *(f"{name} EFAULT" for name in ("sched_setaffinity", "sethostname", "kexec_load")),
        "a segment EFAULT",
        # fuse_allow_current_process(): who is outside of the mount's user namespace may not even stat
        "finit_module EIO",
        "kexec_file_load EIO",
    ]


FULL = 'mount -t tmpfs -o size=4k none /mnt && exec "$@"'


@pytest.mark.skipif(os.geteuid() != 0, reason="root mounts the small file system")
def test_a_full_disk_ends_the_recording_and_not_the_command():
    script = "cat /sys/kernel/kexec_crash_loaded; for n in $(seq 200); do uname -r; done | tail -1"
    done = run(
        "sh",
        "-c",
        script,
        options=("--record", "/mnt/seen"),
        before=("unshare", "-m", "sh", "-c", FULL, "sh"),
    )
    assert (done.returncode, done.stdout) == (0, "0\n7.1.0\n")
    assert done.stderr == (
        "kdumpfs: --record /mnt/seen: No space left on device; nothing more is recorded\n"
    )


def test_a_record_that_cannot_be_made_is_one_sentence():
    done = run("true", options=("--record", "/no/such/place"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "kdumpfs: --record /no/such/place: No such file or directory\n"


def test_background_readers_end_quietly_with_the_run():
    done = run("sh", "-c", "cat /dev/kmsg >/dev/null & dmesg -W >/dev/null & sleep 0.3; echo done")
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_who_only_begins_to_read_when_the_run_ends_says_nothing_either():
    begin = "i=0; while [ $i -lt 60 ]; do dmesg -W >/dev/null & i=$((i+1)); done; sleep 0.02"
    for _ in range(4):
        done = run("sh", "-c", begin)
        assert (done.returncode, done.stderr) == (0, "")
