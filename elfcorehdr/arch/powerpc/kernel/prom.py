"""The device tree of a ppc64 machine, as far as kdump tools read it: Documentation/devicetree, PAPR.

All numbers are big endian.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from elfcorehdr.arch.powerpc.platforms.pseries.firmware import cpu_state_size
from elfcorehdr.arch.powerpc.platforms.pseries.hotplug_cpu import DRC_CPU
from elfcorehdr.lib.record import NamedTuple, replace
from elfcorehdr.lib.typed import Any
from elfcorehdr.machine import Lmbs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.arch.powerpc.platforms.pseries.dlpar import Dlpar
    from elfcorehdr.init.main import Kernel
    from elfcorehdr.machine import Machine, MemoryRange, Region

TIMEBASE_FREQUENCY = 512000000
"""In Hz, on every POWER since POWER6."""


def u32(*values: int) -> bytes:
    """32-bit cells."""
    return struct.pack(f">{len(values)}I", *values)


def u64(*values: int) -> bytes:
    """64-bit numbers, two cells each."""
    return struct.pack(f">{len(values)}Q", *values)


def text(value: str) -> bytes:
    """A text with its NUL."""
    return value.encode() + b"\0"


class Property(NamedTuple):
    """A property whose bytes are made when they are asked for."""

    made: Callable[[], bytes]


class Family(Mapping[str, Any]):
    """Fixed names, and in their midst a node's for each of many objects; none is made to find another."""

    def __init__(
        self,
        before: Mapping[str, Any],
        names: Callable[[], Iterable[str]],
        made: Callable[[str], Any],
        behind: Mapping[str, Any],
        count: Callable[[], int],
    ) -> None:
        self._before = before
        self._names = names
        self._made = made
        self._behind = behind
        self._count = count

    def subdirs(self) -> int:
        """How many of the names are nodes'."""
        return self._count() + _nodes(self._before) + _nodes(self._behind)

    def __getitem__(self, name: str) -> Any:
        for fixed in (self._before, self._behind):
            if name in fixed:
                return fixed[name]
        made = self._made(name)
        if made is None:
            raise KeyError(name)
        return made

    def __iter__(self) -> Iterator[str]:
        yield from self._before
        yield from self._names()
        yield from self._behind

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _is_node(made: Any) -> bool:
    return made is not None and not isinstance(made, bytes | Property)


def _nodes(names: Mapping[str, Any]) -> int:
    """How many of the names are nodes', by looking at each."""
    return sum(map(_is_node, names.values()))


class Node(Mapping[str, Any]):
    """A node: names to bytes (a property) or to Nodes, each made when it is asked for.

    made holds bytes, Property, or for a node below a mapping or a function that gives it; it may be
    such a function itself. extra, by name, is what the machine describes besides: it replaces
    properties and adds to nodes.
    """

    __slots__ = ("_extra", "_found")

    def __init__(
        self, made: Mapping[str, Any] | Callable[[], Mapping[str, Any]], extra: Mapping[str, Any]
    ) -> None:
        self._found = made
        self._extra = extra

    @property
    def _made(self) -> Mapping[str, Any]:
        if callable(self._found):
            self._found = self._found()
        return self._found

    def __getitem__(self, name: str) -> Any:
        extra = self._extra.get(name)
        if isinstance(extra, bytes):
            return extra
        made = self._made.get(name)
        if made is None:
            if extra is None:
                raise KeyError(name)
            return Node({"name": text(name.partition("@")[0])}, extra)
        if isinstance(made, Property):
            return made.made()
        return made if isinstance(made, bytes) else Node(made, extra or {})

    def __iter__(self) -> Iterator[str]:
        yield from self._made
        yield from (name for name in self._extra if name not in self._made)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return any(True for _ in self)

    def subdirs(self) -> int:
        """How many of the names are nodes'."""
        made = self._made
        count = made.subdirs() if isinstance(made, Family) else _nodes(made)
        for name, extra in self._extra.items():
            was = made.get(name)
            count += (not isinstance(extra, bytes) and was is None) - (
                isinstance(extra, bytes) and _is_node(was)
            )
        return count


def devicetree(kernel: Kernel) -> Node:
    """The root node; nothing below it is made before it is asked for."""
    machine, dlpar = kernel.machine, kernel.platform.dlpar
    pseries = kernel.platform.name == "pseries"
    said = machine.devicetree.get("model", "")
    # QEMU names itself, PowerVM the model of the machine.
    compatible = (said or "qemu,pseries") if pseries else "ibm,powernv"
    tree: dict[str, Any] = {
        "#address-cells": u32(2),
        "#size-cells": u32(2),
        "compatible": text("qemu,pseries" if "qemu" in compatible else compatible),
        "name": b"\0",
        "model": text(said or f"IBM {'pSeries' if pseries else 'PowerNV'} (emulated by qemu)"),
        "chosen": partial(_chosen, kernel),
        "cpus": partial(_cpus, kernel),
    }
    behind: dict[str, Any] = {}
    if dlpar is not None:
        behind["device_type"] = text("chrp")
    if machine.rtas is not None:
        behind["rtas"] = partial(_rtas, kernel, machine.rtas)
    if machine.opal is not None:
        behind["ibm,opal"] = {
            "name": text("ibm,opal"),
            "opal-base-address": u64(machine.opal.start),
            "opal-runtime-size": u64(machine.opal.size),
        }
    if dlpar is not None:
        behind["ibm,dynamic-reconfiguration-memory"] = partial(_drmem, kernel, dlpar)
    extra: dict[str, Any] = {}
    for path, value in machine.devicetree.items():
        _put(extra, path, value)
    memory, rma = machine.memory, _rma(machine)
    if rma:
        memory = (replace(memory[0], size=rma),)
    names = partial(map, "memory@{0.start:x}".format, memory)
    count = partial(len, memory)
    return Node(Family(tree, names, partial(_memory, memory), behind, count), extra)


def _rma(machine: Machine) -> int:
    """The real mode area where it is all that memory@0 has, because the rest is LMBs; else 0.

    As PowerVM has it. QEMU's boot memory is in nodes of its own, and its LMBs are reserved there.
    """
    served = any(
        run.start < machine.rma_size and not run.flags & Lmbs.RESERVED for run in machine.lmbs
    )
    return machine.rma_size if served else 0


def _unit(name: str, prefix: str) -> int | None:
    """The unit address in a name such as memory@10000000; None for any other name."""
    digits = name.removeprefix(prefix)
    try:
        unit = int(digits, 16)
    except ValueError:
        return None
    return unit if name == f"{prefix}{unit:x}" else None


def _memory(memory: tuple[MemoryRange, ...], name: str) -> dict[str, Any] | None:
    """The node of that name of a range of boot memory, or None."""
    start = _unit(name, "memory@")
    if start is None:
        return None
    i = bisect_left(memory, start, key=lambda m: m.start)
    if i == len(memory) or memory[i].start != start:
        return None
    m = memory[i]
    return {
        "name": text("memory"),
        "device_type": text("memory"),
        "reg": u64(m.start, m.size),
        "ibm,associativity": u32(1, m.node),
    }


def _rtas(kernel: Kernel, rtas: Region) -> dict[str, Any]:
    node = {
        "name": text("rtas"),
        "linux,rtas-base": u32(rtas.start),
        "linux,rtas-entry": u32(rtas.start),
        "rtas-size": u32(rtas.size),
    }
    dlpar = kernel.platform.dlpar
    if dlpar is not None:
        lmb_size = kernel.machine.memory_block_size
        end = _lmbs_end(dlpar, lmb_size)
        node["ibm,lrdr-capacity"] = u64(end, lmb_size) + u32(_cores(kernel))
    if kernel.machine.fadump:
        state = cpu_state_size(len(kernel.cpus.possible))
        # As QEMU has it (golden ppc64/FA).
        node["ibm,configure-kernel-dump"] = u32(0x202D)
        node["ibm,configure-kernel-dump-sizes"] = u32(1, 0, state, 2, 0, 0)
        node["ibm,configure-kernel-dump-version"] = bytes.fromhex("01000100")
    return node


def _drmem(kernel: Kernel, dlpar: Dlpar) -> dict[str, Any]:
    nodes = kernel.nodes.ids()
    return {
        "name": text("ibm,dynamic-reconfiguration-memory"),
        "ibm,lmb-size": u64(kernel.machine.memory_block_size),
        "ibm,dynamic-memory-v2": Property(partial(dlpar.dynamic_memory_v2, _rma(kernel.machine))),
        "ibm,associativity-lookup-arrays": u32(len(nodes), 1, *nodes),
        "ibm,memory-flags-mask": u32(0xFF),
        "ibm,memory-preservation-time": u32(0),
    }


def _chosen(kernel: Kernel) -> dict[str, Any]:
    chosen = {
        "name": text("chosen"),
        "bootargs": text(kernel.cmdline),
        "linux,kernel-end": u64(kernel.machine.kernel_end),
        "linux,memory-limit": u64(kernel.memory.boot_end),
    }
    # What was reserved at boot: a later shrink does not change it (golden ppc64).
    if kernel.kexec.crashk_res_at_boot is not None:
        chosen["linux,crashkernel-base"] = u64(kernel.kexec.crashk_res_at_boot.start)
        chosen["linux,crashkernel-size"] = u64(kernel.kexec.crashk_res_at_boot.size)
    return chosen


def _cpus(kernel: Kernel) -> Family:
    """One node a present core."""
    topology, cpus = kernel.machine.cpus, kernel.cpus
    nodes: dict[str, Any] = {"name": text("cpus"), "#address-cells": u32(1), "#size-cells": u32(0)}
    if kernel.platform.dlpar is not None:
        nodes |= _drc_connectors(_cores(kernel), topology.threads)
    prefix = f"{topology.type}@"

    def cores() -> set[int]:
        return {cpus.core_of(n) for n in cpus.present}

    def names() -> Iterator[str]:
        return (f"{prefix}{core * topology.threads:x}" for core in sorted(cores()))

    def made(name: str) -> Callable[[], dict[str, Any]] | None:
        thread = _unit(name, prefix)
        if thread is None or thread % topology.threads:
            return None
        core = thread // topology.threads
        return partial(_core, kernel, core, name) if cpus.threads_of_core(core) else None

    return Family(nodes, names, made, {}, lambda: len(cores()))


def _core(kernel: Kernel, core: int, full_name: str) -> dict[str, Any]:
    topology = kernel.machine.cpus
    threads = range(core * topology.threads, (core + 1) * topology.threads)
    at_boot = threads[0] in kernel.cpus.present_at_boot
    return {
        # Quirk: ibm,configure-connector gives a new node its full name (golden ppc64/A, B).
        "name": text(topology.type if at_boot else full_name),
        "device_type": text("cpu"),
        "reg": u32(threads[0]),
        "status": text("okay"),
        "64-bit": b"",
        "ibm,my-drc-index": u32(DRC_CPU + threads[0]),
        "ibm,ppc-interrupt-server#s": u32(*threads),
        "ibm,ppc-interrupt-gserver#s": u32(*(v for n in threads for v in (n, 0))),
        "timebase-frequency": u32(TIMEBASE_FREQUENCY),
        **_l1_caches(kernel),
    }


def _lmbs_end(dlpar: Dlpar, lmb_size: int) -> int:
    """Where memory can end at most: behind the last LMB of the table."""
    rows = len(dlpar.lmbs)
    return dlpar.lmbs.lmb(rows - 1).base + lmb_size if rows else 0


def _cores(kernel: Kernel) -> int:
    """How many cores there can be."""
    return -(-len(kernel.cpus.possible) // kernel.machine.cpus.threads)


def _drc_connectors(cores: int, threads: int) -> dict[str, Property]:
    """The connectors that a core can be plugged into: a count, then a value each (PAPR 13.5.2).

    Each is known by the number of the core's first thread (golden identity ppc64).
    """
    count, first = u32(cores), range(0, cores * threads, threads)
    return {
        "ibm,drc-indexes": Property(lambda: count + u32(*(DRC_CPU + n for n in first))),
        "ibm,drc-names": Property(lambda: count + b"".join(text(f"CPU {n}") for n in first)),
        "ibm,drc-types": Property(lambda: count + text("CPU") * cores),
        "ibm,drc-power-domains": Property(lambda: count + u32(*[0xFFFFFFFF] * cores)),
    }


def _l1_caches(kernel: Kernel) -> dict[str, bytes]:
    """Sizes and lines of the level-1 caches, in bytes."""
    properties = {}
    for kind, size, line_size in kernel.arch.l1_caches(kernel):
        prefix = f"{kind[0].lower()}-cache"
        properties[f"{prefix}-size"] = u32(size)
        properties[f"{prefix}-line-size"] = u32(line_size)
        properties[f"{prefix}-block-size"] = u32(line_size)
    return properties


def _put(tree: dict[str, Any], path: str, value: str) -> None:
    """A property that the machine describes; without a slash, one of the root."""
    *nodes, name = path.split("/")
    for node in nodes:
        tree = tree.setdefault(node, {})
    tree[name] = bytes.fromhex(value[2:]) if value.startswith("0x") else text(value)
