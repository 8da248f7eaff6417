"""Notifier chains, kernel/notifier.c: callbacks in order, any of which may veto."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from elfcorehdr.errors import KernelError
from elfcorehdr.lib.record import NamedTuple


class MemAction(Enum):
    """What a memory notifier is told, include/linux/memory.h."""

    GOING_ONLINE = "MEM_GOING_ONLINE"
    ONLINE = "MEM_ONLINE"
    CANCEL_ONLINE = "MEM_CANCEL_ONLINE"
    GOING_OFFLINE = "MEM_GOING_OFFLINE"
    OFFLINE = "MEM_OFFLINE"
    CANCEL_OFFLINE = "MEM_CANCEL_OFFLINE"


class MemoryNotify(NamedTuple):
    """struct memory_notify, in bytes: start..end of the block, both included."""

    start: int
    end: int


MemoryNotifier = Callable[[MemAction, MemoryNotify], None]
"""A callback; raising KernelError in a GOING_* phase vetoes the transition with that errno."""


class MemoryChain:
    """memory_chain of drivers/base/memory.c."""

    def __init__(self) -> None:
        self.notifiers: list[MemoryNotifier] = []

    def register(self, notifier: MemoryNotifier) -> None:
        """register_memory_notifier(): called last."""
        self.notifiers.append(notifier)

    def notify(self, action: MemAction, notify: MemoryNotify) -> None:
        """Call everyone in order; the first KernelError ends the walk and is passed on."""
        for notifier in self.notifiers:
            notifier(action, notify)


class NotifierErrorInject:
    """Errors to inject into the chain, lib/notifier-error-inject.c: debugfs `memory/actions/*/error`."""

    ACTIONS = (MemAction.GOING_ONLINE, MemAction.GOING_OFFLINE)
    MAX_ERRNO = 4095

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self.errors: dict[MemAction, int] = dict.fromkeys(self.ACTIONS, 0)

    def set(self, action: MemAction, value: int) -> None:
        """Inject value (0 or a negative errno; clamped to -4095..0) whenever action happens."""
        self.errors[action] = max(-self.MAX_ERRNO, min(0, value))

    def __call__(self, action: MemAction, notify: MemoryNotify) -> None:
        error = self.errors.get(action, 0)
        if error:
            self._log(f"Injecting error ({error}) to {action.value}")
            raise KernelError(-error, "injected")
