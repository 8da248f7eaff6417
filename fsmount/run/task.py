"""The caller of a supervised system call: its process, its memory, its open files.

What may wait for a server of the caller's own (a page, a file) is done aside.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable

from elfcorehdr.errors import KernelError
from fsmount.host import mountns
from fsmount.host.aside import Asides, NoAnswer, NotYet, aside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")

_libc = ctypes.CDLL(None, use_errno=True)


class Later(Exception):
    """Raised by an answer that has to wait (a blocking syslog(2) read); Supervisor.retry() asks again."""


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
        asides: Asides | None = None,
    ) -> None:
        self.pid = pid
        self._base = base
        self._asides = asides
        self._writes: list[tuple[int, bytes]] = []
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

    def _aside(self, key: object, call: Callable[[], T]) -> T:
        """What call() returns, which may wait for a server of the caller's own. Later, NoAnswer."""
        if self._asides is None:
            return call()
        try:
            return self._asides.get(key, call)
        except NotYet as late:
            raise Later from late

    def _copy(
        self,
        data: bytes | int,
        addr: int,
        meanwhile: Callable[[], None] | None = None,
    ) -> bytes:
        """process_vm_readv() of so many bytes, or process_vm_writev() of these."""
        if isinstance(data, int):
            call, size = _libc.process_vm_readv, data
        else:
            call, size = _libc.process_vm_writev, len(data)
        if not self.still_there():
            raise KernelError(errno.ESRCH, "the caller is gone")

        def copied() -> tuple[int, bytes]:
            local = ctypes.create_string_buffer(data, size)
            here, there = _Iovec(ctypes.addressof(local), size), _Iovec(addr + self._base, size)
            done = call(self.pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
            return (done, local.raw) if done >= 0 else (-ctypes.get_errno(), b"")

        # A page of a file that some server has may never come.
        try:
            if meanwhile is None:
                done, copy = self._aside((addr, data), copied)
            else:
                done, copy = aside(copied, meanwhile)
        except NoAnswer as slow:
            raise KernelError(errno.EFAULT, f"{size} bytes at {addr:#x}: {slow.reason}") from slow
        if done < 0 and -done not in (errno.EFAULT, errno.EINVAL, errno.ENOMEM):
            raise KernelError(-done, f"the memory of process {self.pid} is closed to us")
        if done != size:
            raise KernelError(errno.EFAULT, f"{size} bytes at {addr:#x}")
        return copy

    def read(self, addr: int, size: int, meanwhile: Callable[[], None] | None = None) -> bytes:
        """copy_from_user(): exactly size bytes; KernelError(EFAULT) if not all can be read.

        Later if they do not come at once; with meanwhile that is called until they come.
        """
        if not size:
            return b""
        return self._copy(size, addr, meanwhile)

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
        """copy_to_user(), at the call's end: see write_all()."""
        if data:
            self._writes.append((addr, data))

    def write_all(self) -> int:
        """Do what write() was told: 0. KernelError(EFAULT) if it does not fit into writable memory; Later."""
        for addr, data in self._writes:
            self._copy(data, addr)
        return 0

    def give_up(self) -> None:
        """The caller is gone."""
        if self._asides is not None:
            self._asides.give_up()

    def add_file(self, fd: int, close_on_exec: bool) -> int:
        """fd_install(): give the caller a descriptor for an open file of ours; its number there."""
        if self._add_file is None:
            raise KernelError(errno.ENOSYS)
        return self._add_file(fd, close_on_exec)

    def with_file(self, fd: int, act: Callable[[int], T]) -> T:
        """fget(), what act() does with a descriptor of ours for the caller's open file, fput().

        KernelError(EBADF) if there is none, EIO if it takes too long: the file may lie on a server of the command's
        own, which answers neither reads nor closes. Later when there is no time now; nothing is done then.
        """

        leader = self.tgid

        def with_mine() -> T:
            try:
                mine = mountns.get_file(leader, fd)
            except OSError as error:
                raise KernelError(error.errno or errno.EIO, f"descriptor {fd}") from error
            try:
                return act(mine)
            finally:
                os.close(mine)

        done = self._aside((act, fd), with_mine)
        if not self.still_there():  # else the pid may have been another's
            raise KernelError(errno.ESRCH, "the caller is gone")
        return done
