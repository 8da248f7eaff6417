"""A machine written as the TOML that boots to it: what reader.py reads. Only what is not the default is written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from elfcorehdr.lib.record import Record, RecordType, fields_of
from elfcorehdr.machine import Machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ALWAYS = ("page_size", "memory_block_size")
"""What the reader takes from the architecture where a file does not say it."""


def to_toml(machine: Machine, comments: tuple[str, ...] = ()) -> str:
    """The text of a machine's file; reading it gives an equal Machine. comments: lines at its top."""
    return "".join(
        f"{line}\n" for line in (*(f"# {c}".rstrip() for c in comments), *_rows(machine))
    )


def _rows(machine: Machine) -> Iterator[str]:
    given = _given(machine)
    tables = {name: value for name, value in given.items() if _is_table(value)}
    for name, value in given.items():
        if name not in tables:
            yield f"{name} = {_value(value, _hint(type(machine), name))}"
    for name, value in tables.items():
        yield ""
        yield f"[{name}]"
        rows = _given(value) if isinstance(value, Record) else value
        for key, one in rows.items():
            hint = _hint(type(value), key) if isinstance(value, Record) else _hint(Machine, name)
            yield f"{_key(key)} = {_value(one, hint)}"


def _is_table(value: object) -> bool:
    """What is written under a heading of its own: CPUs, the capture kernel, what names single CPUs or options."""
    return isinstance(value, Mapping) or (
        isinstance(value, Record) and any(not isinstance(v, int) for v in _given(value).values())
    )


def _given(record: Record) -> dict[str, Any]:
    """The fields that are not the default, in order."""
    defaults = type(record)._defaults
    return {
        name: value
        for name, value in fields_of(record).items()
        if name not in defaults or value != defaults[name] or name in _ALWAYS
    }


def _hint(cls: RecordType, name: str) -> str:
    return str(cls.__annotations__.get(name, ""))


def _key(key: object) -> str:
    text = str(key)
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _value(value: object, hint: str = "") -> str:
    """A value; addresses and sizes in hexadecimal."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:#x}" if "Bytes" in hint else str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Record):
        return _inline({n: _value(v, _hint(type(value), n)) for n, v in _given(value).items()})
    if isinstance(value, Mapping):
        return _inline({k: _value(v, hint) for k, v in value.items()})
    assert isinstance(value, tuple)
    if not value:
        return "[]"
    if any(isinstance(one, Record) for one in value) and len(value) > 1:
        return "[\n" + "".join(f"    {_value(one, hint)},\n" for one in value) + "]"
    return f"[{', '.join(_value(one, hint) for one in value)}]"


def _inline(rows: Mapping[Any, str]) -> str:
    return "{ " + ", ".join(f"{_key(key)} = {text}" for key, text in rows.items()) + " }"
