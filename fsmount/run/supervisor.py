"""The system calls a mount cannot see: seccomp user notification (kernel/seccomp.c).

A filter in the command's processes hands the calls of ABIS to us; who calls, with what, and how
the answer gets back is here; what the calls mean is in syscalls.py, who the caller is in task.py. The filter fails closed:
another ABI's calls (i386, x32) get ENOSYS, and so does every handed-over call once the listener
is closed, which is what the kernel does when its reader dies.

Why no library: pyseccomp (the one on PyPI, last released in 2021) needs libseccomp at run time
and has neither SECCOMP_IOCTL_NOTIF_ID_VALID nor SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV. Without
the first an answer can go to a process that took over the pid; without the second a signal makes
the kernel run a call twice, and a second kexec_load is not the same as one. What is left for a
library to do is a filter of two dozen instructions.
"""

from __future__ import annotations

import _socket as socket
import errno
import fcntl
import os
import struct
from collections.abc import Callable, Mapping

from elfcorehdr.errors import KernelError, suppress
from elfcorehdr.kernel.printk import Printk
from elfcorehdr.lib.record import Record
from fsmount.host.aside import Asides
from fsmount.run.inside import filter
from fsmount.run.task import Later, Task
from fsmount.tree.boundary import attempt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fsmount.foreign.guests import Guest


# include/uapi/linux/seccomp.h
_FLAG_CONTINUE = 1
_NOTIF = struct.Struct("=QIIiIQ6Q")  # struct seccomp_notif
_RESP = struct.Struct("=QqiI")  # struct seccomp_notif_resp
_ADDFD = struct.Struct("=QIIII")  # struct seccomp_notif_addfd


def _ioc(read: bool, write: bool, nr: int, size: int) -> int:
    """_IOC(): the request number of '!' nr. powerpc orders the direction bits differently."""
    ppc = os.uname().machine.startswith("ppc")
    direction = (4 * write + 2 * read) << 29 if ppc else (write + 2 * read) << 30
    return direction | size << 16 | ord("!") << 8 | nr


_NOTIF_RECV = _ioc(True, True, 0, _NOTIF.size)
_NOTIF_SEND = _ioc(True, True, 1, _RESP.size)
_NOTIF_ID_VALID = _ioc(False, True, 2, 8)
_NOTIF_ADDFD = _ioc(False, True, 3, _ADDFD.size)


_GONE = (errno.ENOENT, errno.ENOTCONN)
"""The caller was killed; since Linux 6.11 the second when nobody is under the filter any more."""
_LATER = object()
_HELD = ("kexec_load", "kexec_file_load", "reboot", "rtas")
LET_THE_KERNEL = object()
"""Returned by an answer to run the host's own call; only for calls that read and change nothing."""

Answer = Callable[[Task, tuple[int, ...]], "int | object"]


class Syscall(Record):
    """One notification."""

    id: int
    pid: int
    name: str
    args: tuple[int, ...]
    base: int = 0
    """Of a foreign program: what is added to its addresses."""


class _Asked:
    """One call, and who makes it; outcome once that is known and remains to be told."""

    __slots__ = ("call", "outcome", "task")

    def __init__(self, call: Syscall, task: Task) -> None:
        self.call = call
        self.task = task
        self.outcome: object = None


class Supervisor:
    """Answers the calls of everyone under the filter, one after the other, in the caller's thread.

    An answer gives the call's result, raises KernelError for -errno, or Later. `seen` is told each
    call with its outcome (`kdumpfs run --record`), `settle` is called before the caller goes on. guest: whose
    programs run here besides the host's.
    """

    def __init__(
        self,
        listener: int,
        answers: Mapping[str, Answer],
        printk: Printk,
        seen: Callable[[Task, str, tuple[int, ...], int], None] | None = None,
        settle: Callable[[], None] = lambda: None,
        guest: Guest | None = None,
    ) -> None:
        self._guest = guest
        self.listener = listener
        self._answers = answers
        self._printk = printk
        self._names = {nr: name for name, nr in filter.numbers(filter.native_abi()).items()}
        self._seen = seen
        self._settle = settle
        self._waiting: list[_Asked] = []
        self._woken, self._waker = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self.busy = False
        """Set in the midst of long work: calls that change the machine then wait for retry()."""

    def serve(self) -> None:
        """Answer one call; to be called when the listener is readable."""
        buf = bytearray(_NOTIF.size)
        try:
            fcntl.ioctl(self.listener, _NOTIF_RECV, buf)
        except OSError as error:
            if error.errno in (errno.EINTR, *_GONE):
                return  # The caller was killed before we could look.
            raise
        id_, pid, _flags, nr, _arch, _ip, *args = _NOTIF.unpack(buf)
        call = Syscall(id_, pid, self._names[nr], tuple(args))
        self._answer(_Asked(call, self._task(call)))

    def _knocked(self, asked: _Asked) -> int:
        """Find what a reboot(2) is meant to be: another call, if a foreign program's C library says so (library.py). 0; Later."""
        from fsmount.foreign.code import BLOCK, KNOCK, RESTART2

        call = asked.call
        first, _, third, at = call.args[:4]
        if (first & 0xFFFFFFFF, third & 0xFFFFFFFF) != (KNOCK, RESTART2) or self._guest is None:
            return 0
        try:
            block = asked.task.read(at, BLOCK.size)
        except KernelError:
            return 0
        knock, address, number, *args = BLOCK.unpack(block)
        for name, known in self._guest.syscalls.items():
            if (knock, number) == (KNOCK, known):
                asked.call = Syscall(call.id, call.pid, name, tuple(args), at - address)
                asked.task = self._task(asked.call)
        return 0

    def retry(self) -> None:
        """Ask the waiting calls again: something they may wait for has happened."""
        waiting, self._waiting = self._waiting, []
        for asked in waiting:
            if self._is_valid(asked.call.id):
                self._answer(asked)
            else:
                asked.task.give_up()

    def fileno(self) -> int:
        """To wait on: late() is to be called then."""
        return self._woken.fileno()

    def late(self) -> None:
        """Memory or a file of a caller's that was waited for is there, or was waited for too long."""
        with suppress(BlockingIOError):
            self._woken.recv(4096)
        self.retry()

    def _wake(self) -> None:
        with suppress(OSError):  # there is enough in it, or this has ended
            self._waker.send(b"x")

    def close(self) -> None:
        """Nobody is answered any more."""
        os.close(self.listener)
        for asked in self._waiting:
            asked.task.give_up()
        self._waker.close()
        self._woken.close()

    @property
    def waiting(self) -> bool:
        """Whether a call waits for retry()."""
        return bool(self._waiting)

    def _is_valid(self, id_: int) -> bool:
        try:
            fcntl.ioctl(self.listener, _NOTIF_ID_VALID, struct.pack("=Q", id_))
        except OSError as error:
            if error.errno in _GONE:
                return False
            raise
        return True

    def _add_file(self, id_: int, fd: int, close_on_exec: bool) -> int:
        flags = os.O_CLOEXEC if close_on_exec else 0
        try:
            request = bytearray(_ADDFD.pack(id_, 0, fd, 0, flags))
            return int(fcntl.ioctl(self.listener, _NOTIF_ADDFD, request))
        except OSError as error:
            raise KernelError(error.errno or errno.EIO) from error

    def _task(self, call: Syscall) -> Task:
        return Task(
            call.pid,
            lambda: self._is_valid(call.id),
            call.id,
            lambda fd, close_on_exec: self._add_file(call.id, fd, close_on_exec),
            base=call.base,
            asides=Asides(self._wake),
        )

    def _answer(self, asked: _Asked) -> None:
        outcome = asked.outcome
        if outcome is None:
            outcome = self._outcome(asked)
        call, task = asked.call, asked.task
        if isinstance(outcome, int) and outcome >= 0:
            asked.outcome = outcome
            outcome = self._at_once(task.write_all) or outcome
        if outcome is _LATER:
            self._waiting.append(asked)
            return
        value, error, flags = 0, 0, 0
        if outcome is LET_THE_KERNEL:
            flags = _FLAG_CONTINUE
        elif isinstance(outcome, int):
            value, error = (outcome, 0) if outcome >= 0 else (0, outcome)
        self._settle()
        if self._seen is not None and not flags:
            self._seen(task, call.name, call.args, error or value)
        try:
            fcntl.ioctl(self.listener, _NOTIF_SEND, _RESP.pack(call.id, value, error, flags))
        except OSError as gone:
            if gone.errno not in _GONE:
                raise

    def _outcome(self, asked: _Asked) -> int | object:
        looked: int | object = 0
        if asked.call.name == "reboot" and self._guest is not None:
            looked = self._at_once(lambda: self._knocked(asked))
        if looked is _LATER:
            return _LATER
        call = asked.call
        if self.busy and call.name in _HELD:
            return _LATER
        answer = self._answers.get(call.name)
        if answer is None:
            return -errno.ENOSYS
        return self._at_once(lambda: answer(asked.task, call.args))

    def _at_once(self, act: Callable[[], int | object]) -> int | object:
        """What act() returns, -errno, or _LATER."""

        def acted() -> int | object:
            try:
                return act()
            except Later:
                return _LATER

        return attempt(self._printk, acted)
