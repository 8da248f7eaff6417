"""Files that answer with what no file may: every kind of wrong answer a show, store or File can give."""

from __future__ import annotations

import errno
from collections.abc import Callable
from itertools import repeat
from typing import Any

from elfcorehdr.errors import KernelError
from fsmount.tree.kobject import AttributeGroup, Kset, Link, Subtree, singleton


class Fatal(BaseException):
    """What no `except Exception` catches."""


class Mute(Exception):
    """One whose own text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


class Blank(KernelError):
    """A KernelError without an errno."""

    def __init__(self) -> None:
        pass


class Nameless(type):
    """Whose classes do not say what they are called."""

    @property
    def __name__(cls) -> str:
        raise SystemExit


class Silent(Exception, metaclass=Nameless):
    """One that says nothing of itself at all."""

    @property
    def __traceback__(self) -> Any:
        raise SystemExit

    def __str__(self) -> str:
        raise SystemExit

    __repr__ = __str__


class Uncounted(int):
    """A number that cannot be compared."""

    def __gt__(self, other: object) -> bool:
        raise SystemExit


def noted(notes: Any) -> Exception:
    error = ValueError("x")
    error.__notes__ = notes
    return error


def raising(error: BaseException) -> Callable[..., Any]:
    def method(*_: object) -> Any:
        raise error

    return method


def deep(*_: object) -> Any:
    return deep()


EIO, UNNAMED = errno.EIO, 511
RAISED: dict[str, tuple[BaseException, int]] = {
    "einval": (KernelError(errno.EINVAL), errno.EINVAL),
    "eagain": (KernelError(errno.EAGAIN), errno.EAGAIN),
    "errno511": (KernelError(511), 511),
    # More than the protocol has room for, as of a kernel's own: no error has a name there.
    "errno512": (KernelError(512), UNNAMED),
    "errno4095": (KernelError(4095), UNNAMED),
    "errno4096": (KernelError(4096), EIO),
    "errno0": (KernelError(0), EIO),
    "negative": (KernelError(-errno.EINVAL), EIO),
    "huge": (KernelError(1 << 70), EIO),
    "word": (KernelError("EINVAL"), EIO),  # type: ignore[arg-type]
    "none": (KernelError(None), EIO),  # type: ignore[arg-type]
    "fraction": (KernelError(22.5), EIO),  # type: ignore[arg-type]
    "blank": (Blank(), EIO),
    "reason": (KernelError(errno.EINVAL, Mute()), EIO),  # type: ignore[arg-type]
    "exit": (SystemExit(3), EIO),
    "interrupt": (KeyboardInterrupt(), EIO),
    "generator": (GeneratorExit(), EIO),
    "fatal": (Fatal(), EIO),
    "stop": (StopIteration(), EIO),
    "memory": (MemoryError(), EIO),
    "oserror": (FileNotFoundError(errno.ENOENT, "no"), EIO),
    "mute": (Mute(), EIO),
    "long": (ValueError("x" * 1_000_000), EIO),
    "lines": (ValueError("x\n" * 10_000), EIO),
    "surrogate": (ValueError("\ud800"), EIO),
    "silent": (Silent(), EIO),
    "uncounted": (KernelError(Uncounted(5)), EIO),
    "notes": (noted(5), EIO),
    # What a traceback cannot be made of: a place that is none.
    "nowhere": (SyntaxError("x", ("f", -5, 1 << 70, b"zz")), EIO),  # type: ignore[arg-type]
}
"""By name of the file: what its show and store raise, and the errno of that call."""

SHOWN: dict[str, Any] = {
    "number": 5,
    "nothing": None,
    "list": [5],
    "pieces": iter([5]),
    "surrogate": "\ud800",
}
"""What show returns instead of text."""


class Odd:
    """A File with one method that answers wrongly; the others are as they should be."""

    def __init__(self, method: str, answer: Any) -> None:
        self._method, self._answer = method, answer

    def _given(self, method: str, right: Any) -> Any:
        if method != self._method:
            return right
        return self._answer() if callable(self._answer) else self._answer

    def read(self, size: int, offset: int, flags: int = 0) -> bytes:
        return self._given("read", b"" if offset else b"text\n")

    def write(self, buf: bytes, offset: int, flags: int = 0) -> int:
        return self._given("write", len(buf))

    def seek(self, offset: int, whence: int) -> int:
        return self._given("seek", 0)

    def poll(self) -> int:
        return self._given("poll", 1)

    def close(self) -> None:
        self._given("close", None)


FILES: dict[str, tuple[str, Any]] = {
    "read_number": ("read", 1 << 33),
    "read_text": ("read", "text"),
    "read_nothing": ("read", None),
    "read_much": ("read", b"x" * 1_000_000),
    "read_again": ("read", raising(KernelError(errno.EAGAIN))),
    "write_nothing": ("write", None),
    "write_negative": ("write", -5),
    "write_more": ("write", 1000),
    "write_text": ("write", "3"),
    "seek_negative": ("seek", -1),
    "seek_text": ("seek", "0"),
    "poll_text": ("poll", "in"),
    "poll_huge": ("poll", 1 << 40),
    "poll_raises": ("poll", raising(SystemExit())),
    "close_raises": ("close", raising(SystemExit())),
}
"""Files with operations of their own: which method, what it answers."""

raised = AttributeGroup("raised", singleton)
for name, (error, _) in RAISED.items():
    raised.add(name, show=raising(error), store=raising(error))
raised.add("deep", show=deep, store=deep)

shown = AttributeGroup("shown", singleton)
for name, value in SHOWN.items():
    shown.add(name, show=lambda *_, value=value: value)
shown.add("returns", show=lambda _: "", store=lambda *_: 7)
shown.add("endless", show=lambda _: repeat(b"x" * 4096))
shown.add("endless_bytes", show=lambda _: repeat(b"x" * 4096), binary=True, size=0)
shown.add("bytes", show=lambda _: "text", binary=True, size=lambda _: "five")

odd = AttributeGroup("odd", singleton)
for name, (method, answer) in FILES.items():
    odd.add(name, open=lambda *_, method=method, answer=answer: Odd(method, answer), mode=0o644)
odd.add("open_raises", open=raising(SystemExit()), mode=0o644)
odd.add("open_nothing", open=lambda *_: None, mode=0o644)


def names_of(*names: object) -> Kset[Any]:
    return Kset(names=lambda _: iter(names), lookup=lambda _, name: name, count=lambda _: 1)


unseen = AttributeGroup("raised", singleton, is_visible=raising(SystemExit()))
unseen.add("unseen", show=lambda _: "")

DECLARATIONS = (
    raised,
    shown,
    odd,
    unseen,
    Link("links/number", singleton, lambda _: 5),
    Link("links/raises", singleton, raising(SystemExit())),
    AttributeGroup("names/slash/*", names_of("a/b")),
    AttributeGroup("names/long/*", names_of("x" * 256)),
    AttributeGroup("names/numbers/*", names_of(1, 2)),
    AttributeGroup("names/raises/*", Kset(names=raising(Fatal()), lookup=raising(Fatal()), count=len)),
    Subtree("subtree", singleton, lambda _: {"number": 5, "text": "text"}),
    Subtree("names/nosubtree", singleton, raising(SystemExit())),
)  # fmt: skip
