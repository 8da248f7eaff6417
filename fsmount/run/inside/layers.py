"""The copy-on-write root of `kdumpfs run`: overlays over what the host has, with one bounded layer to write to.

Root: one overlay over /, one over each file system mounted below it. An ordinary user: his mounts
are locked to each other, and the kernel lays no overlay over a directory that has locked mounts
below; so a directory in which something is mounted is made anew, and its entries are overlaid.
Lower directories are named by open descriptors, so that no name needs quoting.

A socket or FIFO below an overlay is another one than the host's: nobody listens there
(net/unix/af_unix.c, unix_find_bsd(), looks for the overlay's own inode).
"""

from __future__ import annotations

import errno
import os
import stat

from elfcorehdr.errors import suppress
from fsmount.host import mountns
from fsmount.host.mountns import MS_NODEV, RunError
from fsmount.run.inside.places import OWN, SOURCE, WRITABLE, Shown, below, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

SMALL = 1 << 20
"""Files up to this size are copied where they cannot be overlaid; larger ones are read-only."""
TRIES = 8
"""So often is an ordinary user's overlay tried, while the host mounts and unmounts something below."""

REWRITTEN = ("/etc/default", "/etc/kdump", "/etc/kdump.conf", "/etc/sysconfig", "/var/lib/kdump")
"""Files of kdump's tools that are written anew: where they are root's, an ordinary user gets copies."""


class Layers:
    """Built over the host's root, which is the open directory `lower`, in the tmpfs on `stage`.

    packages: directories that are laid over one of the system, by its path.
    """

    def __init__(
        self, stage: str, lower: int, host: Iterable[Shown], packages: Mapping[str, list[int]]
    ) -> None:
        self._stage = stage
        self._lower = lower
        self._host = list(host)
        self._packages = packages
        self._in_user_namespace = _in_user_namespace()
        # There the layer keeps its marks in user.* attributes (Linux 5.11). Without the option overlayfs mounts all the
        # same, but keeps none: ovl_make_workdir().
        self._marks = ",userxattr" if self._in_user_namespace else ""
        self.uppers: list[tuple[str, int]] = []
        """Of each overlay: the directory it is laid over, and the open one that holds what is written."""

    def build(self) -> str:
        """Make the root; its path on the stage."""
        new = f"{self._stage}/root"
        os.mkdir(new)
        os.mkdir(f"{self._stage}/layers")
        # What the stage covers must still be found: by name below the open root.
        if not self._in_user_namespace:
            try:
                self._overlay("/", new)
            except RunError as refused:
                self._forget()
                raise RunError(
                    f"{refused}; a run needs overlayfs (modprobe overlay), and a root that is not an"
                    " overlay of an overlay itself"
                ) from None
        elif self._has_locked_mounts() or not self._overlaid(new):
            mountns.bind(f"{self._stage}/root", new)
            self._skeleton("/", new)
        points = {mount.point: mount.how for mount in self._host}
        for place in self._packages:
            points.setdefault(place, "overlay")
        done = {place for place, _ in self.uppers}
        for place in sorted(points):
            if place not in done and os.path.exists(new + place):
                self._show(place, new + place, points[place])
        for path in WRITABLE:
            os.makedirs(new + path, exist_ok=True)
        return new

    def _has_locked_mounts(self) -> bool:
        """Whether this is the host's own root, which has at least /proc mounted below: overlayfs tells the host's log of each refusal."""
        return os.path.samestat(os.fstat(self._lower), os.stat("/"))

    def _overlaid(self, new: str) -> bool:
        try:
            self._overlay("/", new)
        except RunError:
            self._forget()
            return False
        return True

    def lacks(self) -> list[str]:
        """What cannot be done in the layers here, in sentences: a directory without a mark shows what it replaces."""
        if not self._in_user_namespace:
            return []  # trusted.* attributes, which a tmpfs always has
        try:
            os.setxattr(f"{self._stage}/layers", "user.overlay.opaque", b"y")
        except OSError as refused:
            return [
                "directories of the host's cannot be removed or renamed:"
                f" {refused.strerror}, for user.* attributes in a tmpfs (Linux 6.6)"
            ]
        return []

    def _forget(self) -> None:
        for _, fd in self.uppers:
            os.close(fd)
        self.uppers.clear()

    def _show(self, place: str, target: str, how: str) -> None:
        if how == "hidden":
            return
        real = self._real(place)
        for _ in range(TRIES if how == "overlay" and os.path.isdir(real) else 0):
            try:
                self._overlay(place, target)
                return
            except RunError:
                if not self._in_user_namespace:
                    break
                if self._mounted_below(place):
                    self._skeleton(place, target)
                    return
                # Something was mounted for a moment, or it is a file system that overlayfs does not take.
        if how == "overlay" and os.path.isfile(real) and os.path.getsize(real) <= SMALL:
            _copy(real, target)  # a file that a container has mounted, /etc/hosts
            return
        try:
            mountns.bind_readonly(real, target)
        except RunError:
            if any(mount.point == place for mount in mountns.mounts(mountns.table())):
                raise
            # The host has unmounted it since its table was read: so has this namespace, a slave.

    def _mounted_below(self, place: str) -> bool:
        """Whether something is mounted below a directory. What came since the host's table was read is not shown."""
        known = {mount.point for mount in self._host}
        now = shown(mountns.MountTable(mountns.table()))
        self._host += [Shown(m.point, "hidden") for m in now if m.point not in known]
        return any(mount.point.startswith(f"{place}/") for mount in self._host)

    def _real(self, place: str) -> str:
        """The host's own directory, wherever something else is mounted on it meanwhile."""
        return f"/proc/self/fd/{self._lower}/{place.lstrip('/')}"

    def _overlay(self, place: str, target: str) -> None:
        """Lay a private writable layer, and packages, over a directory of the host."""
        lower = os.open(self._real(place), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        number = len(os.listdir(f"{self._stage}/layers"))
        base = f"{self._stage}/layers/{number}"
        os.makedirs(f"{base}/upper")
        os.mkdir(f"{base}/work")
        os.chmod(f"{base}/upper", stat.S_IMODE(os.fstat(lower).st_mode))
        fds = [*self._over(place), lower]
        given = self._give(place, f"{base}/given", fds) if self._in_user_namespace else []
        fds = given + fds
        paths = ":".join(f"/proc/self/fd/{fd}" for fd in fds)
        data = f"lowerdir={paths},upperdir={base}/upper,workdir={base}/work"
        try:
            mountns.mount(SOURCE, target, "overlay", MS_NODEV, data + self._marks)
        finally:
            for fd in (*given, lower):
                os.close(fd)
        upper = os.open(f"{base}/upper", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.uppers.append((place, upper))

    def _give(self, place: str, given: str, fds: Iterable[int]) -> list[int]:
        """What kdump's tools write to, as an ordinary user's: a layer over those of fds, if it has anything."""
        for path in (*WRITABLE, *REWRITTEN):
            if not below(path, (place,)):
                continue
            rest = os.path.relpath(path, place)
            there = [f"/proc/self/fd/{fd}/{rest}" for fd in fds]
            there = [source for source in there if os.path.exists(source)]
            if os.access(there[0], os.W_OK) if there else path not in WRITABLE:
                continue
            is_file = there and not os.path.isdir(there[0])
            os.makedirs(f"{given}/{os.path.dirname(rest) if is_file else rest}", exist_ok=True)
            for source in there if path in REWRITTEN else ():
                _copy_files(source, f"{given}/{rest}")
        if not os.path.isdir(given):
            return []
        return [os.open(given, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]

    def _over(self, place: str) -> list[int]:
        """What packages have for a directory: laid over it, or below what is laid over one above it."""
        found = list(self._packages.get(place, ()))
        for top, fds in self._packages.items():
            if place == top or not below(place, (top,)):
                continue
            for fd in fds:
                try:
                    path = os.path.relpath(place, top)
                    found.append(os.open(path, os.O_PATH | os.O_DIRECTORY, dir_fd=fd))
                except OSError as absent:
                    if absent.errno not in (errno.ENOENT, errno.ENOTDIR):
                        raise
        return found

    def _skeleton(self, place: str, target: str) -> None:
        """A directory in which something is mounted: made anew, its entries overlaid one by one."""
        split = {
            mount.point for mount in self._host if mount.point.startswith(f"{place.rstrip('/')}/")
        }
        for entry in os.scandir(self._real(place)):
            if f"{place.rstrip('/')}/{entry.name}" not in OWN:
                with suppress(OSError):  # it may go while it is looked at
                    self._entry(place, entry, f"{target}/{entry.name}", split)

    def _entry(
        self, place: str, entry: os.DirEntry[str], there: str, split: Collection[str]
    ) -> None:
        path = f"{place.rstrip('/')}/{entry.name}"
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), there)
        elif entry.is_dir():
            os.mkdir(there)
            if path in split:
                return  # a server that is gone may stand behind it: not looked at
            mode = stat.S_IMODE(entry.stat().st_mode)
            if not os.access(entry.path, os.R_OK | os.X_OK):
                os.chmod(there, 0)
                return
            os.chmod(there, mode)
            if any(point.startswith(f"{path}/") for point in split):
                self._skeleton(path, there)
            else:
                self._show(path, there, "overlay")
        elif entry.is_file():
            readable, size = os.access(entry.path, os.R_OK), entry.stat().st_size
            os.close(os.open(there, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            if not readable:
                os.chmod(there, 0)
            elif size <= SMALL:
                _copy(entry.path, there)
                os.chmod(there, stat.S_IMODE(entry.stat().st_mode))
            else:
                mountns.bind_readonly(entry.path, there)


def _copy(source: str, target: str) -> None:
    with open(source, "rb") as read, open(target, "wb") as write:
        write.write(read.read(SMALL))


def _copy_files(source: str, target: str) -> None:
    """A small file, or those and the links of a directory, now the caller's; what is there or cannot be read is left out."""
    if os.path.isfile(source):
        with suppress(OSError), open(source, "rb") as read:
            mode = stat.S_IMODE(os.fstat(read.fileno()).st_mode) & 0o777
            # Never by way of a link: what it leads to is still the host's.
            fd = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode)
            with open(fd, "wb") as write:
                write.write(read.read(SMALL))
        return
    with suppress(OSError), os.scandir(source) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.is_symlink():
                    os.symlink(os.readlink(entry.path), f"{target}/{entry.name}")
                elif entry.is_file() and entry.stat().st_size <= SMALL:
                    _copy_files(entry.path, f"{target}/{entry.name}")


def _in_user_namespace() -> bool:
    """Whether root here is root of a user namespace only."""
    with open("/proc/self/uid_map", encoding="utf-8") as file:
        return file.read().split() != ["0", "0", "4294967295"]
