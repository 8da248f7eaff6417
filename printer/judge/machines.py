"""Machines as they are given to the command line: shipped or described in TOML, captured, or mounted.

A kdumpfs machine is booted by the engine, which reserves the crashkernel as that kernel does: the one
place where the printer knows more of the engine than its codec. It is imported when it is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from elfcorehdr.errors import ProfileError
from elfcorehdr.lib.ranges import Range
from elfcorehdr.lib.record import Record, replace
from printer.judge.surroundings import Surroundings, count_cpus, of_rows, read_iomem, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DEVICETREE = "sys/firmware/devicetree/base"


def read_machine(name: str) -> Surroundings:
    """A machine: shipped by name, described in TOML, captured (JSON with `machine`), or a mounted tree.

    ProfileError names file, key and value; OSError if a file cannot be read.

    >>> read_machine("pseries-16g").crashkernel
    (Range(start=402653184, end=1476395007),)
    """
    if name != "-" and os.path.isdir(name):
        found = read_tree(name)
        if found is None:
            raise ProfileError(
                f"{name}: is a directory without proc/iomem, expected a mounted tree"
            )
        return found
    if name != "-" and "/" not in name and not name.endswith(".toml") and not os.path.exists(name):
        from elfcorehdr import profiles

        return _booted(profiles.text(name), f"{name}.toml")
    text = text_of(name)
    table = _parsed(name, text)
    if "arch" in table and not text.lstrip().startswith("{"):
        return _booted(text, name)
    return _described(name, table)


def _booted(text: str, file: str) -> Surroundings:
    """The machine of a TOML text, booted."""
    from elfcorehdr.errors import KernelError
    from elfcorehdr.init.main import Kernel
    from elfcorehdr.machine.reader import from_toml

    machine = from_toml(text, file)
    try:
        kernel = Kernel.boot(machine)
    except KernelError as error:
        raise ProfileError(f"{file}: does not boot: {error}") from None
    kexec = kernel.kexec
    reserved = (kexec.crashk_res, kexec.crashk_low_res, *kexec.crashk_cma_ranges)
    found = of_rows(kernel.iomem.rows())
    return Surroundings(
        memory=found.memory,
        crashkernel=tuple(sorted(r for r in reserved if r is not None)),
        rtas=tuple(r.range for r in (machine.rtas, machine.opal) if r),
        possible=len(machine.possible_cpus),
        arch=machine.arch,
        kernel=found.kernel,
        name=machine.name,
    )


def read_tree(name: str) -> Surroundings | None:
    """The machine of a mounted tree, from the files that every kernel has there; None without /proc/iomem.

    powerpc lists its crashkernel and firmware in the device tree alone (export_crashk_values(),
    arch/powerpc/kexec/core.c); crash_size tells if the crashkernel was shrunk.
    """
    iomem = os.path.join(name, "proc/iomem")
    if not os.path.exists(iomem):
        return None
    found = read_iomem(iomem)
    possible = _line(name, "sys/devices/system/cpu/possible")
    crashkernel = found.crashkernel or _reserved(name)
    firmware = (
        _pair(name, "rtas/linux,rtas-base", "rtas/rtas-size"),
        _pair(name, "ibm,opal/opal-base-address", "ibm,opal/opal-runtime-size"),
    )
    return replace(
        found,
        crashkernel=crashkernel,
        rtas=tuple(r for r in firmware if r),
        possible=count_cpus(f"{name}: possible", possible) if possible else None,
        name=_machine_name(name),
        release=_line(name, "proc/version").partition("version ")[2].partition(" ")[0],
        offline=_Blocks(name),
    )


class _Blocks(Record):
    """The memory blocks of a mounted tree."""

    tree: str

    def __call__(self, span: Range) -> Iterator[Range]:
        """Those of a stretch that are offline; of many the first 4,096 are looked at."""
        try:
            size = int(_line(self.tree, "sys/devices/system/memory/block_size_bytes"), 16)
        except ValueError:
            return
        first, last = span.start // size, span.end // size
        for n in range(first, min(last, first + 4095) + 1):
            if _line(self.tree, f"sys/devices/system/memory/memory{n}/state") == "offline":
                yield Range.sized(n * size, size)


def _reserved(name: str) -> tuple[Range, ...]:
    """The crashkernel that the device tree tells, as large as it is now."""
    found = _pair(name, "chosen/linux,crashkernel-base", "chosen/linux,crashkernel-size")
    if found is None:
        return ()
    now = _line(name, "sys/kernel/kexec_crash_size") or _line(name, "sys/kernel/kexec/crash_size")
    if now.isdecimal() and int(now) < found.size:
        found = Range.sized(found.start, int(now)) if int(now) else None
    return (found,) if found else ()


def _pair(tree: str, start: str, size: str) -> Range | None:
    """A range of two properties of the device tree, whose cells are big endian."""
    numbers = []
    for name in (start, size):
        try:
            with open(os.path.join(tree, _DEVICETREE, name), "rb") as file:
                numbers.append(int.from_bytes(file.read(8), "big"))
        except OSError:
            return None
    return Range.sized(*numbers) if numbers[1] else None


def _line(tree: str, name: str) -> str:
    """The first line of a file of the tree, empty if there is none."""
    try:
        with open(os.path.join(tree, name), encoding="utf-8", errors="replace") as file:
            return file.readline(4096).strip()
    except OSError:
        return ""


def _machine_name(tree: str) -> str:
    """The name of the kdumpfs machine, else what the device tree calls its model."""
    import json

    try:
        with open(os.path.join(tree, "control/machine"), encoding="utf-8") as file:
            return str(json.load(file)["machine"])
    except (OSError, ValueError, KeyError, TypeError):
        return _line(tree, f"{_DEVICETREE}/model").rstrip("\0")


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


def _described(name: str, table: dict[str, Any]) -> Surroundings:
    """What a table says, nothing computed: a captured case's machine, or a few keys without `arch`."""
    machine = table.get("machine", table)
    if "memory" not in machine:
        raise ProfileError(f"{name}: key 'memory' is missing, expected a list of start and size")
    memory = _ranges(name, machine, "memory") + _ranges(name, machine, "nested_memory")
    kernel = table.get("kernel", {})
    return Surroundings(
        memory=tuple(sorted(memory)),
        crashkernel=_ranges(name, machine, "crashkernel"),
        rtas=_ranges(name, machine, "rtas") + _ranges(name, machine, "opal"),
        possible=_possible(name, machine),
        arch=str(table.get("arch", "")),
        name=str(table.get("case", "")),
        release=str(kernel.get("release", "")) if isinstance(kernel, dict) else "",
    )


def _ranges(name: str, table: dict[str, Any], key: str) -> tuple[Range, ...]:
    value = table.get(key, [])
    items = value if isinstance(value, list) else [value]
    return tuple(_range(name, f"{key}[{i}]", item) for i, item in enumerate(items))


def _range(name: str, where: str, item: Any) -> Range:
    if not isinstance(item, dict):
        raise ProfileError(f"{name}: {where}: {repr(item)[:200]}, expected start and size")
    start, size = (_number(name, f"{where}.{k}", item.get(k)) for k in ("start", "size"))
    if not size or start + size > 1 << 64:
        raise ProfileError(f"{name}: {where}: size {size:#x} at {start:#x} is no range")
    return Range.sized(start, size)


def _number(name: str, where: str, value: Any) -> int:
    try:
        number = int(value, 0) if isinstance(value, str) else value
    except ValueError:
        number = None
    if not isinstance(number, int) or not 0 <= number < 1 << 64:
        raise ProfileError(f"{name}: {where}: {repr(value)[:200]}, expected bytes such as 0x10000")
    return number


def _possible(name: str, table: dict[str, Any]) -> int | None:
    cpus = table.get("cpus")
    if not isinstance(cpus, dict) or "possible" not in cpus:
        return None
    return count_cpus(f"{name}: cpus.possible", str(cpus["possible"]))
