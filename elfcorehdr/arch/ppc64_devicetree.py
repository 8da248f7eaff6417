"""The device tree of a ppc64 machine, as far as kdump tools read it: Documentation/devicetree, PAPR.

All numbers are big endian. Imports ..machine types.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elfcorehdr.kernel import Kernel

DRC_CPU = 0x10000000


def u32(*values: int) -> bytes:
    """32-bit cells."""
    return struct.pack(f">{len(values)}I", *values)


def u64(*values: int) -> bytes:
    """64-bit numbers, two cells each."""
    return struct.pack(f">{len(values)}Q", *values)


def text(value: str) -> bytes:
    """A text with its NUL."""
    return value.encode() + b"\0"


def devicetree(kernel: Kernel) -> Mapping[str, Any]:
    """Properties as bytes, nodes as further mappings, in no particular order."""
    machine = kernel.machine
    tree: dict[str, Any] = {
        "#address-cells": u32(2),
        "#size-cells": u32(2),
        "compatible": text("IBM,pSeries" if kernel.platform == "pseries" else "ibm,powernv"),
        "name": b"\0",
        "chosen": _chosen(kernel),
        "cpus": _cpus(kernel),
    }
    for m in machine.memory:
        tree[f"memory@{m.start:x}"] = {
            "name": text("memory"),
            "device_type": text("memory"),
            "reg": u64(m.start, m.size),
            "ibm,associativity": u32(1, m.node),
        }
    if machine.rtas is not None:
        tree["rtas"] = {
            "name": text("rtas"),
            "linux,rtas-base": u32(machine.rtas.start),
            "linux,rtas-entry": u32(machine.rtas.start),
            "rtas-size": u32(machine.rtas.size),
        }
        if machine.fadump:
            tree["rtas"]["ibm,configure-kernel-dump"] = u32(1)
    if machine.opal is not None:
        tree["ibm,opal"] = {
            "name": text("ibm,opal"),
            "opal-base-address": u64(machine.opal.start),
            "opal-runtime-size": u64(machine.opal.size),
        }
    if kernel.dlpar is not None:
        tree["ibm,dynamic-reconfiguration-memory"] = {
            "name": text("ibm,dynamic-reconfiguration-memory"),
            "ibm,lmb-size": u64(machine.memory_block_size),
            "ibm,dynamic-memory-v2": kernel.dlpar.dynamic_memory_v2(),
        }
    for path, value in machine.devicetree.items():
        _put(tree, path, value)
    return tree


def _chosen(kernel: Kernel) -> dict[str, Any]:
    chosen = {
        "name": text("chosen"),
        "bootargs": text(kernel.cmdline),
        "linux,kernel-end": u64(kernel.machine.kernel_end),
        "linux,memory-limit": u64(kernel.boot_memory_end),
    }
    # What was reserved at boot: a later shrink does not change it (golden ppc64).
    if kernel.boot_crashk_res is not None:
        chosen["linux,crashkernel-base"] = u64(kernel.boot_crashk_res.start)
        chosen["linux,crashkernel-size"] = u64(kernel.boot_crashk_res.size)
    return chosen


def _cpus(kernel: Kernel) -> dict[str, Any]:
    """One node a present core."""
    topology, cpus = kernel.machine.cpus, kernel.cpus
    nodes: dict[str, Any] = {"name": text("cpus"), "#address-cells": u32(1), "#size-cells": u32(0)}
    for core in sorted({cpus.core_of(n) for n in cpus.present}):
        first = core * topology.threads
        nodes[f"{topology.type}@{first:x}"] = {
            "name": text(topology.type),
            "device_type": text("cpu"),
            "reg": u32(first),
            "ibm,my-drc-index": u32(DRC_CPU + core),
            "ibm,ppc-interrupt-server#s": u32(*range(first, first + topology.threads)),
        }
    return nodes


def _put(tree: dict[str, Any], path: str, value: str) -> None:
    """A property that the machine describes; names without a slash are not of the tree."""
    *nodes, name = path.split("/")
    if not nodes:
        return
    for node in nodes:
        tree = tree.setdefault(node, {"name": text(node.partition("@")[0])})
    tree[name] = bytes.fromhex(value[2:]) if value.startswith("0x") else text(value)
