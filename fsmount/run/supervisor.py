"""The system calls a mount cannot see: seccomp user notification (kernel/seccomp.c).

A filter in the command's processes hands the calls of ABIS to us; who calls, with what, and how
the answer gets back is here; what the calls mean is fsmount/syscalls.py. The filter fails closed:
another ABI's calls (i386, x32) get ENOSYS, and so does every handed-over call once the listener
is closed, which is what the kernel does when its reader dies.

Why no library: pyseccomp (the one on PyPI, last released in 2021) needs libseccomp at run time
and has neither SECCOMP_IOCTL_NOTIF_ID_VALID nor SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV. Without
the first an answer can go to a process that took over the pid; without the second a signal makes
the kernel run a call twice, and a second kexec_load is not the same as one. What is left for a
library to do is a filter of two dozen instructions.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Callable, Mapping

from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.printk import Printk
from elfcorehdr.lib.record import Record
from fsmount.host import mountns
from fsmount.run.inside import filter
from fsmount.tree.boundary import attempt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fsmount.foreign.guests import Guest

_libc = ctypes.CDLL(None, use_errno=True)


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


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("len", ctypes.c_size_t))


class Task:
    """The caller of a system call: what `current` is in the kernel. pid is the thread's, in our
    pid namespace; base is added to the addresses of a foreign program."""

    def __init__(
        self,
        pid: int,
        still_there: Callable[[], bool] = lambda: True,
        id: int = 0,
        add_file: Callable[[int, bool], int] | None = None,
        base: int = 0,
    ) -> None:
        self.pid = pid
        self._base = base
        self.id = id
        """Of the call: the same when it is asked again."""
        self._add_file = add_file
        self.still_there = still_there
        """SECCOMP_IOCTL_NOTIF_ID_VALID: False once the call was given up and the pid may be another's."""
        self._status: dict[str, str] = {}

    def _proc(self, name: str) -> str:
        return f"/proc/{self.pid}/{name}"

    def status(self, key: str) -> str:
        """One line of /proc/PID/status; KernelError(ESRCH) if the caller is gone."""
        if not self._status:
            try:
                text = mountns.read(self._proc("status"))
            except OSError as error:
                raise KernelError(errno.ESRCH, "the caller is gone") from error
            if not self.still_there():
                raise KernelError(errno.ESRCH, "the caller is gone")
            self._status.update(
                (key, value.strip())
                for key, _, value in (ln.partition(":") for ln in text.splitlines())
            )
        return self._status[key]

    @property
    def tgid(self) -> int:
        """The process that the calling thread belongs to."""
        return int(self.status("Tgid"))

    @property
    def pid_inside(self) -> int:
        """What the caller's own pid namespace calls its thread."""
        return int(self.status("NSpid").split()[-1])

    @property
    def comm(self) -> str:
        """current->comm"""
        return self.status("Name")

    @property
    def uid(self) -> int:
        """The effective user id, as our user namespace sees it."""
        return int(self.status("Uid").split()[1])

    def capable(self, cap: int, user_namespace: str | None = None) -> bool:
        """Whether CapEff has cap; in another user namespace than the machine's it counts for nothing."""
        if not int(self.status("CapEff"), 16) >> cap & 1:
            return False
        return user_namespace is None or self.link("ns/user") == user_namespace

    def link(self, name: str) -> str:
        """readlink of /proc/PID/name ("cwd", "root", "fd/3", "ns/user"); KernelError(EBADF) if absent."""
        try:
            target = os.readlink(self._proc(name))
        except OSError as error:
            raise KernelError(errno.EBADF, f"{name}: {error.strerror}") from error
        if not self.still_there():
            raise KernelError(errno.ESRCH, "the caller is gone")
        return target

    def text(self, name: str) -> str:
        """A file of /proc/PID; KernelError(EBADF) if there is none."""
        try:
            with open(self._proc(name), encoding="utf-8", errors="surrogateescape") as file:
                return file.read()
        except OSError as error:
            raise KernelError(errno.EBADF, f"{name}: {error.strerror}") from error

    def _copy(self, call: Callable[..., int], local: ctypes.Array[ctypes.c_char], addr: int) -> int:
        size = ctypes.sizeof(local)
        here = _Iovec(ctypes.addressof(local), size)
        there = _Iovec(addr + self._base, size)
        if not self.still_there():
            raise KernelError(errno.ESRCH, "the caller is gone")
        done = call(self.pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
        if done >= 0:
            return done
        if ctypes.get_errno() in (errno.EFAULT, errno.EINVAL, errno.ENOMEM):
            raise KernelError(errno.EFAULT, f"{size} bytes at {addr:#x}")
        raise KernelError(ctypes.get_errno(), f"the memory of process {self.pid} is closed to us")

    def read(self, addr: int, size: int) -> bytes:
        """copy_from_user(): exactly size bytes; KernelError(EFAULT) if not all can be read."""
        if not size:
            return b""
        local = ctypes.create_string_buffer(size)
        if self._copy(_libc.process_vm_readv, local, addr) != size:
            raise KernelError(errno.EFAULT, f"{size} bytes at {addr:#x}")
        return local.raw

    def read_string(self, addr: int, limit: int) -> bytes:
        """strncpy_from_user(): up to the NUL, which is left off; ENAMETOOLONG without one in limit."""
        text = b""
        while len(text) < limit:
            # A string may end just before an unmapped page, so do not read across one.
            size = min(limit - len(text), 4096 - (addr + len(text)) % 4096)
            text += self.read(addr + len(text), size)
            if (end := text.find(b"\0")) >= 0:
                return text[:end]
        raise KernelError(errno.ENAMETOOLONG, f"no NUL in {limit} bytes at {addr:#x}")

    def write(self, addr: int, data: bytes) -> None:
        """copy_to_user(): all of data; KernelError(EFAULT) if it does not fit into writable memory."""
        if data and self._copy(
            _libc.process_vm_writev, ctypes.create_string_buffer(data, len(data)), addr
        ) != len(data):
            raise KernelError(errno.EFAULT, f"{len(data)} bytes at {addr:#x}")

    def add_file(self, fd: int, close_on_exec: bool) -> int:
        """fd_install(): give the caller a descriptor for an open file of ours; its number there."""
        if self._add_file is None:
            raise KernelError(errno.ENOSYS)
        return self._add_file(fd, close_on_exec)

    def get_file(self, fd: int) -> int:
        """fget(): a descriptor of ours for the caller's open file; KernelError(EBADF) if there is none.

        Never for a file of our own mounts: reading or closing one would wait for ourselves.
        """
        leader = self.tgid
        if not self.still_there():
            raise KernelError(errno.ESRCH, "the caller is gone")
        try:
            return mountns.get_file(leader, fd)
        except OSError as error:
            raise KernelError(error.errno or errno.EIO, f"descriptor {fd}") from error


class Later(Exception):
    """Raised by an answer that has to wait (a blocking syslog(2) read); Supervisor.retry() asks again."""


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
        self._waiting: list[Syscall] = []
        self.busy = False
        """Set in the midst of long work: calls that change the machine then wait for retry()."""

    def serve(self) -> None:
        """Answer one call; to be called when the listener is readable."""
        buf = bytearray(_NOTIF.size)
        try:
            fcntl.ioctl(self.listener, _NOTIF_RECV, buf)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):
                return  # The caller was killed before we could look.
            raise
        id_, pid, _flags, nr, _arch, _ip, *args = _NOTIF.unpack(buf)
        call = Syscall(id_, pid, self._names[nr], tuple(args))
        self._answer(self._knocked(call) if call.name == "reboot" and self._guest else call)

    def _knocked(self, call: Syscall) -> Syscall:
        """What a reboot(2) is meant to be: another call, if a foreign program's C library says so (library.py)."""
        from fsmount.foreign.code import BLOCK, KNOCK, RESTART2

        first, _, third, at = call.args[:4]
        if (first & 0xFFFFFFFF, third & 0xFFFFFFFF) != (KNOCK, RESTART2) or self._guest is None:
            return call
        try:
            block = self._task(call).read(at, BLOCK.size)
        except KernelError:
            return call
        knock, address, number, *args = BLOCK.unpack(block)
        for name, known in self._guest.syscalls.items():
            if (knock, number) == (KNOCK, known):
                return Syscall(call.id, call.pid, name, tuple(args), at - address)
        return call

    def retry(self) -> None:
        """Ask the waiting calls again: something they may wait for has happened."""
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            if self._is_valid(call.id):
                self._answer(call)

    @property
    def waiting(self) -> bool:
        """Whether a call waits for retry()."""
        return bool(self._waiting)

    def _is_valid(self, id_: int) -> bool:
        try:
            fcntl.ioctl(self.listener, _NOTIF_ID_VALID, struct.pack("=Q", id_))
        except OSError as error:
            if error.errno == errno.ENOENT:
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
        )

    def _answer(self, call: Syscall) -> None:
        task = self._task(call)
        value, error, flags = 0, 0, 0
        held = self.busy and call.name in _HELD
        outcome = _LATER if held else attempt(self._printk, self._ask, task, call.name, call.args)
        if outcome is _LATER:
            self._waiting.append(call)
            return
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
            if gone.errno != errno.ENOENT:
                raise

    def _ask(self, task: Task, name: str, args: tuple[int, ...]) -> int | object:
        answer = self._answers.get(name)
        if answer is None:
            raise KernelError(errno.ENOSYS, name)
        try:
            return answer(task, args)
        except Later:
            return _LATER
