"""Asking a mounted tree, whose server may be stopped or stuck, and finding that server without asking it."""

from __future__ import annotations

import errno
import os
import select

from elfcorehdr.errors import ProfileError
from fsmount.host.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ANSWER_S = 5.0
"""A server that says nothing for so long does not answer."""


GLANCE_S = 2.0
"""The same where it is only looked whether it answers."""


class NoAnswer(Exception):
    """The server did not answer in time."""


def answered(ask: Callable[[], str], seconds: float = ANSWER_S) -> str:
    """What ask() returns, done by a child: a process that waits for a FUSE server may be past killing.

    OSError: what ask() raises. NoAnswer after so many seconds.
    """
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = f"0 {ask()}"
        except OSError as error:
            said = f"{error.errno or errno.EIO} "
        except BaseException:
            said = f"{errno.EIO} "
        try:
            with open(write_end, "wb") as pipe:
                pipe.write(said.encode(errors="surrogateescape"))
        finally:
            os._exit(0)
    os.close(write_end)
    with open(read_end, "rb") as pipe:
        if not select.select([pipe], [], [], seconds)[0]:
            os.kill(child, signal.SIGKILL)
            raise NoAnswer
        said = pipe.read().decode(errors="surrogateescape")
    os.waitpid(child, 0)
    number, _, text = said.partition(" ")
    if number != "0":
        raise OSError(int(number or errno.EIO), os.strerror(int(number or errno.EIO)))
    return text


def stat_answered(path: str, seconds: float = ANSWER_S) -> None:
    """answered() of stat(2)."""
    answered(lambda: str(os.stat(path)), seconds)


def silent(directory: str, server: int | None) -> ProfileError:
    """The sentence about a server that does not answer, with the way out."""
    if server is None:
        return ProfileError(
            f"{directory}: its server does not answer; `kdumpfs umount --force {directory}` ends it"
        )
    if is_stopped(server):
        return ProfileError(
            f"{directory}: its server (process {server}) is stopped; `kill -CONT {server}` lets it "
            f"go on, `kdumpfs umount --force {directory}` ends it"
        )
    return ProfileError(
        f"{directory}: its server (process {server}) does not answer; "
        f"`kdumpfs umount --force {directory}` ends it"
    )


def is_stopped(pid: int) -> bool:
    """Whether a process was stopped by a signal, or by a debugger."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] in "Tt"
    except OSError:
        return False


def server_of(device: str) -> int | None:
    """The process that serves a FUSE mount, by its device number (`0:52`); None if it cannot be seen.

    It has /dev/fuse open, and says of which connection (fuse_dev_show_fdinfo(), Linux 6.14).
    """
    wanted = device.partition(":")[2]
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdecimal()):
        if any(connection == wanted for connection in _connections(pid)):
            return pid
    return None


def _connections(pid: int) -> Iterator[str]:
    """Numbers of the FUSE connections that a process holds."""
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            if os.readlink(f"/proc/{pid}/fd/{name}") != "/dev/fuse":
                continue
            with open(f"/proc/{pid}/fdinfo/{name}", encoding="ascii") as file:
                for line in file:
                    key, _, value = line.partition(":")
                    if key == "fuse_connection":
                        yield value.strip()
    except OSError:
        return
