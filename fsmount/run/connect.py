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

import ctypes
import errno
import os
import socket
from collections.abc import Callable

from elfcorehdr.errors import KernelError
from fsmount.host import mountns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fsmount.run.supervisor import Task

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
        from fsmount.run.supervisor import Later  # what is inside has no use for it

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
        for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET):
            with end:
                end.setblocking(not kind & socket.SOCK_NONBLOCK)
                fd = task.add_file(end.fileno(), bool(kind & socket.SOCK_CLOEXEC))
                task.write(args[3], fd.to_bytes(4, "little"))
                args = (*args[:3], args[3] + 4)
        return 0


def carry_out(text: str, procfs: int, host_devices: frozenset[str]) -> int:
    """Do the connect in a process forked for it; its errno or 0. procfs is open, of the run's pids."""
    _, thread, leader, fd, uid, gid, groups, address = text.split(" ")
    raw = bytes.fromhex(address)
    try:
        sock = mountns.get_file(int(leader), int(fd) & 0xFFFFFFFF)
        root, cwd = (
            os.open(f"{thread}/{name}", os.O_PATH, dir_fd=procfs) for name in ("root", "cwd")
        )
        # The table of the caller's mount namespace from its root: in a chroot some would be missing.
        mountns.enter(os.open(f"{thread}/ns/mnt", os.O_RDONLY, dir_fd=procfs))
        mountinfo = os.open(f"{os.getpid()}/mountinfo", os.O_RDONLY, dir_fd=procfs)
        os.fchdir(root)
        os.chroot(".")
        os.fchdir(cwd)
        if (uid, gid) != ("0", "0") or groups not in ("", "0"):
            os.setgroups([int(group) for group in groups.split(",") if group])
            os.setresgid(int(gid), int(gid), int(gid))
            os.setresuid(int(uid), int(uid), int(uid))
        family = int.from_bytes(raw[:2], "little")
        if family == socket.AF_UNIX and len(raw) > 2 and raw[2]:
            place = os.open(raw[2:].partition(b"\0")[0], os.O_PATH | os.O_CLOEXEC)
            if os.fstat(place).st_mode & 0o170000 != 0o140000:
                return errno.ECONNREFUSED
            number = _mount_of(place, procfs)
            with open(mountinfo, encoding="utf-8", errors="surrogateescape") as table:
                devices = [line.split()[2] for line in table if line.startswith(f"{number} ")]
            if not devices or devices[0] in host_devices:
                return errno.ECONNREFUSED
            # That file and no other, by a name that leads nowhere else.
            os.fchdir(procfs)
            raw = raw[:2] + f"{os.getpid()}/fd/{place}".encode() + b"\0"
    except OSError as error:
        return error.errno or errno.EIO
    libc: Any = ctypes.CDLL(None, use_errno=True)
    return ctypes.get_errno() if libc.connect(sock, raw, len(raw)) else 0


def _mount_of(fd: int, procfs: int) -> int:
    info = os.open(f"{os.getpid()}/fdinfo/{fd}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=procfs)
    with open(info, encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("mnt_id:"))
