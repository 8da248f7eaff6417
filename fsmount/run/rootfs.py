"""What `kdumpfs run` looks like from inside: the mounts, made in a namespace that dies with the command.

Everything here runs in the private mount namespace's first process; the tree is served by its
parent meanwhile. Each step that fails raises RunError: a guard that cannot be put up means no run.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from elfcorehdr.lib.record import Record
from fsmount.host import mountns
from fsmount.host.mountns import MS_NODEV, MS_NOEXEC, MS_NOSUID, RunError
from fsmount.run.hostfs import PARKED
from fsmount.run.sysplan import SysPlan

FUSE = f"{PARKED}/fuse"
OVERLAID = ("/boot", "/etc", "/var/crash", "/var/lib/kdump")
"""What kdump's tools write to: private, gone after the run, unless shared."""
DEVICES = ("full", "fuse", "null", "random", "tty", "urandom", "zero")
"""Device nodes of the host that are the same for everyone."""


class Layout(Record):
    """What is to be mounted."""

    plan: SysPlan
    share: tuple[str, ...] = ()
    """Paths whose real files may be written."""
    over: tuple[str, ...] = ()
    """Unpacked packages to lay over /: their usr, etc, boot, lib, ..."""
    devices: tuple[str, ...] = ("kmsg",)
    """Names in the tree's dev/."""


def build(layout: Layout, send_fuse: Callable[[int], None]) -> list[str]:
    """Make all mounts; what is missing for the lack of a privilege comes back in sentences.

    send_fuse gets the open /dev/fuse as soon as it is mounted and must have someone serve it.
    """
    missing: list[str] = []
    mountns.make_private("/")
    shared = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in _shared(layout.share)]
    _debugfs(missing)
    mountns.mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    for name in ("sys", "proc", "fuse", "dev", "upper"):
        os.makedirs(f"{PARKED}/{name}")
    os.mkdir("/run/lock")
    mountns.bind("/sys", f"{PARKED}/sys", recursive=True)
    mountns.set_readonly(f"{PARKED}/sys")
    mountns.set_readonly("/sys")
    _park_proc()
    fd = mountns.open_fuse()
    mountns.mount_fuse(fd, FUSE)
    send_fuse(fd)
    os.close(fd)
    _cover_sys(layout.plan)
    _private_dev(layout.devices)
    _overlays(layout)
    _cover_proc()
    for path, opened in shared:
        mountns.bind(f"/proc/self/fd/{opened}", path, recursive=True)
        os.close(opened)
    return missing


def _shared(paths: Iterable[str]) -> list[str]:
    for path in paths:
        if not path.startswith("/") or not os.path.exists(path):
            raise RunError(
                f"--share {path}: expected the absolute path of an existing file or directory"
            )
    return list(paths)


def _debugfs(missing: list[str]) -> None:
    """A debugfs on /sys/kernel/debug, so that the mount table has one; its content is covered."""
    place = "/sys/kernel/debug"
    text = Path("/proc/self/mountinfo").read_text()
    if any(m.point == place and m.fstype == "debugfs" for m in mountns.mounts(text)):
        return
    try:
        mountns.mount("debugfs", place, "debugfs")
    except RunError as refused:
        missing.append(
            f"{refused}; notifier-error-inject is there, but the mount table shows no debugfs"
        )


def _park_proc() -> None:
    """The real procfs of the new pid namespace; whatever in it is not a process is read-only."""
    parked = f"{PARKED}/proc"
    mountns.mount("proc", parked, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for entry in os.scandir(parked):
        if entry.name.isdecimal() or entry.is_symlink():
            continue
        if entry.is_dir() or entry.stat().st_mode & 0o222:
            mountns.bind_readonly(entry.path, entry.path)


def _cover_sys(plan: SysPlan) -> None:
    for path in plan.covers:
        mountns.bind(f"{FUSE}/sys/{path}", f"/sys/{path}")


def _cover_proc() -> None:
    """The machine's /proc with the processes in it, and no other /proc/sys."""
    mountns.bind(f"{FUSE}/proc", "/proc")
    mountns.bind(f"{FUSE}/proc/sys", f"{PARKED}/proc/sys")


def _private_dev(emulated: Iterable[str]) -> None:
    """A /dev of its own: udevd may do there what it likes."""
    new = f"{PARKED}/dev"
    mountns.mount("tmpfs", new, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=16m")
    for name in DEVICES:
        if os.path.exists(f"/dev/{name}"):
            _bind_file(f"/dev/{name}", f"{new}/{name}")
    console = next((os.ttyname(fd) for fd in range(3) if os.isatty(fd)), None)
    if console is not None and os.path.exists(console):
        _bind_file(console, f"{new}/console")
    for name in emulated:
        os.close(os.open(f"{new}/{name}", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        mountns.bind(f"{FUSE}/dev/{name}", f"{new}/{name}")
    for name in ("pts", "shm", "mqueue"):
        os.mkdir(f"{new}/{name}")
    flags = MS_NOSUID | MS_NOEXEC
    mountns.mount("devpts", f"{new}/pts", "devpts", flags, "newinstance,ptmxmode=0666,mode=620")
    mountns.mount("tmpfs", f"{new}/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    for name, target in (
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("core", "/proc/kcore"),
        ("ptmx", "pts/ptmx"),
    ):
        os.symlink(target, f"{new}/{name}")
    mountns.move(new, "/dev")


def _bind_file(source: str, target: str) -> None:
    """Bind read-only: a device can be written all the same, but its mode, owner and times cannot."""
    os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    mountns.bind(source, target)
    mountns.set_readonly(target)


def _overlays(layout: Layout) -> None:
    """Overlays whose upper directories are in the private /run.

    For a directory that the host lacks, the nearest one above it that it has.
    """
    lowers: dict[str, list[str]] = {}
    for path in OVERLAID:
        place = Path(path)
        while not place.is_dir():
            place = place.parent
        layers = lowers.setdefault(str(place.resolve()), [])
        if str(place) != path:  # so that it is there, and an ordinary user may write to it
            made = f"{PARKED}/upper/made/{place.name}"
            os.makedirs(f"{made}/{Path(path).relative_to(place)}", exist_ok=True)
            if made not in layers:
                layers.append(made)
    for package in layout.over:
        for entry in os.scandir(package):
            place = Path("/", entry.name)
            if entry.is_dir(follow_symlinks=False) and place.is_dir():
                lowers.setdefault(str(place.resolve()), []).append(entry.path)
    for place_, packages in sorted(lowers.items()):
        if place_ == "/":
            raise RunError("cannot make /boot, /etc and /var private: the host has none of them")
        if packages or not any(place_.startswith(f"{other}/") for other in lowers):
            _overlay(place_, packages)


def _overlay(place: str, packages: list[str]) -> None:
    """Lay a private writable layer, and packages, over a directory; what is mounted below stays."""
    text = Path("/proc/self/mountinfo").read_text()
    points = [m.point for m in mountns.mounts(text) if m.point.startswith(f"{place}/")]
    below = [(point, os.open(point, os.O_PATH | os.O_CLOEXEC)) for point in dict.fromkeys(points)]
    base = f"{PARKED}/upper/{place.strip('/').replace('/', '-')}"
    os.makedirs(f"{base}/upper")
    os.makedirs(f"{base}/work")
    mode = os.stat(place)
    os.chmod(f"{base}/upper", stat.S_IMODE(mode.st_mode))
    lower = ":".join([*packages, place])
    data = f"lowerdir={lower},upperdir={base}/upper,workdir={base}/work"
    try:
        mountns.mount("overlay", place, "overlay", MS_NODEV, data)
    except RunError:
        # In a user namespace the layer keeps its marks in user.* attributes, since Linux 5.11.
        mountns.mount("overlay", place, "overlay", MS_NODEV, f"{data},userxattr")
    for point, fd in below:
        mountns.bind(f"/proc/self/fd/{fd}", point)
        os.close(fd)
