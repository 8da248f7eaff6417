"""Who asks: a request's uid, gid and pid, and what /proc says of that process."""

from __future__ import annotations

import os
from functools import partial

from fsmount.tree.kobject import Caller


class Callers:
    """Makes Callers of a request's numbers.

    owner: an ordinary user whose machine it is: root's files are his, and so is what root may do. 0: nobody's but root's.
    """

    def __init__(self, owner: int = 0) -> None:
        self._owner = owner
        self._proc = os.open("/proc", os.O_PATH | os.O_CLOEXEC)

    def __call__(self, uid: int, gid: int, pid: int) -> Caller:
        """The Caller; its name is "" if it has gone, or is in another pid namespace."""
        comm = self._read(pid, "comm").rstrip("\n")
        if self._owner and uid == self._owner:
            return Caller(uid, gid, pid, comm=comm, proc=self._proc)
        return Caller(uid, gid, pid, partial(self._capable, pid), comm, self._proc)

    def close(self) -> None:
        """Let go of /proc."""
        os.close(self._proc)

    def _capable(self, pid: int, cap: int) -> bool:
        """Whether the process has the capability in effect."""
        for line in self._read(pid, "status").splitlines():
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> cap & 1)
        return False

    def _read(self, pid: int, name: str) -> str:
        try:
            fd = os.open(f"{pid}/{name}", os.O_RDONLY, dir_fd=self._proc)
            with open(fd, encoding="latin-1") as file:
                return file.read()
        except (FileNotFoundError, ProcessLookupError):
            return ""
