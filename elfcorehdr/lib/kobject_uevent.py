"""uevents: what kobject_uevent_env() sends, lib/kobject_uevent.c."""

from __future__ import annotations

import errno
import re
from collections import deque
from collections.abc import Callable

from elfcorehdr.errors import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Log(Protocol):
        """Printk, which stands one floor above."""

        def err(self, text: str) -> None: ...
        def warning(self, text: str) -> None: ...


ACTIONS = ("add", "remove", "change", "move", "online", "offline", "bind", "unbind")
_UUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"  # compiled when first used


class Uevent:
    """One event: action, devpath (begins with a slash, no /sys), subsystem, further KEY=value pairs."""

    __slots__ = ("action", "devpath", "env", "seqnum", "subsystem")

    def __init__(
        self,
        action: str,
        devpath: str,
        subsystem: str,
        env: tuple[tuple[str, str], ...],
        seqnum: int,
    ) -> None:
        self.action = action
        self.devpath = devpath
        self.subsystem = subsystem
        self.env = env
        self.seqnum = seqnum

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
        self._keep = keep
        self.listeners: list[Callable[[Uevent], None]] = []
        self.base = 0
        """What a kernel that starts counts from: where the host numbers events, the host's count."""
        self.restart()

    def restart(self) -> None:
        """A kernel starts: no event yet; who listens still does."""
        self.seqnum = self.base
        self.kept: deque[Uevent] = deque(maxlen=self._keep)

    def send(
        self, action: str, devpath: str, subsystem: str, env: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """Broadcast one event; env holds what stands between SUBSYSTEM and SEQNUM, in order."""
        self.seqnum += 1
        event = Uevent(action, devpath, subsystem, env, self.seqnum)
        self.kept.append(event)
        for listener in self.listeners:
            listener(event)

    def synth(
        self,
        log: Log,
        devpath: str,
        subsystem: str,
        env: tuple[tuple[str, str], ...],
        buf: str,
        *,
        send: bool = True,
    ) -> None:
        """kobject_synth_uevent(): what is written to a device's uevent file, `ACTION [UUID [KEY=value ...]]`.

        KernelError(EINVAL) and two lines in the log for anything else. Without send it is parsed only.
        """
        words = buf.split("\0", 1)[0].removesuffix("\n").split(" ")
        driver = dict(env).get("DRIVER", subsystem)
        if words[0] not in ACTIONS:
            raise self._refused(log, devpath, driver, "unknown uevent action string")
        extra = [("SYNTH_UUID", "0")]
        if len(words) > 1:
            if not re.fullmatch(_UUID, words[1]):
                raise self._refused(log, devpath, driver, "incorrect uevent action arguments")
            extra = [("SYNTH_UUID", words[1])]
        for word in words[2:]:
            key, equals, value = word.partition("=")
            if not equals or not (key + value).isalnum():
                raise self._refused(log, devpath, driver, "incorrect uevent action arguments")
            extra.append((f"SYNTH_ARG_{key}", value))
        if send:
            self.send(words[0], devpath, subsystem, (*extra, *env))

    def _refused(self, log: Log, devpath: str, driver: str, why: str) -> KernelError:
        """driver: dev_driver_string(), the driver's name, else the bus's, else nothing."""
        log.warning(f"synth uevent: {devpath}: {why}")
        device = devpath.rpartition("/")[2]
        if driver != "bus":  # bus_uevent_store() adds no line of its own
            log.err(f"{driver} {device}: uevent: failed to send synthetic uevent: {-errno.EINVAL}")
        return KernelError(errno.EINVAL, why)
