"""Mounting a tree on a directory, in the background, and unmounting it. Knows no FUSE, only what a mount table says."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable

from elfcorehdr.errors import ProfileError, errno_name
from fsmount.host import mountns
from fsmount.host.mountns import FSTYPE

WAIT_S = 10.0
"""How long an unmount waits for the server to end."""


def mounted_at(directory: str) -> str | None:
    """File-system type of what is mounted on this very directory, or None. Does not touch the directory."""
    found = top_mount(directory)
    return found.fstype if found is not None else None


def top_mount(directory: str) -> mountns.Mount | None:
    """What is mounted on this very directory, the last if several are. Does not touch the directory."""
    path = os.path.abspath(directory)
    here = [mount for mount in mountns.mounts(mount_table()) if mount.point == path]
    return here[-1] if here else None


def mount_table() -> str:
    """This process's /proc/PID/mountinfo, whatever bytes are in its names."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def check_mountpoint(directory: str) -> None:
    """ProfileError with the remedy unless DIR is an empty directory on which nothing is mounted."""
    fstype = mounted_at(directory)
    if fstype == FSTYPE:
        try:
            os.stat(directory)
        except OSError as error:
            if error.errno == errno.ENOTCONN:
                raise ProfileError(
                    f"{directory}: a kdumpfs whose server died is still mounted here; "
                    f"`kdumpfs umount {directory}` clears it"
                ) from None
        raise ProfileError(
            f"{directory}: a kdumpfs is mounted here already; `kdumpfs umount {directory}` first"
        )
    if fstype is not None:
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


def server_pid(directory: str) -> int | None:
    """The process that serves a mounted tree, or None if it does not answer."""
    import json
    from pathlib import Path

    try:
        return int(json.loads(Path(directory, "control/machine").read_text("utf-8"))["pid"])
    except (OSError, ValueError, KeyError):
        return None


def users_of(directory: str) -> list[str]:
    """Processes that hold a mount busy, as `pid (name)`: working directory, root or an open file in it."""
    from pathlib import Path

    root = os.path.realpath(directory)
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


def unmount(directory: str, *, lazy: bool = False) -> None:
    """Unmount a kdumpfs and wait until its server has ended; ProfileError with the remedy.

    lazy takes it out of the tree at once; it goes when nobody uses it any more.
    """
    import subprocess

    if mounted_at(directory) != FSTYPE:
        raise ProfileError(f"{directory}: no kdumpfs is mounted here")
    pid = server_pid(directory)
    if os.geteuid() == 0:
        command = ["umount", *(["-l"] if lazy else []), directory]
    else:
        command = ["fusermount", "-u", *(["-z"] if lazy else []), directory]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ProfileError(f"{command[0]} is missing: apt install fuse3") from None
    if done.returncode:
        users = users_of(directory)
        if users:
            raise ProfileError(
                f"{directory}: in use by {', '.join(users)}; end them, or `kdumpfs umount --lazy {directory}`"
            )
        raise ProfileError(f"{directory}: {done.stderr.strip() or 'cannot be unmounted'}")
    if pid is not None and not lazy:
        wait_for_end(pid)


def wait_for_end(pid: int) -> None:
    """Wait up to WAIT_S seconds until a process is gone."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return
        except OSError:
            return
        time.sleep(0.01)


def request(directory: str, name: str, body: dict[str, object]) -> None:
    """Write one request to control/NAME; ProfileError with the kernel's errno and reason if it fails."""
    if mounted_at(directory) != FSTYPE and not os.path.isdir(os.path.join(directory, "control")):
        raise ProfileError(
            f"{directory}: no kdumpfs is mounted here; `kdumpfs mount {directory}` first"
        )
    import json

    path = os.path.join(directory, "control", name)
    try:
        fd = os.open(path, os.O_WRONLY)
        try:
            os.write(fd, json.dumps(body).encode())
        finally:
            os.close(fd)
    except OSError as error:
        try:
            with open(os.path.join(directory, "control/error"), encoding="utf-8") as file:
                why = file.read().strip()
        except OSError:
            why = ""
        if name == "reload" and why:
            raise ProfileError(why) from None
        code, _, reason = why.partition(": ")
        code = code or errno_name(error.errno or 0)
        raise ProfileError(f"{name}: {reason or error.strerror} ({code})") from None


def on_sigterm(action: Callable[[], None]) -> None:
    """Do action once when this process is asked to end."""
    import signal

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: action())
