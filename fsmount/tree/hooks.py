"""What a module may have besides files: state that a reload keeps, and functions that events call.

state = State(hits=0)

def init(kernel): ...            # at boot, and at a reload
def exit(kernel): ...            # before a reload

@on_memory
def changed(kernel, action, notify): ...
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fsmount.tree.entries import numbered
from fsmount.tree.kobject import Kset, arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    T = TypeVar("T")
    Fn = TypeVar("Fn", bound=Callable[..., Any])

HOOK = "__kdumpfs_hook__"
"""Attribute of a function that an event calls: which event."""
MEMORY, CPU, KEXEC = "memory", "cpu", "kexec"
LIFE = ("init", "exit")
"""Functions that are called by their names."""


class State:
    """A module's variables: `state = State(hits=0)`, then `state.hits += 1`.

    A reload keeps the values of those that the edited file still names. Each machine that loads the
    module has its own.
    """

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"no {name!r} in State({', '.join(self.__dict__)})")

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__[name] = value

    def __repr__(self) -> str:
        return f"State({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"

    def carry(self, before: State) -> None:
        """Take over the values of the names that both have."""
        self.__dict__.update({n: v for n, v in before.__dict__.items() if n in self.__dict__})


def on_memory(method: Fn) -> Fn:
    """Decorator: `f(kernel, action: MemAction, notify: MemoryNotify)`, register_memory_notifier().

    Called for each block that goes on- or offline, behind the kernel's own notifiers. OSError in
    GOING_ONLINE or GOING_OFFLINE vetoes it with that errno.
    """
    return _hook(method, MEMORY, "(kernel, action, notify)")


def on_cpu(method: Fn) -> Fn:
    """Decorator: `f(kernel, cpu: int, online: bool)`, called when a CPU has started or is about to stop."""
    return _hook(method, CPU, "(kernel, cpu, online)")


def on_kexec(method: Fn) -> Fn:
    """Decorator: `f(kernel)`, called when an image was loaded or dropped, or an event changed its header."""
    return _hook(method, KEXEC, "(kernel)")


def _hook(method: Fn, event: str, expected: str) -> Fn:
    wanted = expected.count(",") + 1
    count = arguments(method)
    if count is not None and count != wanted:
        raise ValueError(
            f"{method.__name__} takes {count} argument(s), on_{event} expects {expected}"
        )
    setattr(method, HOOK, event)
    return method


def indexed(objects: Callable[[Any], Sequence[T]], prefix: str = "") -> Kset[T]:
    """A set of objects by number: objects(kernel)[n] has the directory `<prefix>n`, from 0.

    objects is called at each look-up: keep what is dear to make. Where their number changes,
    `kernel.names_changed()` has to be called (see on_memory, on_cpu, on_kexec).
    """

    def lookup(kernel: Any, name: str) -> T | None:
        number = numbered(prefix, name)
        if number is None:
            return None
        found = objects(kernel)
        return found[number] if number < len(found) else None

    return Kset(
        names=lambda kernel: (f"{prefix}{n}" for n in range(len(objects(kernel)))),
        lookup=lookup,
        count=lambda kernel: len(objects(kernel)),
    )
