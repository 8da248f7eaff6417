"""connect(2) in `kdumpfs run`: to what was made inside; never to a socket of the host.

The kernel looks a socket up by path at the time of the call, so a check before it could be
outrun: another thread changes the path, or moves another file there. Hence the call is not let
through but done for the caller: the address is copied, the path opened once (O_PATH) with the
caller's root, working directory and ids, the mount that it lies on is looked at, and that very file is
connected to. Sockets on a file system of the host, shared directories included, are ECONNREFUSED.

Datagrams need no connect(2). So while a directory is shared, AF_UNIX has no datagram sockets
(filter.py); a pair of them becomes one of SOCK_SEQPACKET, which keeps messages apart as well and
cannot be sent to an address.
"""

from __future__ import annotations

import _socket as socket
import errno
import os
from collections.abc import Callable

from elfcorehdr.errors import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fsmount.run.task import Task

_SOCKADDR_MAX = 128  # sizeof(struct sockaddr_storage)


class Connects:
    """The answers, in the process outside. ask sends a request to the run's init."""

    def __init__(self, ask: Callable[[str], None]) -> None:
        self._ask = ask
        self._results: dict[int, int | None] = {}

    def done(self, text: str) -> None:
        """Init's answer; the call is to be asked again, then forget() it."""
        call, error = text.split()
        if int(call) in self._results:
            self._results[int(call)] = int(error)

    def forget(self, text: str) -> None:
        """Whether or not anybody took the result."""
        self._results.pop(int(text.split()[0]), None)

    def connect(self, task: Task, args: tuple[int, ...]) -> int:
        """connect(fd, address, length)"""
        from fsmount.run.task import Later  # what is inside has no use for it

        if task.id in self._results:
            error = self._results[task.id]
            if error is None:
                raise Later
            if error:
                raise KernelError(error)
            return 0
        length = args[2] & 0xFFFFFFFF
        if length > _SOCKADDR_MAX:
            raise KernelError(errno.EINVAL)
        address = task.read(args[1], length)
        ids = "0 0 "
        if os.geteuid() == 0:
            ids = f"{task.status('Uid').split()[3]} {task.status('Gid').split()[3]} "
            ids += ",".join(task.status("Groups").split())
        leader = task.status("NStgid").split()[-1]
        # Not fetched here: closing what turns out to be a file of ours would wait for ourselves.
        self._ask(f"{task.id} {task.pid_inside} {leader} {args[0]} {ids} {address.hex()}")
        self._results[task.id] = None
        raise Later

    def socketpair(self, task: Task, args: tuple[int, ...]) -> int:
        """socketpair(AF_UNIX, SOCK_DGRAM, 0, fds)"""
        kind = args[1] & 0xFFFFFFFF
        if args[2] & 0xFFFFFFFF or kind & ~(0xF | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC):
            raise KernelError(errno.EPROTONOSUPPORT if args[2] & 0xFFFFFFFF else errno.EINVAL)
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            for at, end in zip((args[3], args[3] + 4), ends, strict=True):
                end.setblocking(not kind & socket.SOCK_NONBLOCK)
                fd = task.add_file(end.fileno(), bool(kind & socket.SOCK_CLOEXEC))
                task.write(at, fd.to_bytes(4, "little"))
        finally:
            for end in ends:
                end.close()
        return 0
