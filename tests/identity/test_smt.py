"""SMT as a state: the logs of real ppc64 kernels, write by write; then x86_64, arm64 and kernels without it."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from elfcorehdr import profiles
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.lib.ranges import format_ids
from elfcorehdr.lib.record import replace
from fsmount.cli.boot import declarations_of
from fsmount.tree.kernfs import Tree
from tests.sysfs.test_sysfs import read, write

CAPTURES = Path(__file__).parent.parent / "golden/kernel/identity"
RADIX = "ppc64.7.1.13-64k.pseries-radix-1x4"
LOGS = (
    f"{RADIX}/smt1.txt",
    f"{RADIX}/smt2.txt",
    "ppc64.7.1.13-64k.pseries-smt-hotplug/smt-hotplug.txt",
)
CPU = "/sys/devices/system/cpu"
STATE = re.compile(
    r"  control=(\S+) active=(\d) online=(\S*) offline=\S* present=(\S+) possible=(\S+)"
)


@dataclass
class Step:
    """One paragraph of a log: what was done, what write(2) said, what was seen then."""

    done: str
    writes: list[dict[str, str]] = field(default_factory=list)
    state: tuple[str, ...] = ()
    each: dict[int, tuple[str, str]] = field(default_factory=dict)
    """By CPU: online and physical_id."""


def steps(log: str) -> Iterator[Step]:
    """The paragraphs of a log."""
    step = None
    for line in (CAPTURES / log).read_text().splitlines():
        if line.startswith("## "):
            if step is not None:
                yield step
            step = Step(line)
        elif step is not None and line.startswith('{"path"') and '"write"' in line:
            step.writes.append(json.loads(line))
        elif step is not None and not step.state and (state := STATE.match(line)):
            step.state = state.groups()
        elif step is not None and not step.each and line.startswith("  cpu0="):
            words = re.findall(r"cpu(\d+)=(\d) phys=(-?\d+)", line)
            step.each = {int(n): (online, phys) for n, online, phys in words}
    assert step is not None
    yield step


def booted(possible: str, present: str, **changes: object) -> Tree:
    """pseries-4g with cores of four threads."""
    machine = profiles.load("pseries-4g")
    cpus = replace(machine.cpus, possible=possible, present=present, threads=4)
    return Tree(
        Kernel.boot(replace(machine, cpus=cpus, kernel="7.1.13", **changes)), declarations_of()
    )


def errno_of(tree: Tree, path: str, data: str) -> str | None:
    """What a write fails with."""
    try:
        write(tree, path, data)
    except KernelError as error:
        return errno.errorcode[error.errno]
    return None


@pytest.mark.parametrize("log", LOGS)
def test_every_write_of_a_real_kernels_log_does_the_same(log: str) -> None:
    paragraphs = list(steps(log))
    first = next(p for p in paragraphs if p.state)
    present = "0-3"
    tree = booted(first.state[4], present)
    kernel = tree.kernel
    if first.state[0] == "off":
        write(tree, f"{CPU}/smt/control", "off")
    compared = 0
    for step in paragraphs:
        if m := re.search(r"device_add .*core-id=(\d+)", step.done):
            kernel.platform.plug_cpu(int(m[1]) // 4)
        elif m := re.search(r"device_del c(\d+)", step.done):
            kernel.platform.unplug_cpu(kernel.cpus.threads_of_core(int(m[1]) // 4)[0])
        for said in step.writes:
            # What QEMU's firmware has no core for: it does not hand one over.
            kernel.platform.dlpar.firmware.refuses = (
                "add index" in said["write"] and "errno" in said
            )
            got = errno_of(tree, said["path"], said["write"])
            assert got == said.get("errno", said.get("open_errno")), (step.done, said, got)
        if step.state and "ppc64_cpu" not in step.done and "hot-add" not in step.done:
            control, active, online, shown, _ = step.state
            assert read(tree, f"{CPU}/smt/control") == f"{control}\n", step.done
            assert read(tree, f"{CPU}/smt/active") == f"{active}\n", step.done
            assert format_ids(sorted(kernel.cpus.online)) == online, step.done
            assert format_ids(sorted(kernel.cpus.present)) == shown, step.done
            for n, (up, physical) in step.each.items():
                assert read(tree, f"{CPU}/cpu{n}/online") == f"{up}\n", (step.done, n)
                assert read(tree, f"{CPU}/cpu{n}/physical_id") == f"{physical}\n", (step.done, n)
            compared += 1
    assert compared > 10


def test_numbers_between_are_a_state_of_ppc64_alone() -> None:
    machine = profiles.load("pc-2g")
    cpus = replace(machine.cpus, threads=4, present="0-7", online="0-7")
    tree = Tree(Kernel.boot(replace(machine, cpus=cpus)), declarations_of())
    control = f"{CPU}/smt/control"
    assert errno_of(tree, control, "2") == "EINVAL"
    write(tree, control, "1")
    assert (read(tree, control), read(tree, f"{CPU}/online")) == ("off\n", "0,4\n")
    write(tree, control, "4")
    assert (read(tree, control), read(tree, f"{CPU}/online")) == ("on\n", "0-7\n")


@pytest.mark.parametrize(("word", "shown"), [("nosmt", "off"), ("nosmt=force", "forceoff")])
@pytest.mark.parametrize("name", ["pc-2g", "pseries-16g"])
def test_nosmt_leaves_each_core_one_thread(name: str, word: str, shown: str) -> None:
    machine = profiles.load(name)
    cpus = replace(machine.cpus, threads=2, present="0-7", online="")
    kernel = Kernel.boot(replace(machine, cpus=cpus, cmdline=f"{machine.cmdline} {word}"))
    tree = Tree(kernel, declarations_of())
    assert read(tree, f"{CPU}/smt/control") == f"{shown}\n"
    assert read(tree, f"{CPU}/online") == "0,2,4,6\n"
    assert errno_of(tree, f"{CPU}/cpu1/online", "1") == "EPERM"
    said = "SMT: disabled" if shown == "off" else "SMT: Force disabled"
    assert said in [record.text for record in kernel.log]
    if shown == "off":
        write(tree, f"{CPU}/smt/control", "on")
        assert read(tree, f"{CPU}/online") == "0-7\n"
    else:
        assert errno_of(tree, f"{CPU}/smt/control", "on") == "EPERM"


def test_smt_enabled_on_the_command_line_limits_a_ppc64_boot() -> None:
    tree = booted("0-7", "0-7", cmdline="crashkernel=512M smt-enabled=2")
    assert read(tree, f"{CPU}/smt/control") == "2\n"
    assert read(tree, f"{CPU}/online") == "0-1,4-5\n"
    # smp_generic_cpu_bootable(): those were not started at boot, so the first try is another errno.
    assert errno_of(tree, f"{CPU}/cpu2/online", "1") == "ECANCELED"
    assert errno_of(tree, f"{CPU}/cpu2/online", "1") == "EPERM"


def test_ppc64_6_1_does_not_implement_it() -> None:
    machine = profiles.load("pseries-16g")
    tree = Tree(Kernel.boot(machine, "6.1"), declarations_of())
    assert read(tree, f"{CPU}/smt/control") == "notimplemented\n"
    assert errno_of(tree, f"{CPU}/smt/control", "off") == "ENODEV"
    write(tree, f"{CPU}/cpu1/online", "0")
    write(tree, f"{CPU}/cpu1/online", "1")


@pytest.mark.parametrize(
    ("name", "release", "shown"),
    [
        ("pseries-4g", "7.1", "notsupported"),
        ("pc-2g", "6.1", "notsupported"),
        ("arm64-virt-4g", "7.3", "notsupported"),
        ("arm64-virt-4g", "6.12", "notimplemented"),
        ("riscv64-virt-2g", "7.2", "notimplemented"),
    ],
)
def test_without_threads_every_write_is_enodev(name: str, release: str, shown: str) -> None:
    tree = Tree(Kernel.boot(profiles.load(name), release), declarations_of())
    assert read(tree, f"{CPU}/smt/control") == f"{shown}\n"
    assert errno_of(tree, f"{CPU}/smt/control", "off") == "ENODEV"


def test_x86_64_6_1_knows_words_alone_and_looks_at_them_first() -> None:
    machine = profiles.load("pc-2g")
    cpus = replace(machine.cpus, threads=2, present="0-7", online="0-7")
    tree = Tree(Kernel.boot(replace(machine, cpus=cpus), "6.1"), declarations_of())
    control = f"{CPU}/smt/control"
    assert errno_of(tree, control, "1") == "EINVAL"
    write(tree, control, "forceoff")
    assert errno_of(tree, control, "x") == "EINVAL"
    assert errno_of(tree, control, "on") == "EPERM"


def test_cpu0_of_x86_64_can_go_offline_before_6_5_with_cpu0_hotplug_on_intel() -> None:
    machine = profiles.load("pc-2g")
    cpus = replace(machine.cpus, threads=2, present="0-7", online="0-7")
    machine = replace(machine, cpus=cpus, cmdline="cpu0_hotplug")
    tree = Tree(Kernel.boot(machine, "6.1"), declarations_of())
    write(tree, f"{CPU}/cpu0/online", "0")
    assert read(tree, f"{CPU}/online") == "1-7\n"
    for other in (
        Kernel.boot(machine, "6.5"),
        Kernel.boot(replace(machine, cmdline=""), "6.1"),
        Kernel.boot(replace(machine, cpuinfo={"vendor_id": "AuthenticAMD"}), "6.1"),
    ):
        with pytest.raises(KernelError):
            Tree(other, declarations_of()).lookup(f"{CPU}/cpu0/online")


def test_a_cpu_that_is_declared_to_refuse_stays() -> None:
    machine = profiles.load("pc-2g")
    cpus = replace(machine.cpus, refuse={1: "ENOSPC"})
    tree = Tree(Kernel.boot(replace(machine, cpus=cpus)), declarations_of())
    assert errno_of(tree, f"{CPU}/cpu1/online", "0") == "ENOSPC"
    assert read(tree, f"{CPU}/online") == "0-1\n"


def test_powernv_has_the_files_of_dlpar_and_physical_ids() -> None:
    tree = Tree(Kernel.boot(profiles.load("powernv-32g")), declarations_of())
    assert read(tree, f"{CPU}/cpu5/physical_id") == "5\n"
    for name in ("probe", "release"):
        assert errno_of(tree, f"{CPU}/{name}", "0x10000000") == "EINVAL"
