"""The host cannot be hurt: each attempt is made inside, and the host's value is the same after it."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from fsmount.host.mountns import MountTable, RunError
from fsmount.run.inside import guards
from tests.run.machine import ENVIRONMENT, RUN, inside, run

pytestmark = pytest.mark.namespaces

root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can reach these on the host at all")

# Calls of a number the shell has no command for; the result or -errno is printed.
CALL = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(*args):
    done = libc.syscall(*args)
    print(done if done >= 0 else -ctypes.get_errno(), flush=True)
"""


def python(script: str, *options: str) -> str:
    done = run("python3", "-c", CALL + script, options=options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("name", "value"),
    [("panic", "77"), ("panic_on_oops", "1"), ("sysrq", "511"), ("printk", "1\t4\t1\t7")],
)
def test_sysctl_is_set_for_the_machine_and_not_for_the_host(name: str, value: str):
    file = Path("/proc/sys/kernel", name)
    before = file.read_text() if file.exists() else None
    if before is None:
        pytest.skip(f"the host has no {file}")
    printed = inside(f"echo '{value}' > {file} && cat {file}; dmesg | tail -1")
    assert printed.startswith(f"{value}\n")
    assert f"kdumpfs: kernel.{name} = " in printed
    assert file.read_text() == before


def test_sysctl_program_sets_panic_on_oops_of_the_machine_only():
    before = Path("/proc/sys/kernel/panic_on_oops").read_text()
    printed = inside("sysctl -w kernel.panic_on_oops=1 && sysctl -n kernel.panic_on_oops")
    assert printed == "kernel.panic_on_oops = 1\n1\n"
    assert Path("/proc/sys/kernel/panic_on_oops").read_text() == before


def test_other_sysctls_are_the_machines_too():
    file = Path("/proc/sys/vm/overcommit_memory")
    before = file.read_text()
    assert inside(f"echo 1 > {file}; cat {file}") == "1\n"
    assert file.read_text() == before


def test_sysrq_crashes_the_emulated_machine():
    # The mount is looked at before anything is written.
    done = run(
        *("bash", "-c"),
        "grep -q ' /proc /proc .* fuse.kdumpfs ' /proc/self/mountinfo || exit 9\n"
        "echo c > /proc/sysrq-trigger; echo alive",
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "the machine is dead: Kernel panic - not syncing: sysrq triggered crash" in done.stderr


def test_reboot_is_recorded_and_not_done():
    before = Path("/proc/sys/kernel/random/boot_id").read_text()
    script = "call(169, 0xfee1dead, 672274793, 0x1234567, 0)\nos.system('dmesg | tail -1')"
    printed = python(script)
    assert printed.startswith("0\n")
    assert "reboot: Restarting system" in printed
    assert Path("/proc/sys/kernel/random/boot_id").read_text() == before


def test_reboot_without_the_capability_is_eperm():
    script = "os.setuid(65534) if os.getuid() == 0 else 0\ncall(169, 0xfee1dead, 672274793, 0, 0)"
    if os.geteuid():
        pytest.skip("an ordinary user's machine has one user id only")
    assert python(script) == "-1\n"


def test_clearing_the_log_clears_the_machines():
    host = Path("/dev/kmsg")
    before = _host_log()
    assert inside("dmesg -C; dmesg | wc -l; dmesg -c | wc -l; dmesg -n 1").split() == ["0", "0"]
    if before is None:
        pytest.skip(f"{host} of the host cannot be read, so nothing could be cleared either")
    after = _host_log()
    assert after is not None
    # A full log loses its oldest records to new ones, of the run's own mounts for instance; a clear takes all.
    assert not before or before[-1] in after


def _host_log() -> list[bytes] | None:
    """The host's records by syslog(2) SYSLOG_ACTION_READ_ALL, which a clear empties."""
    import ctypes

    buf = ctypes.create_string_buffer(1 << 20)
    size = ctypes.CDLL(None).klogctl(3, buf, len(buf))
    return buf.raw[:size].splitlines() if size >= 0 else None


def test_host_log_is_not_shown():
    printed = inside("dmesg; dmesg -C; dmesg")
    assert "kdumpfs" in printed.splitlines()[0]
    assert os.uname().version not in printed


def test_modules_are_not_loaded():
    before = Path("/proc/modules").read_text() if Path("/proc/modules").exists() else ""
    script = """
fd = os.open("/bin/sh", os.O_RDONLY)
call(313, fd, b"", 0)
image = b"\\x7fELF" + bytes(60) + b"\\0name=loop\\0" + bytes(64)
call(175, image, len(image), b"")
call(176, b"loop", 0)
os.system("dmesg | tail -3")
"""
    printed = python(script)
    assert printed.startswith("0\n0\n0\n")
    assert printed.count("loaded by name alone") == 2
    after = Path("/proc/modules").read_text() if Path("/proc/modules").exists() else ""
    assert [line.split()[0] for line in after.splitlines()] == [
        line.split()[0] for line in before.splitlines()
    ]


@root
def test_real_sysfs_is_read_only_where_it_shows_and_where_it_is_parked():
    script = """
for top in /sys /run/kdumpfs/sys; do
    for file in $top/devices/system/clocksource/uevent $top/kernel/mm/ksm/run $top/power/state; do
        [ -e $file ] || continue
        ( echo 0 > $file ) 2>&1 | grep -o 'Read-only file system'
    done
    mount -o remount,rw $top 2>/dev/null && echo remounted
done
umount /sys/devices/system/memory 2>/dev/null && echo unmounted
umount -l /sys/kernel 2>/dev/null && echo unmounted
mount -t sysfs none /mnt 2>/dev/null && echo mounted
true
"""
    lines = inside(script).split("\n")
    assert set(lines) == {"Read-only file system", ""}


@root
def test_host_blocks_and_cpus_cannot_be_reached_through_the_parked_sysfs():
    hosts = sorted(Path("/sys/devices/system/cpu").glob("cpu*/online")) + sorted(
        Path("/sys/devices/system/memory").glob("memory*/state")
    )
    if not hosts:
        pytest.skip("the host has no CPU and no block that can be switched off")
    before = [file.read_text() for file in hosts]
    last = str(hosts[-1]).replace("/sys/", "/run/kdumpfs/sys/", 1)
    # The value it has already: if the guard failed, nothing would change.
    script = f"( echo '{before[-1].strip()}' > {last} ) 2>&1 | grep -o 'Read-only file system'"
    assert inside(script) == "Read-only file system\n"
    assert [file.read_text() for file in hosts] == before


@root
def test_real_procfs_is_read_only_but_for_processes():
    script = """
for file in /run/kdumpfs/proc/*; do
    case ${file##*/} in [0-9]*) continue;; esac
    [ -f "$file" ] && [ ! -L "$file" ] && find "$file" -perm /222 | while read f; do ( : > $f ) 2>/dev/null && echo $f; done
done
f=/run/kdumpfs/proc/irq/default_smp_affinity
( cat $f > $f ) 2>&1 | grep -q Read-only || echo irq
echo 500 > /proc/self/oom_score_adj && cat /proc/self/oom_score_adj
"""
    assert inside(script) == "500\n"


@root
def test_modes_and_owners_of_device_nodes_stay():
    nodes = [Path("/dev", name) for name in ("null", "zero", "full", "tty", "random", "fuse")]
    nodes = [node for node in nodes if node.exists()]
    before = [(os.stat(n).st_mode, os.stat(n).st_uid, os.stat(n).st_mtime_ns) for n in nodes]
    inside("chmod 0644 /dev/*; chown 7 /dev/*; touch -d 2001-01-01 /dev/*; true")
    assert [
        (os.stat(n).st_mode, os.stat(n).st_uid, os.stat(n).st_mtime_ns) for n in nodes
    ] == before


def test_dev_is_private_and_has_no_memory_disk_or_kvm():
    names = inside("ls /dev; echo x > /dev/shm/x; touch /dev/y; echo zero > /dev/null").split()
    assert {"kmsg", "null", "zero", "pts", "shm", "tty"} <= set(names)
    assert not {"mem", "port", "kvm", "sda", "vda", "loop0", "loop-control"} & set(names)
    assert not Path("/dev/y").exists()
    assert not Path("/dev/shm/x").exists()


@root
def test_device_nodes_cannot_be_made():
    done = run("mknod", "/tmp/kdumpfs-test-mem", "c", "1", "1")
    assert done.returncode == 1
    assert not Path("/tmp/kdumpfs-test-mem").exists()


@pytest.mark.parametrize("place", ["/etc", "/boot", "/var/crash", "/var/lib/kdump"])
def test_what_kdump_tools_write_is_gone_after_the_run(place: str):
    name = Path(place, "kdumpfs-test")
    existed = Path(place).exists()
    assert inside(f"echo kept > {name} && cat {name}") == "kept\n"
    assert not name.exists()
    assert Path(place).exists() == existed


@root
@pytest.mark.parametrize("place", ["/etc", "/run", "/dev/shm"])
def test_working_directory_is_the_private_one_too(place: str):
    done = subprocess.run(
        [*RUN, "--", "sh", "-c", "pwd; touch kdumpfs-test-cwd && ls kdumpfs-test-cwd"],
        cwd=place, env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == f"{place}\nkdumpfs-test-cwd\n"
    assert not Path(place, "kdumpfs-test-cwd").exists()


@root
def test_init_is_closed_to_the_command():
    script = "cat /proc/1/maps /proc/1/root/etc/passwd 2>&1 | grep -c 'Permission denied'; kill -9 1; echo alive"
    assert inside(script) == "2\nalive\n"


@root
def test_change_of_an_existing_file_stays_inside():
    before = Path("/etc/passwd").read_text()
    assert inside("echo x:x:1:1::/: > /etc/passwd; wc -l < /etc/passwd") == "1\n"
    assert Path("/etc/passwd").read_text() == before


@root
def test_shared_path_is_the_hosts(tmp_path: Path):
    place = Path("/etc/kdumpfs-test-share")
    place.mkdir()
    try:
        inside(f"echo kept > {place}/file", "--share", str(place))
        assert (place / "file").read_text() == "kept\n"
    finally:
        for file in place.iterdir():
            file.unlink()
        place.rmdir()


def test_share_of_a_missing_path_is_one_sentence_and_status_2():
    done = run("true", options=("--share", "/nowhere"))
    assert done.returncode == 2
    assert done.stderr == "kdumpfs: --rw /nowhere: expected an existing file or directory\n"


def test_a_relative_path_may_be_shared(tmp_path):
    (tmp_path / "out").mkdir()
    script = "echo written > out/file; echo not > beside"
    done = run("sh", "-c", script, options=("--no-share", "--rw", "out"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/file").read_text() == "written\n"
    assert not (tmp_path / "beside").exists()


def test_processes_of_the_host_are_out_of_sight():
    printed = inside(f"ls -d /proc/{os.getpid()} 2>&1 || true; ps -e -o pid= | wc -l")
    assert "No such file" in printed
    assert int(printed.split()[-1]) < 8


def test_network_is_private():
    assert inside("ls /sys/class/net >/dev/null; cat /proc/net/dev | grep -c :") == "1\n"


@root
def test_host_name_and_clock_stay():
    before = os.uname().nodename
    inside("hostname changed 2>/dev/null; date -s 2001-01-01 >/dev/null 2>&1; true")
    assert os.uname().nodename == before


def test_command_has_no_capability_over_the_host():
    mine = os.readlink("/proc/self/ns/user")
    assert inside("readlink /proc/self/ns/user").strip() != mine


# Fail closed


def test_every_guard_is_missed_when_it_is_missing():
    with pytest.raises(RunError, match=r"guard missing, nothing was started: .* is the host's"):
        guards.check((), {})


def test_calls_that_are_not_answered_by_us_are_missed():
    with pytest.raises(RunError, match="system calls do not reach the emulated kernel"):
        guards.check_calls(os.uname().release, shared=False)


@pytest.fixture(scope="module")
def table() -> str:
    return inside("cat /proc/self/mountinfo", "--no-share")


def findings(table: str, share: tuple[str, ...] = ()) -> list[str]:
    """What the guards say of a mount table, without looking at this system's files."""
    parsed = MountTable(table)
    return [
        *guards.read_only_mounts(parsed),
        *guards.private(parsed, share),
        *guards.device_nodes(parsed),
        *guards.arriving(table),
    ]


def test_mount_table_of_a_run_passes(table: str):
    assert findings(table) == []


@pytest.mark.parametrize("point", ["/sys", "/run/kdumpfs/sys", "/run/kdumpfs/sys/fs/cgroup"])
def test_writable_real_sysfs_is_missed(table: str, point: str):
    if f" {point} ro," not in table:
        pytest.skip(f"nothing is mounted on {point} here")
    writable = table.replace(f" {point} ro,", f" {point} rw,")
    assert any(sentence.startswith(f"{point} ") for sentence in findings(writable))


def test_root_that_is_the_hosts_is_missed(table: str):
    lines = table.splitlines()
    other = [
        line.replace(" kdumpfs ", " /dev/sda ") if line.split()[4] == "/" else line
        for line in lines
    ]
    assert "/ is the host's" in findings("\n".join(other))


@pytest.mark.parametrize("fstype", ["ext4", "tmpfs", "cgroup2", "fuse.other"])
def test_writable_mount_of_the_host_is_missed_unless_it_is_shared(table: str, fstype: str):
    more = f"{table}999 1 0:99 / /var/lib/x rw,nodev - {fstype} other rw"
    assert findings(more) == [f"/var/lib/x ({fstype}) is the host's and can be written"]
    kernels = [f"/var/lib/x is the host's kernel ({fstype})"] if fstype == "cgroup2" else []
    assert findings(more, ("/var/lib",)) == kernels


def test_mounts_that_would_arrive_are_missed(table: str):
    more = f"{table}999 1 0:99 / /srv/x ro,nodev master:7 - ext4 /dev/sda rw\n"
    assert findings(more) == ["what the host mounts below /srv/x would appear"]


@pytest.mark.parametrize("options", ["ro", "rw"])
def test_device_nodes_of_the_hosts_file_systems_are_missed(table: str, options: str):
    more = f"{table}999 1 0:99 / /srv/x {options} - ext4 /dev/sda rw\n"
    sentence = "devices can be opened by nodes below /srv/x (ext4)"
    assert findings(more, ("/srv",)) == [sentence]
    assert findings(more.replace(f"{options} -", f"{options},nodev -"), ("/srv",)) == []


@pytest.mark.parametrize("fstype", ["debugfs", "tracefs", "efivarfs"])
def test_what_acts_when_it_is_read_is_missed_unless_it_is_covered(table: str, fstype: str):
    more = f"{table}999 1 0:99 / /sys/x ro - {fstype} other rw\n"
    assert [sentence.split(",")[0] for sentence in findings(more)] == [
        f"/sys/x ({fstype}) can be read"
    ]
    assert findings(f"{more}1000 1 0:98 / /sys/x ro - tmpfs kdumpfs ro\n") == []


def test_private_dev_hides_the_hosts_nodes():
    modes = inside("stat -c '%f' /dev/null /dev/kmsg").split()
    assert stat.S_ISCHR(int(modes[0], 16))
    assert stat.S_ISREG(int(modes[1], 16))
