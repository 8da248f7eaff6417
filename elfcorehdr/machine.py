"""A machine as it boots: frozen, described in TOML or made by code. Holds no state.

Every address and size is in bytes; ranges are given as start and size.
"""

from __future__ import annotations

import errno
import tomllib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from elfcorehdr.errors import ProfileError
from elfcorehdr.lib.ranges import Range, ids_of, parse_ids
from elfcorehdr.lib.record import Record, RecordType, required

NONE: Mapping[Any, Any] = MappingProxyType({})
"""A table that is not given."""


class MemoryRange(Record):
    """RAM at boot: one memblock region (ppc64, arm64) or top-level System RAM resource (x86_64, riscv64)."""

    start: int
    size: int
    node: int = 0
    flags: str = ""
    name: str = "System RAM"

    @property
    def end(self) -> int:
        """The last byte."""
        return self.start + self.size - 1


class Region(Record):
    """A stretch of physical memory with a name (firmware, a resource)."""

    start: int
    size: int
    name: str = ""

    @property
    def range(self) -> Range:
        """start..end, both included."""
        return Range.sized(self.start, self.size)


class CrashRegion(Record):
    """A crashkernel reservation that is known, not computed; kind is crashk_res, crashk_low_res or cma."""

    start: int
    size: int
    kind: str = "crashk_res"


class LoadSegment(Record):
    """One PT_LOAD of the capture kernel's vmlinux: sizes and alignment, in bytes."""

    memsz: int
    filesz: int = 0
    align: int = 0x10000
    paddr: int = 0
    setup: int = 0x5000
    """x86_64: bytes of real-mode code in front, in the file alone."""


class KdumpFiles(Record):
    """What `kdumpfs load` loads when it is given no files: sizes of the capture kernel's parts, in bytes."""

    kernel: tuple[LoadSegment, ...] = ()
    purgatory: int = 0x10000
    initrd: int = 0
    fdt: int = 0


class Lmbs(Record):
    """A run of logical memory blocks in the device tree's table, ibm,dynamic-memory-v2."""

    count: int
    start: int
    drc: int = 0
    flags: int = 0

    ASSIGNED = 0x8
    """DRCONF_MEM_ASSIGNED"""
    RESERVED = 0x80
    """DRCONF_MEM_RESERVED: boot memory that DLPAR never touches."""


class KernelText(Record):
    """The running kernel's image: _text and _end - _text."""

    paddr: int
    vaddr: int
    size: int


class CpuTopology(Record):
    """Which CPUs there can be, are, and run, and how they form cores. Lists as the kernel prints them."""

    possible: str
    present: str = ""
    online: str = ""
    threads: int = 1
    """CPUs (hardware threads) per core."""
    node: Mapping[int, int] = NONE
    """NUMA node of a CPU; 0 where not listed."""
    refuse: Mapping[int, str] = NONE
    """The errno that stopping a CPU gives, for one that does not stop: EBUSY, ENOSPC, ..."""
    cores_per_package: int = 0
    """0: one package a node."""
    type: str = "PowerPC,POWER10"
    """ppc64: name of a core's node in the device tree."""
    compatible: str = ""
    """arm64, riscv64: a CPU node's compatible in the device tree; empty without one."""
    modalias: str = ""
    """What cpu/modalias reads; empty: the architecture's."""


class BlockState(Record):
    """Blocks that are not as the rest at boot: a list of block numbers, their state and zones."""

    blocks: str
    state: str = "online"
    valid_zones: str = ""
    node: int = -1
    """Their NUMA node, where the memory range around them spans several; -1: that of the range."""


class Machine(Record):
    """One machine at boot. Where a field is absent, the architecture computes what a kernel computes."""

    name: str
    source: str
    """Where the numbers come from."""
    arch: str
    memory: tuple[MemoryRange, ...]
    cpus: CpuTopology
    description: str = ""
    platform: str = ""
    """Whose firmware: ppc64 pseries or powernv, x86_64 pc, arm64 and riscv64 virt; empty: the first of these."""
    page_size: int = 4096
    memory_block_size: int = 0x10000000
    cmdline: str = ""
    kernel_end: int = 0x2000000
    """Physical address behind the running kernel's _end."""
    rma_size: int = 0
    """Real mode area of an LPAR; 0 for all of memory."""
    rtas: Region | None = None
    opal: Region | None = None
    crash_notes: Mapping[int, int] = NONE
    """Physical address of a CPU's crash note, where known."""
    crash_notes_first: int = 0
    """Address of CPU 0's note, the others follow at crash_notes_step; 0: computed."""
    crash_notes_step: int = 0
    vmcoreinfo: int = 0
    """Physical address of the vmcoreinfo note; 0: computed."""
    kdump: KdumpFiles = KdumpFiles()
    lmbs: tuple[Lmbs, ...] = ()
    """ppc64: the LMB table; empty: one LMB a block of boot memory, DRC indexes from 0x80000000."""
    pinned: tuple[Region, ...] = ()
    """Memory that cannot be taken offline, besides what the kernel itself needs."""
    crashkernel: tuple[CrashRegion, ...] = ()
    """Pinned reservation; empty: computed from crashkernel= on the command line."""
    resources: tuple[Region, ...] = ()
    """The other rows of /proc/iomem; of two with the same bytes the second lies in the first."""
    nested_memory: tuple[MemoryRange, ...] = ()
    """System RAM below another resource of /proc/iomem."""
    system_ram: tuple[MemoryRange, ...] = ()
    """arm64: the System RAM rows of /proc/iomem, where they differ from memory."""
    kernel_text: KernelText | None = None
    direct_map_base: int = 0
    """Virtual address of physical 0 in the direct map, modulo 2^64 (not ppc64); 0: the architecture's."""
    nr_cpus: int = 0
    """CONFIG_NR_CPUS; 0: the architecture's in a distribution's kernel."""
    nr_cpus_default: int = 8192
    """x86_64: CONFIG_NR_CPUS_DEFAULT."""
    crash_max_memory_ranges: int = 8192
    """CONFIG_CRASH_MAX_MEMORY_RANGES."""
    blocks: tuple[BlockState, ...] = ()
    auto_online_blocks: str = ""
    """Policy at boot; empty: the kernel version's default."""
    kexec_file: bool = True
    """CONFIG_KEXEC_FILE."""
    config: Mapping[str, bool] = NONE
    """Options that differ from a distribution's kernel, without CONFIG_: PM, PM_ADVANCED_DEBUG,
    MEMORY_FAILURE, HUGETLB_PAGE, TRANSPARENT_HUGEPAGE, SWAP, ZSMALLOC, NUMA_BALANCING,
    IOMMU_SUPPORT, UNACCEPTED_MEMORY, NO_HZ_FULL, CPU_FREQ, PROFILING, LOCKUP_DETECTOR, BUILD_SALT; ppc64:
    PPC_PERF_CTRS, PPC_UV. All are on where not named."""
    fadump: bool = False
    """Firmware has ibm,configure-kernel-dump (or OPAL's MPIPL)."""
    fadump_reserved: int = 0
    devicetree: Mapping[str, str] = NONE
    """Extra device-tree properties: path below base, value as text or 0x hex bytes."""
    cpuinfo: Mapping[str, str] = NONE
    """Rows of /proc/cpuinfo that all CPUs share, by the kernel's words; else those of the architecture's capture."""
    kernel: str = ""
    """The kernel version this machine was seen with; empty: the default."""

    @property
    def possible_cpus(self) -> Sequence[int]:
        """cpu_possible_mask, ascending."""
        return ids_of(self.cpus.possible)

    @property
    def present_cpus(self) -> Sequence[int]:
        """cpu_present_mask at boot, ascending; all possible ones where not said."""
        return ids_of(self.cpus.present or self.cpus.possible)

    @property
    def online_cpus(self) -> Sequence[int]:
        """cpu_online_mask at boot, ascending; all present ones where not said."""
        return ids_of(self.cpus.online) if self.cpus.online else self.present_cpus

    def block_nodes(self) -> dict[int, int]:
        """The NUMA node of the memory blocks that name theirs."""
        return {n: g.node for g in self.blocks if g.node >= 0 for n in parse_ids(g.blocks)}

    def summary(self) -> str:
        """One line: architecture, platform, memory, CPUs."""
        total = sum(m.size for m in self.memory)
        gib = (total + (1 << 29)) >> 30
        what = f"{self.arch} {self.platform}".rstrip()
        return f"{what}, {gib} GiB, {len(self.possible_cpus)} CPUs"

    @classmethod
    def from_toml(cls, text: str, file: str) -> Machine:
        """The machine that a TOML text describes; ProfileError names file, key, value, expectation."""
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ProfileError(f"{file}: not TOML: {error}") from None
        if "source" not in table:
            raise ProfileError(f"{file}: key 'source' is missing: say where the numbers come from")
        machine: Machine = _build(cls, table, file, "")
        _check(machine, file)
        return machine


_TABLES: dict[str, RecordType] = {
    record.__name__: record
    for record in (
        *(MemoryRange, Region, CrashRegion, LoadSegment, KdumpFiles, Lmbs),
        *(KernelText, CpuTopology, BlockState),
    )
}
"""What a table of the file becomes, by its name in the fields' types."""

_PLAIN: dict[str, tuple[Any, str]] = {
    "int": (int, "a number, 0 or more"),
    "bool": (bool, "true or false"),
    "str": (str, "a text"),
}


def _build(cls: RecordType, table: Any, file: str, at: str) -> Any:
    """A record from a TOML table, every key and type checked."""
    if not isinstance(table, dict):
        raise ProfileError(f"{file}: {at or 'file'}: {table!r}, expected a table")
    hints = cls.__annotations__
    for key in table:
        if key not in hints:
            raise ProfileError(
                f"{file}: {at + key}: unknown key, expected one of {', '.join(sorted(hints))}"
            )
    for name in required(cls):
        if name not in table:
            raise ProfileError(f"{file}: key '{at}{name}' is missing")
    return cls(**{k: _convert(hints[k], v, file, at + k) for k, v in table.items()})


def _convert(hint: str, value: Any, file: str, at: str) -> Any:
    """value as the field's type, which is written as in this file, has it; ProfileError otherwise."""
    if hint in _PLAIN:
        kind, expected = _PLAIN[hint]
        if type(value) is not kind or (kind is int and value < 0):
            raise ProfileError(f"{file}: {at}: {value!r}, expected {expected}")
        return value
    if hint.startswith("tuple["):
        if not isinstance(value, list):
            raise ProfileError(f"{file}: {at}: {value!r}, expected a list of tables")
        of = _TABLES[hint.removeprefix("tuple[").removesuffix(", ...]")]
        return tuple(_build(of, v, file, f"{at}[{i}].") for i, v in enumerate(value))
    if hint.startswith("Mapping["):
        return _mapping(hint.removeprefix("Mapping[").removesuffix("]"), value, file, at)
    return _build(_TABLES[hint.removesuffix(" | None")], value, file, at + ".")


def _mapping(hint: str, value: Any, file: str, at: str) -> dict[Any, Any]:
    """A table of a field `Mapping[key, of]`; hint is what stands in the brackets."""
    key, of = hint.split(", ")
    if not isinstance(value, dict):
        raise ProfileError(f"{file}: {at}: {value!r}, expected a table")
    try:
        return {_PLAIN[key][0](k): _convert(of, v, file, f"{at}.{k}") for k, v in value.items()}
    except ValueError:
        raise ProfileError(f"{file}: {at}: keys must be numbers") from None


def _check(machine: Machine, file: str) -> None:
    """What no single field shows: alignments, order, CPU lists."""

    def wrong(key: str, value: object, expected: str) -> ProfileError:
        return ProfileError(f"{file}: {key}: {value}, expected {expected}")

    if machine.page_size not in (4096, 16384, 65536):
        raise wrong("page_size", machine.page_size, "4096, 16384 or 65536")
    block = machine.memory_block_size
    if block < machine.page_size or block & (block - 1):
        raise wrong("memory_block_size", f"{block:#x}", "a power of two, at least a page")
    if not machine.memory:
        raise wrong("memory", "empty", "at least one range")
    last = -1
    for i, m in enumerate(machine.memory):
        # An e820 table counts bytes; memblock of an architecture with larger pages counts pages.
        whole = machine.page_size == 4096 or not (m.start | m.size) % machine.page_size
        if not m.size or not whole:
            raise wrong(f"memory[{i}]", f"{m.start:#x} + {m.size:#x}", "whole pages, not empty")
        if m.start <= last:
            raise wrong(
                f"memory[{i}].start", f"{m.start:#x}", "ascending ranges that do not overlap"
            )
        last = m.end
    for n, word in machine.cpus.refuse.items():
        if not isinstance(getattr(errno, word, None), int):
            raise wrong(f"cpus.refuse.{n}", repr(word), "an errno such as EBUSY or ENOSPC")
    possible: Sequence[int] = ()
    for key in ("possible", "present", "online"):
        text = getattr(machine.cpus, key)
        try:
            ids = ids_of(text)
        except ValueError:
            raise wrong(f"cpus.{key}", repr(text), "a CPU list such as 0-3,6") from None
        if key == "possible":
            possible = ids
        elif ids and not set(possible).issuperset(ids):
            raise wrong(f"cpus.{key}", repr(text), f"CPUs out of {machine.cpus.possible}")
    if not possible:
        raise wrong("cpus.possible", repr(machine.cpus.possible), "at least one CPU")
