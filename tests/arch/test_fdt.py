"""/sys/firmware/fdt: the form is the Devicetree Specification's, the content what kexec-tools needs."""

from __future__ import annotations

import struct

import pytest

from elfcorehdr import Kernel, load
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
