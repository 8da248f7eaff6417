"""control/: every wrong request is refused in one bounded sentence, and nothing has changed."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from elfcorehdr import profiles
from elfcorehdr.elf import ELFMAG
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from fsmount.cli.boot import BootOptions, tree_of
from fsmount.tree.kernfs import Tree
from fsmount.tree.kobject import Caller

Write = Callable[[str, str], int]


@pytest.fixture
def kernel() -> Kernel:
    return Kernel.boot(profiles.load("pc-2g"))


@pytest.fixture
def tree(kernel: Kernel) -> Tree:
    return tree_of(kernel, BootOptions())[0]


@pytest.fixture
def proc() -> Iterator[int]:
    fd = os.open("/proc", os.O_PATH)
    yield fd
    os.close(fd)


@pytest.fixture
def write(tree: Tree, proc: int) -> Write:
    """Write a request to a file of control/, as this process; its errno, 0 if it succeeds."""

    def act(name: str, text: str) -> int:
        caller = Caller(pid=os.getpid(), proc=proc)
        file = tree.open(tree.lookup(f"control/{name}"), os.O_WRONLY, caller)
        try:
            file.write(text.encode(errors="surrogateescape"), 0)
        except KernelError as error:
            return error.errno
        return 0

    return act


def state(kernel: Kernel) -> tuple[Any, ...]:
    return (
        list(kernel.memory.block_ids()),
        sorted(kernel.cpus.present),
        kernel.kexec.crash_image is None,
        kernel.names_seq,
    )


DEEP = "[" * 5000
MANY = "9" * 4301
WRONG_FOR_ALL = [
    "\0",
    "nothing",
    "{",
    "[]",
    "null",
    "7",
    '"text"',
    "NaN",
    DEEP,
    '{"size": ' + DEEP,
    '{"a": ' * 5000,
    "{" + "," * 100_000,
    '{"' + "k" * 100_000 + '": 1}',
    '{"unknown": 1}',
    '{"size": 1, "size": ',
    "\udcff\udcfe",
    "x" * 131_072,
]
NUMBERS = [
    "-1", "1.5", "1e3", "true", '"1G"', "[]", "{}", "NaN", "Infinity", "-Infinity", MANY, "-" + MANY,
    "9" * 4000, str(1 << 64), "[1]", '{"a": 1}', '"\\u0000"', '"' + "x" * 10_000 + '"',
]  # fmt: skip
FILES = ["-1", "1.5", '"/etc/passwd"', "true", "[]", "4096", MANY, str(1 << 31), "[3]"]
WORDS = ["null", "7", "[]", "{}", '""', '"dimm\\u0000"', '"DIMM"', '"' + "x" * 10_000 + '"', "true"]

WRONG = [
    *((name, text) for name in ("load", "unload", "plug", "unplug") for text in WRONG_FOR_ALL),
    *(("plug", f'{{"size": {n}}}') for n in NUMBERS),
    *(("plug", f'{{"memory": {n}, "size": 134217728}}') for n in NUMBERS),
    *(("plug", f'{{"cpu": {n}}}') for n in NUMBERS),
    *(("plug", f'{{"size": 134217728, "node": {n}}}') for n in [*NUMBERS, "99999", "1", "1023"]),
    *(("plug", f'{{"size": 134217728, "as": {word}}}') for word in WORDS),
    *(("unplug", f'{{"memory": {n}}}') for n in NUMBERS),
    *(("unplug", f'{{"cpu": {n}}}') for n in NUMBERS),
    *(("unplug", f'{{"memory": 0, "as": {word}}}') for word in WORDS),
    *(("load", f'{{"kernel": {n}}}') for n in FILES),
    *(("load", f'{{"initrd": {n}}}') for n in FILES),
    *(("load", f'{{"flags": {n}}}') for n in [*NUMBERS, str(1 << 40), "4096"]),
    *(("load", f'{{"syscall": {word}}}') for word in WORDS),
    *(("load", f'{{"hotplug": {word}}}') for word in ["1", "null", '"yes"', "[]"]),
    *(("load", f'{{"debug": {word}}}') for word in ["1", "null", '"yes"', "[]"]),
    *(("load", f'{{"cmdline": {word}}}') for word in ["1", "null", "[]", '"a\\u0000b"', '"\\ud800"', f'"{"x" * 100_000}"']),
    *(("unload", f'{{"syscall": {word}}}') for word in WORDS),
    ("plug", "{}"),
    ("plug", '{"size": 0}'),
    ("plug", '{"size": null, "cpu": null}'),
    ("unplug", "{}"),
    ("unplug", '{"size": 134217728}'),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"), WRONG, ids=[f"{name}-{n}" for n, (name, _) in enumerate(WRONG)]
)
def test_a_wrong_request_is_refused_in_one_bounded_sentence(
    kernel: Kernel, tree: Tree, write: Write, name: str, text: str
) -> None:
    before = state(kernel)
    assert write(name, text) in (errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP)
    assert state(kernel) == before
    said = tree.open(tree.lookup("control/error")).read(1 << 20, 0).decode()
    assert said.startswith(("EINVAL: ", "EBADF: ", "EOPNOTSUPP: "))
    assert said.count("\n") == 1
    assert 10 < len(said) < 400


def test_numbers_that_are_right_are_taken(kernel: Kernel, write: Write) -> None:
    assert write("plug", '{"size": 134217728, "node": 0, "as": "dimm", "memory": null}') == 0
    start = max(kernel.memory.block_ids()) * kernel.memory.block_size
    assert write("unplug", json.dumps({"memory": start, "size": 134217728})) == 0


def elf(loads: int = 1) -> bytes:
    """A bzImage's head is what pc-2g takes; this is for ppc64: an ELF with so many loads."""
    head = ELFMAG + bytes([2, 1, 1]) + bytes(9)
    head += (2).to_bytes(2, "little") + (21).to_bytes(2, "little") + (1).to_bytes(4, "little")
    head += bytes(8) + (64).to_bytes(8, "little") + bytes(8) + bytes(4)
    head += b"".join(n.to_bytes(2, "little") for n in (64, 56, loads, 0, 0, 0))
    row = (1).to_bytes(4, "little") + (5).to_bytes(4, "little") + bytes(24)
    return head + (row + (0x10000).to_bytes(8, "little") * 3) * loads


@pytest.fixture
def ppc64() -> tuple[Kernel, Tree]:
    kernel = Kernel.boot(profiles.load("pseries-4g"))
    return kernel, tree_of(kernel, BootOptions())[0]


def load(kernel: Kernel, tree: Tree, proc: int, image: int, initrd: int | None = None) -> int:
    caller = Caller(pid=os.getpid(), proc=proc)
    file = tree.open(tree.lookup("control/load"), os.O_WRONLY, caller)
    try:
        file.write(json.dumps({"kernel": image, "initrd": initrd}).encode(), 0)
    except KernelError as error:
        return error.errno
    return 0


def test_a_sparse_file_costs_what_its_head_costs(
    ppc64: tuple[Kernel, Tree], proc: int, tmp_path: Path
) -> None:
    kernel, tree = ppc64
    (tmp_path / "vmlinux").write_bytes(elf())
    os.truncate(tmp_path / "vmlinux", 1 << 40)
    (tmp_path / "initrd").touch()
    os.truncate(tmp_path / "initrd", 64 << 20)
    with (tmp_path / "vmlinux").open() as image, (tmp_path / "initrd").open() as initrd:
        assert load(kernel, tree, proc, image.fileno(), initrd.fileno()) == 0
    image_ = kernel.kexec.crash_image
    assert image_ is not None
    assert sum(sys.getsizeof(s.content) for s in image_.segments) < 10 << 20


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/dev/zero", errno.EINVAL),
        ("/dev/null", errno.EINVAL),
        (".", errno.EINVAL),
        ("fifo", errno.EINVAL),
        ("empty", errno.EINVAL),
        ("text", errno.ENOEXEC),
    ],
)
def test_what_is_no_kernel_is_refused_without_being_waited_for(
    ppc64: tuple[Kernel, Tree], proc: int, tmp_path: Path, path: str, expected: int
) -> None:
    kernel, tree = ppc64
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("no kernel\n")
    fd = os.open(tmp_path / path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert load(kernel, tree, proc, fd) == expected
    finally:
        os.close(fd)


def test_more_segments_than_a_kernel_takes_are_refused_at_once(
    ppc64: tuple[Kernel, Tree], proc: int, tmp_path: Path
) -> None:
    kernel, tree = ppc64
    (tmp_path / "vmlinux").write_bytes(elf(60_000))
    with (tmp_path / "vmlinux").open() as image:
        assert load(kernel, tree, proc, image.fileno()) == errno.EINVAL
