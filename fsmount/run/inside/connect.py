"""connect(2) done for a process in `kdumpfs run`, by one that init forks for it: see fsmount/run/connect.py for why."""

from __future__ import annotations

import _socket as socket
import ctypes
import errno
import os

from fsmount.host import mountns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def carry_out(text: str, procfs: int, host_devices: frozenset[str]) -> int:
    """Do the connect in a process forked for it; its errno or 0. procfs is open, of the run's pids."""
    _, thread, leader, fd, uid, gid, groups, address = text.split(" ")
    raw = bytes.fromhex(address)
    try:
        sock = mountns.get_file(int(leader), int(fd) & 0xFFFFFFFF)
        root, cwd = (
            os.open(f"{thread}/{name}", os.O_PATH, dir_fd=procfs) for name in ("root", "cwd")
        )
        # The table of the caller's mount namespace from its root: in a chroot some would be missing.
        mountns.enter(os.open(f"{thread}/ns/mnt", os.O_RDONLY, dir_fd=procfs))
        mountinfo = os.open(f"{os.getpid()}/mountinfo", os.O_RDONLY, dir_fd=procfs)
        os.fchdir(root)
        os.chroot(".")
        os.fchdir(cwd)
        if (uid, gid) != ("0", "0") or groups not in ("", "0"):
            os.setgroups([int(group) for group in groups.split(",") if group])
            os.setresgid(int(gid), int(gid), int(gid))
            os.setresuid(int(uid), int(uid), int(uid))
        family = int.from_bytes(raw[:2], "little")
        if family == socket.AF_UNIX and len(raw) > 2 and raw[2]:
            place = os.open(raw[2:].partition(b"\0")[0], os.O_PATH | os.O_CLOEXEC)
            if os.fstat(place).st_mode & 0o170000 != 0o140000:
                return errno.ECONNREFUSED
            number = _mount_of(place, procfs)
            with open(mountinfo, encoding="utf-8", errors="surrogateescape") as table:
                devices = [line.split()[2] for line in table if line.startswith(f"{number} ")]
            if not devices or devices[0] in host_devices:
                return errno.ECONNREFUSED
            # That file and no other, by a name that leads nowhere else.
            os.fchdir(procfs)
            raw = raw[:2] + f"{os.getpid()}/fd/{place}".encode() + b"\0"
    except OSError as error:
        return error.errno or errno.EIO
    libc: Any = ctypes.CDLL(None, use_errno=True)
    return ctypes.get_errno() if libc.connect(sock, raw, len(raw)) else 0


def _mount_of(fd: int, procfs: int) -> int:
    info = os.open(f"{os.getpid()}/fdinfo/{fd}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=procfs)
    with open(info, encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("mnt_id:"))
