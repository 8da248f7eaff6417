"""A cgroup for what runs in a `run`, where one may be made: memory and processes of all of it together are bounded.

Only controllers that the host has switched on already are used: nothing of the hierarchy is changed but for a
directory beside or below our own, which goes with the run. Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/.
"""

from __future__ import annotations

import os
import time

from elfcorehdr.errors import suppress
from elfcorehdr.lib.record import Record
from fsmount.host.mountns import read_or_empty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_V1 = {"memory": "memory.limit_in_bytes", "pids": "pids.max"}
_V2 = {"memory": "memory.max", "pids": "pids.max"}
_BOUNDS = (".max", ".high", ".weight", ".cpus", ".mems")
"""What the files of cgroup2 end in that limit what a group may have, whichever controllers there are."""
_TRIES, _PAUSE_S = 50, 0.002


class Group(Record):
    """One directory of a hierarchy: `procs` is open to put processes in, `top` is the directory that it is in."""

    top: int
    name: str
    procs: int
    controllers: tuple[str, ...]

    def join(self) -> None:
        """Put this process in. OSError."""
        os.write(self.procs, b"0")

    def remove(self) -> None:
        """Take it away, now that its processes have ended, and close what is open."""
        for _ in range(_TRIES):
            try:
                os.rmdir(self.name, dir_fd=self.top)
                break
            except FileNotFoundError:
                break
            except OSError:  # the last of them is still ending
                time.sleep(_PAUSE_S)
        for fd in (self.top, self.procs):
            with suppress(OSError):
                os.close(fd)


def groups(limits: dict[str, int], table: str, own: str = "/proc/self/cgroup") -> list[Group]:
    """Groups that keep what is put in below the limits, by controller; those that may be made here.

    table: the mount table.
    """
    try:
        with open(own, encoding="utf-8") as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return []
    made = []
    for directory, files, left in _places(lines, table, limits):
        bounds = {files[name]: limits[name] for name in files}
        group = _made(directory, bounds, tuple(files), left)
        if group is not None:
            made.append(group)
            limits = {name: limit for name, limit in limits.items() if name not in files}
    return made


def _places(
    lines: list[list[str]], table: str, limits: dict[str, int]
) -> Iterator[tuple[str, dict[str, str], str]]:
    """Directories that groups may be made in, the files that limit what is in them, by controller, and what is left for it.

    What is left is our own group, where the new one is to be beside it; "" if that is below.
    """
    for line in table.splitlines():
        words, _, rest = line.partition(" - ")
        fstype, _, options = rest.split(" ")[:3]
        if fstype not in ("cgroup", "cgroup2") or words.split(" ")[3] != "/":
            continue
        point = words.split(" ")[4]
        for number, controllers, path in lines:
            if ".." in path:
                continue  # of another namespace
            here = f"{point}{path}".rstrip("/")
            if fstype == "cgroup2" and number == "0":
                for directory in (here, os.path.dirname(here)):
                    on = read_or_empty(f"{directory}/cgroup.subtree_control").split()
                    if "memory" in on and directory.startswith(point):
                        files = {name: _V2[name] for name in limits if name in on}
                        yield directory, files, here if directory != here else ""
                        break
            elif fstype == "cgroup" and controllers and controllers in options.split(","):
                found = {name: _V1[name] for name in limits if name == controllers}
                if found:
                    yield here, found, ""


def _made(
    directory: str, files: dict[str, int], controllers: tuple[str, ...], left: str
) -> Group | None:
    name = f"kdumpfs-{os.getpid()}"
    try:
        top = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    _sweep(top)
    try:
        with suppress(FileExistsError):  # of a run whose every process was killed at once
            os.mkdir(name, 0o755, dir_fd=top)
        if left:
            _bound_as(left, f"{directory}/{name}")
        for file, limit in files.items():
            _lower(f"{directory}/{name}/{file}", limit)
        procs = os.open(f"{name}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC, dir_fd=top)
    except OSError:
        with suppress(OSError):
            os.rmdir(name, dir_fd=top)
        os.close(top)
        return None
    return Group(top, name, procs, controllers)


def _bound_as(own: str, new: str) -> None:
    """Bound the new group as our own is, whose bounds no longer count: those of `systemd-run --scope -p MemoryMax=`, say.

    OSError where that may not be: then nobody leaves.
    """
    for name in os.listdir(new):
        if name.endswith(_BOUNDS) and not name.startswith("cgroup."):
            text = read_or_empty(f"{own}/{name}")
            if text != read_or_empty(f"{new}/{name}"):
                for line in text.splitlines():
                    _write(f"{new}/{name}", line)


def _lower(path: str, limit: int) -> None:
    """A limit, if there is no lower one yet."""
    there = read_or_empty(path)
    if not (there.isdecimal() and int(there) < limit):
        _write(path, str(limit))


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _sweep(top: int) -> None:
    """Take away groups of runs of which every process was killed at once; one that is not empty stays."""
    for name in os.listdir(top):
        number = name.removeprefix("kdumpfs-")
        if number != name and number.isdecimal() and not os.path.exists(f"/proc/{number}"):
            with suppress(OSError):
                os.rmdir(name, dir_fd=top)
