"""The machine around a header: its RAM, crashkernel, CPUs, as /proc/iomem or a description says.

read_machine() takes a kdumpfs machine (TOML) or the `machine` of a captured case (JSON, format 1);
both have memory, crashkernel, cpus.possible and rtas. Imports elfcorehdr.ranges and .errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from elfcorehdr.errors import ProfileError
from elfcorehdr.lib.ranges import Range, parse_ids

_LIMIT = 64 << 20
_IOMEM_LINE = re.compile(r"( *)([0-9a-f]{1,16})-([0-9a-f]{1,16}) : (.*)")
_CRASHKERNEL = re.compile(r"\bcrashkernel=(\d+[KMGkmg]?)@(0x[0-9a-fA-F]+|\d+[KMGkmg]?)(?=\s|$)")
_SUFFIX = {"k": 10, "m": 20, "g": 30}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known of the machine; an empty tuple or None is: not known. Ranges include their end."""

    memory: tuple[Range, ...] = ()
    """RAM that a header should describe, the crashkernel included."""
    crashkernel: tuple[Range, ...] = ()
    """crashk_res, crashk_low_res and CMA: memory of the capture kernel."""
    rtas: tuple[Range, ...] = ()
    """Firmware (RTAS, OPAL) that powerpc lists although it lies in the crashkernel."""
    possible: int | None = None
    """How many CPUs the header should have notes for."""
    arch: str = ""
    kernel: Range | None = None
    """The running kernel's image, from `Kernel code` to the end of `Kernel bss`."""

    def __or__(self, other: Surroundings) -> Surroundings:
        """Both together; where both say something, self counts."""
        return Surroundings(
            self.memory or other.memory,
            self.crashkernel or other.crashkernel,
            self.rtas or other.rtas,
            other.possible if self.possible is None else self.possible,
            self.arch or other.arch,
            self.kernel or other.kernel,
        )


def read_iomem(name: str) -> Surroundings:
    """System RAM and Crash kernel of a /proc/iomem (`-`: standard input).

    ProfileError if there is no System RAM in it, or if every address is 0, which is what the
    kernel shows to others than root. powerpc lists no Crash kernel (arch_add_crash_res_to_iomem()).
    """
    memory: list[Range] = []
    crashkernel: list[Range] = []
    image: list[Range] = []
    for line in _text(name).splitlines():
        match = _IOMEM_LINE.fullmatch(line.rstrip())
        if not match:
            continue
        indent, first, last, what = match.groups()
        span = Range(int(first, 16), int(last, 16))
        if span.start > span.end:
            raise ProfileError(f"{name}: {line.strip()!r}: ends before it begins")
        if what in ("Kernel code", "Kernel data", "Kernel bss"):
            image.append(span)
        if what == "Crash kernel":
            crashkernel.append(span)
        elif what.startswith("System RAM") and not (
            indent and any(m.start <= span.start and span.end <= m.end for m in memory)
        ):
            memory.append(span)
    if not memory:
        raise ProfileError(f"{name}: no line with System RAM, expected the text of /proc/iomem")
    if all(span == (0, 0) for span in memory):
        raise ProfileError(f"{name}: every address is 0: only root is shown /proc/iomem's numbers")
    kernel = Range(min(r.start for r in image), max(r.end for r in image)) if image else None
    return Surroundings(tuple(sorted(memory)), tuple(sorted(crashkernel)), kernel=kernel)


def read_machine(name: str) -> Surroundings:
    """A machine described in TOML, or the machine of a captured case's JSON.

    ProfileError names file, key and value. Keys that the printer does not need are not looked at.
    """
    text = _text(name)
    table = _parsed(name, text)
    table = table.get("machine", table) | {"arch": table.get("arch", "")}
    if "memory" not in table:
        raise ProfileError(f"{name}: key 'memory' is missing, expected a list of start and size")
    found = Surroundings(
        memory=_ranges(name, table, "memory") + _ranges(name, table, "nested_memory"),
        crashkernel=_ranges(name, table, "crashkernel"),
        rtas=_ranges(name, table, "rtas") + _ranges(name, table, "opal"),
        arch=str(table["arch"]),
    )
    found = replace(found, memory=tuple(sorted(found.memory)), possible=_possible(name, table))
    if not found.crashkernel:
        found = replace(found, crashkernel=_fixed_crashkernel(str(table.get("cmdline", ""))))
    return found


def _text(name: str) -> str:
    from printer.inputs.reader import open_reader

    with open_reader(name) as reader:
        data = reader.read(0, _LIMIT + 1)
    if len(data) > _LIMIT:
        raise ProfileError(f"{name}: is more than {_LIMIT >> 20} MiB, expected less")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProfileError(f"{name}: byte {error.start}: is no text, expected UTF-8") from None


def _parsed(name: str, text: str) -> dict[str, Any]:
    import json
    import tomllib

    try:
        table = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProfileError(f"{name}: neither TOML nor JSON: {error}") from None
    if not isinstance(table, dict) or not isinstance(table.get("machine", {}), dict):
        raise ProfileError(f"{name}: expected a table of keys")
    return table


def _ranges(name: str, table: dict[str, Any], key: str) -> tuple[Range, ...]:
    value = table.get(key, [])
    items = value if isinstance(value, list) else [value]
    return tuple(_range(name, f"{key}[{i}]", item) for i, item in enumerate(items))


def _range(name: str, where: str, item: Any) -> Range:
    if not isinstance(item, dict):
        raise ProfileError(f"{name}: {where}: {item!r}, expected start and size")
    start, size = (_number(name, f"{where}.{k}", item.get(k)) for k in ("start", "size"))
    if not size or start + size > 1 << 64:
        raise ProfileError(f"{name}: {where}: size {size:#x} at {start:#x} is no range")
    return Range.sized(start, size)


def _number(name: str, where: str, value: Any) -> int:
    try:
        number = int(value, 0) if isinstance(value, str) else value
    except ValueError:
        number = None
    if not isinstance(number, int) or number < 0:
        raise ProfileError(f"{name}: {where}: {value!r}, expected bytes such as 0x10000")
    return number


def _possible(name: str, table: dict[str, Any]) -> int | None:
    cpus = table.get("cpus")
    if not isinstance(cpus, dict) or "possible" not in cpus:
        return None
    return count_cpus(f"{name}: cpus.possible", str(cpus["possible"]))


def count_cpus(where: str, text: str) -> int:
    """How many CPUs a kernel list such as 0-7,12 has; ProfileError for anything else."""
    if not re.fullmatch(r"\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?)*", text):
        raise ProfileError(f"{where}: {text!r}, expected a list such as 0-7")
    return len(parse_ids(text))


def _fixed_crashkernel(cmdline: str) -> tuple[Range, ...]:
    """The reservation of crashkernel=SIZE@START, the one form that needs no search."""
    found: Iterable[re.Match[str]] = _CRASHKERNEL.finditer(cmdline)
    last = next(reversed(list(found)), None)
    if not last:
        return ()
    size, start = (
        int(n.rstrip("KMGkmg"), 0) << _SUFFIX.get(n[-1].lower(), 0)
        if not n.startswith("0x")
        else int(n, 16)
        for n in last.groups()
    )
    return (Range.sized(start, size),) if size else ()
