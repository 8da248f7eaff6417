"""Namespaces and mounts as plain calls: unshare(2), mount(2), mount_setattr(2), /proc/PID/mountinfo.

The vocabulary in which fsmount/run/inside/rootfs.py says what `kdumpfs run` looks like from inside. A call
that the host refuses raises RunError with one sentence.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from elfcorehdr.errors import ProfileError, suppress
from elfcorehdr.lib.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_libc = ctypes.CDLL(None, use_errno=True)
_python = ctypes.PyDLL(None, use_errno=True)
"""The same, and the interpreter itself: calls keep its lock."""

# include/uapi/linux/sched.h
CLONE_NEWNS, CLONE_NEWCGROUP = 0x00020000, 0x02000000
CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWTIME = 0x04000000, 0x08000000, 0x00000080
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
# include/uapi/linux/mount.h
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE, MS_SLAVE = 4096, 8192, 16384, 1 << 18, 1 << 19
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NODEV = 1, 4
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000

BINFMT = "binfmt_misc"
"""The file system of that name, and what a run's own is called in its private directory."""
_CAP_SYS_ADMIN = 21  # include/uapi/linux/capability.h
FSTYPE = "fuse.kdumpfs"
"""What a mount of ours is called in the mount table."""
# The same numbers on every architecture: since Linux 5.12, 5.6, 5.9, 5.2.
_MOUNT_SETATTR, _PIDFD_GETFD, _CLOSE_RANGE, _OPEN_TREE = 442, 438, 436, 428
_OPEN_TREE_CLONE, _AT_EMPTY_PATH = 1, 0x1000
# include/uapi/linux/prctl.h
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_SIGKILL, _SIGCHLD = 9, 17
_DEPTH = 1360  # PATH_MAX is 4096
_CLONE = {"x86_64": 56, "ppc64le": 120, "ppc64": 120}.get(os.uname().machine, 220)


class RunError(ProfileError):
    """`kdumpfs run` cannot give what it promises; the sentence says what is in the way."""

    errno = 0
    """Of the call that the host refused, if it was one."""


def _refused(what: str, hint: str = "") -> RunError:
    error = RunError(f"{what}: {os.strerror(ctypes.get_errno())}{hint}")
    error.errno = ctypes.get_errno()
    return error


def unshare(flags: int, what: str) -> None:
    """unshare(2); `what` names the namespaces in the sentence of the RunError, which says the remedy."""
    if _libc.unshare(flags):
        raise _refused(f"cannot make {what}", _remedy(flags, ctypes.get_errno()))


def clone(flags: int, what: str) -> int:
    """fork(2) into new namespaces, by clone(2): the child's pid, 0 in the child. RunError as unshare()'s.

    unshare(2) would take a process more, for the pid namespace begins with a child: 2.5 ms.
    """
    _python.PyOS_BeforeFork()
    pid = int(_python.syscall(_CLONE, ctypes.c_ulong(flags | _SIGCHLD), None, None, None, None))
    error = ctypes.get_errno()
    if pid == 0:
        _python.PyOS_AfterFork_Child()
        return 0
    _python.PyOS_AfterFork_Parent()
    if pid < 0:
        raise RunError(f"cannot make {what}: {os.strerror(error)}{_remedy(flags, error)}")
    return pid


def _remedy(flags: int, number: int, proc: str = "/proc") -> str:
    """What an administrator can do where unshare(2) was refused."""
    if number == errno.ENOSPC or read_or_empty(f"{proc}/sys/user/max_user_namespaces") == "0":
        return " (no namespace may be made: sysctl user.max_user_namespaces=15000)"
    if number == errno.EINVAL:
        return " (the kernel lacks a namespace: CONFIG_USER_NS, CONFIG_PID_NS, CONFIG_CGROUPS)"
    if number != errno.EPERM:
        return ""
    if read_or_empty(f"{proc}/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            " (AppArmor keeps ordinary users from it: run it as root, or"
            " sysctl kernel.apparmor_restrict_unprivileged_userns=0)"
        )
    if read_or_empty(f"{proc}/sys/kernel/unprivileged_userns_clone") == "0":
        return " (run it as root, or sysctl kernel.unprivileged_userns_clone=1)"
    if flags & CLONE_NEWUSER and _in_chroot(proc):
        return " (no user namespace can be made in a chroot: run it as root, with CAP_SYS_CHROOT)"
    return (
        " (in a container: docker run --cap-add SYS_ADMIN --security-opt seccomp=unconfined"
        " --security-opt apparmor=unconfined --device /dev/fuse)"
    )


def read(path: str) -> str:
    """A file's text."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def read_or_empty(path: str) -> str:
    """The same without blanks around it; "" if there is none."""
    try:
        return read(path).strip()
    except OSError:
        return ""


def _in_chroot(proc: str) -> bool:
    """Whether / is not the root of a mount: then it is a chroot's."""
    return not any(mount.point == "/" for mount in mounts(read_or_empty(f"{proc}/self/mountinfo")))


def enter(namespace: int) -> None:
    """setns(2), to whatever namespace is open; OSError."""
    if _libc.setns(namespace, 0):
        raise OSError(ctypes.get_errno(), "setns")


def may_mount() -> bool:
    """Whether this process has CAP_SYS_ADMIN; root of a container often has not."""
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        effective = next(line.split()[1] for line in file if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> _CAP_SYS_ADMIN & 1)


def write_id_maps(process: str, uids: str, gids: str, *, setgroups: bool) -> None:
    """Fill a new user namespace's maps (`inside outside count` lines); RunError if the host refuses.

    process: a directory of procfs.
    """
    texts = {"uid_map": uids, "gid_map": gids}
    try:
        for name, text in texts.items() if setgroups else ({"setgroups": "deny"} | texts).items():
            with open(f"{process}/{name}", "w", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise RunError(f"cannot map users into the namespace: {error.strerror}") from error


def mount(source: str, target: str, fstype: str | None, flags: int = 0, data: str = "") -> None:
    """mount(2); RunError naming target and errno."""
    kind = fstype.encode() if fstype else None
    args = source.encode(), os.fsencode(target), kind, ctypes.c_ulong(flags), data.encode() or None
    if _libc.mount(*args):
        raise _refused(f"cannot mount {fstype or source} on {target}")


def make_slave() -> None:
    """What is mounted here stays here, what the host unmounts goes here too; unshare(2) does neither."""
    flags = ctypes.c_ulong(MS_REC | MS_SLAVE)
    where = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    root = cwd = os.open("/", where)
    with suppress(PermissionError):  # `sudo -u nobody` in root's home
        cwd = os.open(".", where)
    try:
        # In a chroot / may be no mount, and what lies above it may still be the host's.
        with suppress(PermissionError):
            _leave_chroot("/proc")
        if _libc.mount(b"none", b"/", None, flags, None):
            raise RunError(
                "cannot keep mounts from the host: / is no mount, and its own is out of reach"
            )
        with suppress(PermissionError):  # then it has not been left
            os.fchdir(root)
            os.chroot(".")
        os.fchdir(cwd)
    finally:
        os.close(root)
        if cwd != root:
            os.close(cwd)


def enter_root(new: str) -> None:
    """Make a mount the root of this namespace and of this process, and let go of the old one.

    In a chroot the namespace's root is somewhere above; root gets there as root always could. From a chroot's own
    mount pivot_root(2) would succeed, and no user namespace could be made: current_chrooted(), fs/namespace.c.
    """
    fd = os.open(new, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    with suppress(PermissionError):
        _leave_chroot("/proc")
    os.fchdir(fd)
    if _libc.pivot_root(b".", b"."):
        if ctypes.get_errno() != errno.EINVAL:
            raise _refused("cannot make the overlay the root")
        move(".", "/")  # an initramfs cannot be left, only covered
        os.chroot(".")
        os.close(fd)
        return
    os.close(fd)
    if _libc.umount2(b".", _MNT_DETACH):
        raise _refused("cannot let go of the host's root")
    os.chdir("/")


def _leave_chroot(below: str) -> None:
    """From a chroot to the namespace's root, wherever this process is; PermissionError without CAP_SYS_CHROOT.

    As often up as any path is deep: in a mount of / on /mnt, /mnt and its parent have the same inode.
    """
    os.chdir("/")
    os.chroot(below)
    os.chdir("../" * _DEPTH)
    os.chroot(".")


def bind(source: str, target: str, *, recursive: bool = False) -> None:
    """mount --bind or --rbind"""
    if _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        None,
        ctypes.c_ulong(MS_BIND | (MS_REC if recursive else 0)),
        None,
    ):
        raise _refused(f"cannot bind {source} on {target}")


def move(source: str, target: str) -> None:
    """mount --move"""
    mount(source, target, None, MS_MOVE)


def set_readonly(path: str, *, device: bool = False) -> None:
    """Make the mount at `path` and every one below it read-only, and what set_nodev() says; needs Linux 5.12.

    A device itself can still be opened.
    """
    _set_attributes(path, _MOUNT_ATTR_RDONLY | (0 if device else _MOUNT_ATTR_NODEV), "read-only")


def set_nodev(path: str) -> None:
    """Let no device be opened by a node in the mount at `path` or one below it; needs Linux 5.12.

    Nor does anything arrive there from now on that the host mounts: it would be without these attributes.
    """
    _set_attributes(path, _MOUNT_ATTR_NODEV, "nodev")


def _set_attributes(path: str, attributes: int, what: str) -> None:
    attr = struct.pack("=QQQQ", attributes, 0, MS_PRIVATE, 0)
    buf = ctypes.create_string_buffer(attr, len(attr))
    if _libc.syscall(
        _MOUNT_SETATTR, _AT_FDCWD, os.fsencode(path), _AT_RECURSIVE, buf, ctypes.c_size_t(len(attr))
    ):
        raise _refused(f"cannot make {path} {what}")


def bind_readonly(source: str, target: str) -> None:
    """A recursive bind that no one can write through, nor to a device."""
    bind(source, target, recursive=True)
    set_readonly(target)


def open_readonly(place: int) -> int:
    """Open a file (an O_PATH descriptor) to read, on a read-only mount of its own; OSError."""
    clone = _libc.syscall(_OPEN_TREE, place, b"", _AT_EMPTY_PATH | _OPEN_TREE_CLONE | os.O_CLOEXEC)
    if clone < 0:
        raise OSError(ctypes.get_errno(), "open_tree")
    try:
        attr = struct.pack("=QQQQ", _MOUNT_ATTR_RDONLY, 0, 0, 0)
        if _libc.syscall(_MOUNT_SETATTR, clone, b"", _AT_EMPTY_PATH, attr, ctypes.c_size_t(32)):
            raise OSError(ctypes.get_errno(), "mount_setattr")
        return os.open(f"/proc/self/fd/{clone}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(clone)


def get_file(pid: int, fd: int) -> int:
    """A descriptor of ours for another process's open file, pidfd_getfd(2); OSError."""
    pidfd = os.pidfd_open(pid)
    try:
        mine = _libc.syscall(_PIDFD_GETFD, pidfd, ctypes.c_int(fd), 0)
        if mine < 0:
            raise OSError(ctypes.get_errno(), f"descriptor {fd} of process {pid}")
        return int(mine)
    finally:
        os.close(pidfd)


def close_range(first: int, last: int) -> None:
    """Close all descriptors from first to last, both inclusive; since Linux 5.9."""
    if first <= last and _libc.syscall(
        _CLOSE_RANGE, ctypes.c_uint(first), ctypes.c_uint(last), ctypes.c_uint(0)
    ):
        raise _refused("cannot close inherited descriptors")


def unmount(path: str, *, lazy: bool = True) -> None:
    """umount; RunError if there is nothing to unmount, or it is in use and this is not lazy."""
    if _libc.umount2(os.fsencode(path), (_MNT_DETACH if lazy else 0) | _UMOUNT_NOFOLLOW):
        raise _refused(f"cannot unmount {path}")


def open_fuse() -> int:
    """Open /dev/fuse; must happen in the user namespace in which it will be mounted."""
    try:
        return os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise RunError(
            "/dev/fuse is missing: load the fuse module, or give the container the device"
        ) from None
    except OSError as error:
        raise RunError(
            f"cannot open /dev/fuse: {error.strerror} (distributions make it 0666; try as root, or"
            " `chmod 666 /dev/fuse`)"
        ) from error


def mount_fuse(fd: int, target: str, *, allow_other: bool = True) -> None:
    """Mount the file system behind an open /dev/fuse on `target`, with permission checks by mode."""
    data = f"fd={fd},rootmode=40000,user_id=0,group_id=0,default_permissions"
    if allow_other:
        data += ",allow_other"
    mount("kdumpfs", target, FSTYPE, MS_NOSUID | MS_NODEV, data)


def set_undumpable(*, dumpable: bool = False) -> None:
    """Close this process to ptrace(2) and /proc/PID/{mem,root,ns} of the less privileged; or open it again."""
    _libc.prctl(_PR_SET_DUMPABLE, int(dumpable), 0, 0, 0)


def die_with(parent: int) -> None:
    """Be killed when that process ends, which has forked this one."""
    _libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), _SIGKILL)


class Mount(Record):
    """A line of /proc/PID/mountinfo, proc_pid_mountinfo(5)."""

    id: int
    root: str
    """Which part of its file system is mounted."""
    point: str
    options: str
    fstype: str
    source: str
    device: str
    """Major and minor number: `0:52`."""


def table(proc: str = "/proc") -> str:
    """This process's mount table, whatever bytes are in its names."""
    with open(f"{proc}/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def mounts(text: str) -> Iterator[Mount]:
    """The lines of a mountinfo file, in its order."""
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        root, point = fields[3], fields[4]
        if "\\" in left:
            root, point = _unescape(root), _unescape(point)
        fstype, _, source = right.partition(" ")
        source = source.partition(" ")[0]
        yield Mount(int(fields[0]), root, point, fields[5], fstype, source, fields[2])


class MountTable:
    """A mountinfo file, parsed once."""

    def __init__(self, text: str) -> None:
        self.mounts = list(mounts(text))
        # A later mount on the same point covers the earlier.
        self._by_point = {mount.point: mount for mount in self.mounts}

    def at(self, path: str) -> Mount | None:
        """The mount that an absolute path without symbolic links lies on: the last with the longest point."""
        while True:
            found = self._by_point.get(path)
            if found is not None or path in ("/", ""):
                return found
            path = path.rpartition("/")[0] or "/"

    def is_covered(self, mount: Mount) -> bool:
        """Whether another is mounted on the same point, so that no path leads to this one."""
        return self._by_point[mount.point] is not mount


def mount_at(path: str, text: str) -> Mount | None:
    """MountTable.at() of a table that is looked at once."""
    return MountTable(text).at(path)


def _unescape(field: str) -> str:
    """mangle_path(): \\040 and its like, for blank, tab, newline and backslash."""
    if "\\" not in field:
        return field
    for code in ("040", "011", "012", "134"):
        field = field.replace("\\" + code, chr(int(code, 8)))
    return field
