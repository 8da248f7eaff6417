"""The system calls that qemu-user does not know, of programs that library.py does not reach.

Static programs, and all where the C library is an unknown one: each such process waits at its start on a
socket (qemu.py). We connect, ask for a stop at the
calls of the guest's table, and let it run. At a stop the caller's registers and memory are read by
gdb.py, the emulated kernel answers, and since qemu-user will put its own ENOSYS into the result, a
breakpoint behind the call is where ours replaces it. No call of these reaches the host's kernel.

A plugin of qemu-user with a filter for system calls could stand in Traced's place; no Debian ships
a qemu-user that loads plugins.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import struct
from collections.abc import Callable

from fsmount.foreign.gdb import Gdb, Gone, connect
from fsmount.foreign.guests import Guest

_libc = ctypes.CDLL(None, use_errno=True)

_IN_CREATE, _IN_MOVED_TO, _IN_NONBLOCK, _IN_CLOEXEC = 0x100, 0x80, 0o4000, 0o2000000
_EVENT = struct.Struct("=iIII")  # struct inotify_event
_CLOCK_MONOTONIC, _TFD_FLAGS = 1, 0o2004000
RETRY_S, TRIES = 0.001, 2000
"""Between a socket's bind() and its listen() nobody can connect."""
MOST = 4096
"""Processes traced at once: as many as a run may have."""
_SC = 0x44000002
"""powerpc's `sc`; `scv 0` gives its result as all other architectures do."""
_SO = 1 << 28

Answers = Callable[[Gdb, int, str, tuple[int, ...]], int]
"""Asks the emulated kernel: who calls, his stack, what, with what; the result or -errno."""


class Traced:
    """One process of a guest."""

    def __init__(self, gdb: Gdb, guest: Guest, answers: Answers) -> None:
        self._gdb = gdb
        self._guest = guest
        self._answers = answers
        self._names = {number: name for name, number in guest.syscalls.items()}
        self._result: int | None = None
        self._thread = ""
        self._at = 0

    def start(self) -> None:
        """Ask for stops, and let it run. Gone if it does not understand."""
        numbers = self._guest.syscalls.values()
        if self._gdb.ask("QCatchSyscalls:1;" + ";".join(f"{n:x}" for n in numbers)) != "OK":
            raise Gone
        self._gdb.send("c")

    def serve(self) -> None:
        """It stopped, or ended. Gone."""
        for packet in self._gdb.take():
            if packet[:1] in ("W", "X"):
                raise Gone
            if packet[:1] == "T":
                self._stopped(packet)

    def _stopped(self, packet: str) -> None:
        signal = packet[1:3]
        fields = dict(part.partition(":")[::2] for part in packet[3:].split(";") if part)
        thread = fields.get("thread", "")
        if "syscall_entry" in fields:
            self._entry(int(fields["syscall_entry"], 16), thread)
        elif "syscall_return" in fields:
            pass
        elif signal == "05" and self._result is not None:
            if thread != self._thread or self._gdb.register(self._guest.pc) != self._at:
                self._step_over()  # another thread came by
                return
            self._return(self._result)
        else:
            self._gdb.send(f"C{signal}")  # a signal of the guest's own
            return
        self._gdb.send("c")

    def _entry(self, number: int, thread: str) -> None:
        name = self._names.get(number)
        if name is None or self._result is not None:
            return
        guest, gdb = self._guest, self._gdb
        args = tuple(gdb.register(register) for register in guest.arguments)
        result = self._answers(gdb, gdb.register(guest.stack), name, args)
        self._at = gdb.register(guest.pc)
        if gdb.ask(f"Z0,{self._at:x},4") != "OK":
            raise Gone
        self._result, self._thread = result, thread

    def _return(self, result: int) -> None:
        guest, gdb = self._guest, self._gdb
        if guest.cr is not None and gdb.read(self._at - 4, 4) == _SC.to_bytes(4, "little"):
            cr = gdb.register(guest.cr) & ~_SO
            gdb.set_register(guest.cr, cr | _SO if result < 0 else cr, 4)
            result = abs(result)
        gdb.set_register(guest.result, result)
        gdb.ask(f"z0,{self._at:x},4")
        self._result = None

    def _step_over(self) -> None:
        gdb = self._gdb
        gdb.ask(f"z0,{self._at:x},4")
        gdb.ask("s")
        gdb.ask(f"Z0,{self._at:x},4")
        gdb.send("c")


class Tracer:
    """All processes of a guest; fileno() is readable when serve() has something to do."""

    def __init__(self, directory: int, guest: Guest, answers: Answers) -> None:
        self._directory = directory
        self._guest = guest
        self._answers = answers
        self._traced: dict[int, tuple[Gdb, Traced]] = {}
        self._awaited: dict[str, int] = {}
        self._inotify = _libc.inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC)
        path = f"/proc/self/fd/{directory}".encode()
        if self._inotify < 0 or _libc.inotify_add_watch(self._inotify, path, _IN_CREATE) < 0:
            raise OSError(ctypes.get_errno(), "inotify")
        self._timer = _libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_FLAGS)
        self._epoll = select.epoll()
        self._epoll.register(self._inotify, select.EPOLLIN)
        self._epoll.register(self._timer, select.EPOLLIN)

    def fileno(self) -> int:
        """To wait on."""
        return self._epoll.fileno()

    def close(self) -> None:
        """Let go of all."""
        for gdb, _ in self._traced.values():
            gdb.close()
        self._traced.clear()
        self._epoll.close()
        for fd in (self._inotify, self._timer, self._directory):
            os.close(fd)

    def serve(self) -> None:
        """Whatever is ready."""
        for fd, _ in self._epoll.poll(0):
            if fd == self._inotify:
                for name in self._created():
                    self._awaited.setdefault(name, TRIES)
                self._connect()
            elif fd == self._timer:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._timer, 8)
                self._connect()
            elif fd in self._traced:
                gdb, traced = self._traced[fd]
                try:
                    traced.serve()
                except Gone:
                    self._drop(gdb)

    def _created(self) -> list[str]:
        """Names that came into the directory."""
        names = []
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._inotify, 1 << 16)
            at = 0
            while at < len(data):
                length = _EVENT.unpack_from(data, at)[3]
                at += _EVENT.size
                name = data[at : at + length].rstrip(b"\0")
                at += length
                if name.isdigit():
                    names.append(name.decode())
        return names

    def _connect(self) -> None:
        for name, tries in list(self._awaited.items()):
            del self._awaited[name]
            try:
                gdb = connect(self._directory, name)
            except Gone:
                continue
            if gdb is None:
                if tries:
                    self._awaited[name] = tries - 1
                continue
            self._start(gdb)
        if self._awaited:
            once = struct.pack("=4q", 0, 0, 0, int(RETRY_S * 1e9))
            _libc.timerfd_settime(self._timer, 0, once, None)

    def _start(self, gdb: Gdb) -> None:
        if len(self._traced) >= MOST:
            gdb.close()
            return
        traced = Traced(gdb, self._guest, self._answers)
        self._traced[gdb.fileno()] = gdb, traced
        self._epoll.register(gdb.fileno(), select.EPOLLIN)
        try:
            traced.start()
        except Gone:
            self._drop(gdb)

    def _drop(self, gdb: Gdb) -> None:
        self._epoll.unregister(gdb.fileno())
        del self._traced[gdb.fileno()]
        gdb.close()
