"""Programs that bring their own copy of the C library: their calls are redirected when they start.

What library.py does to the file of a C library is done to these in memory. Each such process (static
ones, and all where the C library is an unknown one) waits at its start on the socket of qemu-user's
gdbstub (qemu.py). We connect and look through its text; if some of its calls are to be redirected, it
makes an mmap(2) for us, into which their code goes. Then it is let go, and nobody follows it.

The other end is a process of the run and may be anything. Nothing here waits for it: it is served when
it has said something, and dropped when it says nothing for PATIENCE_S. Its memory is opened by
the pid that it listens with, and used only if that process is still there (SO_PEERPIDFD), so that no other
process can come to have this pid meanwhile.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import time
from collections.abc import Generator

from elfcorehdr.errors import suppress
from fsmount.foreign import code
from fsmount.foreign.gdb import Gdb, Gone, connect
from fsmount.foreign.guests import Guest

_libc = ctypes.CDLL(None, use_errno=True)

_IN_CREATE, _IN_NONBLOCK, _IN_CLOEXEC = 0x100, 0o4000, 0o2000000
_EVENT = struct.Struct("=iIII")  # struct inotify_event
_CLOCK_MONOTONIC, _TFD_FLAGS = 1, 0o2004000
RETRY_S, TRIES = 0.001, 2000
"""Between a socket's bind() and its listen() nobody can connect."""
PATIENCE_S = 60.0
"""A stopped process that is silent for so long is let go as it is."""
MOST = 512
"""Processes that start at once; more go on as they are."""
_MOST_STACK, _MOST_TEXT, _MOST_ROWS = 1 << 22, 1 << 26, 64
_AT_PHDR, _AT_PHNUM = 3, 5
_PHDR = struct.Struct("<IIQQQQQQ")
_PT_LOAD, _PT_PHDR, _PF_X = 1, 6, 1
_PAGE = 1 << 16
_PROT_READ_EXEC, _MAP_PRIVATE_ANONYMOUS = 5, 0x22
_OK = "OK"

Steps = Generator[str, str, None]
"""What is asked of the process, and what it answers."""


class Lost(Exception):
    """It is not what we know how to change: it goes on as it is."""


REFUSED = (Lost, OSError, ValueError, LookupError, ArithmeticError, struct.error)
"""What redirect() raises."""


def redirect(gdb: Gdb, guest: Guest) -> Steps:
    """Change a program that is stopped before its first instruction. REFUSED if that cannot be done."""
    stack = _number((yield f"p{guest.stack:x}"))
    there = yield f"m{stack:x},20"
    with gdb.memory() as memory:
        fd = memory.fileno()
        if os.pread(fd, 32, stack).hex() != there:
            raise Lost  # the guest's addresses are not the host's
        rows = _rows(os.pread(fd, _MOST_STACK, stack), fd)
        bias = next((at - row[3] for at, row in rows if row[0] == _PT_PHDR), None)
        loads = [row for _, row in rows if row[0] == _PT_LOAD]
        if bias is None:  # then the headers are at the beginning of the first that is loaded
            bias = rows[0][0] - 64 - min(row[3] for row in loads)
        texts = [
            (bias + row[3], bytearray(os.pread(fd, row[5], bias + row[3])))
            for row in loads
            if row[1] & _PF_X and row[5] <= _MOST_TEXT
        ]
        sites = [
            (start, text, at)
            for start, text in texts
            for at in code.calls(guest.machine, bytes(text))
            if code.wanted(guest, text, at)
        ]
        if not sites:
            return
        start, _, at = sites[0]
        lowest, highest = bias + loads[0][3], bias + loads[-1][3] + loads[-1][6]
        # Near, for riscv64's jumps reach a megabyte; where there is nothing below, some heap is left above.
        hint = lowest - 2 * _PAGE if lowest >= 4 * _PAGE else highest + 4 * _PAGE
        place = yield from _mmap(guest, start + at, hint & ~(_PAGE - 1))
        made = b""
        for start, text, at in sites:
            more = code.redirect(guest, text, at, start + at, place + len(made))
            if more is None or len(made) + len(more) > _PAGE:
                raise Lost
            made += more
        # It is stopped, and has translated nothing that qemu-user does not forget at a stop.
        os.pwrite(fd, made, place)
        for start, text, at in sites:
            os.pwrite(fd, text[at : at + 8], start + at)


def _rows(stack: bytes, fd: int) -> list[tuple[int, tuple[int, ...]]]:
    """Program headers with their addresses, found by what the kernel put on the stack: argc, argv, envp, auxv."""
    words = memoryview(stack[: len(stack) // 8 * 8]).cast("Q")
    at = 2 + words[0]
    while words[at]:
        at += 1
    auxv = {words[n]: words[n + 1] for n in range(at + 1, min(at + 81, len(words) - 1), 2)}
    first, count = auxv[_AT_PHDR], auxv[_AT_PHNUM]
    if not 0 < count <= _MOST_ROWS:
        raise Lost
    data = os.pread(fd, count * _PHDR.size, first)
    return [(first, row) for row in _PHDR.iter_unpack(data)]


def _mmap(guest: Guest, call: int, hint: int) -> Generator[str, str, int]:
    """Let the stopped thread make an mmap(2) with an instruction of its own; the address of a page of code."""
    saved = {}
    registers = [guest.number, *guest.arguments, guest.result, guest.pc, guest.stack]
    if guest.cr is not None:
        registers.append(guest.cr)
    for register in registers:
        saved[register] = yield f"p{register:x}"
    asked = hint, _PAGE, _PROT_READ_EXEC, _MAP_PRIVATE_ANONYMOUS, (1 << 64) - 1, 0
    for register, value in zip(guest.arguments, asked, strict=True):
        yield f"P{register:x}={value.to_bytes(8, 'little').hex()}"
    yield f"P{guest.number:x}={guest.mmap.to_bytes(8, 'little').hex()}"
    yield f"P{guest.pc:x}={call.to_bytes(8, 'little').hex()}"
    behind = call + (2 if guest.machine == "x86_64" else 4)
    if (yield f"Z0,{behind:x},4") != _OK:
        raise Lost
    stop = yield "c"
    while stop[:3] != "T05":
        if stop[:1] != "T":
            raise Gone
        stop = yield f"C{stop[1:3]}"
    place = _number((yield f"p{guest.result:x}"))
    yield f"z0,{behind:x},4"
    for register, text in saved.items():
        yield f"P{register:x}={text}"
    if place >= 1 << 63 or place < _PAGE:
        raise Lost
    return place


def _number(text: str) -> int:
    return int.from_bytes(bytes.fromhex(text), "little")


class _Started:
    """One of them, and what is to be asked next."""

    def __init__(self, gdb: Gdb, guest: Guest) -> None:
        self._gdb = gdb
        self._steps = redirect(gdb, guest)
        self.heard = time.monotonic()
        gdb.send(next(self._steps))

    def serve(self) -> None:
        """It said something. Gone when it is to be let go."""
        self.heard = time.monotonic()
        for packet in self._gdb.take():
            try:
                self._gdb.send(self._steps.send(packet))
            except StopIteration:
                raise Gone from None
            except REFUSED as error:
                raise Gone from error


class Tracer:
    """Those of a run; fileno() is readable when serve() has something to do."""

    def __init__(self, directory: int, guest: Guest) -> None:
        self._directory = directory
        self._guest = guest
        self._traced: dict[int, tuple[Gdb, _Started]] = {}
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
                with suppress(BlockingIOError):
                    os.read(self._timer, 8)
                self._connect()
            elif fd in self._traced:
                gdb, started = self._traced[fd]
                try:
                    started.serve()
                except Gone:
                    self._drop(gdb)

    def _created(self) -> list[str]:
        """Names that came into the directory."""
        names = []
        with suppress(BlockingIOError):
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
        for silent, started in list(self._traced.values()):
            if time.monotonic() - started.heard > PATIENCE_S:
                self._drop(silent)
        if len(self._traced) >= MOST:
            gdb.close()
            return
        try:
            started = _Started(gdb, self._guest)
        except Gone:
            gdb.close()
            return
        self._traced[gdb.fileno()] = gdb, started
        self._epoll.register(gdb.fileno(), select.EPOLLIN)

    def _drop(self, gdb: Gdb) -> None:
        self._epoll.unregister(gdb.fileno())
        del self._traced[gdb.fileno()]
        gdb.close()
