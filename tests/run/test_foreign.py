"""Debian's ppc64el programs, unmodified, on the machines that they are made for, by qemu-user."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from elfcorehdr import Kernel, load
from elfcorehdr.kernel.kexec_file import KEXEC_FILE_ON_CRASH, regular
from elfcorehdr.kexec_tools.ppc64 import header
from tests.run.machine import ENVIRONMENT, USERS, inside, run
from tests.run.userlands import emulator, options, userland

pytestmark = [pytest.mark.namespaces, pytest.mark.apt]

TOOLS = ("kexec-tools", "powerpc-utils", "kdump-tools")
KERNEL = "linux-binary-*-powerpc64le"
MACHINES = ("pseries-16g", "pseries-numa2")
SUITES = ("bookworm", "trixie", "sid")
GOLDEN = Path(__file__).parents[1] / "golden/kernel"
FUSE = "/run/kdumpfs/fuse"

BOOT = f"""
V=$(basename /usr/lib/modules/*-powerpc64le)
cp /usr/lib/modules/$V/vmlinuz /boot/vmlinuz-$V
cp /usr/lib/modules/$V/config /boot/config-$V 2> /dev/null || echo CONFIG_RELOCATABLE=y > /boot/config-$V
head -c 100000 /dev/zero > /boot/initrd.img-$V
cd {Path(__file__).parent}
"""


def ppc(suite: str, machine: str = "pseries-16g", *names: str) -> tuple[str, ...]:
    packages = (
        emulator("ppc64le"),
        userland("ppc64le", suite, *(names or TOOLS)),
        userland("ppc64le", "sid", KERNEL),
    )
    return ("-m", machine, *options(*packages))


@pytest.mark.parametrize("suite", SUITES)
def test_the_mails_own_line_loads_on_the_mails_own_machine(suite: str):
    script = f"""{BOOT}
kexec --initrd=/boot/initrd.img-$V /boot/vmlinuz-$V --append="$(cat /proc/cmdline)" -pds > /dev/null 2>&1
echo "load=$?"; cat /sys/kernel/kexec/crash_elfcorehdr_print
kexec -p -u -s; echo "u=$?"; cat /sys/kernel/kexec/crash_loaded
"""
    printed = inside(script, *ppc(suite))
    # The backup region lies behind the kernel image, whose size the mail does not say.
    rows = re.compile(r"(?m)^(0x9 +PT_LOAD +)0x\w+ +")
    table = printed.partition("load=0\n")[2].partition("u=0\n")[0]
    seed = (GOLDEN / "seed/crash_elfcorehdr_print.txt").read_text()
    assert rows.sub(r"\1", table) == rows.sub(r"\1", seed)
    assert printed.endswith("u=0\n0\n")


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("suite", SUITES)
def test_classic_load_hands_over_the_header_that_kexec_tools_makes_there(suite: str, machine: str):
    # pseries-16g has pages of 64 KiB, which qemu-user does not know.
    script = f"""{BOOT}
kexec -c -p --initrd=/boot/initrd.img-$V /boot/vmlinuz-$V --append=x > /dev/null && od -An -v -tx1 {FUSE}/control/elfcorehdr
"""
    made = bytes.fromhex(inside(script, *ppc(suite, machine)))
    assert made[:4] == b"\x7fELF"
    backup = int.from_bytes(made[64 + 9 * 56 + 8 :][:8], "little")
    kernel = Kernel.boot(load(machine))
    ours = header(kernel, backup)
    assert made[: len(ours)] == ours
    assert not any(made[len(ours) :])
    assert backup % kernel.page_size == 0


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("suite", SUITES)
def test_file_load_leaves_the_header_that_the_kernel_makes(suite: str, machine: str):
    script = f"""{BOOT}
kexec -pds --initrd=/boot/initrd.img-$V /boot/vmlinuz-$V --append=x > /dev/null 2>&1 && od -An -v -tx1 {FUSE}/control/elfcorehdr
kexec -p -u -s; echo "$?" > /run/u; cmp /run/u - < /sys/kernel/kexec_crash_loaded
"""
    made = bytes.fromhex(inside(script, *ppc(suite, machine)))
    kernel = Kernel.boot(load(machine))
    (vmlinuz,) = userland("ppc64le", "sid", KERNEL).glob("usr/lib/modules/*/vmlinuz")
    image, initrd = regular(vmlinuz.read_bytes()), regular(bytes(100000))
    kernel.kexec.file_load(image, initrd, b"x\0", KEXEC_FILE_ON_CRASH)
    loaded = kernel.kexec.crash_image
    assert loaded is not None
    segment = loaded.elfcorehdr()
    assert segment is not None
    assert made == bytes(segment.content).ljust(segment.memsz, b"\0")[: len(made)]
    assert len(made) >= 64 + 56 * 5


@pytest.mark.parametrize("machine", MACHINES)
def test_hotplug_load_of_kexec_tools_is_followed_by_the_kernel(machine: str):
    script = f"""{BOOT}
end() {{ awk '$2 == "PT_LOAD" {{ print $5, $7 }}' /sys/kernel/kexec/crash_elfcorehdr_print; }}
kexec -c -p --hotplug --initrd=/boot/initrd.img-$V /boot/vmlinuz-$V --append=x > /dev/null; echo "c=$?"
cat /sys/devices/system/memory/crash_hotplug; end; echo; drmgr -c mem -a -q 1 | tail -1; dmesg | grep -c 'hot-add'; end
"""
    first, _, second = inside(script, *ppc("sid", machine)).partition("\n\n")
    assert first.split()[:2] == ["c=0", "1"]
    assert second.split()[:2] == ["DR_TOTAL_RESOURCES=1", "1"]
    before, after = (sum(int(size, 16) for size in part.split()[3::2]) for part in (first, second))
    # RTAS is a page to kexec-tools, and as long as it is to the kernel, whose sizes may be a byte too long.
    assert abs(after - before - load(machine).memory_block_size) < 4096


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("suite", SUITES)
def test_powerpc_utils_plug_and_tell(suite: str, machine: str):
    script = """
size() { set -- $(grep MemTotal: /proc/meminfo); echo $(($2 / 1024 / 256)); }
size > /run/before
drmgr -c mem -a -q 2 2> /dev/null | tail -1; echo $(($(size) - $(cat /run/before)))
drmgr -c mem -r -q 1 2> /dev/null | tail -1; echo $(($(size) - $(cat /run/before)))
cpus() { cat /sys/devices/system/cpu/present; }
drmgr -c cpu -r -q 1 > /run/cpu 2>&1; echo "$? $(cpus)"; drmgr -c cpu -a -q 1 >> /run/cpu 2>&1; echo "$? $(cpus)"
ppc64_cpu --info; lsslot; echo "lsslot=$?"; lparstat -i 2>&1 | grep -o -e 'Online Memory' -e 'not supported on .*'
"""
    printed = inside(script, *ppc(suite, machine)).splitlines()
    assert printed[:4] == ["DR_TOTAL_RESOURCES=2", "2", "DR_TOTAL_RESOURCES=1", "1"]
    if machine == "pseries-16g":  # its one core is the last
        assert printed[4:6] == ["255 0-7", "1 0-7"]
        assert printed[6].split() == ["Core", "0:", *(f"{n}*" for n in range(8))]
    else:
        assert printed[4:6] == ["0 0-2", "0 0-3"]
        assert [line.split()[-1] for line in printed[6:10]] == ["0*", "1*", "2*", "3*"]
    # A guest of QEMU is not a partition of PowerVM: /proc/cpuinfo says so.
    tells = {"pseries-16g": "Online Memory"}.get(
        machine, "not supported on the Power KVM pSeries Guest platform"
    )
    assert printed[-2:] == ["lsslot=0", tells]


@pytest.mark.parametrize("machine", MACHINES)
def test_kdump_config_loads_tells_and_unloads(machine: str):
    script = f"""{BOOT}
mkdir -p /var/lib/kdump
cp /boot/initrd.img-$V /var/lib/kdump/
sed s,USE_KDUMP=0,USE_KDUMP=1, /usr/share/kdump-tools/kdump-tools.conf > /etc/default/kdump-tools
cp /etc/kdump/sysctl.conf /var/lib/kdump/latest_sysctls-$V
kdump-config load && cat /sys/kernel/kexec_crash_loaded && cat /proc/sys/kernel/panic_on_oops
kdump-config status
kdump-config unload; cat /sys/kernel/kexec_crash_loaded
"""
    kernel = re.sub(
        r".*/", "", str(next(userland("ppc64le", "sid", KERNEL).glob("usr/lib/modules/*")))
    )
    printed = inside(script, *ppc("sid", machine), "--kernel", kernel)
    assert "loaded kdump kernel.\n1\n1\n" in printed
    assert "current state   : ready to kdump\n" in printed
    assert printed.endswith("unloaded kdump kernel.\n0\n")


PERL = """
use POSIX (); $| = 1;
sub call { my $r = syscall(shift, @_); print $r < 0 ? -$!+0 : $r, "\\n"; }
"""


def perl(script: str, *more: str) -> str:
    """System calls by number, from a ppc64le program."""
    options_ = ppc("sid", "pseries-16g", "perl-base", "kexec-tools")
    done = run("perl", "-e", PERL + script, options=(*options_, *more))
    assert done.returncode == 0, done.stderr
    return done.stdout


# What holds for native programs holds for these


def test_environment_that_was_cleared_makes_no_difference():
    printed = inside("env -i /usr/sbin/kexec -p -u; echo $?; kexec --version", *ppc("sid"))
    assert printed == "0\nkexec-tools 2.0.32\n"


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "POSIX"])
def test_locale_of_the_caller_makes_no_difference(locale: str):
    # Before the command starts init stops importing, and a codec is a module.
    environment = {**ENVIRONMENT, "LC_ALL": locale, "PYTHONUTF8": "1"}
    if locale == "C":
        environment |= {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = run("kexec", "--version", options=ppc("sid"), env=environment)
    assert done.stdout == "kexec-tools 2.0.32\n", done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's machine has one user id only")
def test_loading_without_the_capability_is_refused():
    script = f"{BOOT} setpriv --reuid=65534 --clear-groups kexec -p -s /boot/vmlinuz-$V; echo $?"
    done = run("bash", "-c", script, options=ppc("sid"))
    assert done.stdout != "0\n"
    assert "Operation not permitted" in done.stderr


@pytest.mark.parametrize("before", USERS)
def test_anybody_runs_the_mails_line(before: tuple[str, ...]):
    script = f"""{BOOT}
kexec --initrd=/boot/initrd.img-$V /boot/vmlinuz-$V --append="$(cat /proc/cmdline)" -pds > /dev/null 2>&1; echo "load=$?"
cat /sys/kernel/kexec_crash_loaded; drmgr -c mem -a -q 1 2> /dev/null | tail -1; kexec -p -u; echo "u=$?"
"""
    done = run("bash", "-c", script, options=ppc("sid"), before=before)
    assert done.stdout.split() == ["load=0", "1", "DR_TOTAL_RESOURCES=1", "u=0"], done.stderr


def test_calls_that_qemu_user_knows_are_the_machines_too():
    script = f"""
uname -a; sysctl -n kernel.osrelease; getconf PAGE_SIZE; dmesg | head -1 | cut -c16-; dmesg -C; dmesg | wc -l
kexec -l /boot/vmlinuz-$(basename /usr/lib/modules/*-powerpc64le) || cp /usr/lib/modules/*/vmlinuz /boot/k
kexec -l /boot/k; kexec -e; dmesg | tail -1 | cut -c16-; insmod {__file__}; dmesg | tail -1 | grep -c insmod
"""
    boot_id, modules = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/modules")
    before = boot_id.read_text(), modules.exists() and modules.read_text()
    names = ("util-linux", "coreutils", "kmod", "libc-bin", "procps", "kexec-tools")
    printed = inside(script, *ppc("sid", "pseries-16g", *names)).splitlines()
    assert printed[0].split()[0::2] == ["Linux", "7.1.0", "SMP", "ppc64le"]
    assert printed[1:3] == ["7.1.0", "65536"]
    assert printed[3].startswith("Linux version 7.1.0 (kdumpfs)")
    assert printed[4:] == ["0", "reboot: Starting new kernel", "1"]
    assert (boot_id.read_text(), modules.exists() and modules.read_text()) == before


def test_each_caught_call_comes_back_with_the_machines_errno():
    # kexec_load: 17 segments, memory that is not there, unload; kexec_file_load: no such descriptors.
    printed = perl("""
call(268, 0, 17, 0, 0x150001); call(268, 0, 1, 4096, 0x150001); call(268, 0, 0, 0, 0x150001);
call(382, 99, 99, 0, 0, 2); call(382, -1, -1, 0, 0, 3); my $e = "a"; call(353, 99, $e, 0); call(255, 0);
my $m = "nosuch"; call(129, $m, 0x800);
""")
    assert printed.split() == ["-22", "-14", "0", "-9", "0", "-9", "-38", "-2"]


def test_threads_and_what_a_child_executes_are_covered():
    printed = perl("""
if (fork() == 0) { exec("kexec", "-p", "-u") } wait; print $? >> 8, "\\n";
print system("kexec -p -u"), "\\n"; print system("sh", "-c", "env -i /usr/sbin/kexec -p -u"), "\\n";
""")
    assert printed.split() == ["0", "0", "0"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root could do it on the host at all")
def test_host_is_out_of_reach_of_a_foreign_program():
    panic, binfmt = Path("/proc/sys/kernel/panic"), Path("/proc/sys/fs/binfmt_misc")
    before = panic.read_text(), sorted(p.name for p in binfmt.glob("*"))
    printed = perl("""
open(my $f, ">", "/proc/sys/kernel/panic") or die; print $f "77"; close $f;
print open($f, ">", "/sys/power/state") ? "open" : $!+0, "\\n";
print open($f, "<", "/proc/kcore") ? "kcore" : $!+0, "\\n";
print -e "/dev/mem" ? "mem" : "none", "\\n";
my ($a, $b, $c) = ("none", "/mnt", "sysfs"); call(21, $a, $b, $c, 0, 0); call(88, 0xfee1dead, 672274793, 0x1234567, 0);
""")
    assert printed.split() == ["30", "kcore", "none", "-1", "0"]
    assert (panic.read_text(), sorted(p.name for p in binfmt.glob("*"))) == before
    tool = userland("ppc64le", "sid", *TOOLS) / "usr/sbin/kexec"
    with pytest.raises(OSError, match="Exec format error"):
        subprocess.run([tool, "--version"], check=False)


def test_whole_tree_of_another_architecture_is_a_root():
    root = userland("ppc64le", "sid", "--whole", "kexec-tools", "powerpc-utils", "bash", "dash")
    before = sorted(p.name for p in (root / "etc").iterdir())
    script = """
file=$(head -c 20 /bin/sh | tail -c 2 | od -An -tu2); echo $file; getconf PAGE_SIZE; kexec -p -u; echo $?
echo a > /etc/written; cat /etc/written; ls -d /usr/lib/x86_64-linux-gnu 2> /dev/null
"""
    arguments = ("-m", "pseries-16g", "--root", str(root), *options(emulator("ppc64le")))
    done = run("sh", "-c", script, options=arguments)
    assert done.stdout.split() == ["21", "65536", "0", "a"], done.stderr
    assert sorted(p.name for p in (root / "etc").iterdir()) == before


def test_link_of_a_package_is_there_where_the_host_has_no_such_name(tmp_path: Path):
    (tmp_path / "usr/lib99").mkdir(parents=True)
    (tmp_path / "usr/lib99/file").write_text("it\n")
    (tmp_path / "lib99").symlink_to("usr/lib99")
    assert inside("cat /lib99/file", *options(tmp_path)) == "it\n"


def test_root_that_is_no_directory_is_said(tmp_path: Path):
    done = run("true", options=("--root", str(tmp_path / "none")))
    assert done.returncode == 2
    assert f"--root {tmp_path / 'none'}: expected a directory" in done.stderr
