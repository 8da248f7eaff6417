"""Debian's unmodified tools ask who the machine is: what they say is what they said on the real one.

The captures' own tools were of util-linux 2.42.4; an older one leaves a row out, and aligns otherwise.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from elfcorehdr import profiles
from elfcorehdr.machine.writer import to_toml
from tests.identity.capture import rows_of
from tests.identity.machine import machine_of
from tests.identity.test_captures import CAPTURES
from tests.run.machine import inside
from tests.run.packages import over
from tests.run.userlands import emulator, options, userland

pytestmark = pytest.mark.namespaces

NEWER = ("Microcode version:", "Memmap on memory parameter:")
"""Rows of newer tools alone."""
X86 = [c for c in CAPTURES if c.name.startswith("x86_64")]
POWER = [c for c in CAPTURES if c.name.startswith("ppc64")]
ASKED = ("lscpu", "lsmem", "nproc", "ppc64_cpu")
SHIPPED = profiles.names()


def captured(capture: Path) -> dict[str, list[str]]:
    """Command line to lines of what the real machine's tools said, blanks squeezed."""
    said = {}
    for file in sorted((capture / "living/tools").glob("*.txt")):
        first, _, rest = file.read_text().partition("\n")
        command = first.removeprefix("$ ")
        text = re.split(r"\n?(?:rc|\[exit) \d+\]?\s*$", rest)[0]
        if command.split()[0] in ASKED and not re.search("-V|-J|firmware|run-mode", command):
            said[command] = squeezed(text)
    return said


def squeezed(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if not line.startswith(NEWER)]


def compare(capture: Path, tmp_path: Path, *packages: str) -> None:
    """Each of the capture's tools on the machine of that capture."""
    file = tmp_path / "machine.toml"
    file.write_text(to_toml(machine_of(capture, rows_of(capture))))
    expected = captured(capture)
    assert len(expected) > 5
    script = "".join(f"echo '@@ {line}'; {line} 2>&1; echo\n" for line in expected)
    parts = inside(script + "true", "-m", str(file), *packages).split("@@ ")[1:]
    got = {first: squeezed(text) for first, _, text in (p.partition("\n") for p in parts)}
    for line, text in expected.items():
        assert [one for one in got[line] if one] == [one for one in text if one], line


@pytest.mark.parametrize("capture", X86, ids=lambda path: path.name)
def test_tools_of_this_system_say_what_they_said_on_the_real_machine(
    capture: Path, tmp_path: Path
) -> None:
    compare(capture, tmp_path)


@pytest.mark.apt
@pytest.mark.parametrize("capture", POWER, ids=lambda path: path.name)
def test_tools_of_ppc64_say_what_they_said_on_the_real_machine(
    capture: Path, tmp_path: Path
) -> None:
    packages = userland("ppc64le", "bookworm", "util-linux", "powerpc-utils")
    compare(capture, tmp_path, *options(emulator("ppc64le"), packages))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_machine_is_told_by_common_tools(name: str) -> None:
    script = """
set -e
lscpu > /tmp/lscpu; lscpu -e=CPU,NODE,SOCKET,CORE,ONLINE -a > /tmp/lscpu-e; lscpu -J > /tmp/lscpu-J
python3 -c 'import json; json.load(open("/tmp/lscpu-J"))'
free -b > /tmp/free; vmstat 1 1 > /dev/null; uptime -s > /dev/null
lsmod > /tmp/lsmod
dmesg -T > /tmp/dmesg; dmesg -x > /dev/null
top -b -n 1 > /tmp/top
nproc --all
grep -c 'CPU(s):' /tmp/lscpu; wc -l < /tmp/lscpu-e
awk '/^Mem/ {print $2}' /tmp/free; echo $(($(awk '/MemTotal/ {print $2}' /proc/meminfo) * 1024))
grep -c '^\\[[A-Z]' /tmp/dmesg; date +%Y; head -1 /tmp/dmesg
"""
    lines = inside(script, "-m", name).splitlines()
    machine = profiles.load(name)
    possible, present = len(machine.possible_cpus), len(machine.present_cpus)
    assert int(lines[0]) in (present, possible)
    assert int(lines[2]) in (present + 1, possible + 1)
    assert lines[3] == lines[4]
    assert lines[6] in lines[7]


@pytest.mark.apt
@pytest.mark.parametrize("name", SHIPPED)
def test_htop_and_irqbalance_run_on_it(name: str) -> None:
    script = """
export TERM=xterm
(sleep 1; echo q) | timeout 20 script -qec 'stty rows 60 cols 200; htop' /dev/null > /tmp/htop
grep -c 'Load average' /tmp/htop
timeout 20 irqbalance --oneshot --foreground --debug --interval=1 > /tmp/irqbalance 2>&1; echo "irqbalance=$?"
grep -c '^ *CPU number' /tmp/irqbalance
"""
    packages = over("htop", "irqbalance", "libnl-3-200", "libnl-genl-3-200")
    lines = inside(script, "-m", name, *packages).splitlines()
    assert int(lines[0]) >= 1
    assert lines[1] == "irqbalance=0"


def power(name: str, script: str, suite: str = "bookworm") -> list[str]:
    """What a script prints with powerpc-utils on a shipped machine."""
    packages = userland("ppc64le", suite, "util-linux", "powerpc-utils")
    found = inside(script, "-m", name, *options(emulator("ppc64le"), packages))
    return [" ".join(line.split()) for line in found.splitlines() if line.strip()]


@pytest.mark.apt
def test_smt_is_turned_off_in_part_and_on_again_by_ppc64_cpu() -> None:
    script = """
ppc64_cpu --smt; ppc64_cpu --smt=2; ppc64_cpu --info; cat /sys/devices/system/cpu/smt/control
ppc64_cpu --smt=off; ppc64_cpu --smt; cat /sys/devices/system/cpu/online
ppc64_cpu --smt=on; ppc64_cpu --smt; ppc64_cpu --cores-present; ppc64_cpu --cores-on
echo forceoff > /sys/devices/system/cpu/smt/control; ppc64_cpu --smt=on 2>&1; echo "rc=$?"
"""
    # 1.3.13 writes smt/control, as the real machine's did.
    assert power("pseries-16g", script, "sid") == [
        "SMT=8",
        "Core 0: 0* 1* 2 3 4 5 6 7",
        "2",
        "SMT is off",
        "0",
        "SMT=8",
        "Number of cores present = 1",
        "Number of cores online = 1",
        "/sys/devices/system/cpu/smt/control: Operation not permitted",
        "rc=255",
    ]


@pytest.mark.apt
def test_lparstat_and_lsslot_tell_a_partition_of_powervm() -> None:
    script = "lparstat -i; echo ---; lparstat 1 1 | tail -1; lsslot -c cpu; lsslot -c mem | head -1; lscpu"
    head, _, tail = "\n".join(power("pseries-16g", script)).partition("---\n")
    rows = dict(re.split(r" ?: ?", line, maxsplit=1) for line in head.splitlines())
    assert rows["Partition Name"] == "lpar16g"
    assert (rows["Type"], rows["Mode"]) == ("Dedicated", "Capped")
    assert (rows["Online Virtual CPUs"], rows["Maximum Virtual CPUs"]) == ("1", "1")
    assert rows["Desired Memory"] == "16384"
    lines = tail.splitlines()
    assert lines[0].split()[:4] == ["0.00", "0.00", "0.00", "100.00"]
    assert lines[2] == "CPU 0 PowerPC,POWER10@0 10000000 0 1 2 3 4 5 6 7"
    assert lines[3] == "Dynamic Reconfiguration Memory (LMB size 0x10000000)"
    assert "Hypervisor vendor: pHyp" in lines


@pytest.mark.apt
@pytest.mark.parametrize("name", ["pseries-4g", "pseries-numa2"])
def test_lsslot_and_lparstat_tell_a_guest_of_qemu(name: str) -> None:
    script = "lsslot -c cpu 2>&1; echo $?; lsslot -c mem; lparstat -i 2>&1; echo $?"
    assert power(name, script) == [
        "The system is not LPAR.",
        "1",
        "Dynamic Reconfiguration Memory (LMB size 0x10000000)",
        "lparstat: is not supported on the Power KVM pSeries Guest platform",
        "1",
    ]


@pytest.mark.apt
def test_powernv_is_told_by_ppc64_cpu() -> None:
    assert power(
        "powernv-32g", "ppc64_cpu --info; ppc64_cpu --smt=1; ppc64_cpu --info | head -1"
    ) == [
        "Core 0: 0* 1* 2* 3*",
        "Core 1: 4* 5* 6* 7*",
        "Core 2: 8* 9* 10* 11*",
        "Core 3: 12* 13* 14* 15*",
        "Core 0: 0* 1 2 3",
    ]


POWER_SHIPPED = [name for name in SHIPPED if profiles.load(name).arch == "ppc64"]


@pytest.mark.apt
@pytest.mark.parametrize("name", POWER_SHIPPED)
def test_powerpc_utils_tell_the_cores_of_every_shipped_machine(name: str) -> None:
    script = """
ppc64_cpu --cores-present; ppc64_cpu --threads-per-core; ppc64_cpu --smt 2>&1 | head -1
free -b | awk '/^Mem/ {print $2}'; echo $(($(awk '/MemTotal/ {print $2}' /proc/meminfo) * 1024))
dmesg -T | head -1 | grep -c "$(date +%Y)"
"""
    cpus = profiles.load(name).cpus
    cores = len(profiles.load(name).present_cpus) // cpus.threads
    lines = power(name, script)
    assert lines[0] == f"Number of cores present = {cores}"
    assert lines[1] == f"Threads per core: {cpus.threads}"
    smt = f"SMT={cpus.threads}" if cpus.threads > 1 else "Machine is not SMT capable"
    assert lines[2] in (smt, "SMT is off")
    assert lines[3] == lines[4]
    assert lines[5] == "1"
