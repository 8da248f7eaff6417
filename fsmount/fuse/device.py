"""Requests on open files, answered on /dev/fuse itself, and the loop that waits for them.

libfuse 2's high level knows neither lseek nor an answer that comes later, and a callback that
blocks would stop the mount. So READ, WRITE, LSEEK, POLL and INTERRUPT are answered here, in the
kernel's own words (include/uapi/linux/fuse.h, protocol 7.19), and so are OPEN, READDIR and RELEASE
of nodes whose path is known: the answers that speed depends on. Every other request goes to libfuse.
Single-threaded.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import sys
from collections.abc import Callable
from typing import Any

from elfcorehdr.errors import KernelError
from fsmount.fuse.proto import (
    BATCH_FORGET,
    BODY,
    CALLER,
    DATA,
    FORGET,
    FORGET_ONE,
    IN_CALLER,
    IN_START,
    INTERRUPT,
    INTERRUPT_IN,
    LSEEK,
    LSEEK_IN,
    LSEEK_OUT,
    NOTIFY_INC_EPOCH,
    NOTIFY_POLL,
    OUT_HEADER,
    POLL,
    POLL_IN,
    POLL_OUT,
    POLL_SCHEDULE_NOTIFY,
    READ,
    READ_IN,
    RELEASE,
    RELEASE_IN,
    WRITE,
    WRITE_IN,
    WRITE_OUT,
)
from fsmount.fuse.serving import Loop
from fsmount.tree.boundary import attempt
from fsmount.tree.kernfs import KernelState
from fsmount.tree.kobject import File

PATHS_KEPT = 1 << 16
"""Nodes whose path is known here, so that they are opened again without libfuse."""
DEFAULT_POLLMASK = select.POLLIN | select.POLLOUT | select.POLLRDNORM | select.POLLWRNORM


class FuseDevice:
    """A connection's /dev/fuse descriptor, its open files, and who waits for what.

    A file with a poll() method may make its reader wait: what a blocking read answers EAGAIN to is
    read again when poll() is no longer 0. `rest(length)` gets the requests that are not answered
    here; they lie in `buf`. If announce is set, the kernel's name cache is emptied (FUSE_NOTIFY_INC_EPOCH)
    before a write is answered that changed the set of names.
    """

    def __init__(self, fd: int, kernel: KernelState, rest: Callable[[int], None]) -> None:
        self.fd = fd
        self.buf = ctypes.create_string_buffer(0x21000)  # libfuse 2: 32 pages and a header page
        self.announce = True
        self.files: dict[int, Any] = {}
        self._next_fh = 0
        self._view = memoryview(self.buf).cast("B")
        self._kernel = kernel
        self._rest = rest
        self._names_seq = kernel.names_seq
        self._waiting: dict[int, tuple[Any, int, int]] = {}
        self._polled: dict[int, Any] = {}
        self._woken = False
        kernel.log.listeners.append(self._wake)
        self._on_ready: Callable[[], None] | None = None
        self._into = [self._view]
        self.serving = Loop(fd, self._request, self._after, kernel.log)
        self._answers: dict[int, Callable[[int, int], bytes | int | None]]
        self._answers = {READ: self._read, WRITE: self._write, INTERRUPT: self._interrupt}
        self._answers |= {POLL: self._poll, LSEEK: self._lseek, RELEASE: self._release}
        self._answers |= {FORGET: self._forget, BATCH_FORGET: self._batch_forget}
        self._paths: dict[int, str] = {}

    def add_file(self, file: File) -> int:
        """Keep an open file; the number to give to the kernel as fh."""
        self._next_fh += 1
        self.files[self._next_fh] = file
        return self._next_fh

    def answer(self, opcode: int, method: Callable[[int, int], bytes | int | None]) -> None:
        """Have requests of a kind answered by method(unique, length); None is no answer from here."""
        self._answers[opcode] = method

    # Paths. Only libfuse knows that of a node; it names it when the node is opened. Names never
    # move here, so it is the node's until the kernel forgets the node.

    def remember(self, path: str) -> None:
        """The path of the node that the present request is about."""
        self._paths[self._nodeid()] = path
        if len(self._paths) > PATHS_KEPT:
            del self._paths[next(iter(self._paths))]

    def path(self) -> str | None:
        """The path of the present request's node, if it is known."""
        return self._paths.get(self._nodeid())

    def _nodeid(self) -> int:
        return int(IN_START.unpack_from(self.buf)[3])

    def to_libfuse(self, length: int) -> None:
        """Let libfuse answer the present request."""
        self._rest(length)

    def _forget(self, _unique: int, length: int) -> None:
        self._paths.pop(self._nodeid(), None)
        self._rest(length)

    def _batch_forget(self, _unique: int, length: int) -> None:
        if self._paths:
            for nodeid, _ in FORGET_ONE.iter_unpack(self._view[BODY + 8 : length]):
                self._paths.pop(nodeid, None)
        self._rest(length)

    def caller(self) -> tuple[int, int, int]:
        """uid, gid and pid of the request that is being handled."""
        uid, gid, pid = IN_CALLER.unpack_from(self.buf, CALLER)
        return uid, gid, pid

    # The loop

    def loop(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Answer requests until the mount is gone or its stop() is called.

        on_ready is called once, after the first request (INIT): the mount answers from then on.
        """
        self._on_ready = on_ready
        self.serving.run()

    def close(self) -> None:
        """Let go of everything but the descriptor, which its opener closes."""
        self._kernel.log.listeners.remove(self._wake)
        self.serving.close()

    def _request(self) -> bool:
        """Receive and handle one request; False if the mount is gone."""
        try:
            length = os.readv(self.fd, self._into)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):  # taken back meanwhile
                return True
            if error.errno == errno.ENODEV:
                return False
            raise
        _, opcode, unique, _ = IN_START.unpack_from(self.buf)
        answer = self._answers.get(opcode)
        if answer is None:
            self._rest(length)
            return True
        result = attempt(self._kernel.log, answer, unique, length)
        if result is not None:
            self.announce_names()
            self._reply(unique, result)
        return True

    def _reply(self, unique: int, result: bytes | int) -> None:
        data, error = (b"", result) if isinstance(result, int) else (result, 0)
        self._send(OUT_HEADER.pack(OUT_HEADER.size + len(data), error, unique), data)

    def _send(self, *parts: bytes) -> None:
        try:
            os.writev(self.fd, parts)
        except OSError as error:
            # ENOENT: nobody waits for the answer any more; ENODEV: the mount has gone.
            if error.errno not in (errno.ENOENT, errno.ENODEV):
                raise

    # Names

    def announce_names(self) -> None:
        """Tell the kernel to look all names up again, if the set of names has changed."""
        if self._names_seq != self._kernel.names_seq:
            self._names_seq = self._kernel.names_seq
            if self.announce:
                self._send(OUT_HEADER.pack(OUT_HEADER.size, NOTIFY_INC_EPOCH, 0))

    # Requests on open files; each returns the answer's data, or None for none (now)

    def _read(self, unique: int, _length: int) -> bytes | None:
        fh, offset, size, _, _, flags, _ = READ_IN.unpack_from(self.buf, BODY)
        file = self.files[fh]
        try:
            return bytes(file.read(size, offset, flags)[:size])
        except KernelError as error:
            # Only now is it known: the read may be the first after a seek to the end.
            if error.errno != errno.EAGAIN or flags & os.O_NONBLOCK or not hasattr(file, "poll"):
                raise
        self._waiting[unique] = (file, size, offset)
        return None

    def _write(self, _unique: int, length: int) -> bytes:
        fh, offset, size, _, _, flags, _ = WRITE_IN.unpack_from(self.buf, BODY)
        data = bytes(self._view[DATA : min(length, DATA + size)])
        return WRITE_OUT.pack(self.files[fh].write(data, offset, flags), 0)

    def _release(self, _unique: int, _length: int) -> bytes:
        """libfuse need not know: it counts open files for what is removed or renamed, and nothing is."""
        file = self.files.pop(RELEASE_IN.unpack_from(self.buf, BODY)[0])
        if hasattr(file, "close"):
            file.close()
        return b""

    def _lseek(self, _unique: int, _length: int) -> bytes:
        """SEEK_DATA and SEEK_HOLE; the kernel does the others itself."""
        fh, offset, whence, _ = LSEEK_IN.unpack_from(self.buf, BODY)
        file = self.files[fh]
        if not hasattr(file, "seek"):
            raise KernelError(errno.EINVAL)
        return LSEEK_OUT.pack(file.seek(offset, whence))

    def _poll(self, _unique: int, _length: int) -> bytes:
        fh, kh, flags, _ = POLL_IN.unpack_from(self.buf, BODY)
        file = self.files[fh]
        mask = file.poll() if hasattr(file, "poll") else DEFAULT_POLLMASK
        if flags & POLL_SCHEDULE_NOTIFY and not mask & select.POLLIN:
            self._polled[kh] = file
        return POLL_OUT.pack(mask, 0)

    def _interrupt(self, _unique: int, _length: int) -> None:
        """A waiting reader got a signal. Whatever else is interrupted is already answered."""
        (unique,) = INTERRUPT_IN.unpack_from(self.buf, BODY)
        if self._waiting.pop(unique, None) is not None:
            self._reply(unique, -errno.EINTR)

    # Who waits

    def _wake(self) -> None:
        self._woken = True

    def _after(self) -> None:
        """Between requests: tell of changed names, answer those whose wait is over."""
        self.announce_names()
        if self._on_ready is not None:
            self._on_ready()
            self._on_ready = None
        if not self._woken:
            return
        self._woken = False
        for unique, (file, size, offset) in list(self._waiting.items()):
            if file.poll():
                del self._waiting[unique]
                self._reply(unique, attempt(self._kernel.log, file.read, size, offset))
        for kh, file in list(self._polled.items()):
            if file.poll() & select.POLLIN:
                del self._polled[kh]
                header = OUT_HEADER.pack(OUT_HEADER.size + 8, NOTIFY_POLL, 0)
                self._send(header, kh.to_bytes(8, sys.byteorder))
