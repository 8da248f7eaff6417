"""Work that may wait for somebody else (a file on a server that is slow, memory that such a file is mapped to), done aside.

By threads, because nothing ends such a wait: no signal, no time-out. Those that are given up wait on, and end with the
process; so that it can end, however it does, they have a table of descriptors of their own, with nothing of it inside.
"""

from __future__ import annotations

import _thread
import errno
import os
import time
from collections.abc import Callable

from elfcorehdr.errors import KernelError, suppress
from fsmount.host import mountns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    T = TypeVar("T")

_CLONE_FILES = 0x400

PATIENCE_S = 8.0
"""After so long whoever asked is told that there is no answer."""
STEP_S = 0.005
MOST = 32
"""So many may wait for ever; whoever asks then is told at once."""


class NoAnswer(KernelError):
    """It takes too long: EIO."""


class _Worker:
    """A thread that does one thing after another."""

    def __init__(self) -> None:
        self._go, self._done = _thread.allocate_lock(), _thread.allocate_lock()
        self._go.acquire()
        self._done.acquire()
        self._call: Callable[[], Any] = int
        self._value: Any = None
        self._raised: BaseException | None = None
        self._given_up = False
        self._awaited: _thread.LockType | None = None
        _thread.start_new_thread(self._run, ())

    def _run(self) -> None:
        # Who kills the process waits for what its descriptors hold, and for us only then.
        with suppress(mountns.RunError):
            mountns.unshare(_CLONE_FILES, "a table of descriptors")
            mountns.close_range(0, 0xFFFFFFFF)
        while True:
            self._go.acquire()
            if self._given_up:
                break
            try:
                self._value, self._raised = self._call(), None
            except BaseException as error:
                self._raised = error
            if self._given_up:
                break
            awaited = self._awaited
            self._done.release()
            if awaited is not None:
                awaited.release()
        _abandoned.remove(self)

    def begin(self, call: Callable[[], Any]) -> None:
        """Have it done."""
        self._call = call
        self._go.release()

    def ended(self, seconds: float) -> bool:
        """Whether it is done, by then at the latest; then result() is to be called."""
        return self._done.acquire(True, seconds) if seconds else self._done.acquire(False)

    def when_ended(self, wake: Callable[[], None]) -> None:
        """Have this called when it is done, or has taken PATIENCE_S."""
        awaited = self._awaited = _thread.allocate_lock()
        awaited.acquire()

        def wait() -> None:
            awaited.acquire(True, PATIENCE_S + STEP_S)
            wake()

        _thread.start_new_thread(wait, ())

    def result(self) -> Any:
        """What was returned or raised; the thread is free."""
        value, raised = self._value, self._raised
        self._value = self._raised = self._awaited = None
        self._call = int
        _idle.append(self)
        if raised is not None:
            raise raised
        return value

    def give_up(self) -> None:
        """Nobody waits for it any more: it ends when its call does."""
        _abandoned.append(self)
        self._given_up = True
        with suppress(RuntimeError):  # it has not even begun
            self._go.release()


_idle: list[_Worker] = []
_abandoned: list[_Worker] = []
os.register_at_fork(after_in_child=_idle.clear)  # threads stay behind


def _begun(call: Callable[[], Any]) -> _Worker:
    if len(_abandoned) >= MOST:
        raise NoAnswer(errno.EIO, f"{MOST} calls wait already for what does not answer")
    try:
        worker = _idle.pop()
    except IndexError:
        worker = _Worker()
    worker.begin(call)
    return worker


def aside(call: Callable[[], T], meanwhile: Callable[[], None]) -> T:
    """What call returns or raises, from a thread; meanwhile() is called again and again until then.

    NoAnswer if it takes longer than PATIENCE_S. call must touch nothing that meanwhile() does, and has no descriptor but
    those that it opens (by /proc/self/fd/N, too, where N is the process's).
    """
    worker = _begun(call)
    until = 0.0
    try:
        while not worker.ended(STEP_S):
            now = time.monotonic()
            until = until or now + PATIENCE_S
            if now >= until:
                raise NoAnswer(errno.EIO, f"no answer within {PATIENCE_S:g} s")
            meanwhile()
    except BaseException:
        worker.give_up()
        raise
    done: T = worker.result()
    return done


class NotYet(Exception):
    """It is not done yet; wake() will be called."""


class Asides:
    """What is done aside for somebody who asks again from the start when woken: what is done is kept till then."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._begun: dict[object, tuple[_Worker, float]] = {}
        self._done: dict[object, Any] = {}

    def get(self, key: object, call: Callable[[], T]) -> T:
        """What call, which is known by key, returned or raised. NotYet; NoAnswer after PATIENCE_S."""
        if key in self._done:
            kept: T = self._done[key]
            return kept
        found = self._begun.get(key)
        worker = found[0] if found is not None else _begun(call)
        if not worker.ended(0 if found is not None else STEP_S):
            now = time.monotonic()
            if found is None:
                self._begun[key] = worker, now
                worker.when_ended(self._wake)
                if not worker.ended(0):
                    raise NotYet
            elif now < found[1] + PATIENCE_S:
                raise NotYet
            else:
                del self._begun[key]
                worker.give_up()
                raise NoAnswer(errno.EIO, f"no answer within {PATIENCE_S:g} s")
        self._begun.pop(key, None)
        self._done[key] = value = worker.result()
        done: T = value
        return done

    def give_up(self) -> None:
        """Nobody asks any more."""
        for worker, _ in self._begun.values():
            worker.give_up()
        self._begun.clear()
