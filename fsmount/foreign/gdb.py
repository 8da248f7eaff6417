"""gdb's remote protocol, as far as qemu-user's gdbstub is asked: one stopped process at the other end.

The other end is a process of the run and may be anything: what it sends is bounded in size and time.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct

from elfcorehdr.errors import KernelError

ANSWER_S = 10.0
"""A process that is stopped answers at once, or is no gdbstub."""
MOST_BYTES = 1 << 18
"""No packet is longer; qemu's are 128 KiB at most."""
CHUNK = 16384
"""Bytes of memory asked for in one packet; 4 KiB packets are the least that gdbstubs take."""
_LEAST_PACKET = 4096


class Gone(Exception):
    """The process has ended, or does not speak the protocol."""


class Gdb:
    """A connection. Requests wait for their answers; what the process does while it runs is poll()ed for."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.settimeout(ANSWER_S)
        self._buffer = b""
        self._chunk = CHUNK
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        self.pid: int = struct.unpack("=3i", credentials)[0]
        """Of the process, in our pid namespace."""

    def fileno(self) -> int:
        """To wait on."""
        return self._socket.fileno()

    def close(self) -> None:
        """The process goes on untraced."""
        self._socket.close()

    def is_open(self) -> bool:
        """Whether the process is still there."""
        poll = select.poll()
        poll.register(self._socket, select.POLLRDHUP)
        return not poll.poll(0)

    # Packets

    def send(self, text: str) -> None:
        """One packet. Gone."""
        data = text.encode()
        try:
            self._socket.sendall(b"$%s#%02x" % (data, sum(data) & 0xFF))
        except OSError as error:
            raise Gone from error

    def ask(self, text: str) -> str:
        """The answer to a packet. Gone."""
        self.send(text)
        while (answer := self._packet()) is None:
            self._receive()
        return answer

    def take(self) -> list[str]:
        """What arrived while the process ran; to be called when the connection is readable. Gone."""
        self._receive()
        found = []
        while (packet := self._packet()) is not None:
            found.append(packet)
        return found

    def _receive(self) -> None:
        try:
            data = self._socket.recv(1 << 16)
        except OSError as error:
            raise Gone from error
        self._buffer += data
        if not data or len(self._buffer) > MOST_BYTES:
            raise Gone

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

    # Registers and memory of the stopped thread

    def register(self, number: int) -> int:
        """A register's value, whatever its size. Gone."""
        answer = self.ask(f"p{number:x}")
        try:
            return int.from_bytes(bytes.fromhex(answer), "little")
        except ValueError as error:
            raise Gone from error

    def set_register(self, number: int, value: int, size: int = 8) -> None:
        """Set a register of `size` bytes. Gone."""
        data = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        if self.ask(f"P{number:x}={data.hex()}") != "OK":
            raise Gone

    def read(self, addr: int, size: int) -> bytes:
        """copy_from_user(): all of it; KernelError(EFAULT). Gone."""
        parts = []
        while size:
            asked = min(size, self._chunk)
            answer = self.ask(f"m{addr:x},{asked:x}")
            if answer.startswith("E"):
                if self._chunk > _LEAST_PACKET // 4 and asked == self._chunk:
                    self._chunk = _LEAST_PACKET // 4  # a gdbstub with small packets
                    continue
                raise KernelError(errno.EFAULT, f"{size} bytes at {addr:#x}")
            try:
                data = bytes.fromhex(answer)
            except ValueError as error:
                raise Gone from error
            if not data or len(data) > asked:
                raise KernelError(errno.EFAULT, f"{size} bytes at {addr:#x}")
            parts.append(data)
            addr += len(data)
            size -= len(data)
        return b"".join(parts)

    def write(self, addr: int, data: bytes) -> None:
        """copy_to_user(): all of it; KernelError(EFAULT). Gone."""
        step = _LEAST_PACKET // 2 - 64
        for at in range(0, len(data), step):
            part = data[at : at + step]
            if self.ask(f"M{addr + at:x},{len(part):x}:{part.hex()}") != "OK":
                raise KernelError(errno.EFAULT, f"{len(data)} bytes at {addr:#x}")


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
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=directory)
    return Gdb(connection)
