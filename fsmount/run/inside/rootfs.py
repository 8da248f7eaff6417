"""What `kdumpfs run` looks like from inside: the mounts, made in a namespace that dies with the command.

    stage (tmpfs of bounded size)
      layers/N          what is written: the upper directories of the overlays
      root              the new root: an overlay over /, or, where the host's / cannot be one (an
                        ordinary user's mounts are locked), a directory of overlays
        run, dev/shm    directories of the stage
        sys proc dev    read-only, ours, a few nodes
      then the paths that are shared, as they are; then this is the root, and the host's is let go

Everything here runs in the private mount namespace's first process; the tree is served by its
parent meanwhile. Each step that fails raises RunError: a guard that cannot be put up means no run.
"""

from __future__ import annotations

import os
import stat

from elfcorehdr.errors import suppress
from elfcorehdr.lib.record import Record
from fsmount.host import mountns
from fsmount.host.mountns import MS_NODEV, MS_NOEXEC, MS_NOSUID, RunError
from fsmount.run.inside.layers import Layers
from fsmount.run.inside.places import (
    ACT_WHEN_READ,
    KERNEL_TYPES,
    OWN,
    PARKED,
    SOURCE,
    below,
    shown,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DEVICES = ("full", "fuse", "null", "random", "tty", "urandom", "zero")
"""Device nodes of the host that are the same for everyone."""
STAGES = ("/run", "/mnt", "/media", "/srv", "/opt", "/var")
"""Directories one of which every system has; the first holds the stage while the mounts are made."""


class Layout(Record):
    """What is to be mounted."""

    covers: tuple[str, ...]
    """Paths below /sys that are the machine's: SysPlan.covers."""
    share: tuple[str, ...] = ()
    """Paths that are the host's own: they can be written."""
    over: tuple[str, ...] = ()
    """Unpacked packages to lay over /: their usr, etc, boot, lib, ..."""
    devices: tuple[str, ...] = ("kmsg",)
    """Names in the tree's dev/."""
    root: str = "/"
    """The directory that becomes /."""
    emulator: str | None = None
    """A host's file that runs foreign programs."""
    size: int = 1 << 30
    """Bytes that may be written to all that is private."""


class Built(Record):
    """What came of it."""

    missing: list[str]
    """What could not be had for the lack of a privilege, in sentences."""
    layers: Layers
    """Where to find what the command writes."""
    host_devices: frozenset[str]
    """The host's file systems, as major:minor."""


def build(layout: Layout, send_fuse: Callable[[int, int], None]) -> Built:
    """Make all mounts and enter them.

    send_fuse gets the open /dev/fuse as soon as it is mounted, and the run's own procfs; it must have
    someone serve it.
    """
    missing: list[str] = []
    table = mountns.table()
    host = shown(mountns.MountTable(table)) if layout.root == "/" else []
    mountns.make_slave()
    shared = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in layout.share]
    lower = os.open(layout.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    _debugfs(missing, table)
    _cover_what_acts()
    stage = next((place for place in STAGES if os.path.isdir(place)), None)
    if stage is None:
        raise RunError(f"none of {', '.join(STAGES)} is a directory here, expected one of them")
    packages = _packages(layout.over, layout.root)
    layers = Layers(stage, lower, host, packages)
    mountns.mount(
        SOURCE, stage, "tmpfs", MS_NOSUID | MS_NODEV, f"mode=755,size={layout.size},nr_inodes=512k"
    )
    new = layers.build()
    missing += layers.lacks()
    for package in layout.over:
        for entry in os.scandir(package):  # /lib64, say, where the host has none
            if entry.is_symlink() and not os.path.lexists(f"{new}/{entry.name}"):
                os.symlink(os.readlink(entry.path), f"{new}/{entry.name}")
    for name in ("run", "sys", "proc", "dev"):
        os.makedirs(f"{new}/{name}", exist_ok=True)
    mountns.bind("/sys", f"{new}/sys", recursive=True)  # the mount table's first sysfs
    mountns.set_readonly(f"{new}/sys")
    os.makedirs(f"{stage}/run/lock")
    mountns.bind(f"{stage}/run", f"{new}/run")
    parked = new + PARKED
    for name in ("sys", "proc", "fuse"):
        os.makedirs(f"{parked}/{name}")
    mountns.bind("/sys", f"{parked}/sys", recursive=True)
    mountns.set_readonly(f"{parked}/sys")
    _park_proc(f"{parked}/proc")
    fd = mountns.open_fuse()
    mountns.mount_fuse(fd, f"{parked}/fuse")
    if layout.emulator is not None:
        from fsmount.foreign import qemu

        qemu.lay(layout.emulator, parked)
    procfs = os.open(f"{parked}/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    send_fuse(fd, procfs)
    os.close(fd)
    os.close(procfs)
    for path in layout.covers:
        mountns.bind(f"{parked}/fuse/sys/{path}", f"{new}/sys/{path}")
    _private_dev(stage, f"{new}/dev", f"{parked}/fuse/dev", layout.devices)
    for path, opened in shared:
        _share(path, opened, new)
    if shared:
        _cover_kernels([new + path for path, _ in shared], f"{new}/dev/null")
    # The machine's /proc with the processes in it, and no other /proc/sys.
    mountns.bind(f"{parked}/fuse/proc", f"{new}/proc")
    mountns.bind(f"{parked}/fuse/proc/sys", f"{parked}/proc/sys")
    mountns.enter_root(new)
    os.close(lower)
    devices = frozenset(line.split(" ")[2] for line in table.splitlines())
    return Built(missing, layers, devices)


def _share(path: str, opened: int, new: str) -> None:
    """The real path in its place."""
    target = new + path
    if not os.path.lexists(target):
        if stat.S_ISDIR(os.fstat(opened).st_mode):
            os.makedirs(target)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    mountns.bind(f"/proc/self/fd/{opened}", target, recursive=True)
    mountns.set_nodev(target)
    os.close(opened)


def _cover_kernels(targets: Iterable[str], null: str) -> None:
    """What the host's kernel itself shows below what is shared is covered. RunError if it is that itself."""
    for mount in mountns.mounts(mountns.table()):
        if mount.fstype not in KERNEL_TYPES or not below(mount.point, targets):
            continue
        if mount.point in targets:
            path = mount.point.partition("/root/")[2]
            raise RunError(
                f"/{path} is the host's kernel ({mount.fstype}) and cannot be shared; --no-share, or another directory"
            )
        if os.path.isdir(mount.point):
            mountns.mount(SOURCE, mount.point, "tmpfs", mountns.MS_RDONLY, "size=4k")
        else:
            mountns.bind(null, mount.point)


def _debugfs(missing: list[str], table: str) -> None:
    """A debugfs on /sys/kernel/debug, so that the mount table has one; its content is covered."""
    place = "/sys/kernel/debug"
    if any(m.point == place and m.fstype == "debugfs" for m in mountns.mounts(table)):
        return
    try:
        mountns.mount("debugfs", place, "debugfs")
    except RunError as refused:
        missing.append(
            f"{refused}; notifier-error-inject is there, but the mount table shows no debugfs"
        )


def _cover_what_acts() -> None:
    """What is bound of /sys from here on shows nothing of debugfs and its like."""
    for mount in mountns.mounts(mountns.table()):
        if mount.fstype in ACT_WHEN_READ and below(mount.point, ("/sys",)):
            mountns.mount(SOURCE, mount.point, "tmpfs", mountns.MS_RDONLY, "size=4k")


def _park_proc(parked: str) -> None:
    """The real procfs of the new pid namespace; whatever in it is not a process is read-only."""
    mountns.mount("proc", parked, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for entry in os.scandir(parked):
        if entry.name.isdecimal() or entry.is_symlink():
            continue
        if entry.is_dir() or entry.stat().st_mode & 0o222:
            mountns.bind_readonly(entry.path, entry.path)


def _private_dev(stage: str, new: str, emulated_dev: str, emulated: Iterable[str]) -> None:
    """A /dev of its own: udevd may do there what it likes."""
    mountns.mount(SOURCE, new, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=16m")
    for name in DEVICES:
        if os.path.exists(f"/dev/{name}"):
            _bind_file(f"/dev/{name}", f"{new}/{name}", device=True)
    console = next((os.ttyname(fd) for fd in range(3) if os.isatty(fd)), None)
    if console is not None and os.path.exists(console):
        _bind_file(console, f"{new}/console", device=True)
    for name in emulated:
        os.close(os.open(f"{new}/{name}", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        mountns.bind(f"{emulated_dev}/{name}", f"{new}/{name}")
    for name in ("pts", "shm", "mqueue"):
        os.mkdir(f"{new}/{name}")
    flags = MS_NOSUID | MS_NOEXEC
    mountns.mount("devpts", f"{new}/pts", "devpts", flags, "newinstance,ptmxmode=0666,mode=620")
    os.mkdir(f"{stage}/shm")
    os.chmod(f"{stage}/shm", 0o1777)
    mountns.bind(f"{stage}/shm", f"{new}/shm")
    for name, target in (
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("core", "/proc/kcore"),
        ("ptmx", "pts/ptmx"),
    ):
        os.symlink(target, f"{new}/{name}")


def _bind_file(source: str, target: str, *, device: bool = False) -> None:
    """Bind read-only: a device can be written all the same, but its mode, owner and times cannot."""
    os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    mountns.bind(source, target)
    mountns.set_readonly(target, device=device)


def _packages(over: Iterable[str], root: str) -> dict[str, list[int]]:
    """Directories of unpacked packages, open, by the directory of the system that each is laid over."""
    found: dict[str, list[int]] = {}
    for package in over:
        for entry in os.scandir(package):
            # A link such as lib -> usr/lib may be written with a slash in front, which is the root's.
            place = f"/{entry.name}"
            with suppress(OSError):
                place = os.path.normpath(f"/{os.readlink(root + place)}")
            inside = os.path.isdir(root + place)
            if entry.is_dir(follow_symlinks=False) and inside and place not in OWN:
                fd = os.open(entry.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                found.setdefault(place, []).append(fd)
    return found
