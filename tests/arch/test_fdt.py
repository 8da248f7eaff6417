"""/sys/firmware/fdt: the form is the Devicetree Specification's, the content what kexec-tools needs."""

from __future__ import annotations

import struct
import time
from types import SimpleNamespace
from typing import Any

import pytest

from elfcorehdr import Kernel, load
from elfcorehdr.arch.crash_dump import command_line
from elfcorehdr.arch.fdt import flatten, text, u32


def unflatten(blob: bytes) -> dict[str, object]:
    """A reader by the specification alone."""
    magic, size, at, strings, reserved, version, _, _, nstrings, nstruct = struct.unpack_from(
        ">10I", blob
    )
    assert (magic, size, version) == (0xD00DFEED, len(blob), 17)
    assert blob[reserved : reserved + 16] == bytes(16)
    assert strings + nstrings == size
    end = at + nstruct
    stack: list[dict[str, object]] = [{}]
    while at < end:
        (token,) = struct.unpack_from(">I", blob, at)
        at += 4
        if token == 1:
            stop = blob.index(b"\0", at)
            child: dict[str, object] = {}
            stack[-1][blob[at:stop].decode()] = child
            stack.append(child)
            at = (stop + 4) & ~3
        elif token == 2:
            stack.pop()
        elif token == 3:
            length, name = struct.unpack_from(">2I", blob, at)
            key = blob[strings + name : blob.index(b"\0", strings + name)].decode()
            stack[-1][key] = blob[at + 8 : at + 8 + length]
            at = (at + 8 + length + 3) & ~3
        else:
            assert token == 9
            assert at == end
    root = stack[0][""]
    assert isinstance(root, dict)
    return root


def test_what_is_flattened_comes_back():
    tree = {"a": b"", "b": b"12345", "node@1": {"a": text("x", "y"), "deeper": {"n": u32(1, 2)}}}
    assert unflatten(flatten(tree)) == tree


@pytest.mark.parametrize("name", ["arm64-virt-4g", "riscv64-virt-2g"])
def test_machine_tells_its_memory_its_cpus_and_its_command_line(name: str):
    kernel = Kernel.boot(load(name))
    root = unflatten(kernel.arch.fdt(kernel))
    cells = {
        struct.unpack(">2Q", node["reg"])
        for path, node in root.items()
        if path.startswith("memory@") and isinstance(node, dict)
    }
    assert cells == {(m.start, m.size) for m in kernel.machine.memory}
    cpus, chosen = root["cpus"], root["chosen"]
    assert isinstance(cpus, dict)
    assert len([key for key in cpus if key.startswith("cpu@")]) == len(list(kernel.cpus.present))
    assert chosen == {"bootargs": text(kernel.cmdline)}
    assert Kernel.boot(load("pseries-16g")).arch.fdt(kernel) == b""


KERNEL = Kernel.boot(load("pseries-4g"))


def capture_line(blob: bytes) -> str:
    """The line of a capture kernel whose segments are one blob."""
    image: Any = SimpleNamespace(
        cmdline=b"", segments=[SimpleNamespace(content=blob)], elfcorehdr=lambda: None
    )
    return command_line(KERNEL, image)


def test_a_capture_kernels_line_is_that_of_its_device_tree_however_broken_the_tree_is():
    """kexec_load takes any bytes: a tree that is cut short or has another token there has no line, and a panic still ends."""
    blob = flatten({"chosen": {"bootargs": text("one two")}, "after": {"x": u32(1)}})
    words = KERNEL.cmdline.split(" ")
    without = " ".join(word for word in words if not word.startswith("crashkernel="))
    assert capture_line(blob) == "one two"
    assert capture_line(blob[:16]) == capture_line(blob[:9]) == without
    for length in range(4, len(blob)):
        assert capture_line(blob[:length]) in {"one two", without}
    for at in range(4, len(blob)):
        for byte in (0, 2, 0xFF):
            capture_line(blob[:at] + bytes([byte]) + blob[at + 1 :])


def test_a_device_tree_of_a_million_names_takes_no_longer_than_its_bytes():
    node = struct.pack(">I", 1) + b"chosen\0\0" + struct.pack(">3I", 3, 0, 0) * 340_000
    blob = struct.pack(">10I", 0xD00DFEED, 0, 40, 40, 40, 17, 16, 0, 0, 0) + node
    since = time.process_time()
    capture_line(blob)
    assert time.process_time() - since < 2
