"""The host-safety tests with the commands of another architecture in place of the host's, and a program that tries what they cannot."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.foreign.programs import MACHINES, compiled, each_kind, machine_of
from tests.run import machine, test_host_safety
from tests.run.machine import inside, run
from tests.run.userlands import emulator, options, userland

pytestmark = [pytest.mark.namespaces, pytest.mark.apt]

ESSENTIAL = ("--whole", "mount", "procps", "iproute2", "kmod", "kexec-tools")
SHELL_TESTS = [
    name
    for name in dir(test_host_safety)
    if name.startswith("test_")
    and name.split("_")[1] not in ("reboot", "modules", "every", "calls", "mount", "writable")
    and "_missed" not in name
    and "of_the_host_is" not in name
]
for _name in SHELL_TESTS:  # pytest finds them here, too
    globals()[_name] = getattr(test_host_safety, _name)


@pytest.fixture(autouse=True)
def foreign_commands(request: pytest.FixtureRequest) -> Iterator[None]:
    """bash, coreutils, util-linux, procps of ppc64le lie over the host's."""
    if request.function.__name__ in SHELL_TESTS:
        packages = emulator("ppc64le"), userland("ppc64le", "sid", *ESSENTIAL)
        machine.always += options(*packages)
    yield
    machine.always.clear()


def test_commands_of_these_tests_are_foreign():
    machine.always += options(emulator("ppc64le"), userland("ppc64le", "sid", *ESSENTIAL))
    script = "for f in bash cat dmesg sysctl mount ps ip; do head -c 20 $(command -v $f) | tail -c 2 | od -An -tu2; done"
    assert set(inside(script).split()) == {"21"}


def facts() -> dict[str, str]:
    """Of the host, what the program tries to change."""
    names = ("panic", "hostname", "random/boot_id", "core_pattern", "kptr_restrict")
    found = {name: Path("/proc/sys/kernel", name).read_text() for name in names}
    for name in (
        "/proc/modules",
        "/proc/swaps",
        "/proc/self/mounts",
        "/sys/kernel/kexec_crash_loaded",
    ):
        place = Path(name)
        found[name] = place.read_text() if place.exists() else ""
    modules, mounts = (found[name].splitlines() for name in ("/proc/modules", "/proc/self/mounts"))
    found["/proc/modules"] = "\n".join(sorted(line.split()[0] for line in modules))
    # Other tests may mount machines meanwhile.
    found["/proc/self/mounts"] = "\n".join(line for line in mounts if "kdumpfs" not in line)
    return found


@each_kind
def test_what_a_hostile_program_tries_is_refused_or_the_machines(
    programs: Path, machine: str, kind: str
):
    program = compiled(programs, machine, kind, "hostile.c")
    before = facts()
    done = run(str(program), options=machine_of(machine))
    assert done.returncode == 0, done.stderr
    results = dict(line.split(" = ") for line in done.stdout.splitlines())
    answered = {name for name, result in results.items() if result == "0"}
    # The emulated kernel does these, or takes them for done; all others are refused.
    assert answered <= {
        "reboot",
        "init_module",
        "finit_module",
        "delete_module",
        "klogctl clear",
        "kexec_load unload",
        "sethostname",
        "panic",
        "core_pattern of the parked /proc",  # whose sys is the machine's
    }, results
    assert {"reboot", "kexec_load unload", "klogctl clear"} <= answered, results
    assert facts() == before
    assert len(results) >= 30


def test_hostile_program_says_what_it_tries():
    source = Path(__file__).with_name("hostile.c").read_text()
    assert all(machine in ("ppc64le", "aarch64", "riscv64") for machine in MACHINES)
    assert source.count("try(") >= 30
    assert os.access(Path(__file__).with_name("hostile.c"), os.R_OK)
