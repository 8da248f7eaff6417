"""On which kernels and machines a declared file is there: asked of those that are shipped, booted as each release."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from elfcorehdr import profiles
from elfcorehdr.changes.change import RELEASES
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.kexec_file import KEXEC_FILE_ON_CRASH
from elfcorehdr.kernel.panic import Crash
from elfcorehdr.lib.record import replace
from elfcorehdr.machine import Machine
from fsmount.tree.kobject import Attribute, Declaration, Kset

PLATFORMS = {
    "pseries": "pseries-16g",
    "powernv": "powernv-32g",
    "x86_64": "pc-2g",
    "arm64": "arm64-virt-4g",
    "riscv64": "riscv64-virt-2g",
}
"""What a row names, and the machine that is asked."""
EACH = 100
"""Objects of each set that are looked at."""


def _fadump(machine: Machine) -> Kernel:
    return Kernel.boot(
        replace(machine, fadump=True, cmdline=machine.cmdline + " fadump=on"), RELEASES[-1]
    )


def _captured(machine: Machine) -> Kernel:
    kernel = Kernel.boot(machine, RELEASES[-1])
    kernel.kexec.file_load(None, None, kernel.kexec.capture_cmdline().encode(), KEXEC_FILE_ON_CRASH)
    kernel.panic.sysrq("c", Crash(pid=1, comm="sh", time=0))
    return kernel


def _fadump_captured(machine: Machine) -> Kernel:
    kernel = _fadump(machine)
    kernel.panic.sysrq("c", Crash(pid=1, comm="sh", time=0))
    return kernel


def _plugged(machine: Machine) -> Kernel:
    kernel = Kernel.boot(machine, RELEASES[-1])
    kernel.platform.plug_memory(kernel.platform.next_free_memory(1 << 30), 1 << 30)
    return kernel


def _with_module(machine: Machine) -> Kernel:
    kernel = Kernel.boot(machine, RELEASES[-1])
    kernel.modules.load("example", 4096)
    return kernel


def _with_key(machine: Machine) -> Kernel:
    kernel = Kernel.boot(machine, RELEASES[-1])
    kernel.dm_crypt_keys.make_item("example")
    return kernel


class Where(NamedTuple):
    """Machines as booted: by platform and release, and in states of their own."""

    plain: dict[tuple[str, str], Kernel]
    states: dict[str, Kernel]


def where() -> Where:
    """Boot them all."""
    plain = {
        (platform, release): Kernel.boot(profiles.load(name), release)
        for platform, name in PLATFORMS.items()
        for release in RELEASES
    }
    made: dict[str, tuple[Callable[[Machine], Kernel], str]] = {
        "with fadump=on": (_fadump, "pseries-16g"),
        "on a capture kernel": (_captured, "pc-2g"),
        "after a crash with fadump=on": (_fadump_captured, "pseries-16g"),
        "of memory that was plugged": (_plugged, "pc-2g"),
        "of a module that was loaded": (_with_module, "pc-2g"),
        "of a key that mkdir made": (_with_key, "pc-2g"),
    }
    states = {text: make(profiles.load(name)) for text, (make, name) in made.items()}
    return Where(plain, states)


def objects(kernel: Kernel, kset: Kset[Any]) -> Iterator[Any]:
    """Some objects of a set; the kernel for what exists once."""
    found = [kernel]
    for one in kset.chain():
        found = [
            value
            for parent in found
            for name in islice(one.names(parent), EACH)
            if (value := one.lookup(parent, name)) is not None
        ]
    yield from found


def is_there(kernel: Kernel, declared: Declaration, attribute: Attribute[Any] | None) -> bool:
    """Whether a machine has the file, or the link or directory, for one of these objects."""
    predicates = [p for p in (declared.is_visible, attribute and attribute.is_visible) if p]
    return any(all(p(kernel, o) for p in predicates) for o in objects(kernel, declared.kset))


def seen(at: Where, declared: Declaration, attribute: Attribute[Any] | None) -> str:
    """Where it is, in words; empty if no machine is to be asked."""
    if not at.plain:
        return ""
    there = {
        platform: [r for r in RELEASES if is_there(at.plain[platform, r], declared, attribute)]
        for platform in PLATFORMS
    }
    if not any(there.values()):
        states = [
            text for text, kernel in at.states.items() if is_there(kernel, declared, attribute)
        ]
        return states[0] if states else "nowhere yet"
    groups: dict[str, list[str]] = {}
    for platform, releases in there.items():
        if releases:
            groups.setdefault(_span(releases), []).append(platform)
    return "; ".join(" ".join(filter(None, (_names(p), span))) for span, p in groups.items())


def _names(platforms: list[str]) -> str:
    if len(platforms) == len(PLATFORMS):
        return ""
    both = {"pseries", "powernv"} <= {*platforms}
    names = ["ppc64"] if both else []
    return ", ".join(
        [*names, *(p for p in platforms if not (both and p in ("pseries", "powernv")))]
    )


def _span(releases: list[str]) -> str:
    first, last = releases[0], releases[-1]
    since = "" if first == RELEASES[0] else f"from {first}"
    until = "" if last == RELEASES[-1] else f"to {last}"
    return " ".join(filter(None, (since, until)))
