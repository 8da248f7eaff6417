"""The flattened device tree that a boot loader hands over: drivers/of/fdt.c's initial_boot_params (v7.1).

The form is the Devicetree Specification's, v0.4, chapter 5: version 17. The content is what QEMU's
virt board says of CPUs, memory and the command line (hw/arm/virt.c, hw/riscv/virt.c), which is what
kexec-tools reads and hands on; devices are not emulated.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

MAGIC, VERSION, COMPATIBLE = 0xD00DFEED, 17, 16
BEGIN_NODE, END_NODE, PROP, END = 1, 2, 3, 9
_HEADER = 40

Tree = Mapping[str, "bytes | Tree"]
"""Names to property bytes or to further nodes."""


def u32(*values: int) -> bytes:
    """32-bit cells."""
    return struct.pack(f">{len(values)}I", *values)


def u64(*values: int) -> bytes:
    """64-bit numbers, two cells each."""
    return struct.pack(f">{len(values)}Q", *values)


def text(*values: str) -> bytes:
    """Texts, each with its NUL."""
    return b"".join(value.encode() + b"\0" for value in values)


def flatten(tree: Tree) -> bytes:
    """The blob: header, an empty list of reservations, structure, strings."""
    strings = bytearray()
    known: dict[str, int] = {}
    structure = bytearray()

    def node(name: str, content: Tree) -> None:
        structure.extend(u32(BEGIN_NODE) + _padded(text(name)))
        for key, value in content.items():
            if isinstance(value, bytes):
                if key not in known:
                    known[key] = len(strings)
                    strings.extend(text(key))
                structure.extend(u32(PROP, len(value), known[key]) + _padded(value))
        for key, value in content.items():
            if not isinstance(value, bytes):
                node(key, value)
        structure.extend(u32(END_NODE))

    node("", tree)
    structure.extend(u32(END))
    at = _HEADER + 16
    behind = at + len(structure)
    head = (
        MAGIC, behind + len(strings), at, behind, _HEADER, VERSION, COMPATIBLE, 0, len(strings),
        len(structure),
    )  # fmt: skip
    return u32(*head) + bytes(16) + bytes(structure) + bytes(strings)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def virt(kernel: Kernel, compatible: str, cpu: Tree) -> bytes:
    """The tree of a QEMU virt board, as at boot; cpu is what each of its CPUs has."""
    machine = kernel.machine
    cpus: dict[str, bytes | Tree] = {"#address-cells": u32(1), "#size-cells": u32(0)}
    for number in kernel.cpus.present:
        cpus[f"cpu@{number:x}"] = {"device_type": text("cpu"), "reg": u32(number), **cpu}
    tree: dict[str, bytes | Tree] = {
        "#address-cells": u32(2),
        "#size-cells": u32(2),
        "compatible": text(compatible),
        "model": text(compatible),
        "chosen": {"bootargs": text(kernel.cmdline)},
    }
    for memory in machine.memory:
        tree[f"memory@{memory.start:x}"] = {
            "device_type": text("memory"),
            "reg": u64(memory.start, memory.size),
        }
    return flatten({**tree, "cpus": cpus})
