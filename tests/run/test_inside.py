"""What a command sees inside: log, names, calls, uevents; and what `run` itself offers."""

from __future__ import annotations

import errno
import json
import os
import pty
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from tests.run.machine import ENVIRONMENT, PROJECT, RUN, inside, run

pytestmark = pytest.mark.namespaces

ON_CRASH, UPDATE_ELFCOREHDR, CRASH_HOTPLUG = 0x1, 0x4, 0x8


def python(script: str, *options: str) -> str:
    done = run("python3", "-c", script, options=options)
    assert done.returncode == 0, done.stderr
    return done.stdout


# The log


def test_dmesg_clears_and_reads_what_was_written_to_kmsg():
    script = """
dmesg -C; echo '<3>hello' > /dev/kmsg; dmesg -x; dmesg -c | wc -l; dmesg | wc -l
dmesg -n 3; cut -f1 /proc/sys/kernel/printk; dmesg -E; cut -f1 /proc/sys/kernel/printk
"""
    lines = inside(script).splitlines()
    assert lines[0].startswith("user  :err   : [")
    assert lines[0].endswith("] hello")
    assert lines[1:] == ["1", "0", "3", "3"]


def test_dmesg_json_is_json():
    records = json.loads(inside("dmesg -J"))["dmesg"]
    assert records[0]["msg"].startswith("Linux version")


def test_dmesg_w_waits_and_stops_nobody():
    script = """
timeout 3 dmesg -W > /tmp/kdumpfs-test-$$ & sleep 0.4
lsmem > /dev/null; echo one > /dev/kmsg; cat /sys/kernel/kexec_crash_loaded; sleep 0.2
kill %1; cat /tmp/kdumpfs-test-$$; rm /tmp/kdumpfs-test-$$
"""
    lines = inside(script).splitlines()
    assert lines[0] == "0"
    assert lines[1].endswith("] one")


def test_reader_that_waits_in_kmsg_is_interrupted_by_a_signal():
    script = """
import os, signal
fd = os.open("/dev/kmsg", os.O_RDONLY)
os.lseek(fd, 0, os.SEEK_END)
class Alarm(Exception): pass
def ring(*_): raise Alarm
signal.signal(signal.SIGALRM, ring)
signal.setitimer(signal.ITIMER_REAL, 0.3)
try: os.read(fd, 8192)
except Alarm: print("interrupted")
"""
    assert python(script) == "interrupted\n"


def test_seek_end_and_data_of_kmsg_are_what_they_say():
    script = """
import os
fd = os.open("/dev/kmsg", os.O_RDWR | os.O_NONBLOCK)
os.lseek(fd, 0, os.SEEK_END)
os.write(fd, b"after the end\\n")
print(os.read(fd, 8192).split(b";")[1])
os.system("dmesg -C"); os.write(fd, b"after the clear\\n")
os.lseek(fd, 0, os.SEEK_DATA)
print(os.read(fd, 8192).split(b";")[1])
os.lseek(fd, 0, os.SEEK_SET)
print(os.read(fd, 8192).split(b";")[1][:13])
"""
    lines = python(script).splitlines()
    assert lines == ["b'after the end\\n'", "b'after the clear\\n'", "b'Linux version'"]


def test_poll_of_kmsg_wakes_when_something_is_logged():
    script = """
import os, select, threading
fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
os.lseek(fd, 0, os.SEEK_END)
poll = select.poll(); poll.register(fd, select.POLLIN)
print(poll.poll(50))
threading.Timer(0.2, lambda: os.system("echo x > /dev/kmsg")).start()
print(bool(poll.poll(5000)))
"""
    assert python(script).splitlines() == ["[]", "True"]


def test_logger_reaches_no_log_of_the_host():
    assert inside("logger hello; echo $?; ls /dev/log 2>&1 | grep -c 'No such'") == "0\n1\n"


# Names


def test_uname_says_the_emulated_release_and_the_machine_unless_the_hosts_is_asked_for():
    host = os.uname()
    assert inside("uname -r -m", "--kernel", "6.12").split() == ["6.12.0", "ppc64le"]
    assert inside("uname -r -m", "--kernel", "6.12", "--no-uname").split() == [
        "6.12.0",
        host.machine,
    ]
    assert inside("uname -n").strip() == host.nodename
    assert inside("cat /proc/sys/kernel/osrelease", "--kernel", "6.12") == "6.12.0\n"


def test_mount_table_shows_sysfs_on_sys_first():
    assert inside("mount -t sysfs | head -1 | awk '{print $3}'") == "/sys\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user cannot mount a debugfs")
def test_mount_table_shows_a_debugfs_and_its_files_are_the_machines():
    place = "/sys/kernel/debug/notifier-error-inject/memory/actions/MEM_GOING_OFFLINE/error"
    script = f"""
mount -t debugfs | head -1 | awk '{{print $3}}'
echo -12 > {place}; cat {place}
echo offline > /sys/devices/system/memory/memory62/state; dmesg | tail -1
"""
    done = run("bash", "-c", script)
    assert done.stdout.startswith("/sys/kernel/debug\n-12\n")
    assert "Injecting error (-12) to MEM_GOING_OFFLINE" in done.stdout
    assert "Cannot allocate memory" in done.stderr


def test_statfs_says_sysfs_and_proc():
    script = "stat -f -c %T /sys /sys/kernel /sys/devices/system/memory /proc /proc/sys /dev/null"
    printed = inside(f"cd /sys/kernel && {script} && stat -f -c %T kexec .")
    assert printed.split() == ["sysfs"] * 3 + ["proc"] * 2 + ["tmpfs"] + ["sysfs"] * 2


def test_fstatfs_says_sysfs_for_an_open_file():
    script = """
import ctypes
buf = ctypes.create_string_buffer(256)
for name in ("/sys/kernel/vmcoreinfo", "/sys/devices/system/memory", "/proc/iomem", "/etc/passwd"):
    import os
    ctypes.CDLL(None).fstatfs(os.open(name, os.O_RDONLY), buf)
    print(hex(int.from_bytes(buf.raw[:4], "little")))
"""
    assert python(script).split()[:3] == ["0x62656572", "0x62656572", "0x9fa0"]
    assert python(script).split()[3] not in ("0x62656572", "0x9fa0", "0x65735546")


def test_proc_has_the_machines_files_and_the_commands_processes():
    script = """
head -1 /proc/iomem; cat /proc/cmdline; cat /proc/self/comm; [ /proc/self -ef /proc/$$ ] || echo other
ls /proc/device-tree/chosen >/dev/null && echo device-tree; test -e /proc/vmcore || echo no vmcore
cat <(echo substitution)
"""
    lines = inside(script).splitlines()
    assert lines[0] == "00000000-3ffffffff : System RAM"
    assert lines[1].startswith("BOOT_IMAGE=")
    assert lines[2:] == ["cat", "device-tree", "no vmcore", "substitution"]


def test_file_of_proc_is_copied_whole_by_who_tries_sendfile_first():
    # shutil.copyfile() and busybox's cat: where that says 0 bytes they have done.
    script = "import shutil; print(shutil.copyfile('/proc/meminfo', '/run/copy'))"
    printed = inside(f'python3 -c "{script}"; cmp /run/copy /proc/meminfo; wc -l < /run/copy')
    name, lines = printed.split()
    assert name == "/run/copy"
    assert int(lines) > 20


def test_thread_self_names_the_thread():
    script = """
import os, threading
def look():
    print(os.readlink("/proc/thread-self") == f"{os.getpid()}/task/{threading.get_native_id()}")
    print(os.readlink("/proc/self") == str(os.getpid()))
t = threading.Thread(target=look); t.start(); t.join()
"""
    assert python(script) == "True\nTrue\n"


def test_names_follow_hotplug_and_links_of_the_host_stay():
    script = """
ls /sys/kernel/slab /sys/class/net > /dev/null && echo real
echo 'memory remove index 0x8000003e' > /sys/kernel/dlpar 2>/dev/null || echo 'memory remove count 1' > /sys/kernel/dlpar
ls -d /sys/devices/system/memory/memory[0-9]* | wc -l
echo 0 > /sys/devices/system/cpu/cpu1/online; ls /sys/devices/system/cpu/cpu1 | grep -c topology
ls /sys/kernel/slab > /dev/null && cat /proc/sys/kernel/panic > /dev/null && echo still
"""
    assert inside(script).split() == ["real", "63", "0", "still"]


def test_addresses_are_hidden_from_the_unprivileged():
    if os.geteuid():
        pytest.skip("an ordinary user's machine has one user id only")
    assert inside("setpriv --reuid=65534 --clear-groups head -1 /proc/iomem") == (
        "00000000-00000000 : System RAM\n"
    )


# Calls

KEXEC_LOAD = """
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def elf(marker):
    head = bytes.fromhex("7f454c460201010000000000000000000400150001000000") + bytes(8)
    head += struct.pack("<QQIHHHHHH", 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return head + struct.pack("<IIQQQQQQ", 1, 7, marker, 0xc000000000000000, 0, 4096, 4096, 0)
def load(flags, contents, base=0x20000000, size=0x80000):
    buffers = [ctypes.create_string_buffer(c, len(c)) for c in contents]
    raw = b"".join(struct.pack("<4Q", ctypes.addressof(b), len(b), base + i * size, size)
                   for i, b in enumerate(buffers))
    done = libc.syscall(246, ctypes.c_ulong(base), ctypes.c_ulong(len(buffers)), raw, ctypes.c_ulong(flags))
    return 0 if done == 0 else -ctypes.get_errno()
def table(): return open("/sys/kernel/kexec/crash_elfcorehdr_print").read()
"""
x86_host = pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86_64's calls")


@x86_host
def test_kexec_load_brings_its_own_header_and_the_file_has_changed_when_it_returns():
    script = (
        KEXEC_LOAD
        + f"""
print(load({ON_CRASH}, [b"purgatory", elf(0x1234000)]), open("/sys/kernel/kexec_crash_loaded").read().strip())
print("0x1234000" in table(), open("/sys/devices/system/memory/crash_hotplug").read().strip())
open("/sys/devices/system/memory/memory62/state", "w").write("offline")
print("0x1234000" in table())
print(load({ON_CRASH}, []), open("/sys/kernel/kexec_crash_loaded").read().strip())
"""
    )
    assert python(script).splitlines() == ["0 1", "True 0", "True", "0 0"]


@x86_host
def test_header_is_replaced_at_the_first_event_exactly_when_the_flags_say_so():
    script = (
        KEXEC_LOAD
        + f"""
print(load({ON_CRASH | CRASH_HOTPLUG}, [b"purgatory", elf(0x1234000), b"\\xd0\\r\\xfe\\xed" + bytes(4096)]))
print("0x1234000" in table(), open("/sys/devices/system/memory/crash_hotplug").read().strip())
open("/sys/devices/system/memory/memory62/state", "w").write("offline")
print("0x1234000" in table(), "PT_NOTE" in table())
"""
    )
    # The first 64 KiB stay where the loaded header said the backup is: that is learnt from it.
    assert python(script).splitlines() == ["0", "True 1", "True True"]


@x86_host
@pytest.mark.parametrize(
    ("load", "expected"),
    [
        ("load(0x1, [b'x'], base=0x1000)", errno.EADDRNOTAVAIL),
        ("load(0x1, [b'x'], base=0x20000001)", errno.EADDRNOTAVAIL),
        ("load(0x1, [b'x'] * 17)", errno.EINVAL),
        ("load(0x8000, [b'x'])", errno.EINVAL),
        ("load(0x3e0001, [b'x'])", errno.EINVAL),
    ],
)
def test_kexec_load_refuses_as_the_kernel_does(load: str, expected: int):
    assert python(KEXEC_LOAD + f"print({load})") == f"-{expected}\n"


@x86_host
def test_bad_pointers_are_efault_and_absurd_sizes_cost_nothing():
    script = (
        KEXEC_LOAD
        + """
print(libc.syscall(246, 0, 1, ctypes.c_void_p(64), 1), ctypes.get_errno())
raw = struct.pack("<4Q", 64, 1 << 60, 0x20000000, 1 << 61)
print(libc.syscall(246, ctypes.c_ulong(0x20000000), 1, raw, 1), ctypes.get_errno())
"""
    )
    first, second = python(script).splitlines()
    assert first == f"-1 {errno.EFAULT}"
    assert second in (f"-1 {errno.EINVAL}", f"-1 {errno.EADDRNOTAVAIL}")


@x86_host
@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's machine has one user id only")
def test_loading_needs_the_machines_cap_sys_boot():
    script = (
        KEXEC_LOAD
        + """
if os.fork() == 0:
    os.setuid(65534)
    print(load(1, [b"x", elf(1)]), flush=True)
    os._exit(0)
os.wait()
"""
    )
    assert python(script) == f"-{errno.EPERM}\n"
    nested = "unshare -Ur python3 -c '" + KEXEC_LOAD.replace("'", '"') + "\nprint(load(1, []))'"
    assert inside(nested) == f"-{errno.EPERM}\n"


@x86_host
def test_kexec_file_load_of_a_directory_and_of_no_file():
    script = (
        KEXEC_LOAD
        + """
for fd in (os.open("/etc", os.O_RDONLY), 99, os.open("/sys/kernel/vmcoreinfo", os.O_RDONLY)):
    print(libc.syscall(320, fd, -1, 1, b"", 6), ctypes.get_errno())
"""
    )
    lines = python(script).splitlines()
    assert lines == [f"-1 {errno.EINVAL}", f"-1 {errno.EBADF}", f"-1 {errno.EINVAL}"]


# Uevents


def test_uevents_come_from_the_kernel_in_order_after_the_header_has_changed():
    script = """
import os, socket
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15); s.bind((0, 1)); s.settimeout(5)
place = "/sys/devices/system/memory/"
open(place + "memory62/state", "w").write("offline")
open(place + "memory62/state", "w").write("online")
open(place + "memory5/uevent", "w").write("change")
for _ in range(3):
    data, (pid, groups) = s.recvfrom(4096)
    fields = data.decode().split("\\0")
    print(pid, groups, fields[0], *fields[1:-2], fields[-2].split("=")[0])
"""
    block = "/devices/system/memory/memory62"
    assert python(script, "--load").splitlines() == [
        f"0 1 offline@{block} ACTION=offline DEVPATH={block} SUBSYSTEM=memory SEQNUM",
        f"0 1 online@{block} ACTION=online DEVPATH={block} SUBSYSTEM=memory SEQNUM",
        "0 1 change@/devices/system/memory/memory5 ACTION=change"
        " DEVPATH=/devices/system/memory/memory5 SUBSYSTEM=memory SYNTH_UUID=0 SEQNUM",
    ]


def test_no_uevent_reaches_the_host():
    import socket

    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15) as listener:
        listener.bind((0, 1))
        inside("echo offline > /sys/devices/system/memory/memory62/state")
        listener.setblocking(False)
        heard = []
        while True:
            try:
                heard.append(listener.recv(8192))
            except BlockingIOError:
                break
    assert not [text for text in heard if b"memory62" in text]


# What run offers


def test_record_has_a_line_for_each_read_write_absence_and_call(tmp_path: Path):
    seen = tmp_path / "seen"
    script = """
cat /sys/kernel/kexec_crash_loaded /sys/kernel/absent 2>/dev/null
echo offline > /sys/devices/system/memory/memory63/state
printf offline > /sys/devices/system/memory/memory62/state
uname -r
"""
    run("bash", "-c", script, options=("--record", str(seen)))
    lines = [line.partition("] ")[2] for line in seen.read_text().splitlines()]
    assert 'read /sys/kernel/kexec/crash_loaded "0\\n" = 2' in lines
    assert "lookup /sys/kernel/absent = -1 ENOENT (No such file or directory)" in lines
    assert 'write /sys/devices/system/memory/memory62/state "offline" = 7' in lines
    assert (
        'write /sys/devices/system/memory/memory63/state "offline\\n"'
        " = -1 EBUSY (Device or resource busy)" in lines
    )
    assert any(line.startswith("uname(0x") and line.endswith(") = 0") for line in lines)


def test_shell_without_a_command_says_where_one_is():
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(PROJECT)
        os.execve(sys.executable, RUN, {**ENVIRONMENT, "SHELL": "/bin/bash", "TERM": "dumb"})
    text = b""
    os.write(terminal, b"echo $KDUMPFS; exit 5\n")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            chunk = os.read(terminal, 4096)
        except OSError:
            break
        if not chunk:
            break
        text += chunk
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5, text
    assert b"(pseries-16g 7.1.0) " in text
    assert b"\npseries-16g\r\n" in text
    assert b"no job control" not in text


def test_dump_that_is_none_is_one_sentence(tmp_path: Path):
    bad = tmp_path / "dump.tar"
    bad.write_bytes(b"not a tar")
    done = run("true", options=("--sysfs-dump", str(bad)))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "expected a directory or a tar with sys/ in it" in done.stderr
    with tarfile.open(bad, "w") as tar:
        tar.add(__file__, "elsewhere/file")
    done = run("true", options=("--sysfs-dump", str(bad)))
    assert done.returncode == 2
    assert "nothing below sys/ in it" in done.stderr


def test_dump_directory_is_the_machine(tmp_path: Path):
    memory = tmp_path / "sys/devices/system/memory"
    (memory / "memory0").mkdir(parents=True)
    (memory / "block_size_bytes").write_text("8000000\n")
    for name, text in (("state", "online\n"), ("removable", "0\n"), ("phys_index", "0\n")):
        (memory / "memory0" / name).write_text(text)
    (memory / "memory0" / "node0").symlink_to("../../node/node0")
    printed = inside(
        "lsmem -J -b -o RANGE,SIZE,NODE; test -e /sys/devices/system/cpu || echo none",
        "--sysfs-dump",
        str(tmp_path),
    )
    row = json.loads(printed.removesuffix("none\n"))["memory"][0]
    assert row["range"] == "0x0000000000000000-0x0000000007ffffff"
    assert (row["size"], row["node"]) == (0x8000000, 0)
    assert printed.endswith("none\n")


def test_help_shows_examples():
    done = subprocess.run(
        [*RUN, "--help"], capture_output=True, text=True, env=ENVIRONMENT, check=True
    )
    assert "kdumpfs run --load -- cat /sys/kernel/kexec/crash_elfcorehdr_print" in done.stdout
