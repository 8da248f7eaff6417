"""`kdumpfs run --in DIR`: how a run comes to a machine that another process serves.

The server of a mount listens on a socket of its network namespace's abstract names, so nothing inside a run can
knock. Who does is asked for by SO_PEERCRED: the server's user, or root. Then

    run     joins            uname: machine or host; the foreign architecture, or -
    server  facts            the machine's Facts
    run     channel          our end of the channel to what is inside: from here on the server's
    server  missing, warning, stopped, error, end
    run     signal N

When either goes, its sockets are closed, and with them the channel: init ends, and the run with it.
"""

from __future__ import annotations

import _socket
import os
import struct
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from elfcorehdr.init.main import Kernel
    from fsmount.fuse.mount import Mount
    from fsmount.run.guest import Guests
    from fsmount.tree.kernfs import Tree

_ENDS_S = 2
"""So long does a mount wait for a name."""


def name(device: str) -> str:
    """The abstract name at which the server of the mount with this device number (`0:52`) listens."""
    return f"\0kdumpfs-{device}"


def peer(connection: _socket.socket) -> int:
    """The uid of who is at the other end."""
    raw = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    uid: int = struct.unpack("=iII", raw)[1]
    return uid


def _bind(listener: _socket.socket, address: str) -> bool:
    """Whether the name is ours now. The server of a mount that is gone, whose number this one has, may still be ending."""
    end = time.monotonic() + _ENDS_S
    while True:
        try:
            listener.bind(address)
        except OSError:
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        else:
            return True


def open_door(mounted: Mount, device: str, kernel: Kernel, tree: Tree) -> Callable[[], None]:
    """Let runs in; the function closes the door. Costs a mount one socket: the rest is imported when somebody comes."""
    listener = _socket.socket(
        _socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK
    )
    if not _bind(listener, name(device)):  # then this machine cannot be joined
        listener.close()
        return lambda: None
    listener.listen(16)
    guests: list[Guests] = []

    def come_in() -> None:
        from socket import socket

        with socket(fileno=os.dup(listener.fileno())) as same:
            try:
                connection, _ = same.accept()
            except OSError:
                return
        if peer(connection) not in (0, os.geteuid()):
            connection.close()
            return
        if not guests:
            from fsmount.run.guest import Guests

            guests.append(Guests(mounted, kernel, tree))
        guests[0].welcome(connection)

    mounted.watch(listener.fileno(), come_in)

    def close() -> None:
        mounted.unwatch(listener.fileno())
        listener.close()

    return close
