"""The machine of a capture, as its own files describe it: iomem, the CPUs' directories, the device tree."""

from __future__ import annotations

import base64
import re
import struct
from pathlib import Path

from elfcorehdr.lib.ranges import parse_ids
from elfcorehdr.machine import (
    BlockState,
    CpuTopology,
    CrashRegion,
    KernelText,
    Lmbs,
    Machine,
    MemoryRange,
    Region,
)
from tests.identity.capture import LIVING, found, text_of
from tests.replay.machine import Json
from tests.sysfs_dump import config_of

Rows = dict[str, Json]
CPU = "/sys/devices/system/cpu"
ARCHES = {"x86_64": "x86_64", "aarch64": "arm64", "ppc64le": "ppc64", "riscv64": "riscv64"}
TEXT = {"x86_64": 0xFFFFFFFF81000000, "arm64": 0xFFFF800080000000}
"""_text without KASLR."""
IOMEM = re.compile(r"( *)([0-9a-f]+)-([0-9a-f]+) : (.*)")
COMPUTED = frozenset(
    [
        "processor",
        "physical id",
        "siblings",
        "core id",
        "cpu cores",
        "apicid",
        "initial apicid",
        "hart",
        "model",
        "machine",
    ]
)
"""Rows of /proc/cpuinfo that follow from the machine; the others are said."""
SAID = frozenset(("x86_64", "arm64", "riscv64"))


def text(rows: Rows, path: str) -> str:
    """A file's text, less its last newline; empty if there is none."""
    row = rows.get(path, {})
    if "b64" in row:
        return base64.b64decode(row["b64"]).decode("latin-1").rstrip("\n")
    return str(row.get("text", "")).rstrip("\n")


def uname(capture: Path) -> list[str]:
    """What uname -a said: the words after Linux and the name."""
    path = found(capture / LIVING, "uname") or capture / LIVING / "tools/uname.txt"
    return next(line for line in path.read_text().splitlines() if line.startswith("Linux")).split()[
        2:
    ]


def machine_of(capture: Path, rows: Rows) -> Machine:
    """Everything that is not computed. Of arm64, x86_64: its cpuinfo is taken from the first CPU's paragraph."""
    words = uname(capture)
    arch = ARCHES[words[-2]]
    iomem = [
        (len(m[1]) // 2, int(m[2], 16), int(m[3], 16), m[4])
        for m in map(IOMEM.fullmatch, text(rows, "/proc/iomem").splitlines())
        if m
    ]
    page_size = int(rows[f"{CPU}/online"]["size"])
    ram = [r for r in iomem if r[3] == "System RAM" and not r[0]]
    kernel = [r for r in iomem if r[3].startswith("Kernel")]
    crash = [r for r in iomem if r[3] == "Crash kernel"]
    block_size = int(text(rows, "/sys/devices/system/memory/block_size_bytes"), 16)
    if arch == "ppc64":
        crash = _ppc64_crash(rows)
    return Machine(
        name=capture.name,
        source="captured",
        arch=arch,
        platform={"ppc64": "pseries", "x86_64": "pc"}.get(arch, "virt"),
        kernel=words[0],
        page_size=page_size,
        memory_block_size=block_size,
        cmdline=text(rows, "/proc/cmdline"),
        memory=tuple(
            MemoryRange(start, end - start + 1, _node_of(rows, start // block_size))
            for _, start, end, _ in ram
        ),
        blocks=_blocks(rows),
        resources=tuple(
            Region(start, end - start + 1, name)
            for _, start, end, name in iomem
            if name not in ("System RAM", "Crash kernel")
        ),
        crashkernel=tuple(CrashRegion(start, end - start + 1) for _, start, end, _ in crash),
        kernel_text=KernelText(
            kernel[0][1],
            TEXT[arch] + _offset(capture),
            _text_size(capture, kernel[0][1]) or kernel[-1][2] - kernel[0][1] + 1,
        )
        if kernel
        else None,
        rtas=_rtas(rows),
        kernel_end=int.from_bytes(_property(rows, "chosen/linux,kernel-end"), "big") or 0x2000000,
        vmcoreinfo=int((text(rows, "/sys/kernel/vmcoreinfo") or "0").split()[0], 16),
        crash_notes={
            n: int(notes, 16)
            for n in parse_ids(text(rows, f"{CPU}/possible"))
            if (notes := text(rows, f"{CPU}/cpu{n}/crash_notes"))
        },
        cpus=_topology(rows),
        cpuinfo=_cpuinfo(rows) if arch in SAID else {},
        config={**config_of(rows), "HUGETLB_PAGE": "nr_hugetlb" in text(rows, "/proc/vmstat")},
        auto_online_blocks=text(rows, "/sys/devices/system/memory/auto_online_blocks"),
        devicetree=_root_properties(rows) if arch == "ppc64" else {},
        lmbs=_lmbs(rows) if arch == "ppc64" else (),
    )


def _offset(capture: Path) -> int:
    """KERNELOFFSET of /proc/kcore's VMCOREINFO: what KASLR added."""
    told = found(capture / LIVING, "kcore.VMCOREINFO.txt")
    match = re.search(r"^KERNELOFFSET=([0-9a-f]+)$", text_of(told), re.MULTILINE) if told else None
    return int(match[1], 16) if match else 0


def _text_size(capture: Path, paddr: int) -> int:
    """_end - _text, which has more than the rows of /proc/iomem (x86_64: brk): of /proc/kcore; 0 without it."""
    told = found(capture / LIVING, "kcore.headers+notes.bin")
    data = told.read_bytes() if told else bytes(64)
    for n in range(struct.unpack_from("<H", data, 56)[0]):
        kind, _, _, _, at, size = struct.unpack_from("<IIQQQQ", data, 64 + 56 * n)
        if kind == 1 and at == paddr:
            return int(size)
    return 0


def _ppc64_crash(rows: Rows) -> list[tuple[int, int, int, str]]:
    chosen = "/proc/device-tree/chosen/linux,crashkernel-"
    for base in (chosen, chosen.replace("/proc/device-tree", "/sys/firmware/devicetree/base")):
        start, size = (rows.get(base + name, {}).get("b64") for name in ("base", "size"))
        if start and size:
            at, length = (int.from_bytes(base64.b64decode(v), "big") for v in (start, size))
            return [(0, at, at + length - 1, "Crash kernel")]
    return []


def _rtas(rows: Rows) -> Region | None:
    """Where RTAS lies; of other architectures nowhere."""
    start, size = (_property(rows, f"rtas/{name}") for name in ("linux,rtas-base", "rtas-size"))
    if not start or not size:
        return None
    return Region(int.from_bytes(start, "big"), int.from_bytes(size, "big"))


def _root_properties(rows: Rows) -> dict[str, str]:
    """Of the root node, the model and the partition's name."""
    values = {name: _property(rows, name) for name in ("model", "ibm,partition-name")}
    return {name: value.rstrip(b"\0").decode() for name, value in values.items() if value}


def _property(rows: Rows, name: str) -> bytes:
    """A property of the device tree; empty without one."""
    for base in ("/proc/device-tree/", "/sys/firmware/devicetree/base/"):
        if value := rows.get(base + name, {}).get("b64"):
            return base64.b64decode(value)
    return b""


def _lmbs(rows: Rows) -> tuple[Lmbs, ...]:
    """ibm,dynamic-memory-v2: a count, then number, address, DRC index, associativity and flags of each run."""
    table = _property(rows, "ibm,dynamic-reconfiguration-memory/ibm,dynamic-memory-v2")
    return tuple(
        Lmbs(count=count, start=start, drc=drc, flags=flags)
        for count, start, drc, _, flags in struct.iter_unpack(">IQIII", table[4:])
    )


def _node_of(rows: Rows, block: int) -> int:
    for path in rows:
        if m := re.fullmatch(rf"/sys/devices/system/memory/memory{block}/node(\d+)", path):
            return int(m[1])
    return 0


def _blocks(rows: Rows) -> tuple[BlockState, ...]:
    """The blocks whose zones or nodes are not those that follow from their place."""
    states = []
    for path, row in rows.items():
        if m := re.fullmatch(r"/sys/devices/system/memory/memory(\d+)/state", path):
            zones = text(rows, path.replace("/state", "/valid_zones"))
            node = _node_of(rows, int(m[1]))
            states.append(
                BlockState(m[1], row["text"].strip(), zones if zones == "none" else "", node)
            )
    return tuple(states)


def _topology(rows: Rows) -> CpuTopology:
    possible = text(rows, f"{CPU}/possible")
    siblings = text(rows, f"{CPU}/cpu0/topology/thread_siblings_list") or "0"
    package = text(rows, f"{CPU}/cpu0/topology/package_cpus_list") or "0"
    threads = len(parse_ids(siblings))
    nodes = {}
    for path in rows:
        if m := re.fullmatch(CPU + r"/cpu(\d+)/node(\d+)", path):
            nodes[int(m[1])] = int(m[2])
    packages = {text(rows, p) for p in rows if p.endswith("/physical_package_id")}
    compatible = re.search("OF_COMPATIBLE_0=(.*)", text(rows, f"{CPU}/cpu0/uevent"))
    kind = rows.get(f"{CPU}/cpu0/of_node", {}).get("target", "").rpartition("/")[2]
    said = (
        {"type": kind.partition("@")[0] or "PowerPC,POWER9"}
        if "ibm" in kind or "Power" in kind
        else {}
    )
    return CpuTopology(
        possible=possible,
        present=text(rows, f"{CPU}/present"),
        online=text(rows, f"{CPU}/online"),
        threads=threads,
        node={n: node for n, node in nodes.items() if node},
        cores_per_package=len(parse_ids(package)) // threads if len(packages) > 1 else 0,
        modalias=text(rows, f"{CPU}/modalias"),
        compatible=compatible[1] if compatible else "",
        **said,
    )


def _cpuinfo(rows: Rows) -> dict[str, str]:
    """The rows that all CPUs share, from the first paragraph."""
    first = text(rows, "/proc/cpuinfo").partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {k.rstrip(): v.strip() for k, _, v in pairs if k.rstrip() not in COMPUTED}
