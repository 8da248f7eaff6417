"""gdb's remote protocol, as far as qemu-user's gdbstub is asked: one stopped process at the other end.

The other end is a process of the run and may be anything: what it sends is bounded, and nobody waits for it.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from typing import BinaryIO

from elfcorehdr.errors import suppress

MOST_BYTES = 1 << 18
"""No packet is longer; qemu's are 128 KiB at most."""
_SO_PEERPIDFD = 77
"""Linux 6.5; a run with foreign programs needs 6.7 anyway (qemu.py)."""


class Gone(Exception):
    """The process has ended, does not speak the protocol, or is to be let go."""


class Gdb:
    """A connection. What the process says is poll()ed for."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.setblocking(False)
        self._buffer = b""
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        self.pid: int = struct.unpack("=3i", credentials)[0]
        """Of the process, in our pid namespace."""

    def fileno(self) -> int:
        """To wait on."""
        return self._socket.fileno()

    def close(self) -> None:
        """The process goes on by itself."""
        self._socket.close()

    def memory(self) -> BinaryIO:
        """Its memory, for whoever holds the pid now: OSError if that is not the process that listened."""
        raw = self._socket.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD, 4)
        (pidfd,) = struct.unpack("=i", raw)
        try:
            file = open(f"/proc/{self.pid}/mem", "r+b", buffering=0)  # noqa: SIM115
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            if poll.poll(0):
                file.close()
                raise ProcessLookupError
        finally:
            os.close(pidfd)
        return file

    def send(self, text: str) -> None:
        """One packet. Gone, also if it does not read what it is sent."""
        data = text.encode()
        try:
            self._socket.sendall(b"$%s#%02x" % (data, sum(data) & 0xFF))
        except OSError as error:
            raise Gone from error

    def take(self) -> list[str]:
        """What has arrived; to be called when the connection is readable. Gone."""
        try:
            data = self._socket.recv(1 << 16)
        except BlockingIOError:
            return []
        except OSError as error:
            raise Gone from error
        self._buffer += data
        if not data or len(self._buffer) > MOST_BYTES:
            raise Gone
        found = []
        while (packet := self._packet()) is not None:
            found.append(packet)
        return found

    def _packet(self) -> str | None:
        start = self._buffer.find(b"$")
        end = self._buffer.find(b"#", start)
        if start < 0 or end < 0 or len(self._buffer) < end + 3:
            return None
        data, self._buffer = self._buffer[start + 1 : end], self._buffer[end + 3 :]
        try:
            self._socket.sendall(b"+")
        except OSError as error:
            raise Gone from error
        return data.decode(errors="replace")


def connect(directory: int, name: str) -> Gdb | None:
    """Connect to a socket in an open directory, and take its name away; None if nobody listens yet.

    Gone if it is no socket, or not there any more.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        connection.connect(f"/proc/self/fd/{directory}/{name}")
    except ConnectionRefusedError:
        connection.close()
        return None
    except OSError as error:
        connection.close()
        raise Gone from error
    with suppress(OSError):
        os.unlink(name, dir_fd=directory)
    return Gdb(connection)
