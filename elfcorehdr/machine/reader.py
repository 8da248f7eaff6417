"""A machine's TOML file read: every key and type checked, all faults told in one sentence. Imports .checks, .facts."""

from __future__ import annotations

import re
import tomllib

from elfcorehdr import machine as records
from elfcorehdr.errors import ProfileError
from elfcorehdr.lib.record import RecordType, required
from elfcorehdr.machine import LONGEST
from elfcorehdr.machine.checks import check
from elfcorehdr.machine.facts import FACTS, OTHER_NAMES
from elfcorehdr.machine.faults import Faults, near_of
from elfcorehdr.machine.sizes import U64, parse_size, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TABLES: dict[str, RecordType] = {
    record.__name__: record
    for record in (
        *(records.MemoryRange, records.Region, records.CrashRegion, records.LoadSegment),
        *(records.KdumpFiles, records.Lmbs, records.KernelText, records.CpuTopology),
        *(records.BlockState, records.MemoryUse, records.CacheLeaf),
    )
}
"""What a table of the file becomes, by its name in the fields' types."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_PROSE = frozenset({"source", "description"})
"""Texts that may have more than one line."""
TEXT_MAX = 8192
"""Characters of a text, at most."""


def from_toml(text: str, file: str) -> records.Machine:
    """The machine that a TOML text describes; ProfileError names file, keys, values, expectations."""
    if len(text) > LONGEST:
        raise ProfileError(f"{file}: {len(text)} characters, expected at most {LONGEST}")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"{file}: not TOML: {_one_line(str(error))}") from None
    except (ValueError, RecursionError, OverflowError) as error:  # what tomllib lets through
        why = "nested too deeply" if isinstance(error, RecursionError) else _one_line(str(error))
        raise ProfileError(f"{file}: not TOML: {why}") from None
    faults = Faults(file)
    if _arch(table, faults):
        _defaults(table)
    machine = _build(records.Machine, table, faults, "")
    faults.raise_if_any()
    assert isinstance(machine, records.Machine)
    check(machine, faults)
    faults.raise_if_any()
    return machine


def _one_line(text: str) -> str:
    return " ".join(text.split())[:160]


def _arch(table: dict[str, Any], faults: Faults) -> bool:
    """Whether the architecture is one that is known; else a fault, with what else it may be called."""
    if "arch" not in table:
        return False  # a key that is missing is told with the others
    arch = table["arch"]
    if arch == "s390x":
        faults.say(
            "arch 's390x': its capture kernel makes its own header, so there is none to show"
        )
    elif not isinstance(arch, str) or arch not in FACTS:
        meant = OTHER_NAMES.get(arch.lower()) if isinstance(arch, str) else None
        near = near_of(str(arch)[:40], FACTS) if meant is None else f" (did you mean {meant}?)"
        faults.say(f"arch: {shown(arch)}{near}, expected one of {', '.join(sorted(FACTS))}")
    else:
        return True
    return False


def _defaults(table: dict[str, Any]) -> None:
    """What the architecture says where the file does not."""
    facts = FACTS[table["arch"]]
    table.setdefault("page_size", facts.page_sizes[0])
    pages = 0x10000 if table["page_size"] in ("64K", "64KiB") else table["page_size"]
    table.setdefault("memory_block_size", facts.block_of(pages)[0])


def _build(cls: RecordType, table: Any, faults: Faults, at: str) -> Any:
    """A record from a TOML table; None, and faults, where it cannot be one."""
    if not isinstance(table, dict):
        faults.add(at.rstrip(".") or "file", table, "a table")
        return None
    hints = cls.__annotations__
    for key in table:
        if key not in hints:
            near = near_of(key, hints)
            expected = near or f", expected one of {', '.join(sorted(hints))}"
            faults.say(f"{at}{_key(key)}: unknown key{expected}")
    missing = [name for name in required(cls) if name not in table]
    for name in missing:
        why = ": say where the numbers come from" if name == "source" else ""
        faults.say(f"key '{at}{name}' is missing{why}")
    before = len(faults)
    values = {
        key: _convert(hints[key], value, faults, at + key)
        for key, value in table.items()
        if key in hints
    }
    return None if missing or len(faults) > before else cls(**values)


def _key(key: str) -> str:
    """A key as the file has it, quoted where it is not plain."""
    return key if re.fullmatch(r"[\w-]{1,48}", key, re.ASCII) else shown(key)


def _convert(hint: str, value: Any, faults: Faults, at: str) -> Any:
    """value as the field's type, which is written as in the records, has it; a fault otherwise."""
    if hint in ("int", "Bytes"):
        return _number(value, faults, at, size=hint == "Bytes")
    if hint == "bool":
        if not isinstance(value, bool):
            faults.add(at, value, "true or false")
        return value
    if hint == "str":
        return _text(value, faults, at)
    if hint.startswith("tuple["):
        if not isinstance(value, list):
            texts = hint == "tuple[str, ...]"
            faults.add(at, value, "a list of texts" if texts else "a list of tables")
            return ()
        one = hint.removeprefix("tuple[").removesuffix(", ...]")
        if one == "str":
            return tuple(_text(v, faults, f"{at}[{i}]") for i, v in enumerate(value))
        of = _TABLES[one]
        return tuple(_build(of, v, faults, f"{at}[{i}].") for i, v in enumerate(value))
    if hint.startswith("Mapping["):
        return _mapping(hint.removeprefix("Mapping[").removesuffix("]"), value, faults, at)
    return _build(_TABLES[hint.removesuffix(" | None")], value, faults, at + ".")


def _number(value: Any, faults: Faults, at: str, *, size: bool) -> int:
    """A number below 2^64, or where a size is wanted a text such as "16G"."""
    expected = "a number, 0 or more, or a size such as '16G'" if size else "a number, 0 or more"
    if size and isinstance(value, str):
        parsed = parse_size(value)
        if parsed is None:
            faults.add(at, value, "a size such as '16G', '256MiB' or '0x400000000', below 2^64")
        return parsed or 0
    if type(value) is not int or value < 0:
        faults.add(at, value, expected)
    elif value >= U64:
        faults.add(at, value, "a number below 2^64")
    else:
        return value
    return 0


def _text(value: Any, faults: Faults, at: str) -> str:
    """A text without control characters, of one line unless it is prose."""
    if not isinstance(value, str):
        faults.add(at, value, "a text")
        return ""
    bad = _CONTROL.search(value.replace("\n", "") if at in _PROSE else value)
    if bad:
        faults.add(at, value, f"a text without control characters such as {bad.group()!r}")
    if len(value) > TEXT_MAX:
        faults.add(at, f"{len(value)} characters", f"at most {TEXT_MAX}")
    return value


def _mapping(hint: str, value: Any, faults: Faults, at: str) -> dict[Any, Any]:
    """A table of a field `Mapping[key, of]`; hint is what stands in the brackets."""
    key_hint, of = hint.split(", ")
    if not isinstance(value, dict):
        faults.add(at, value, "a table")
        return {}
    made: dict[Any, Any] = {}
    for key, item in value.items():
        here = f"{at}.{_key(key)}"
        if key_hint == "int":
            if not re.fullmatch(r"[0-9]{1,9}", key, re.ASCII):
                faults.say(f"{here}: expected a number as key")
                continue
            if int(key) in made:
                faults.say(f"{here}: is there twice")
            made[int(key)] = _convert(of, item, faults, here)
        else:
            _text(key, faults, here)
            made[key] = _convert(of, item, faults, here)
    return made
