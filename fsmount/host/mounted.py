"""What runs in a mounted tree, read through its files: state, log, uevents."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from elfcorehdr.errors import ProfileError
from fsmount.host import mountns
from fsmount.host.asking import GLANCE_S, NoAnswer, answered, server_of, silent, stat_answered
from fsmount.host.mounting import top_mount

POLL_S = 0.1
"""How often it is looked whether there are new uevents."""


def mounted() -> list[str]:
    """Where a kdumpfs is mounted, in the order of the mount table."""
    found = mountns.mounts(mountns.table())
    return [m.point for m in found if m.fstype == mountns.FSTYPE and m.root == "/"]


def state_of(directory: str) -> str:
    """One line about the machine in a mounted tree; never waits for a server that does not answer."""
    mount = top_mount(directory)
    try:
        return answered(lambda: _state_of(directory), GLANCE_S)
    except NoAnswer:
        return str(silent(directory, server_of(mount.device) if mount is not None else None))


def _state_of(directory: str) -> str:
    import json

    control = Path(directory, "control")
    try:
        machine = json.loads((control / "machine").read_text("utf-8"))
        modules = (control / "modules").read_text("utf-8").split("\n")[:-1]
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            return f"{directory}: its server has died; `kdumpfs umount {directory}` clears it"
        return f"{directory}: {error.strerror}; expected a mounted kdumpfs"
    if machine.get("panic"):
        loaded = f"dead: Kernel panic - not syncing: {machine['panic']}"
    elif machine.get("after_crash"):
        loaded = "booted after a crash"
    else:
        loaded = "kdump loaded" if machine["crash_loaded"] else "kdump not loaded"
    of = f"modules {', '.join(modules)}" if modules else "no modules"
    return (
        f"{directory}: {machine['machine']} ({machine['summary']}), kernel {machine['release']}, "
        f"{loaded}, {of}, served by process {machine['pid']}"
    )


def check_answers(directory: str, *names: str) -> None:
    """ProfileError unless a tree with these files is mounted at DIR, and its server answers."""
    mount = top_mount(directory)
    try:
        for name in ("control/error", *names):
            stat_answered(os.path.join(directory, name))
    except NoAnswer:
        raise silent(directory, server_of(mount.device) if mount is not None else None) from None
    except OSError:
        raise ProfileError(
            f"{directory}: no kdumpfs is mounted here; `kdumpfs mount {directory}` first"
        ) from None


def _file(directory: str, name: str) -> str:
    """A file of a tree; ProfileError if DIR is none, or its server does not answer."""
    check_answers(directory, name)
    return os.path.join(directory, name)


def log_lines(directory: str, *, wait: bool, dates: bool) -> Iterator[str]:
    """The kernel log, as dmesg(1) prints it; with wait also what is still to come, of each kernel that starts.

    dates: when it was, on this machine's clock, in place of seconds since boot.
    """
    path = _file(directory, "dev/kmsg")
    while True:
        try:
            yield from _kernels_log(directory, path, wait=wait, dates=dates)
            return
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            if not wait:
                raise ProfileError(
                    f"{directory}: the machine is dead, and no file of its kernel answers; with a crash kernel loaded"
                    f" (`kdumpfs load {directory}`) before the crash, the log is in /proc/vmcore"
                ) from None
        try:
            os.close(os.open(path, os.O_RDONLY))
        except OSError:
            return


def _kernels_log(directory: str, path: str, *, wait: bool, dates: bool) -> Iterator[str]:
    fd = os.open(path, os.O_RDONLY | (0 if wait else os.O_NONBLOCK))
    boot = os.stat(os.path.join(directory, "sys")).st_mtime
    try:
        while True:
            try:
                record = os.read(fd, 8192)
            except BlockingIOError:
                return
            except BrokenPipeError:  # records were overwritten: go on with the oldest
                continue
            if not record:
                return
            yield from _printed(record, boot if dates else None)
    except OSError as error:
        if error.errno not in (errno.ENODEV, errno.ENOTCONN, errno.ECONNABORTED):
            raise
    finally:
        os.close(fd)


def _printed(record: bytes, boot: float | None) -> Iterator[str]:
    head, _, rest = record.partition(b";")
    usec = int(head.split(b",")[2])
    text = re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes([int(m[1], 16)]), rest.split(b"\n")[0])
    if boot is None:
        when = f"[{usec // 1_000_000:5}.{usec % 1_000_000:06}] "
    else:
        when = time.strftime("[%a %b %e %H:%M:%S %Y] ", time.localtime(boot + usec / 1e6))
    lines = text.decode(errors="backslashreplace").split("\n")
    yield when + lines[0]
    yield from (" " * len(when) + line for line in lines[1:])


def uevent_lines(directory: str, *, wait: bool) -> Iterator[str]:
    """The uevents, `SEQNUM ACTION@DEVPATH`; with wait also those to come, until it is unmounted or dead."""
    path, counter = (
        _file(directory, "control/uevents"),
        _file(directory, "sys/kernel/uevent_seqnum"),
    )
    last, seen = 0, ""
    while True:
        try:
            now = Path(counter).read_text()
            lines = Path(path).read_text("utf-8").splitlines() if now != seen else []
        except OSError:
            return
        seen = now
        if int(now) < last:  # another kernel's: it counts anew
            last = 0
        for line in lines:
            number = int(line.split(" ")[0])
            if number > last:
                last = number
                yield line
        if not wait:
            return
        time.sleep(POLL_S)
