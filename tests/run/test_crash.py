"""A machine that dies in `kdumpfs run`, and what runs on its capture kernel: unmodified kdump scripts too."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from elfcorehdr import profiles
from elfcorehdr.init.main import Kernel
from elfcorehdr.mm.mm_init import counts
from tests.run.machine import ENVIRONMENT, RUN
from tests.run.packages import over

CRASH = "echo c > /proc/sysrq-trigger; echo ALIVE"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """kdumpfs run WORDS"""
    return subprocess.run(
        [*RUN, *words], capture_output=True, text=True, env=ENVIRONMENT, timeout=300, check=False
    )


def then(command: str, script: str = CRASH, *options: str) -> subprocess.CompletedProcess[str]:
    return run("--load", *options, "--then", command, "--", "sh", "-c", script)


def test_nothing_of_the_old_kernel_goes_on():
    done = then(
        "echo second; cat /tmp/kept", f"echo kept > /tmp/kept; (sleep 50; echo BAD) & {CRASH}"
    )
    assert (done.returncode, done.stdout) == (0, "second\nkept\n")
    assert done.stderr == ""


def test_status_is_that_of_the_second_command():
    assert then("exit 7").returncode == 7
    assert then("kill -9 $$").returncode == 137


def test_capture_kernel_says_what_a_capture_kernel_says():
    script = "cat /proc/cmdline; head -1 /proc/iomem; stat -c '%a %s' /proc/vmcore; cd /sys/kernel/kexec; cat crash_elfcorehdr_size crash_loaded"
    done = then(f"{script}; dmesg | grep -c Zero", CRASH, "-m", "pseries-4g")
    cmdline, iomem, vmcore, size, loaded, zero = done.stdout.splitlines()
    assert cmdline.startswith("elfcorehdr=0x213a0000 ")
    assert iomem == "00000000-3fffffff : System RAM"
    assert vmcore == "400 3758292992"
    assert int(size) > 0
    assert (loaded, zero) == ("0", "2")


def test_crash_without_a_second_command_ends_the_run():
    done = run("--load", "--", "sh", "-c", CRASH)
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr == "kdumpfs: the machine crashed; --then COMMAND runs on its capture kernel\n"
    )


def test_dead_machine_ends_the_run():
    done = run("--", "sh", "-c", f"sleep 100 & {CRASH}")
    assert (done.returncode, done.stdout) == (1, "")
    assert "the machine is dead: Kernel panic" in done.stderr


def test_reboot_of_a_capture_kernel_ends_the_run_with_0():
    script = "import ctypes; ctypes.CDLL(None).reboot(0x1234567); print('NOT')"
    done = run("--crashed", "--", "python3", "-c", script)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_is_read_and_waited_for_when_it_dies_hangs_nobody():
    busy = "while :; do cat /proc/iomem; done >/dev/null & cat /dev/kmsg >/dev/null &"
    for _ in range(5):
        done = then("echo ok", f"{busy} {CRASH}")
        assert (done.returncode, done.stdout) == (0, "ok\n")


def test_vmcore_can_be_mapped_sought_and_read_directly(tmp_path):
    script = tmp_path / "read.py"
    script.write_text(
        "import mmap, os\n"
        "fd = os.open('/proc/vmcore', os.O_RDONLY)\n"
        "size = os.fstat(fd).st_size\n"
        "whole = mmap.mmap(fd, 0, mmap.MAP_SHARED, mmap.PROT_READ)\n"
        "assert whole[:4] == os.pread(fd, 4, 0) == b'\\x7fELF'\n"
        "direct = os.open('/proc/vmcore', os.O_RDONLY | os.O_DIRECT)\n"
        "buffer = mmap.mmap(-1, 1 << 20)\n"
        "for at in (0, 4096, size // 2 & ~0xfffff, size - 4096 & ~0xfff):\n"
        "    got = os.preadv(direct, [buffer], at)\n"
        "    assert got == min(1 << 20, size - at)\n"
        "    assert buffer[:got] == os.pread(fd, 1 << 20, at)\n"
        "at = size // 2 & ~0xfffff\n"
        "assert whole[at : at + (1 << 20)] == os.pread(fd, 1 << 20, at)\n"
        "assert os.lseek(fd, 0, os.SEEK_END) == size\n"
        "assert os.lseek(fd, 5, os.SEEK_DATA) == 5\n"
        "assert os.lseek(fd, 5, os.SEEK_HOLE) == size\n"
        "assert os.pread(fd, 1, size) == b''\n"
        "print('ok')\n"
    )
    # What has been read once, root's host reads itself: fsmount/fuse/passthrough.py.
    line = f"python3 {script}; cksum </proc/vmcore; cksum </proc/vmcore; python3 {script}"
    done = run("--crashed", "-m", "pc-2g", "--", "sh", "-c", line)
    assert (done.returncode, done.stderr) == (0, "")
    before, first, second, after = done.stdout.splitlines()
    assert (before, first, after) == ("ok", second, "ok")


TOOLS = over(
    "kdump-tools", "kexec-tools", "makedumpfile", "libdw1", "libelf1", "libsnappy1v5", "liblzo2-2"
)


@pytest.mark.parametrize("machine", ["pc-2g", "pc-2g-6.1"])
def test_kdump_config_saves_the_core(tmp_path: Path, machine):
    keep = tmp_path / "keep"
    script = f"chmem -d 1G; {CRASH}"
    done = then("kdump-config savecore", script, "-m", machine, "--keep", str(keep), *TOOLS)
    assert done.returncode == 0
    assert "kdump-config: saved vmcore in /var/crash/" in done.stdout
    (dump,) = keep.glob("**/dump.*")
    (dmesg,) = keep.glob("**/dmesg.*")
    assert b"makedumpfile" in dump.read_bytes()[:64]
    assert "Kernel panic - not syncing: sysrq triggered crash" in dmesg.read_text()


def test_init_script_saves_the_core_and_reboots(tmp_path: Path):
    keep = tmp_path / "keep"
    settings = "echo 'USE_KDUMP=1' > /etc/default/kdump-tools;"
    done = then(
        "/etc/init.d/kdump-tools start; echo NOT",
        settings + CRASH,
        *("-m", "pc-2g", "--keep", str(keep)),
        *TOOLS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT" not in done.stdout
    assert len([*keep.glob("**/dump.*")]) == 1


MAKEDUMPFILE = over("makedumpfile", "libdw1", "libelf1", "libsnappy1v5", "liblzo2-2")


def test_mem_usage_of_the_living_kernel_is_exact():
    """Folios apart, of which 1.7.2 loses the tails on 7.1 and later: 6.1 here."""
    done = run("-m", "pc-2g-6.1", *MAKEDUMPFILE, "--", "makedumpfile", "--mem-usage", "/proc/kcore")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = dict(re.findall(r"^([A-Z_]+)\t+(\d+)", done.stdout, re.M))
    kernel = Kernel.boot(profiles.load("pc-2g-6.1"))
    ram = [(r.start, r.end + 1) for r in kernel.iomem.system_ram()]
    said = counts(kernel.kcore()._image, ram)
    assert int(rows["FREE"]) == said["free"]
    assert int(rows["NON_PRI_CACHE"]) == said["cache"]
    assert int(rows["PRI_CACHE"]) == said["private-cache"]
    assert int(rows["USER"]) == said["anon"]


def test_crash_reads_the_release():
    tools = over("crash", "libsnappy1v5", "liblzo2-2")
    done = run("-m", "pc-2g", "--crashed", *tools, "--", "crash", "--osrelease", "/proc/vmcore")
    assert (done.returncode, done.stdout) == (0, "7.3.4\n")
