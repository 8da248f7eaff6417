"""A function of a module as the inside of its C twin: its text as a comment, its format string, its errnos."""

from __future__ import annotations

import ast
import inspect
import linecache
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

_SPEC = re.compile(r"(#?)(0?)(\d*)([dxXo]?)")
_TEXT = ("name", "value", "text", "str", "strip", "join", "upper", "lower")
"""A value whose last name ends so is text, not a number."""


class Body:
    """What is known of a Python function."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self.name = str(getattr(method, "__name__", "show"))
        self.tree = _tree(method)
        self.source = _source(self.tree)

    def comment(self) -> list[str]:
        """The function's own lines as a C comment, indented by a tab; nothing where there is no text."""
        if not self.source:
            return []
        safe = [line.replace("*/", "* /") for line in self.source]
        if len(safe) == 1:
            return [f"\t/* {safe[0]} */"]
        return ["\t/*", *(f"\t * {line}".rstrip() for line in safe), "\t */"]

    def errnos(self) -> list[str]:
        """The errnos that it raises: EBUSY, ..., in order."""
        found: list[str] = []
        for node in ast.walk(self.tree) if self.tree else ():
            if isinstance(node, ast.Raise) and node.exc is not None:
                for name in re.findall(r"errno\.(E[A-Z0-9]+)", ast.unparse(node.exc)):
                    if name not in found:
                        found.append(name)
        return found

    def refusals(self) -> list[str]:
        """A C comment line for each errno."""
        return [f"\t/* return -{name} where the proposal raises it */" for name in self.errnos()]

    def formatted(self) -> tuple[str, list[str]]:
        """A printf format and a placeholder for each of its values, from the f-string that it returns."""
        for node in ast.walk(self.tree) if self.tree else ():
            if isinstance(node, ast.Return | ast.Yield) and node.value is not None:
                found = _format(node.value)
                if found is not None:
                    return found
        return "%s\\n", ['""']


def _tree(method: Callable[..., Any]) -> ast.FunctionDef | ast.Lambda | None:
    """Its syntax; None where there is no text for it."""
    code = getattr(method, "__code__", None)
    if code is None:
        return None
    lines = linecache.getlines(code.co_filename)
    try:
        block = inspect.getblock(lines[code.co_firstlineno - 1 :])
        parsed = ast.parse(textwrap.dedent("".join(block)))
    except (SyntaxError, IndexError):
        return None
    for node in ast.walk(parsed):
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            return node
    return None


def _source(tree: ast.FunctionDef | ast.Lambda | None) -> list[str]:
    if tree is None:
        return []
    if isinstance(tree, ast.Lambda):
        return [f"return {ast.unparse(tree.body)}"]
    body = tree.body
    if ast.get_docstring(tree) is not None:
        body = body[1:]
    return [line for node in body for line in ast.unparse(node).splitlines()]


def _format(value: ast.expr) -> tuple[str, list[str]] | None:
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return (_escaped(value.value), []) if value.value else ("%s", ['""'])  # gcc: zero length
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
        parts = [_format(value.left), _format(value.right)]
        text = "".join(part[0] if part else "%s" for part in parts)
        return text, [one for part in parts for one in (part[1] if part else ['""'])]
    if not isinstance(value, ast.JoinedStr):
        return None
    text, values = "", []
    for piece in value.values:
        if isinstance(piece, ast.Constant):
            text += _escaped(str(piece.value))
        elif isinstance(piece, ast.FormattedValue):
            code, placeholder = _conversion(piece)
            text += code
            values.append(f"{placeholder} /* {ast.unparse(piece.value).replace('*/', '* /')} */")
    return text, values


def _conversion(piece: ast.FormattedValue) -> tuple[str, str]:
    spec = ast.unparse(piece.format_spec)[2:-1] if piece.format_spec is not None else ""
    found = _SPEC.fullmatch(spec)
    value = piece.value
    last = ast.unparse(value.func if isinstance(value, ast.Call) else value).rpartition(".")[2]
    if (
        found is None
        or piece.conversion >= 0
        or isinstance(value, ast.Constant)
        or (not spec and last.endswith(_TEXT))
    ):
        return "%s", '""'
    kind = {"x": "llx", "X": "llX", "o": "llo"}.get(found[4], "llu")
    return f"%{found[1]}{found[2]}{found[3]}{kind}", "0ULL"


def _escaped(text: str) -> str:
    return (
        text.replace("\\", "\\\\")
        .replace("%", "%%")
        .replace('"', '\\"')
        .replace("\n", "\\n")
        .replace("\t", "\\t")
    )


def call(name: str, first: str, body: Body) -> Iterator[str]:
    """`name(first, FORMAT, VALUES...);`, one value a line."""
    text, values = body.formatted()
    lines = [f'\t{name}({first}, "{text}"', *(f"\t\t{value}" for value in values)]
    yield ",\n".join(lines) + ");"
