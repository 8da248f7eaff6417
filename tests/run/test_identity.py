"""One machine from inside `run`: its processes, its clock, its CPUs, its memory, and nothing of the host's."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime

import pytest

from tests.run.machine import USERS, inside, run

pytestmark = pytest.mark.namespaces

PC = ("-m", "pc-2g")


@pytest.mark.parametrize("before", USERS)
def test_processes_are_directories_with_their_owner_and_their_files(
    before: tuple[str, ...],
) -> None:
    script = """
find /proc -maxdepth 1 -type d | grep -c '/[0-9]'
stat -c '%F %U' /proc/$$
readlink /proc/self/exe; cat /proc/$$/comm; ls /proc/self/fd | head -3 | tr '\\n' ' '
cat <(echo substituted); ls /proc/$$/task | wc -l
ps -o comm= -p $$; pgrep -c bash; true
"""
    done = run("bash", "-c", script, options=PC, before=before)
    lines = done.stdout.splitlines()
    assert int(lines[0]) >= 3, done.stderr
    assert lines[1] == "directory root"
    assert lines[2].endswith("readlink")
    assert lines[3:5] == ["bash", "0 1 2 substituted"]
    assert lines[5:] == ["1", "bash", "1"]


def test_names_that_speak_of_a_machine_are_the_machines_or_absent() -> None:
    shown = set(inside("ls /proc", *PC).split())
    ours = {"cpuinfo", "meminfo", "stat", "uptime", "loadavg", "interrupts", "version", "vmstat"}
    assert ours <= shown
    assert not shown & {"schedstat", "bus", "irq", "kpageflags", "mtrr", "slabinfo"}


def test_no_process_is_older_than_its_machine() -> None:
    *starts, uptime = inside("cut -d' ' -f22 /proc/[0-9]*/stat; cat /proc/uptime").splitlines()
    ticks = float(uptime.split()[0]) * os.sysconf("SC_CLK_TCK") + 1
    assert len(starts) >= 2
    assert all(0 <= int(start) <= ticks for start in starts), (starts, uptime)


@pytest.mark.parametrize("before", USERS)
def test_the_log_the_uptime_and_the_boot_time_are_of_one_clock(before: tuple[str, ...]) -> None:
    script = """
cat /proc/uptime; python3 -c '
import time; print(time.clock_gettime(time.CLOCK_BOOTTIME), time.monotonic())'
sed -n s/btime.//p /proc/stat; date +%s
echo now > /dev/kmsg; dmesg | tail -1; dmesg -T | tail -1; ps -o etimes= -p $$
"""
    done = run("bash", "-c", script, options=PC, before=before)
    lines = done.stdout.splitlines()
    assert "the time since the boot" not in done.stderr
    uptime = float(lines[0].split()[0])
    boottime, monotonic = map(float, lines[1].split())
    btime, now = int(lines[2]), int(lines[3])
    logged = float(re.search(r"\[ *([\d.]+)\]", lines[4])[1])  # type: ignore[index]
    assert 0 <= boottime - uptime < 10
    assert 0 <= monotonic - uptime < 10
    assert 0 <= logged - uptime < 10
    assert -1 <= btime + uptime - now <= 1
    stamp = re.match(r"\[(.*?)\]", lines[5])
    assert stamp is not None
    told = datetime.strptime(stamp[1], "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC).timestamp()
    assert -2 <= told - now <= 2
    assert 0 <= int(lines[6]) < 10


def test_cpus_are_the_machines_also_those_that_the_host_lacks() -> None:
    script = """
nproc; nproc --all; taskset -c 6 nproc; taskset -c 6 sh -c 'taskset -cp $$'
taskset -c 63 true 2>&1 | grep -o 'Invalid argument'
echo 0 > /sys/devices/system/cpu/cpu7/online; nproc
python3 -c 'import os; print(len(os.sched_getaffinity(0)))'
"""
    lines = inside(script, "-m", "pseries-16g").splitlines()
    assert lines[:3] == ["8", "8", "1"]
    assert lines[3].endswith("affinity list: 6")
    assert lines[4:] == ["Invalid argument", "7", "7"]


def test_sysinfo_counts_the_machines_memory() -> None:
    script = """python3 -c '
import ctypes
buf = (ctypes.c_uint64 * 14)(); print(ctypes.CDLL(None).sysinfo(buf))
print(buf[4] // 1024, buf[0] < 10)'; sed -n 's/MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo
"""
    result, words, total = inside(script, *PC).splitlines()
    assert (result, words) == ("0", f"{total} True")


def test_the_number_of_events_in_sysfs_is_that_on_netlink() -> None:
    script = """
cat /sys/kernel/uevent_seqnum
udevadm monitor -k -p > /tmp/events & sleep 0.3
for n in 0 1 0; do echo $n > /sys/devices/system/cpu/cpu1/online; cat /sys/kernel/uevent_seqnum; done
sleep 0.2; kill %1; sed -n s/SEQNUM=//p /tmp/events | tail -1; cat /sys/kernel/uevent_seqnum
"""
    numbers = [int(line) for line in inside(script, *PC).splitlines()]
    assert numbers == sorted(numbers)
    assert numbers[-1] == numbers[-2] == numbers[3]
    assert numbers[0] < numbers[1] < numbers[2] < numbers[3]


def test_lsmod_lists_what_was_loaded_in_the_machine_alone() -> None:
    script = """
lsmod | wc -l; echo $(ls /sys/module); head -c 5000 /dev/zero > /tmp/kdump-probe.ko
insmod /tmp/kdump-probe.ko && lsmod | tail -1; cat /sys/module/kdump_probe/initstate
insmod /tmp/kdump-probe.ko; rmmod kdump_probe; lsmod | wc -l; rmmod kdump_probe
"""
    done = run("bash", "-c", script, options=PC)
    lines = done.stdout.splitlines()
    assert lines[0] == "1"
    assert lines[1].split() == ["kernel", "memory_hotplug", "printk"]
    assert lines[2].split() == ["kdump_probe", "8192", "0"]
    assert lines[3:] == ["live", "1"]
    assert "File exists" in done.stderr
    assert "not currently loaded" in done.stderr


def test_parameters_of_the_kernel_follow_the_command_line() -> None:
    script = """
cd /sys/module; cat memory_hotplug/parameters/memmap_on_memory kernel/parameters/crash_kexec_post_notifiers
cd memory_hotplug/parameters; echo auto-movable > online_policy; cat online_policy; echo x > online_policy
"""
    options = ("--cmdline", "memory_hotplug.memmap_on_memory=1 crash_kexec_post_notifiers")
    done = run("bash", "-c", script, options=(*PC, *options))
    assert done.stdout.split() == ["Y", "Y", "auto-movable"]
    assert "Invalid argument" in done.stderr
