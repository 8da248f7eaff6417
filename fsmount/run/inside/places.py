"""Which places of the host `kdumpfs run` shares, shows, or keeps out: the rules, as tables.

Nothing here mounts; rootfs.py does what this says.
"""

from __future__ import annotations

import _socket as socket
import os

from elfcorehdr.errors import suppress
from elfcorehdr.lib.record import Record
from fsmount.host.mountns import FSTYPE, MountTable, RunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SOURCE = "kdumpfs"
"""What the run's own mounts are called in the mount table."""

PARKED = "/run/kdumpfs"
"""Where the real /sys and /proc are inside `run`: in a tmpfs of its own."""

OWN = ("/dev", "/proc", "/run", "/sys")
"""Made anew for each run; nothing of the host's is laid over or below them."""

WRITABLE = ("/boot", "/etc", "/var/crash", "/var/lib/kdump", "/var/log")
"""What kdump's tools write to: there in each run, and an ordinary user's too."""

NEVER_SHARED = (
    "bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "lost+found", "proc", "run",
    "sbin", "sys", "usr", "var",
)  # fmt: skip
"""First names of a path; a working directory below them is shared only where it is temporary."""

TEMPORARY = ("/tmp", "/var/tmp")
PROJECT_MARKS = (".git", ".hg", ".svn", ".bzr", ".jj", "_darcs", ".fslckout")
"""What the top of a project's directory has in it."""

KERNEL_TYPES = frozenset(
    {
        "autofs", "binder", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "cpuset", "debugfs",
        "devpts", "devtmpfs", "dlmfs", "efivarfs", "fusectl", "functionfs", "gadgetfs", "hugetlbfs",
        "ibmasmfs", "ipathfs", "mqueue", "nfsd", "ocfs2_dlmfs", "oprofilefs", "proc", "pstore",
        "resctrl", "rpc_pipefs", "securityfs", "selinuxfs", "smackfs", "spufs", "sysfs", "tracefs",
        "usbfs", "xenfs",
    }
)  # fmt: skip
"""File systems that are the kernel itself: wherever the host has mounted one, it is not there in a run."""

ACT_WHEN_READ = frozenset({"debugfs", "efivarfs", "tracefs"})
"""Of these, files that do something when they are read: a trace is consumed, a device asked. Below /sys, too, they are not there."""

REMOTE_TYPES = ("fuse", "nfs", "cifs", "smb", "9p", "virtiofs", "ceph", "afs", "lustre", "gpfs")
"""File systems with a server that may be slow or gone: shown read-only, and not looked at."""

DROPPED = (
    "ALACRITTY_SOCKET", "AT_SPI_BUS_ADDRESS", "CONTAINERD_ADDRESS", "CONTAINER_HOST", "DBUS_*",
    "DISPLAY", "DOCKER_*", "EMACS_SOCKET_NAME", "GNOME_KEYRING_*", "GPG_AGENT_INFO",
    "HYPRLAND_INSTANCE_SIGNATURE", "I3SOCK", "ICEAUTHORITY", "JOURNAL_STREAM", "KITTY_*",
    "KRB5CCNAME", "LISTEN_*", "NIRI_SOCKET", "NOTIFY_SOCKET", "NVIM", "NVIM_LISTEN_ADDRESS",
    "PIPEWIRE_*", "PODMAN_*", "PULSE_*", "SESSION_MANAGER", "SSH_AGENT_PID", "SSH_AUTH_SOCK", "STY",
    "SWAYSOCK", "TMUX", "TMUX_*", "VSCODE_*", "WATCHDOG_*", "WAYLAND_*", "WEZTERM_UNIX_SOCKET",
    "WINDOW", "XAUTHORITY", "XDG_RUNTIME_DIR", "XDG_SESSION_*", "ZELLIJ*",
)  # fmt: skip
"""Variables that say where a program outside is to be reached; * stands for any rest."""


class Shown(Record):
    """A mount of the host below its root, and how a run shows it."""

    point: str
    how: str
    """"overlay", "read-only" or "hidden"."""


def shown(table: MountTable) -> list[Shown]:
    """What becomes of the host's mounts, parents first; those of OWN and what is covered left out."""
    found = {}
    for mount in table.mounts:
        if mount.point == "/" or below(mount.point, OWN) or table.is_covered(mount):
            continue
        if mount.fstype in KERNEL_TYPES:
            how = "hidden"
        elif mount.fstype.startswith(REMOTE_TYPES) or "ro" in mount.options.split(","):
            how = "read-only"
        else:
            how = "overlay"
        found[mount.point] = Shown(mount.point, how)
    return [found[point] for point in sorted(found)]


def below(path: str, tops: Iterable[str]) -> bool:
    """Whether a path is one of these, or lies in one."""
    return any(path == top or path.startswith(f"{top.rstrip('/')}/") for top in tops)


def shared_directory(cwd: str, environment: Mapping[str, str]) -> str | None:
    """The working directory if it is one that a run shares, else None.

    Below the user's home (but not in a hidden directory of it), the user's own below a temporary
    one, or in a project that has a mark of version control.
    """
    names = cwd.split("/")[1:]
    home = _home(environment)
    if home is not None and cwd.startswith(f"{home}/"):
        return None if cwd[len(home) + 1 :].startswith(".") else cwd
    for top in sorted(_temporary(environment), key=len, reverse=True):  # pam_tmpdir's is in /tmp
        if cwd.startswith(f"{top}/"):
            mine = os.stat("/" + "/".join(names[: top.count("/") + 1])).st_uid == os.geteuid()
            return cwd if mine else None
    if names[0] in ("", "root", *NEVER_SHARED):
        return None
    for count in range(len(names), 0, -1):
        top = "/" + "/".join(names[:count])
        if top != home and any(os.path.lexists(f"{top}/{mark}") for mark in PROJECT_MARKS):
            return cwd
    return None


def _home(environment: Mapping[str, str]) -> str | None:
    """$HOME as getcwd(3) would say it, unless it is none that could be anybody's."""
    home = environment.get("HOME") or "/"
    if not home.startswith("/"):
        return None
    home = os.path.realpath(home)
    names = home.split("/")[1:]
    if names[0] == "var" and len(names) > 2 and not below(home, WRITABLE):
        # /var/home/NAME, a service's /var/lib/NAME; never root's: that is the system's.
        with suppress(OSError):
            return home if os.stat(home).st_uid == os.geteuid() != 0 else None
    return None if names[0] in ("", *NEVER_SHARED) else home


def _temporary(environment: Mapping[str, str]) -> set[str]:
    """Where temporary directories are, as getcwd(3) would say it; not $TMPDIR if it is a directory of the system."""
    tops = {os.path.realpath(top) for top in TEMPORARY}
    given = environment.get("TMPDIR", "")
    if given.startswith("/") and not below(top := os.path.realpath(given), OWN):
        with suppress(OSError):
            # Everybody's or one's own: sticky, or closed to others.
            mode = os.stat(top).st_mode
            if top.split("/")[1] not in NEVER_SHARED or mode & 0o1000 or not mode & 0o077:
                tops.add(top)
    return tops - {"/"}


def check_writable(paths: Iterable[str]) -> tuple[str, ...]:
    """The paths of --rw, normalised; RunError for one that cannot be shared."""
    checked = []
    for given in paths:
        path = os.path.realpath(given)
        if not given or not os.path.exists(path):
            raise RunError(f"--rw {given}: expected an existing file or directory")
        if path == "/" or below(path, OWN):
            raise RunError(
                f"--rw {given}: expected a path that is not / and not in {', '.join(OWN)}"
            )
        checked.append(path)
    return tuple(checked)


def check_kept(directory: str) -> None:
    """Make the directory of --keep; RunError now, not when the command's work is lost, if nothing can be made in it."""
    if directory == "/":
        raise RunError("--keep /: expected a directory that is not /")
    probe = f"{directory}/.kdumpfs-{os.getpid()}"
    try:
        os.makedirs(directory, exist_ok=True)
        os.mkdir(probe)
        os.rmdir(probe)
    except OSError as error:
        raise RunError(f"--keep {directory}: {error.strerror}") from None


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what names a meeting point with programs outside."""
    exact = {name for name in DROPPED if not name.endswith("*")}
    starts = tuple(name[:-1] for name in DROPPED if name.endswith("*"))
    return {
        name: value
        for name, value in environment.items()
        if name not in exact and not name.startswith(starts) and not _names_socket(value)
    }


def _names_socket(value: str) -> bool:
    if "/" not in value or len(value) > 4096:
        return False
    for part in value.replace("=", ":").replace(",", ":").replace(";", ":").split(":"):
        path = "/" + part.lstrip("/")
        if "/" in part and not below(path, ("/proc", "/sys")):
            try:
                if os.lstat(path).st_mode & 0o170000 == 0o140000:
                    return True
            except (OSError, ValueError):
                continue
    return False


def check_streams(table: str) -> None:
    """RunError unless standard input, output and error are what a command may be given.

    A directory would lead to the host's files; a kernel's file or a device would be the host's.
    """
    for fd, name in enumerate(("standard input", "standard output", "standard error")):
        try:
            kind = os.fstat(fd).st_mode & 0o170000
        except OSError:
            continue
        path = os.readlink(f"/proc/self/fd/{fd}")
        if why := _stream_refused(fd, kind, path, table):
            raise RunError(f"{name} is {path[:200]}, {why}")


def _stream_refused(fd: int, kind: int, path: str, table: str) -> str:
    if kind == 0o040000:
        return "a directory of the host, expected a file, a pipe or a terminal"
    if kind == 0o060000:
        return "a disk of the host, expected a file, a pipe or a terminal"
    if kind == 0o020000:
        harmless = ("null", "zero", "full", "random", "urandom")
        if os.isatty(fd) or path.removeprefix("/dev/") in harmless:
            return ""
        return "a device of the host, expected a file, a pipe or a terminal"
    if kind == 0o140000:
        return _socket_refused(fd)
    if kind == 0 or (kind == 0o100000 and not path.startswith("/")):
        return "a handle of the host's kernel, expected a file, a pipe or a terminal"
    if kind != 0o100000:
        return ""
    with open(f"/proc/self/fdinfo/{fd}", encoding="utf-8") as file:
        info = file.read()
    number = next((ln.split()[1] for ln in info.splitlines() if ln.startswith("mnt_id:")), "-1")
    fstype = _type_of(int(number), table)
    if fstype in KERNEL_TYPES or fstype == FSTYPE:
        return f"a file of the host's kernel ({fstype}), expected a file, a pipe or a terminal"
    writes = int(info.split("flags:")[1].split()[0], 8) & os.O_ACCMODE != os.O_RDONLY
    if writes and path.split("/")[1] in ("bin", "boot", "etc", "lib", "lib64", "sbin", "usr"):
        return "a file of the system opened to be written, expected one of yours"
    return ""


def _socket_refused(fd: int) -> str:
    """Why a socket is not given: it is of the host's network namespace, and could be connected or sent to any name there."""
    sock = socket.socket(fileno=os.dup(fd))
    try:
        sock.getpeername()
        if sock.family == socket.AF_UNIX and sock.type != socket.SOCK_DGRAM:
            return ""  # connected once and for all
    except OSError:
        pass
    finally:
        sock.close()
    return "a socket of the host's network, expected a file, a pipe or a terminal; `cat` makes a pipe of it"


def _type_of(number: int, table: str) -> str:
    for line in table.splitlines():
        if line.startswith(f"{number} "):
            return line.partition(" - ")[2].split(" ")[0]
    return ""
