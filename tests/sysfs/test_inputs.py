"""Whatever is written to a file of the machine, the write succeeds or fails as the kernel's would; nothing is an oops."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest

from elfcorehdr import profiles
from elfcorehdr.drivers.base.memory import OnlineType
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from fsmount.cli.boot import BootOptions, tree_of
from fsmount.tree.hooks import indexed
from fsmount.tree.kernfs import Tree

BASE = "sys/kernel/debug/notifier-error-inject/memory/actions"
MANY = "1" * 4301
WORDS = [
    "\0", "\n", " ", "\udcff\udcfe", "-", "+", "0x", "0b1", "1_000", "\uff11", "\u0663", "1.5", "1e9", "nan", "-0",
    MANY, f"-{MANY}", f"0{MANY}", f"0x{MANY}", "0" * 5000, "9" * 70_000, "1\0" + MANY, "18446744073709551616",
    "-9223372036854775809", "4294967296", "0xffffffffffffffff", "99999999999", "1\n\n", " 1", "1 ", "1-", "0-4294967295",
    "0-99999999999999999999", "-1-2", ",,,", "memory", "memory add", "memory add count", f"memory add count {MANY}",
    f"memory add index 0x{MANY}", "memory add indexed-count 4294967295 0x80000000", "cpu add index 0xffffffff",
    f"memory{MANY}", f"cpu{MANY}", f"{MANY}k", f"{MANY}G", "1E", "999999999999999999999E", "add", "add ", "change " + "x" * 36,
    "add 12345678-1234-1234-1234-123456789012 A=" + "1" * 4000, "online" * 1000, "offline\0", "%s%n", "../../..",
]  # fmt: skip
MACHINES = ("pseries-4g", "powernv-32g", "pc-2g", "arm64-virt-4g", "riscv64-virt-2g")


def files(tree: Tree, path: str = "") -> Iterator[str]:
    """Every file that can be written; of many alike directories the first and last."""
    entries = [entry for entry in tree.readdir(tree.lookup(path)) if entry[0] not in (".", "..")]
    alike: dict[str, list[str]] = {}
    for name, _ in entries:
        alike.setdefault(name.rstrip("0123456789abcdef"), []).append(name)
    kept = {name for names in alike.values() for name in (names[0], names[-1])}
    for name, kind in entries:
        where = f"{path}/{name}".lstrip("/")
        if kind == 0o040000 and name in kept:
            yield from files(tree, where)
        elif kind == 0o100000 and tree.getattr(tree.lookup(where)).mode & 0o222:
            yield where


@pytest.mark.parametrize("machine", MACHINES)
def test_no_word_written_to_any_file_is_an_oops(machine: str) -> None:
    kernel = Kernel.boot(profiles.load(machine))
    tree = tree_of(kernel, BootOptions())[0]
    written, refusals = 0, []
    for path in list(files(tree)):
        for word in WORDS:
            try:
                file = tree.open(tree.lookup(path), os.O_WRONLY)
                file.write(word.encode(errors="surrogateescape"), 0)
            except KernelError as error:
                refusals.append(error)
            written += 1
    assert written > 1000
    assert all(0 < error.errno < 4096 and len(str(error)) < 400 for error in refusals)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_name_of_4301_digits_is_nothing_in_any_directory(machine: str) -> None:
    """No file system's names are that long; programs that use the tree without a mount can ask."""
    kernel = Kernel.boot(profiles.load(machine))
    tree = tree_of(kernel, BootOptions())[0]
    counters = indexed(lambda kernel: [kernel], "counter")
    for path in {os.path.dirname(file) for file in files(tree)}:
        for word in ("", "memory", "cpu", "node"):
            with pytest.raises(KernelError) as refused:
                tree.lookup(f"{path}/{word}{MANY}")
            assert refused.value.errno == errno.ENOENT
    assert counters.lookup(kernel, f"counter{MANY}") is None
    assert counters.lookup(kernel, "counter0") is kernel


@pytest.mark.parametrize(
    ("machine", "path", "expected"),
    [
        (
            "pc-2g",
            "sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages",
            errno.ERANGE,
        ),
        (
            "pseries-4g",
            "sys/kernel/kexec/crash_size",
            errno.EINVAL,
        ),  # crash_size_store() says so of any error
        ("pseries-4g", "sys/kernel/dlpar", errno.EINVAL),
    ],
)
def test_a_number_of_4301_digits_is_what_kstrtox_says(
    machine: str, path: str, expected: int
) -> None:
    kernel = Kernel.boot(profiles.load(machine))
    tree = tree_of(kernel, BootOptions())[0]
    with pytest.raises(KernelError) as refused:
        tree.open(tree.lookup(path), os.O_WRONLY).write(MANY.encode(), 0)
    assert refused.value.errno == expected


INJECTED = {
    "-12": 12, "-1": 1, "-511": 511, "-4095": 4095, "-4096": 4095, "-9223372036854775808": 0, "0": 0, "22": 0,
    "0xfffffffffffffff4": None, "-0x16": 22, "-22\n": 22, "4294967284": 12,
}  # fmt: skip
"""What is written to an action's error, and the errno that it then gives; None: it is not taken."""


@pytest.mark.parametrize("text", INJECTED)
def test_an_injected_error_is_the_errno_whatever_it_is(text: str) -> None:
    kernel = Kernel.boot(profiles.load("pseries-4g"))
    tree = tree_of(kernel, BootOptions())[0]
    expected = INJECTED[text]
    control = tree.open(tree.lookup(f"{BASE}/MEM_GOING_OFFLINE/error"), os.O_RDWR)
    if expected is None:
        with pytest.raises(KernelError) as out:
            control.write(text.encode(), 0)
        assert out.value.errno == errno.ERANGE
        return
    assert control.write(text.encode(), 0) == len(text)
    assert control.read(100, 0) == f"{-expected}\n".encode()
    state = tree.open(tree.lookup("sys/devices/system/memory/memory8/state"), os.O_RDWR)
    if not expected:
        assert state.write(b"offline", 0) == 7
        return
    with pytest.raises(KernelError) as vetoed:
        state.write(b"offline", 0)
    assert vetoed.value.errno == expected
    assert state.read(100, 0) == b"online\n"
    block = kernel.memory.block(8)
    assert block is not None
    assert not kernel.memory_hotplug.online(block, OnlineType.ONLINE)
