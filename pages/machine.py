"""docs/machine.md: the keys of a machine's file, of the records that read it."""

from __future__ import annotations

import ast
import inspect
import re
from typing import Any, NamedTuple

from elfcorehdr import machine as records
from elfcorehdr.lib.record import Record, RecordType, fields_of, required
from elfcorehdr.machine.facts import FACTS
from elfcorehdr.machine.sizes import size_text
from pages.markdown import GENERATED, one_line, table

_WHERE = re.compile(r"((?:(?:ppc64|x86_64|arm64|riscv64|pseries|powernv)(?:, | and )?)+): ")


class Key(NamedTuple):
    """One key of a machine's file."""

    name: str
    type: str
    default: str
    where: str
    text: str


class Table(NamedTuple):
    """The keys of one table."""

    name: str
    text: str
    keys: list[Key]


def tables() -> list[Table]:
    """Machine, then what it is made of, in the order in which its keys need them."""
    texts = _texts()
    todo: list[RecordType] = [records.Machine]
    for record in todo:
        for hint in record.__annotations__.values():
            made = getattr(records, _inner(hint), None)
            if isinstance(made, RecordType) and made not in todo:
                todo.append(made)
    return [
        Table(
            record.__name__,
            one_line(record.__doc__ or ""),
            [_key_of(record, name, hint, texts) for name, hint in record.__annotations__.items()],
        )
        for record in todo
    ]


def _texts() -> dict[tuple[str, str], str]:
    """The text below each annotated name of the records."""
    found = {}
    for cls in ast.parse(inspect.getsource(records)).body:
        if isinstance(cls, ast.ClassDef):
            for field, after in zip(cls.body, cls.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr):
                    assert isinstance(field.target, ast.Name)
                    found[cls.name, field.target.id] = one_line(ast.literal_eval(after.value))
    return found


def _inner(hint: str) -> str:
    """What a list or an optional value is made of."""
    return hint.removeprefix("tuple[").removesuffix(", ...]").removesuffix(" | None")


def _key_of(record: RecordType, name: str, hint: str, texts: dict[tuple[str, str], str]) -> Key:
    text = texts.get((record.__name__, name), "")
    where = _WHERE.match(text)
    if where:
        text = text[where.end() :]
        text = text[:1].upper() + text[1:]
    if name in required(record):
        default = "must be given"
    elif record is records.Machine and name in ("page_size", "memory_block_size"):
        default = "the architecture's"
    else:
        default = _default(record._defaults[name], "Bytes" in hint)
    return Key(name, _type(hint), default, where[1] if where else "all", text)


_TYPES = {"int": "number", "Bytes": "bytes", "bool": "true or false", "str": "text"}


def _type(hint: str) -> str:
    if hint.startswith("Mapping["):
        key, of = hint.removeprefix("Mapping[").removesuffix("]").split(", ")
        return f"table: {'CPU number' if key == 'int' else 'name'} to {_TYPES[of]}"
    one = _inner(hint)
    what = _TYPES.get(one, one)
    if hint.startswith("tuple["):
        return f"list of {what}s" if one in _TYPES else f"list of {what}"
    return what


def _default(value: Any, size: bool) -> str:
    if value is None or value == "" or (not isinstance(value, int | Record) and not value):
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Record):
        return "the defaults of its keys" if fields_of(value) else "none"
    return size_text(value) if size else str(value)


def bounds() -> tuple[list[str], list[list[str]]]:
    """What each architecture allows: head and rows."""
    head = ["", *FACTS]
    rows = [
        ["platform", *(", ".join(f.platforms) for f in FACTS.values())],
        ["page_size", *(", ".join(map(size_text, f.page_sizes)) for f in FACTS.values())],
        ["memory_block_size, not given", *(size_text(f.block) for f in FACTS.values())],
        [
            "memory_block_size",
            *(
                f"{size_text(f.block_min)} to {size_text(f.block_max)}"
                if f.block_min < f.block_max
                else size_text(f.block_min)
                for f in FACTS.values()
            ),
        ],
        ["… with 64K pages", *(size_text(f.block_64k) if f.block_64k else "" for f in FACTS.values())],
        ["nr_cpus, not given", *(str(f.nr_cpus) for f in FACTS.values())],
        ["nr_cpus, at most", *(str(f.nr_cpus_max) for f in FACTS.values())],
        ["nodes, at most", *(str(f.nodes) for f in FACTS.values())],
        ["threads, at most", *(str(f.threads) for f in FACTS.values())],
        ["addresses", *(f"below 2^{f.physmem_bits}" for f in FACTS.values())],
    ]  # fmt: skip
    return head, rows


MACHINE_LEAD = (
    "A machine's file is TOML: `kdumpfs machines pc-2g > mine.toml` gives one to change, `kdumpfs mount -m mine.toml DIR` "
    "boots it. The keys of Machine stand at the top of the file, those of another table under its key: `[cpus]`, "
    "`[[memory]]`, or in line as `rtas = { start = 0x2fff0000, size = 0x85c }`.",
    '`bytes` is a number of bytes or an address: a number (`0x10000`) or a text with a unit of 1024 (`"16G"`, `"256MiB"`). '
    "What is not given is computed as a kernel computes it, or is the default. A file that describes no machine that could be "
    "is refused with all that is wrong in it.",
)


MACHINE_EXAMPLE = """\
name = "small"
source = "an example: the numbers of no machine"
arch = "x86_64"
cmdline = "console=ttyS0 crashkernel=256M"
memory = [{ start = 0x1000, size = 0x9f000 }, { start = "1M", size = "2047M" }]

[cpus]
possible = "0-7"
present = "0-3"
"""
"""The smallest that one would want; both pages have it, and a test boots it."""


def machine_page() -> str:
    """docs/machine.md."""
    parts = [GENERATED, "# Machine files\n\n", *(f"{text}\n\n" for text in MACHINE_LEAD)]
    parts += [
        f"```toml\n# small.toml\n{MACHINE_EXAMPLE}```\n\n",
        "```sh\nkdumpfs run -m small.toml --load -- lsmem\n```\n\n",
    ]
    for one in tables():
        parts.append(f"## {one.name}\n\n{one.text}\n\n")
        head = ["key", "type", "default", "where", "what"]
        rows = [[f"`{k.name}`", k.type, k.default, k.where, k.text] for k in one.keys]
        parts += [*table(head, rows), "\n"]
    parts.append("## What an architecture allows\n\n")
    parts += table(*bounds())
    return "".join(parts)
