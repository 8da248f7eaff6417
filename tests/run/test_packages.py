"""The real, unmodified tools of Debian against the emulated machines."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from tests.run.machine import inside, run
from tests.run.packages import (
    KEXEC,
    UDEV,
    kernel_image,
    newest_kexec,
    over,
    package,
    selftests,
    util_linux_tests,
)

pytestmark = [pytest.mark.namespaces, pytest.mark.apt]
x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the packages' kexec is x86's")

PC = ("-m", "pc-2g", "--cmdline", "root=/dev/sda1 ro crashkernel=256M")
BOOT = f"""
V=$(uname -r)
cp /boot/vmlinuz-*-cloud-amd64 /boot/vmlinuz-$V
cp /boot/config-*-cloud-amd64 /boot/config-$V
head -c 100000 /dev/urandom > /boot/initrd.img-$V
cd {Path(__file__).parent}
"""


# util-linux's own tests, with real machines' dumps


def dumps(tool: str, suffix: str) -> list[str]:
    """Names of the dumps in the source package of Debian 12's util-linux."""
    names = {
        "lsmem": "x86_64-16g s390-zvm-6g",
        "lscpu": "armv7 ppc-qemu ppc64-POWER7-64cpu ppc64-POWER7 rv64-linux s390-kvm"
        " s390-lpar-drawer s390-lpar s390-nested-virt s390-zvm sparc64 vbox-win vmware_fpe"
        " x86_64-64cpu x86_64-dell_e4310 x86_64-epyc_7451",
    }
    return names[tool].split()


@pytest.mark.parametrize("name", dumps("lsmem", ".tar.bz2"))
def test_lsmem_shows_a_recorded_machine_as_its_own_test_expects(name: str):
    tests = util_linux_tests()
    columns = "RANGE,SIZE,STATE,REMOVABLE,BLOCK,NODE"
    calls = (
        "--split=STATE,REMOVABLE",
        "--output RANGE,SIZE --split none",
        "--output RANGE,SIZE,STATE --split STATE",
        f"--all --output {columns}",
        f"--raw --output {columns} --split {columns}",
        f"--json --output {columns} --split {columns}",
        "-o +ZONES",
        "",
    )
    script = "".join(f"printf '\\n---\\n\\n$ lsmem {call}\\n'; lsmem {call};" for call in calls)
    printed = inside(script, "--sysfs-dump", str(tests / f"ts/lsmem/dumps/{name}.tar.bz2"))
    expected = (tests / f"expected/lsmem/lsmem-{name}").read_text()
    assert printed.replace("$ lsmem \n", "$ lsmem\n") == expected.replace("$ lsmem \n", "$ lsmem\n")


@pytest.mark.parametrize("name", dumps("lscpu", ".tar.gz"))
def test_lscpu_shows_a_recorded_machine_as_its_own_test_expects(name: str):
    tests = util_linux_tests()
    script = "lscpu -s / | grep -v Architecture; echo; lscpu -p -s /; echo; lscpu -p -y -s /"
    printed = inside(script, "--sysfs-dump", str(tests / f"ts/lscpu/dumps/{name}.tar.gz"))
    lines = [line for line in printed.splitlines() if not line.startswith("Byte Order:")]
    assert lines == (tests / f"expected/lscpu/lscpu-{name}").read_text().splitlines()


# The kernel's selftests


def selftest(name: str, *argv: str) -> tuple[int, str]:
    done = run("bash", str(selftests() / name), *argv)
    return done.returncode, done.stdout + done.stderr


def test_memory_hotplug_selftest_passes_for_ten_percent_and_with_error_injection():
    status, printed = selftest("memory-hotplug/mem-on-off-test.sh", "-r", "10")
    assert status == 0, printed
    assert "Test with memory notifier error injection" in printed
    assert "online->offline memory" in printed
    assert "FAILED" not in printed


def test_memory_hotplug_selftest_meets_pinned_blocks_at_a_hundred_percent():
    # As on a real machine: the blocks of kernel, crash kernel and notes are busy.
    status, printed = selftest("memory-hotplug/mem-on-off-test.sh", "-r", "100")
    assert status == 1, printed
    assert "FAILED - unable to offline some memory blocks, device busy?" in printed


@pytest.mark.skipif(
    os.geteuid() != 0,
    reason="it looks into the mount table for a debugfs, which only root can mount",
)
def test_memory_hotplug_selftest_injects_the_errors_it_asks_for():
    script = selftests() / "memory-hotplug/mem-on-off-test.sh"
    printed = inside(f"bash {script} -r 10 > /dev/null 2>&1; dmesg | grep Injecting")
    assert "Injecting error (-12) to MEM_GOING_ONLINE" in printed
    assert "Injecting error (-12) to MEM_GOING_OFFLINE" in printed


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's machine has one user id only")
def test_memory_hotplug_selftest_skips_for_an_ordinary_user():
    script = selftests() / "memory-hotplug/mem-on-off-test.sh"
    done = run("setpriv", "--reuid=65534", "--clear-groups", "bash", str(script))
    assert done.returncode == 4, done.stdout + done.stderr


@pytest.mark.parametrize("options", [(), ("-a",)])
def test_cpu_hotplug_selftest_passes(options: tuple[str, ...]):
    status, printed = selftest("cpu-hotplug/cpu-on-off-test.sh", *options)
    assert status == 0, printed
    assert "online to offline to online: cpu" in printed or "offline all online cpus" in printed


@x86
@pytest.mark.parametrize("name", ["kexec_load", "kexec_file_load"])
def test_kexec_selftest_says_succeeded(name: str):
    options = (
        *PC,
        *over(*KEXEC, kernel_image(), "pesign", "libefivar1", "attr", "bsdextrautils", "file"),
    )
    script = f"""{BOOT}
mkdir -p /lib/modules/$V && cp /boot/config-$V /lib/modules/$V/config
cd {selftests()}/kexec && bash ./test_{name}.sh
"""
    assert f"{name} succeeded [PASS]" in inside(script, *options)


# kexec-tools


@x86
def test_the_seeds_own_line_loads_and_the_table_is_printed():
    script = f"""{BOOT}
kexec --initrd=/boot/initrd.img-$V /boot/vmlinuz-$V --append="$(cat /proc/cmdline)" -pds 2> /dev/null
cat /sys/kernel/kexec/crash_elfcorehdr_print
kexec -S; echo "S=$?"
kexec -p -u; echo "u=$?"
kexec -S; echo "S=$?"
cat /sys/kernel/kexec/crash_loaded
"""
    printed = inside(script, *PC, *over(*KEXEC, kernel_image()))
    assert "Total Program Headers: 12 (0xc)" in printed
    assert "PT_NOTE segments:      9 (0x9)" in printed
    assert printed.endswith("S=1\nu=0\nS=0\n0\n")


@x86
def test_classic_load_brings_its_own_header_with_the_backup_region():
    script = f"""{BOOT}
kexec -c -p --initrd=/boot/initrd.img-$V /boot/vmlinuz-$V --append="$(cat /proc/cmdline)" -d 2>&1 |
    grep '^segment\\[6\\].mem  '
cat /sys/kernel/kexec/crash_elfcorehdr_print
cat /sys/devices/system/memory/crash_hotplug
"""
    printed = inside(script, *PC, *over(*KEXEC, kernel_image())).splitlines()
    backup = printed[0].split()[-1]  # where kexec-tools copies the first 640 KiB to
    (row,) = (line.split() for line in printed if " 0xffff888000001000 " in line)
    assert row[2] == backup
    assert (
        "  PT_NOTE segments:      3 (0x3)" in printed
    )  # present CPUs and vmcoreinfo, not possible ones
    assert printed[-1] == "0"


@x86
def test_header_of_a_hotplug_load_becomes_the_kernels_own_at_the_first_event():
    kexec = newest_kexec()
    script = f"""{BOOT}
{kexec} -c -p --hotplug --initrd=/boot/initrd.img-$V /boot/vmlinuz-$V --append=x; echo "c=$?"
cat /sys/devices/system/memory/crash_hotplug
grep -c PT_NOTE /sys/kernel/kexec/crash_elfcorehdr_print
chmem -d -b 12
grep -c PT_NOTE /sys/kernel/kexec/crash_elfcorehdr_print
{kexec} -a -p --initrd=/boot/initrd.img-$V /boot/vmlinuz-$V --append=x; echo "a=$?"
"""
    printed = inside(script, *PC, *over(kernel_image())).split()
    # kexec-tools: 2 present CPUs and vmcoreinfo; the kernel: 8 possible ones; and the line of the sum.
    assert printed == ["c=0", "1", "4", "10", "a=0"]


@x86
def test_load_falls_back_from_file_to_classic_and_needs_a_reservation():
    script = f"""{BOOT}
kexec -a -p --initrd=/boot/initrd.img-$V /boot/vmlinuz-$V --append=x; echo "a=$?"
echo 0 > /sys/kernel/kexec/crash_size 2>/dev/null; echo "size=$?"
kexec -p -u; echo 0 > /sys/kernel/kexec/crash_size
kexec -p -s /boot/vmlinuz-$V --append=x 2>&1 | head -1
"""
    printed = inside(script, *PC, *over(*KEXEC, kernel_image())).splitlines()
    assert printed[:2] == ["a=0", "size=1"]
    assert printed[2].startswith("Memory for crashkernel is not reserved")


@x86
def test_kexec_e_starts_nothing_and_is_recorded():
    script = f"""{BOOT}
kexec -e; echo "e=$?"
kexec -l /boot/vmlinuz-$V --initrd=/boot/initrd.img-$V --append=x; kexec -S -l; echo "S=$?"
kexec -e; dmesg | tail -1
"""
    before = Path("/proc/sys/kernel/random/boot_id").read_text()
    done = run("bash", "-c", script, options=(*PC, *over(*KEXEC, kernel_image())))
    assert done.stdout.startswith("e=1\nS=1\n")
    assert done.stdout.endswith("reboot: Starting new kernel\n")
    assert "Nothing has been loaded!" in done.stderr
    assert Path("/proc/sys/kernel/random/boot_id").read_text() == before


# udev


def test_udevadm_monitor_shows_the_kernels_events():
    script = """
udevadm monitor --kernel --property > /run/seen & sleep 0.4
chmem -d 0x3e0000000-0x3efffffff; echo 0 > /sys/devices/system/cpu/cpu3/online
for i in $(seq 50); do grep -q cpu3 /run/seen && break; sleep 0.1; done; sleep 0.1
cat /run/seen
"""
    printed = inside(script, *over(*UDEV))
    memory, cpu = (part.split("\n\n")[0] for part in printed.split("KERNEL[")[1:3])
    assert memory.splitlines()[1:4] == [
        "ACTION=offline",
        "DEVPATH=/devices/system/memory/memory62",
        "SUBSYSTEM=memory",
    ]
    assert memory.splitlines()[4].startswith("SEQNUM=")
    assert cpu.splitlines()[1:4] == [
        "ACTION=offline",
        "DEVPATH=/devices/system/cpu/cpu3",
        "SUBSYSTEM=cpu",
    ]
    assert "MODALIAS=cpu:type:" in cpu


def test_udevd_acts_and_udevadm_needs_no_tricks():
    script = """
mkdir -p /run/udev/rules.d
echo 'SUBSYSTEM=="memory", ACTION=="offline", ATTRS{crash_hotplug}=="1", RUN+="/bin/touch /run/hp-%k"
SUBSYSTEM=="memory", ACTION=="offline", RUN+="/bin/touch /run/any-%k"' > /run/udev/rules.d/90-t.rules
/lib/systemd/systemd-udevd --daemon 2> /dev/null
for i in $(seq 50); do udevadm control --ping 2> /dev/null && break; sleep 0.1; done
udevadm info /sys/devices/system/memory/memory62 | head -1
udevadm info -a -p /devices/system/memory/memory62 | grep -c 'ATTRS{crash_hotplug}=="1"'
udevadm trigger -v -n --subsystem-match=memory | wc -l
udevadm trigger --subsystem-match=cpu && udevadm settle && echo settled
chmem -d 0x3e0000000-0x3efffffff && udevadm settle
ls /run/hp-* /run/any-*
"""
    printed = inside(script, "--load", *over(*UDEV)).splitlines()
    assert printed == [
        "P: /devices/system/memory/memory62",
        "1",
        "64",
        "settled",
        "/run/any-memory62",
        "/run/hp-memory62",
    ]


# kdump-tools


KDUMP = f"""{BOOT}
mkdir -p /var/lib/kdump
cp /boot/initrd.img-$V /var/lib/kdump/
cp /etc/kdump/sysctl.conf /var/lib/kdump/latest_sysctls-$V
sed s,USE_KDUMP=0,USE_KDUMP=1, /usr/share/kdump-tools/kdump-tools.conf > /etc/default/kdump-tools
"""


@x86
def test_kdump_config_loads_shows_reloads_and_unloads():
    script = f"""{KDUMP}
kdump-config load && cat /sys/kernel/kexec_crash_loaded && cat /proc/sys/kernel/panic_on_oops
kdump-config status; kdump-config show | grep 'current state'
kdump-config try-reload; echo "reload=$?"; kdump-config unload; cat /sys/kernel/kexec_crash_loaded
"""
    before = Path("/proc/sys/kernel/panic_on_oops").read_text()
    printed = inside(script, *PC, *over(*KEXEC, "kdump-tools", kernel_image()))
    assert "loaded kdump kernel.\n1\n1\n" in printed
    assert "current state   : ready to kdump\n" in printed
    assert "current state:    ready to kdump\n" in printed
    assert "reload=0\n" in printed
    assert printed.endswith("unloaded kdump kernel.\n0\n")
    assert Path("/proc/sys/kernel/panic_on_oops").read_text() == before


@x86
def test_whole_loop_from_chmem_by_udev_to_a_reload(tmp_path: Path):
    record = tmp_path / "seen"
    script = f"""{KDUMP}
kdump-config load > /dev/null
/lib/systemd/systemd-udevd --daemon 2> /dev/null
for i in $(seq 50); do udevadm control --ping 2> /dev/null && break; sleep 0.1; done
chmem -d -b 10 && udevadm settle
cat /sys/kernel/kexec_crash_loaded
"""
    options = (*PC, "--record", str(record), *over(*KEXEC, *UDEV, "kdump-tools", kernel_image()))
    printed = inside(script, *options).splitlines()
    assert printed[-1] == "1"
    lines = record.read_text().splitlines()
    (offlined,) = (at for at, line in enumerate(lines) if '/memory10/state "offline"' in line)
    calls = [line for line in lines[offlined:] if "] kexec_load(" in line]
    assert len(calls) == 2  # one unload, one load
    assert ", 0x0, 0x0, 0x3e0001) = 0" in calls[0]
    assert ", 0x7, " in calls[1]


def test_package_is_laid_over_for_the_run_only():
    package("kmod")
    before = Path("/usr/bin/kmod").exists() or Path("/bin/kmod").exists()
    assert inside("/sbin/modprobe --version | head -1", *over("kmod")).startswith("kmod version")
    assert (Path("/usr/bin/kmod").exists() or Path("/bin/kmod").exists()) == before


def test_modprobe_loads_nothing():
    script = "modprobe memory-notifier-error-inject; echo $?; rmmod loop; echo $?"
    done = run("bash", "-c", script, options=over("kmod"))
    assert done.stdout.splitlines()[0] == "1"
