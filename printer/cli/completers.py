"""Completers: which words may stand where one is begun, as click asks for them with `shell_complete`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    import click
    from click.shell_completion import CompletionItem

    Items = list[CompletionItem[Any]]
    Completer = Callable[[click.Context, click.Parameter, str], Items]


def items(values: Iterable[str], *, file: str | None = None) -> Items:
    """These words, and what the shell finds for a file that begins so."""
    from click.shell_completion import CompletionItem

    found = [CompletionItem(value) for value in values]
    return found if file is None else [*found, CompletionItem(file, type="file")]


def words(names: Callable[[], Iterable[str]], *, files: bool = False) -> Completer:
    """One of these words; files: or a file."""

    def complete(_ctx: click.Context, _param: click.Parameter, begun: str) -> Items:
        found = [name for name in names() if name.startswith(begun)]
        return items(found, file=begun if files else None)

    return complete


def listed(names: Callable[[], Iterable[str]]) -> Completer:
    """Some of these words, with commas between."""

    def complete(_ctx: click.Context, _param: click.Parameter, begun: str) -> Items:
        done, comma, last = begun.rpartition(",")
        return items(done + comma + name for name in names() if name.startswith(last))

    return complete


def path(kind: str) -> Completer:
    """A path: `file` for any, `dir` for a directory."""

    def complete(_ctx: click.Context, _param: click.Parameter, begun: str) -> Items:
        from click.shell_completion import CompletionItem

        return [CompletionItem(begun, type=kind)]

    return complete


def steps(names: Callable[[], Iterable[str]]) -> Completer:
    """One of these paths, a name at a time."""

    def complete(_ctx: click.Context, _param: click.Parameter, begun: str) -> Items:
        found: dict[str, None] = {}
        for name in names():
            if name.startswith(begun):
                head, slash, _ = name[len(begun) :].partition("/")
                found[begun + head + slash] = None
        return items(found)

    return complete
