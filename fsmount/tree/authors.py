"""Between a user's functions and the tree: what they get wrong is said with file, line and what was expected.

Each function of a module is called through a guard. OSError and KernelError are errnos; anything
else is told to the module's author, cut to the author's own file, and the caller gets EIO.
"""

from __future__ import annotations

import builtins
import errno
import linecache
import os
import time
from collections.abc import Callable, Iterable, Iterator
from types import CodeType

from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.printk import KERN_ERR, KERN_INFO, KERN_WARNING
from elfcorehdr.lib.record import replace
from fsmount.tree.boundary import Ended, traceback_of, type_name
from fsmount.tree.journal import Journal
from fsmount.tree.kobject import (
    Attribute,
    AttributeGroup,
    Declaration,
    Filesystem,
    Kset,
    Link,
    Subtree,
    singleton,
    wants_caller,
)
from fsmount.tree.watch import Stuck, Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from traceback import TracebackException
    from typing import Any

_MAX_ERRNO = 4095
"""include/linux/err.h"""


INTERVAL_S, BURST = 5.0, 10
"""The same sentence is told so often in so many seconds: DEFAULT_RATELIMIT_*, include/linux/ratelimit_types.h."""
MOST = 256 << 20
"""Bytes that a show may yield."""
LINES, COLUMNS = 60, 400
"""How much of a traceback is told: a recursion's has no end, nor has an exception's own text."""


class Wrong(Exception):
    """A function that did its work returned what it may not: the sentence says what was expected."""


class Author:
    """The guards of one module; path is its file as the user named it."""

    def __init__(self, path: str, journal: Journal) -> None:
        self.path = path
        self._name = os.path.basename(path).removesuffix(".py")
        self._directory = os.path.dirname(os.path.abspath(path))
        self._journal = journal
        self._told: dict[str, tuple[float, int]] = {}
        self._sets: dict[int, Kset[Any]] = {id(singleton): singleton}

    def print(self, *values: object, **how: Any) -> None:
        """print() of a module: into the log, each line with the module's name, as pr_fmt() has it."""
        if how.get("file") is not None:
            builtins.print(*values, **how)  # noqa: T201
            return
        text = str(how.get("sep", " ")).join(map(str, values))
        self._journal.say(
            "\n".join(f"{self._name}: {line}" for line in text.splitlines() or [""]), KERN_INFO
        )

    # Declarations

    def guarded(self, declaration: Declaration) -> Declaration:
        """The declaration with a guard around each of its functions."""
        kset = self._kset(declaration.kset)
        seen = self._visible(declaration.is_visible)
        if isinstance(declaration, Link):
            target = declaration.target
            if callable(target):
                target = self.guard(target, 1, self._str)
            made: Declaration = Link(
                declaration.path,
                kset,
                target,
                is_visible=seen,
                fs=declaration.fs,
                doc=declaration.doc,
            )
        elif isinstance(declaration, Subtree):
            made = Subtree(
                declaration.path,
                kset,
                self.guard(declaration.contents, 1, lambda found: found),
                is_visible=seen,
                fs=declaration.fs,
                doc=declaration.doc,
            )
        else:
            made = AttributeGroup(
                declaration.path, kset, is_visible=seen, fs=declaration.fs, doc=declaration.doc
            )
            made.overrides = True
            made.attributes = {
                name: [self._attribute(one, declaration.fs) for one in alternatives]
                for name, alternatives in declaration.attributes.items()
            }
        return made

    def _attribute(self, attr: Attribute[Any], fs: Filesystem) -> Attribute[Any]:
        show, store, size = attr.show, attr.store, attr.size
        check = self._bytes if attr.binary else self._text
        return replace(
            attr,
            show=show and self.guard(show, 1, check),
            store=store and self.guard(store, 2, self._nothing),
            open=attr.open and self.guard(attr.open, 3, lambda file: file),
            size=self._or(size, 0) if callable(size) else size,
            is_visible=self._visible(attr.is_visible),
        )

    def _visible(self, is_visible: Callable[..., bool] | None) -> Callable[..., bool] | None:
        return None if is_visible is None else self._or(is_visible, False)

    def _kset(self, kset: Kset[Any]) -> Kset[Any]:
        """The set with guards, if its functions are the module's own; the kernel's sets stay as they are."""
        if id(kset) not in self._sets:
            own = any(self._is_own(f) for f in (kset.names, kset.lookup, kset.count))
            parent = kset.parent and self._kset(kset.parent)
            if own or parent is not kset.parent:
                kset_ = Kset(
                    names=self._iterating(kset.names),
                    lookup=self._or(kset.lookup, None),
                    count=self._or(kset.count, 0),
                    parent=parent,
                    identity=kset.identity and self._or(kset.identity, None),
                )
            else:
                kset_ = kset
            self._sets[id(kset)] = kset_
        return self._sets[id(kset)]

    def _is_own(self, method: Callable[..., Any]) -> bool:
        code = getattr(method, "__code__", None)
        return isinstance(code, CodeType) and code.co_filename == self.path

    # Guards

    def guard(
        self, method: Callable[..., Any], least: int, check: Callable[[Any], Any]
    ) -> Callable[..., Any]:
        """The method, with as many arguments; check() gets what it returns and raises Wrong.

        KernelError: what the method refuses, EIO for what it does wrong.
        """
        run = self.run
        guarded: Callable[..., Any]
        if least == 1 and wants_caller(method, 1):
            guarded = lambda obj, caller: run(method, check, obj, caller)  # noqa: E731
        elif least == 1:
            guarded = lambda obj: run(method, check, obj)  # noqa: E731
        elif least == 2 and wants_caller(method, 2):
            guarded = lambda obj, buf, caller: run(method, check, obj, buf, caller)  # noqa: E731
        elif least == 2:
            guarded = lambda obj, buf: run(method, check, obj, buf)  # noqa: E731
        else:
            guarded = lambda *given: run(method, check, *given)  # noqa: E731
        guarded.__name__ = name_of(method)
        guarded.__doc__ = method.__doc__
        return guarded

    def run(self, method: Callable[..., Any], check: Callable[[Any], Any], *given: Any) -> Any:
        """Call the method as guard() promises."""
        with Watch(lambda words: self._slow(method, words), self.path):
            try:
                return check(method(*given))
            except KernelError as refused:
                if refused.errno != self._errno(refused.errno, refused):
                    raise KernelError(errno.EIO) from None
                raise
            except OSError as refused:
                if refused.filename is not None:  # nobody raises that on purpose
                    self.report(method, refused)
                raise self._refusal(refused) from None
            except (Exception, SystemExit, Stuck) as bug:
                self.report(method, bug)
                raise KernelError(errno.EIO) from None

    def _refusal(self, refused: OSError) -> KernelError:
        """OSError(errno.EBUSY) or OSError(errno.EBUSY, text): Python knows the errno of the second only."""
        number = refused.errno if refused.errno is not None else (*refused.args, None)[0]
        reason = refused.strerror if refused.errno is not None else ""
        return KernelError(self._errno(number, refused), reason or "")

    def _errno(self, number: object, error: Exception) -> int:
        if isinstance(number, int) and 0 < number <= _MAX_ERRNO:
            return number
        self._say(
            f"{self._line(error)}{type_name(error)}({_repr(number)}), expected a positive errno, "
            "such as OSError(errno.EINVAL)"
        )
        return errno.EIO

    def _or(self, method: Callable[..., Any], otherwise: Any) -> Callable[..., Any]:
        """The method; what it raises is told, and the answer is another."""

        def guarded(*given: Any) -> Any:
            try:
                return self.run(method, lambda result: result, *given)
            except KernelError:
                return otherwise

        guarded.__name__ = name_of(method)
        return guarded

    def _iterating(self, method: Callable[..., Iterable[Any]]) -> Callable[..., Iterator[Any]]:
        """A function whose result is walked: the walk ends where it raises."""

        def guarded(*given: Any) -> Iterator[Any]:
            try:
                yield from method(*given)
            except Exception as bug:
                self.report(method, bug)

        return guarded

    # What a function may return

    def _text(self, shown: object) -> bytes:
        if isinstance(shown, bytes):
            return shown
        if isinstance(shown, str):
            try:
                return shown.encode(errors="surrogateescape")
            except UnicodeEncodeError:
                raise Wrong(f"returned {_short(shown)}, expected text that UTF-8 has") from None
        if isinstance(shown, Iterator):
            return self._pieces(shown)
        raise Wrong(f'returned {_short(shown)}, expected str, such as f"{{value}}\\n"')

    def _pieces(self, shown: Iterator[Any]) -> bytes:
        content = bytearray()
        for piece in shown:
            if not isinstance(piece, str | bytes):
                raise TypeError(f"a piece is {_short(piece)}, expected str or bytes")
            content += piece if isinstance(piece, bytes) else piece.encode(errors="surrogateescape")
            if len(content) > MOST:
                raise Wrong(f"has yielded more than {MOST >> 20} MiB, expected an end")
        return bytes(content)

    def _bytes(self, shown: object) -> bytes:
        if isinstance(shown, bytes | bytearray | memoryview):
            return bytes(shown)
        raise Wrong(f"returned {_short(shown)}, expected bytes: it is a binary attribute")

    def _nothing(self, result: object) -> None:
        if result is not None:
            raise Wrong(
                f"returned {_short(result)}, expected nothing: what a store returns from it has taken, and "
                "`raise OSError(errno.EINVAL)` refuses"
            )

    def _str(self, result: object) -> str:
        if isinstance(result, str):
            return result
        raise Wrong(f"returned {_short(result)}, expected the path of what the link points to")

    # What is said

    def report(self, method: Callable[..., Any] | None, bug: BaseException) -> None:
        """Tell the author of a bug: the sentence, then the traceback cut to the author's file."""
        if isinstance(bug, Wrong):
            self._say(f"{defined_at(method)}{name_of(method)} {bug}")
            return

        def cut(told: TracebackException) -> None:
            own = [n for n, frame in enumerate(told.stack) if self._is_his(frame.filename)]
            told.stack[:] = told.stack[own[0] : own[-1] + 1] if own else told.stack[-1:]
            told.__cause__ = told.__context__ = None

        what = f"in {name_of(method)}: " if method is not None else ""
        told_lines = traceback_of(bug, cut)
        if len(told_lines) > LINES:
            told_lines = [*told_lines[: LINES - 1], "...", told_lines[-1]]
        text = "\n".join(line[:COLUMNS] for line in told_lines)
        # The last line, as traceback has it: str() of an exception may itself raise.
        self._say(f"{self._line(bug)}{what}{told_lines[-1][:COLUMNS]}\n{text}")

    def _slow(self, method: Callable[..., Any], words: str) -> None:
        self._say(
            f"{defined_at(method)}{name_of(method)} {words}; nobody else was answered meanwhile",
            KERN_WARNING,
        )

    def _say(self, text: str, level: int = KERN_ERR) -> None:
        """A sentence and what is below it; not the same too often: ___ratelimit(), lib/ratelimit.c."""
        key, now = text.partition("\n")[0], time.monotonic()
        since, count = self._told.get(key, (now, 0))
        if now - since > INTERVAL_S:
            if count > BURST:
                self._journal.say(f"{self.path}: {count - BURST} more of these: {key}", level)
            since, count = now, 0
        self._told[key] = since, count + 1
        if count < BURST:
            self._journal.say(f"{self.path}: {text}", level)

    def _is_his(self, file: str) -> bool:
        """The module's file, or another in its directory."""
        return file == self.path or os.path.dirname(os.path.abspath(file)) == self._directory

    def _line(self, error: BaseException) -> str:
        number = line_in(self.path, error)
        return f"line {number}: " if number else ""


def name_of(method: Callable[..., Any] | None) -> str:
    """What a function is called."""
    return str(getattr(method, "__name__", "a function"))


def defined_at(method: object) -> str:
    """`line N: `, that of a function's `def`, behind its decorators."""
    code = getattr(method, "__code__", None)
    if not isinstance(code, CodeType):
        return ""
    line = code.co_firstlineno
    while (text := linecache.getline(code.co_filename, line).lstrip()) and text[0] in "@#":
        line += 1
    return f"line {line}: "


def line_in(path: str, error: BaseException) -> int:
    """The last line of a file on the way to an error; 0 if it was not on it."""
    line, at = 0, BaseException.__dict__["__traceback__"].__get__(error)
    while at is not None:
        if at.tb_frame.f_code.co_filename == path:
            line = at.tb_lineno
        at = at.tb_next
    return line


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Ended:
        raise
    except BaseException:
        return "something"


def _short(value: object) -> str:
    text = _repr(value)
    return f"{text if len(text) <= 40 else text[:37] + '...'} ({type_name(value)})"
