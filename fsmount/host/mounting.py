"""Mounting a tree on a directory, in the background, and unmounting it. Knows no FUSE, only what a mount table says."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from elfcorehdr.errors import ProfileError, errno_name
from fsmount.host import mountns
from fsmount.host.asking import (
    GLANCE_S,
    NoAnswer,
    answered,
    is_stopped,
    server_of,
    silent,
    stat_answered,
)
from fsmount.host.mountns import FSTYPE
from fsmount.host.signals import signal

NO_FILES: Mapping[str, str] = {}
WAIT_S = 10.0
"""How long an unmount waits for the server to end."""


def resolved(directory: str) -> str:
    """The absolute path of a directory without symbolic links. Does not touch the directory itself."""
    path = os.path.abspath(directory)
    for _ in range(40):
        path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        try:
            path = os.path.abspath(os.path.join(os.path.dirname(path), os.readlink(path)))
        except OSError:  # no link
            break
    return path


def mounted_at(directory: str) -> str | None:
    """File-system type of what is mounted on this very directory, or None. Does not touch the directory."""
    found = top_mount(directory)
    return found.fstype if found is not None else None


def top_mount(directory: str) -> mountns.Mount | None:
    """What is mounted on this very directory, the last if several are. Does not touch the directory."""
    path = resolved(directory)
    here = [mount for mount in mountns.mounts(mountns.table()) if mount.point == path]
    return here[-1] if here else None


def check_not_silent(path: str) -> None:
    """ProfileError if a path leads into a mounted kdumpfs whose server does not answer: who opened it would wait for ever."""
    path = os.path.abspath(path)
    for mount in mountns.mounts(mountns.table()):
        if mount.fstype == FSTYPE and (path == mount.point or path.startswith(f"{mount.point}/")):
            try:
                stat_answered(mount.point, GLANCE_S)
            except OSError:
                continue
            except NoAnswer:
                raise silent(mount.point, server_of(mount.device)) from None


def check_mountpoint(directory: str) -> None:
    """ProfileError with the remedy unless DIR is an empty directory on which nothing is mounted."""
    mount = top_mount(directory)
    if mount is not None and mount.fstype == FSTYPE:
        try:
            answered(lambda: str(os.stat(directory)))
        except OSError as error:
            if error.errno == errno.ENOTCONN:
                raise ProfileError(
                    f"{directory}: a kdumpfs whose server died is still mounted here; "
                    f"`kdumpfs umount {directory}` clears it"
                ) from None
        except NoAnswer:
            raise silent(directory, server_of(mount.device)) from None
        raise ProfileError(
            f"{directory}: a kdumpfs is mounted here already; `kdumpfs umount {directory}` first"
        )
    if mount is not None:
        raise ProfileError(f"{directory}: something else is mounted here; choose another directory")
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        raise ProfileError(
            f"{directory}: no such directory; `mkdir -p {directory}` first"
        ) from None
    except NotADirectoryError:
        raise ProfileError(f"{directory}: not a directory, expected an empty one") from None
    except OSError as error:
        raise ProfileError(f"{directory}: {error.strerror}") from None
    if names:
        raise ProfileError(
            f"{directory}: not empty ({names[0]} is in it), expected an empty directory"
        )


@contextmanager
def claimed(directory: str) -> Iterator[None]:
    """A directory that may be mounted on, as of check_mountpoint(), while nobody else of us mounts there."""
    import fcntl

    check_mountpoint(directory)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        check_mountpoint(directory)
        yield
    finally:
        os.close(fd)


def server_pid(directory: str) -> int | None:
    """The process that serves a mounted tree, or None if there is none that can be found."""
    mount = top_mount(directory)
    found = server_of(mount.device) if mount is not None else None
    if found is not None:
        return found
    import json
    from pathlib import Path

    try:
        said = answered(lambda: Path(directory, "control/machine").read_text("utf-8"))
        return int(json.loads(said)["pid"])
    except (OSError, ValueError, KeyError, NoAnswer):
        return None


def users_of(directory: str) -> list[str]:
    """Processes that hold a mount busy, as `pid (name)`: working directory, root or an open file in it."""
    from pathlib import Path

    root = resolved(directory)
    found = []
    for entry in sorted(Path("/proc").glob("[0-9]*"), key=lambda p: int(p.name)):
        try:
            links = [entry / "cwd", entry / "root", *(entry / "fd").iterdir()]
            targets = [os.readlink(link) for link in links]
            name = (entry / "comm").read_text().strip()
        except OSError:
            continue
        if any(t == root or t.startswith(root + "/") for t in targets):
            found.append(f"{entry.name} ({name})")
    return found


def unmount(directory: str, *, lazy: bool = False, force: bool = False) -> None:
    """Unmount a kdumpfs and wait until its server has ended; ProfileError with the remedy.

    lazy takes it out of the tree at once; it goes when nobody uses it any more. force ends the server too,
    whatever it does. A server that is stopped or stuck is not waited for.
    """
    mount = top_mount(directory)
    if mount is None or mount.fstype != FSTYPE:
        raise ProfileError(f"{directory}: no kdumpfs is mounted here")
    server = server_pid(directory)
    try:
        ended = os.pidfd_open(server) if server is not None else None
    except OSError:
        ended = None
    if force and ended is not None:
        signal.pidfd_send_signal(ended, signal.SIGKILL)
    _unmount(directory, mount.point, lazy=lazy or force)
    if ended is None or (lazy and not force):
        return
    assert server is not None
    seconds = 1.0 if is_stopped(server) else WAIT_S
    if not select.select([ended], [], [], 1.0)[0] and not is_stopped(server):
        # Copies of the mount in other mount namespaces (of containers, of a `run` elsewhere) keep its connection open.
        if any(one.device == mount.device for one in mountns.mounts(mountns.table())):
            return  # bound to another place here: it goes on there
        signal.pidfd_send_signal(ended, signal.SIGTERM)
    if not select.select([ended], [], [], seconds)[0]:
        how = "is stopped" if is_stopped(server) else "has not ended"
        raise ProfileError(
            f"{directory}: unmounted, but its server (process {server}) {how}; `kill -KILL {server}` ends it"
        )


def _unmount(directory: str, point: str, *, lazy: bool) -> None:
    """umount2(2) for root, fusermount for others."""
    import subprocess

    said = ""
    if os.geteuid() == 0:
        try:
            mountns.unmount(point, lazy=lazy)
        except mountns.RunError as refused:
            said = str(refused)
    else:
        command = ["fusermount", "-u", *(["-z"] if lazy else []), "--", point]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=WAIT_S
            )
        except FileNotFoundError:
            raise ProfileError("fusermount is missing: apt install fuse3") from None
        except subprocess.TimeoutExpired:
            raise ProfileError(
                f"{directory}: fusermount does not end; `kdumpfs umount --force {directory}`"
            ) from None
        if done.returncode:
            said = " ".join(done.stderr.split()) or "fusermount refuses"
    if said:
        users = users_of(directory)
        if users:
            raise ProfileError(
                f"{directory}: in use by {', '.join(users)}; end them, or `kdumpfs umount --lazy {directory}`"
            )
        raise ProfileError(f"{directory}: {said}")


def request(
    directory: str,
    name: str,
    body: dict[str, object],
    files: Mapping[str, str] = NO_FILES,
    patience: float = 60.0,
) -> None:
    """Write one request to control/NAME; ProfileError with the kernel's errno and reason if it fails.

    files: the path of each key whose file is handed over, open. patience: seconds that it may take; before,
    the server must say that it is there.
    """
    import json
    from pathlib import Path

    def ask() -> str:
        for key, path in files.items():
            try:
                body[key] = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
            except OSError as error:
                why = "no such file" if error.errno == errno.ENOENT else error.strerror
                return f"{name}: {why}: {path} ({errno_name(errno.EBADF)})"
        fd = os.open(os.path.join(directory, "control", name), os.O_WRONLY)
        os.write(fd, json.dumps(body).encode())
        return ""

    def why() -> str:
        return Path(directory, "control/error").read_text("utf-8", "replace").strip()

    mount = top_mount(directory)
    try:
        try:
            answered(why)
        except OSError:
            raise ProfileError(
                f"{directory}: no kdumpfs is mounted here; `kdumpfs mount {directory}` first"
            ) from None
        refused = answered(ask, patience)
    except NoAnswer:
        raise silent(directory, server_of(mount.device) if mount is not None else None) from None
    except OSError as error:
        said = ""
        with suppress(OSError, NoAnswer):
            said = answered(why)
        if name == "reload" and said:
            raise ProfileError(said) from None
        code, _, reason = said.partition(": ")
        code = code or errno_name(error.errno or 0)
        raise ProfileError(f"{name}: {reason or error.strerror} ({code})") from None
    if refused:
        raise ProfileError(refused)


_ENDING = (
    signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM,
    signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO, signal.SIGPWR, signal.SIGXCPU,
)  # fmt: skip
"""What ends a process that does not know better, signal(7); of the rest nobody sends any but KILL and what faults."""


def on_signals(action: Callable[[], None]) -> None:
    """Do action when this process is asked to end, by HUP unless nohup(1) keeps it running."""
    for number in _ENDING:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, frame: action())
