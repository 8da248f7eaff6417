"""uevents: what kobject_uevent_env() sends, lib/kobject_uevent.c. Imports nothing of ours."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Uevent:
    """One event: action, devpath (begins with a slash, no /sys), subsystem, further KEY=value pairs."""

    action: str
    devpath: str
    subsystem: str
    env: tuple[tuple[str, str], ...]
    seqnum: int

    def __str__(self) -> str:
        return f"{self.action}@{self.devpath}"

    def payload(self, *, seqnum: bool = True) -> bytes:
        """The netlink text: header, then NUL-ended ACTION, DEVPATH, SUBSYSTEM, env, SEQNUM.

        Without seqnum the last is left to the host's kernel, which appends its own.
        """
        lines = [str(self), f"ACTION={self.action}", f"DEVPATH={self.devpath}"]
        lines.append(f"SUBSYSTEM={self.subsystem}")
        lines += [f"{key}={value}" for key, value in self.env]
        if seqnum:
            lines.append(f"SEQNUM={self.seqnum}")
        return b"".join(line.encode() + b"\0" for line in lines)


class UeventQueue:
    """Numbers events (SEQNUM, +1 each), keeps the last ones, and hands each to the listeners."""

    def __init__(self, keep: int = 4096) -> None:
        self.seqnum = 0
        self.kept: deque[Uevent] = deque(maxlen=keep)
        self.listeners: list[Callable[[Uevent], None]] = []

    def send(
        self, action: str, devpath: str, subsystem: str, env: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """Broadcast one event; env holds what stands between SUBSYSTEM and SEQNUM, in order."""
        self.seqnum += 1
        event = Uevent(action, devpath, subsystem, env, self.seqnum)
        self.kept.append(event)
        for listener in self.listeners:
            listener(event)
