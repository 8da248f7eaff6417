"""The file operations of golden x86_64's write battery, done again: `python operations.py RO RW DIR` prints JSON, op to outcome.

Outcomes have the capture's form: {"result": ...} or {"errno": "..."}. Standard library only: it also runs inside `kdumpfs run`.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import select
import stat
import struct
import sys
import tempfile
from collections.abc import Callable
from typing import Any

O_DIRECT, O_TMPFILE = os.O_DIRECT, os.O_TMPFILE
FIONREAD, TCGETS = 0x541B, 0x5401
libc = ctypes.CDLL(None, use_errno=True)
OPS: dict[str, Callable[[str, str, str], Any]] = {}


def op(name: str) -> Callable[[Callable[[str, str, str], Any]], Callable[[str, str, str], Any]]:
    """Declare an operation by the capture's words."""

    def declare(act: Callable[[str, str, str], Any]) -> Callable[[str, str, str], Any]:
        OPS[name] = act
        return act

    return declare


class Opened:
    """A descriptor for a with statement."""

    def __init__(self, path: str, flags: int = os.O_RDONLY, mode: int = 0o644) -> None:
        self.fd = os.open(path, flags, mode)

    def __enter__(self) -> int:
        return self.fd

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


def opens(path: str, flags: int) -> str:
    with Opened(path, flags):
        return "opened"


def called(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def text(data: bytes) -> str:
    return data.decode("latin-1")


@op("read(1) then read(1) then read(4096) then read(4096)")
def _reads(ro: str, rw: str, dir: str) -> Any:
    with Opened(ro) as fd:
        return [text(os.read(fd, n)) for n in (1, 1, 4096, 4096)]


@op("pread(4, off=0), pread(4, off=2), pread(4, off=len), pread(4, off=4096), pread(4, off=1<<40)")
def _preads(ro: str, rw: str, dir: str) -> Any:
    with Opened(ro) as fd:
        length = len(os.pread(fd, 4096, 0))
        return [text(os.pread(fd, 4, at)) for at in (0, 2, length, 4096, 1 << 40)]


@op("pread off=-1")
def _pread_negative(ro: str, rw: str, dir: str) -> Any:
    with Opened(ro) as fd:
        return text(os.pread(fd, 4, -1))


@op("read(0)")
def _read_nothing(ro: str, rw: str, dir: str) -> Any:
    with Opened(ro) as fd:
        return text(os.read(fd, 0))


@op("lseek SET 2 + read")
def _seek_set(ro: str, rw: str, dir: str) -> Any:
    with Opened(ro) as fd:
        return [os.lseek(fd, 2, os.SEEK_SET), text(os.read(fd, 10))]


@op("lseek END 0")
def _seek_end(ro: str, rw: str, dir: str) -> Any:
    with Opened(ro) as fd:
        return os.lseek(fd, 0, os.SEEK_END)


@op("lseek END 0 after a read")
def _seek_end_read(ro: str, rw: str, dir: str) -> Any:
    with Opened(ro) as fd:
        os.read(fd, 4096)
        return os.lseek(fd, 0, os.SEEK_END)


@op("lseek CUR 5")
def _seek_cur(ro: str, rw: str, dir: str) -> Any:
    with Opened(ro) as fd:
        return os.lseek(fd, 5, os.SEEK_CUR)


@op("lseek SET -1")
def _seek_negative(ro: str, rw: str, dir: str) -> Any:
    with Opened(ro) as fd:
        return os.lseek(fd, -1, os.SEEK_SET)


@op("lseek SET 1<<40 + read")
def _seek_far(ro: str, rw: str, dir: str) -> Any:
    with Opened(ro) as fd:
        return [os.lseek(fd, 1 << 40, os.SEEK_SET), text(os.read(fd, 10))]


@op("lseek SEEK_DATA 0")
def _seek_data(ro: str, rw: str, dir: str) -> Any:
    with Opened(ro) as fd:
        return os.lseek(fd, 0, os.SEEK_DATA)


@op("lseek SEEK_HOLE 0")
def _seek_hole(ro: str, rw: str, dir: str) -> Any:
    with Opened(ro) as fd:
        return os.lseek(fd, 0, os.SEEK_HOLE)


def _opening(name: str, which: str, flags: int) -> None:
    def act(ro: str, rw: str, dir: str) -> Any:
        return opens({"ro": ro, "rw": rw, "dir": dir}[which], flags)

    OPS[name] = act


for _name, _which, _flags in (
    ("open ro file O_WRONLY as root", "ro", os.O_WRONLY),
    ("open ro file O_RDWR as root", "ro", os.O_RDWR),
    ("open ro file O_RDONLY|O_TRUNC as root", "ro", os.O_RDONLY | os.O_TRUNC),
    ("open rw file O_RDWR", "rw", os.O_RDWR),
    ("open rw file O_WRONLY|O_TRUNC", "rw", os.O_WRONLY | os.O_TRUNC),
    ("open rw file O_WRONLY|O_APPEND", "rw", os.O_WRONLY | os.O_APPEND),
    ("open rw file O_WRONLY|O_CREAT", "rw", os.O_WRONLY | os.O_CREAT),
    ("open rw file O_CREAT|O_EXCL", "rw", os.O_WRONLY | os.O_CREAT | os.O_EXCL),
    ("open rw file O_DIRECT", "rw", os.O_RDWR | O_DIRECT),
    ("open ro file O_DIRECT", "ro", os.O_RDONLY | O_DIRECT),
    ("open rw file O_DIRECTORY", "rw", os.O_DIRECTORY),
    ("open dir O_WRONLY", "dir", os.O_WRONLY),
    ("open dir O_TMPFILE", "dir", O_TMPFILE | os.O_RDWR),
    ("open dir O_DIRECT", "dir", os.O_DIRECTORY | O_DIRECT),
):
    _opening(_name, _which, _flags)


@op("F_SETFL O_DIRECT")
def _setfl(ro: str, rw: str, dir: str) -> Any:
    with Opened(ro) as fd:
        fcntl.fcntl(fd, fcntl.F_SETFL, O_DIRECT)


@op("write on O_RDONLY fd")
def _write_ro(ro: str, rw: str, dir: str) -> Any:
    with Opened(ro) as fd:
        return os.write(fd, b"1")


@op("read on O_WRONLY fd")
def _read_wo(ro: str, rw: str, dir: str) -> Any:
    with Opened(rw, os.O_WRONLY) as fd:
        return text(os.read(fd, 1))


@op("write zero bytes")
def _write_nothing(ro: str, rw: str, dir: str) -> Any:
    with Opened(rw, os.O_WRONLY) as fd:
        return os.write(fd, b"")


OPS["create new file in dir"] = lambda ro, rw, dir: opens(f"{dir}/new", os.O_CREAT | os.O_WRONLY)
OPS["open missing file"] = lambda ro, rw, dir: opens(f"{dir}/missing", os.O_RDONLY)
OPS["open file/child"] = lambda ro, rw, dir: opens(f"{ro}/child", os.O_RDONLY)
OPS["mkdir new"] = lambda ro, rw, dir: os.mkdir(f"{dir}/new")
OPS["mkdir existing"] = lambda ro, rw, dir: os.mkdir(dir)
OPS["rmdir"] = lambda ro, rw, dir: os.rmdir(dir)
OPS["unlink ro"] = lambda ro, rw, dir: os.unlink(ro)
OPS["unlink rw"] = lambda ro, rw, dir: os.unlink(rw)
OPS["unlink missing"] = lambda ro, rw, dir: os.unlink(f"{dir}/missing")
OPS["rename file"] = lambda ro, rw, dir: os.rename(rw, f"{rw}x")
OPS["rename to tmp"] = lambda ro, rw, dir: os.rename(rw, f"{tempfile.gettempdir()}/kdumpfs-x")
OPS["rename dir"] = lambda ro, rw, dir: os.rename(dir, f"{dir}x")
OPS["symlink in dir"] = lambda ro, rw, dir: os.symlink("x", f"{dir}/new")
OPS["link in dir"] = lambda ro, rw, dir: os.link(rw, f"{dir}/new")
OPS["mknod in dir"] = lambda ro, rw, dir: os.mknod(f"{dir}/new", stat.S_IFREG | 0o600)
OPS["mkfifo in dir"] = lambda ro, rw, dir: os.mkfifo(f"{dir}/new")
OPS["truncate(rw,0)"] = lambda ro, rw, dir: os.truncate(rw, 0)
OPS["truncate(rw,10000)"] = lambda ro, rw, dir: os.truncate(rw, 10000)
OPS["truncate(ro,0)"] = lambda ro, rw, dir: os.truncate(ro, 0)


@op("ftruncate(rw,0)")
def _ftruncate(ro: str, rw: str, dir: str) -> Any:
    with Opened(rw, os.O_RDWR) as fd:
        return os.ftruncate(fd, 0)


@op("fallocate rw")
def _fallocate(ro: str, rw: str, dir: str) -> Any:
    # The C library's posix_fallocate(): where the file system has none, it writes bytes, which no attribute takes.
    with Opened(rw, os.O_RDWR) as fd:
        os.posix_fallocate(fd, 0, 10)


@op("fsync rw")
def _fsync(ro: str, rw: str, dir: str) -> Any:
    with Opened(rw, os.O_RDWR) as fd:
        return os.fsync(fd)


@op("fsync dir")
def _fsync_dir(ro: str, rw: str, dir: str) -> Any:
    with Opened(dir, os.O_DIRECTORY) as fd:
        return os.fsync(fd)


@op("fdatasync ro")
def _fdatasync(ro: str, rw: str, dir: str) -> Any:
    with Opened(ro) as fd:
        return os.fdatasync(fd)


FIELDS = (
    "st_mode",
    "st_nlink",
    "st_uid",
    "st_gid",
    "st_size",
    "st_blksize",
    "st_blocks",
    "st_rdev",
)


def _stat(path: str) -> dict[str, int]:
    found = os.stat(path)
    return {name: getattr(found, name) for name in FIELDS}


OPS["stat rw"] = lambda ro, rw, dir: _stat(rw)
OPS["stat dir"] = lambda ro, rw, dir: _stat(dir)


@op("chmod ro 0600 then mode")
def _chmod(ro: str, rw: str, dir: str) -> Any:
    return [os.chmod(ro, 0o600), oct(os.stat(ro).st_mode)]


@op("open ro after chmod 0600 O_WRONLY + write")
def _write_chmodded(ro: str, rw: str, dir: str) -> Any:
    with Opened(ro, os.O_WRONLY) as fd:
        return os.write(fd, b"1")


@op("chmod ro back")
def _chmod_back(ro: str, rw: str, dir: str) -> Any:
    return [os.chmod(ro, 0o444), oct(os.stat(ro).st_mode)]


OPS["chown rw 1000"] = lambda ro, rw, dir: [os.chown(rw, 1000, -1), os.stat(rw).st_uid]
OPS["chown rw back"] = lambda ro, rw, dir: [os.chown(rw, 0, -1), os.stat(rw).st_uid]
OPS["utime rw"] = lambda ro, rw, dir: [os.utime(rw, (1, 2)), os.stat(rw).st_mtime]
OPS["listxattr"] = lambda ro, rw, dir: os.listxattr(rw)
OPS["setxattr user.x"] = lambda ro, rw, dir: os.setxattr(rw, "user.x", b"1")
OPS["setxattr trusted.x"] = lambda ro, rw, dir: os.setxattr(rw, "trusted.x", b"1")
OPS["getxattr user.y"] = lambda ro, rw, dir: text(os.getxattr(rw, "user.y"))
OPS["access R/W/X root on ro,rw,dir"] = lambda ro, rw, dir: [
    [os.access(path, how) for how in (os.R_OK, os.W_OK, os.X_OK)] for path in (ro, rw, dir)
]


@op("poll before/after read")
def _poll(ro: str, rw: str, dir: str) -> Any:
    with Opened(ro) as fd:
        poll = select.poll()
        poll.register(fd, 0xF)
        before = [events for _, events in poll.poll(0)]
        os.read(fd, 4096)
        return [before, [events for _, events in poll.poll(0)]]


@op("mmap PROT_READ private")
def _mmap(ro: str, rw: str, dir: str) -> Any:
    with Opened(ro) as fd:
        mmap.mmap(fd, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ).close()


@op("mmap PROT_READ shared")
def _mmap_shared(ro: str, rw: str, dir: str) -> Any:
    with Opened(ro) as fd:
        mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ).close()


@op("ioctl FIONREAD")
def _fionread(ro: str, rw: str, dir: str) -> Any:
    with Opened(ro) as fd:
        return text(fcntl.ioctl(fd, FIONREAD, bytes(4)))


@op("ioctl TCGETS")
def _tcgets(ro: str, rw: str, dir: str) -> Any:
    with Opened(ro) as fd:
        return text(fcntl.ioctl(fd, TCGETS, bytes(64)))


@op("flock EX")
def _flock(ro: str, rw: str, dir: str) -> Any:
    with Opened(rw, os.O_RDWR) as fd:
        return fcntl.flock(fd, fcntl.LOCK_EX)


@op("statvfs")
def _statvfs(ro: str, rw: str, dir: str) -> Any:
    found = os.statvfs(ro)
    names = ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_files", "f_ffree", "f_namemax")
    return {name: getattr(found, name) for name in names}


@op("name_to_handle_at")
def _handle(ro: str, rw: str, dir: str) -> Any:
    buf = ctypes.create_string_buffer(struct.pack("<Ii", 128, 0) + bytes(128))
    mount_id = ctypes.c_int()
    called(libc.name_to_handle_at(-100, ro.encode(), buf, ctypes.byref(mount_id), 0))
    return "a handle"


OPS["readdir order (as the kernel returns it)"] = lambda ro, rw, dir: sorted(os.listdir(dir))
OPS["readlink on file"] = lambda ro, rw, dir: os.readlink(ro)


def as_user(act: Callable[[], Any]) -> Any:
    """The outcome of an act as uid 1000, in a process of its own."""
    read_fd, write_fd = os.pipe()
    if os.fork() == 0:
        os.setresgid(1000, 1000, 1000)
        os.setresuid(1000, 1000, 1000)
        os.write(write_fd, json.dumps(outcome(act)).encode())
        os._exit(0)
    os.close(write_fd)
    with os.fdopen(read_fd) as pipe:
        said = json.load(pipe)
    os.wait()
    return said


def _read(path: str) -> str:
    with Opened(path) as fd:
        return text(os.read(fd, 4096))


OPS["uid 1000: read ro"] = lambda ro, rw, dir: as_user(lambda: _read(ro))
OPS["uid 1000: open rw O_WRONLY"] = lambda ro, rw, dir: as_user(lambda: opens(rw, os.O_WRONLY))
OPS["uid 1000: open ro O_WRONLY"] = lambda ro, rw, dir: as_user(lambda: opens(ro, os.O_WRONLY))
OPS["uid 1000: mkdir"] = lambda ro, rw, dir: as_user(lambda: os.mkdir(f"{dir}/new"))
OPS["uid 1000: unlink"] = lambda ro, rw, dir: as_user(lambda: os.unlink(ro))
OPS["uid 1000: chmod rw"] = lambda ro, rw, dir: as_user(lambda: os.chmod(rw, 0o666))
OPS["uid 1000: create"] = lambda ro, rw, dir: as_user(
    lambda: opens(f"{dir}/new", os.O_CREAT | os.O_WRONLY)
)


def outcome(act: Callable[[], Any]) -> dict[str, Any]:
    """What an act gives, in the capture's form."""
    try:
        return {"result": act()}
    except OSError as error:
        return {"errno": errno.errorcode.get(error.errno or 0, str(error.errno))}


def main(ro: str, rw: str, dir: str) -> None:
    """Do them all."""
    done = {name: outcome(lambda act=act: act(ro, rw, dir)) for name, act in OPS.items()}
    json.dump(done, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
