"""What of the caller's a command in `kdumpfs run` keeps, and what it does not: descriptors, terminal, limits.

On a terminal the command is a job of its own in front, in the caller's session, so that job control
works as in any shell; without one it has a session of its own, and `run` passes signals on.
"""

from __future__ import annotations

import os
import resource
import sys

from elfcorehdr.errors import suppress
from fsmount.host import mountns
from fsmount.host.mountns import RunError
from fsmount.host.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from fsmount.host.cgroup import Group

PROCESSES = 4096
"""Most processes and threads in a run: its pid namespace's pid_max, and an ordinary user's RLIMIT_NPROC."""
MEMORY_SHARE = 2
"""Of the memory there is, all that a run's processes may have together is this part, where a cgroup may be made."""
OOM_SCORE_ADJ = 500
"""When memory runs out, the kernel ends what is in a run first."""
_PID_MAX_OF_NAMESPACE = (6, 14)
"""Since this release kernel.pid_max is of the pid namespace it is written in; before, of the host."""
PASSED_ON = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH)
"""Signals of a terminal that `run` passes on to a command that has none."""


_STREAMS = ("standard input", "standard output", "standard error")


def in_front() -> bool:
    """Whether the caller talks to a terminal, and is in front on it: then the command is to be."""
    try:
        return os.isatty(0) and os.isatty(1) and os.tcgetpgrp(0) == os.getpgrp()
    except OSError:  # a terminal, but of another session
        return False


def bring_to_front(group: int) -> None:
    """Give the terminal to a process group of this session."""
    old = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    with suppress(OSError):
        os.tcsetpgrp(0, group)
    signal.signal(signal.SIGTTOU, old)


def open_streams() -> None:
    """What the caller has closed of 0, 1 and 2 is /dev/null: else something of ours would be there."""
    while (fd := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(fd, True)
    os.close(fd)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def remark(text: str) -> None:
    """Say it on standard error, if that takes it: what the command does does not depend on it."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"kdumpfs: {text}\n")
        sys.stderr.flush()


def close_inherited(keep: Iterable[int]) -> None:
    """Close every descriptor but 0, 1, 2 and these."""
    at = 3
    for fd in sorted({fd for fd in keep if fd > 2}):
        mountns.close_range(at, fd - 1)
        at = fd + 1
    mountns.close_range(at, (1 << 32) - 1)


def check_passed(fds: Iterable[int]) -> None:
    """RunError unless each descriptor of --pass-fd is open and no way to the host's files."""
    for fd in fds:
        try:
            kind = os.fstat(fd).st_mode & 0o170000
        except (OSError, OverflowError):
            raise RunError(f"--pass-fd {fd}: not open, expected an open descriptor") from None
        if kind in (0o040000, 0o060000):
            what = "a directory" if kind == 0o040000 else "a disk"
            raise RunError(f"--pass-fd {fd}: {what} of the host, expected a file, pipe or socket")


def make_readonly(fds: Iterable[int]) -> None:
    """Files that these only read cannot be opened to be written by way of /proc/self/fd.

    They are opened anew on a read-only mount, at the same place. RunError if one is not found again.
    """
    import fcntl

    for fd in fds:
        try:
            status = os.fstat(fd)
            flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        except OSError:
            continue
        if status.st_mode & 0o170000 != 0o100000 or flags & os.O_ACCMODE != os.O_RDONLY:
            continue
        if status.st_nlink == 0:
            continue  # a shell's here-document: nobody else has it
        path = os.readlink(f"/proc/self/fd/{fd}")
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
            if not os.path.samestat(os.fstat(place), status):
                raise FileNotFoundError
            if os.access(f"/proc/self/fd/{place}", os.R_OK):
                new = mountns.open_readonly(place)
                os.lseek(new, os.lseek(fd, 0, os.SEEK_CUR), os.SEEK_SET)
                os.dup2(new, fd)
                os.close(new)
            # else opened by one who may for one who may not: nor can he open it again
            os.close(place)
        except OSError:
            name = _STREAMS[fd] if fd < 3 else f"--pass-fd {fd}:"
            raise RunError(
                f"{name} is {path[:200]}, which cannot be opened again read-only;"
                " give it through a pipe: `cat FILE | kdumpfs run ...`"
            ) from None


def limit() -> None:
    """Bounds on what the run may take of the host. To be called by the pid namespace's first process."""
    _lower(resource.RLIMIT_NPROC, PROCESSES)
    # 1 keeps a core_pattern that is a program from being started on the host, core(5).
    _lower(resource.RLIMIT_CORE, 1)
    _write("/proc/self/oom_score_adj", str(OOM_SCORE_ADJ))
    release = os.uname().release.split(".")
    if (int(release[0]), int(release[1].partition("-")[0])) >= _PID_MAX_OF_NAMESPACE:
        _write("/proc/sys/kernel/pid_max", str(PROCESSES))


def _lower(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def _write(path: str, text: str) -> None:
    """What may be refused: in a container, say."""
    with suppress(OSError), open(path, "w", encoding="utf-8") as file:
        file.write(text)


def memory_size() -> int:
    """How much may be written to what is private: a quarter of the memory there is."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4


def groups(table: str) -> list[Group]:
    """The cgroups of a run, which bound what all of its processes have together; none where none may be made.

    table: the mount table.
    """
    from fsmount.host import cgroup

    memory = memory_size() * 4 // MEMORY_SHARE
    return cgroup.groups({"memory": memory, "pids": PROCESSES}, table)
