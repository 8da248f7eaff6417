"""The guards between the command and the host, each checked from inside before the command starts.

`kdumpfs run` refuses to start with the sentence of the first that is not up. The checks look at the
mount table and at what the kernel says of this process; they never try the dangerous act itself.
"""

from __future__ import annotations

import os
import resource
import stat

from elfcorehdr.errors import suppress
from fsmount.host import mountns
from fsmount.host.mountns import FSTYPE, MountTable, RunError
from fsmount.run.inside import filter
from fsmount.run.inside.places import ACT_WHEN_READ, KERNEL_TYPES, PARKED, SOURCE, below

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

EMULATED = (
    "/proc/sysrq-trigger",
    "/proc/sys/kernel/panic",
    "/proc/sys/kernel/panic_on_oops",
    "/proc/sys/kernel/sysrq",
    "/proc/sys/kernel/printk",
    "/proc/iomem",
    "/proc/cmdline",
    "/dev/kmsg",
    "/sys/kernel/kexec_crash_loaded",
)
"""Files that must be the machine's and not the host's, if they are there at all."""
OWN_MOUNTS = (f"{PARKED}/proc", "/dev/pts", f"{PARKED}/{mountns.BINFMT}")
"""Mounts of the kernel's that are the run's own: of its pid namespace, of its terminals, of its
user namespace (binfmt_misc, which only the namespace's own processes can mount, and only its own)."""
ABSENT_DEVICES = ("mem", "port", "kvm", "loop-control", "sda", "vda", "nvram", "watchdog")
"""Nodes of the host that the private /dev must not have."""


NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
"""Every namespace there is but time, which a command cannot change without its own."""


def check(
    share: tuple[str, ...], host_namespaces: Mapping[str, str], fds: tuple[int, ...] = ()
) -> None:
    """RunError naming the guard that is not up. Called in the command's process, with all mounts made.

    fds: descriptors besides 0, 1 and 2 that it is to keep.
    """
    text = mountns.table(_proc())
    table = MountTable(text)
    for sentence in (
        *arriving(text),
        *_emulated(table),
        *read_only_mounts(table),
        *_read_only_names(table),
        *private(table, share),
        *device_nodes(table),
        *_devices(table),
        *_namespaces(host_namespaces),
        *_process(fds),
    ):
        raise _missing(sentence)


def check_calls(release: str, *, shared: bool) -> None:
    """RunError unless this process is under the filter and someone answers: uname(2) must be ours.

    The probes of what is refused would do nothing if it were not.
    """
    status = mountns.read(f"{_proc()}/self/status")
    if "\nSeccomp:\t2\n" not in status or os.uname().release != release:
        raise _missing("system calls do not reach the emulated kernel")
    for what, number in filter.probe(shared=shared).items():
        if number is not None:
            raise _missing(f"{what} is not refused (errno {number})")


def _missing(sentence: str) -> RunError:
    return RunError(f"guard missing, nothing was started: {sentence}")


def namespaces(proc: str = "/proc") -> dict[str, str]:
    """This process's namespaces, by name."""
    return {name: os.readlink(f"{proc}/self/ns/{name}") for name in NAMESPACES}


def _proc() -> str:
    """The real procfs, which answers without asking our server."""
    return f"{PARKED}/proc" if os.path.isdir(f"{PARKED}/proc/self") else "/proc"


def _namespaces(host: Mapping[str, str]) -> Iterator[str]:
    for name, inside in namespaces(_proc()).items():
        if host.get(name) == inside:
            yield f"the {name} namespace is the host's"


def _process(fds: tuple[int, ...]) -> Iterator[str]:
    """What the command keeps of the process that it was: descriptors, group, limits, environment."""
    for name in os.listdir(f"{_proc()}/self/fd"):
        fd = int(name)
        try:
            if fd > 2 and fd not in fds and os.get_inheritable(fd):
                yield f"descriptor {fd} of the caller's is open"
        except OSError:
            continue  # the one that listed them
    if os.getpgrp() != os.getpid():
        yield "the process group is the caller's"
    if resource.getrlimit(resource.RLIMIT_CORE)[1] not in (0, 1):
        yield "a core dump would start the host's core_pattern"
    for fd in range(3):
        with suppress(OSError):
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                yield f"descriptor {fd} is a directory of the host"


def _emulated(table: MountTable) -> Iterator[str]:
    """By their device: all that the machine's server shows is of one file system, wherever it is bound."""
    place = table.at(f"{PARKED}/fuse")
    there = place is not None and place.fstype == FSTYPE
    machine = os.stat(f"{PARKED}/fuse").st_dev if there else -1
    for path in EMULATED:
        try:
            own = os.stat(path).st_dev == machine
        except OSError:
            own = not os.path.lexists(path)
        if not own:
            yield f"{path} is the host's"


def read_only_mounts(table: MountTable) -> Iterator[str]:
    """Mounts of the real /sys and /proc/sys that can be written, by the mount table."""
    for place in table.mounts:
        if place.fstype == FSTYPE or table.is_covered(place):
            continue
        under = (place.point + "/").startswith(("/sys/", "/proc/sys/", f"{PARKED}/sys/"))
        if under and "ro" not in place.options.split(","):
            yield f"{place.point} ({place.fstype}) can be written"
    for place in table.mounts:
        if place.fstype in ACT_WHEN_READ and not table.is_covered(place):
            yield f"{place.point} ({place.fstype}) can be read, which does something on the host"
    for path in ("/sys", f"{PARKED}/sys", "/proc/sys", f"{PARKED}/proc/sys"):
        mount = table.at(path)
        if mount is None or (mount.fstype != FSTYPE and "ro" not in mount.options.split(",")):
            yield f"{path} can be written"


def _read_only_names(table: MountTable) -> Iterator[str]:
    if not os.path.isdir(f"{PARKED}/proc"):
        yield f"{PARKED}/proc is missing"
        return
    for entry in os.scandir(f"{PARKED}/proc"):
        if entry.name.isdecimal() or entry.is_symlink():
            continue
        mount = table.at(entry.path)
        read_only = mount is not None and (
            mount.fstype == FSTYPE or "ro" in mount.options.split(",")
        )
        if not read_only and (entry.is_dir() or entry.stat().st_mode & 0o222):
            yield f"{entry.path} can be written"


def private(table: MountTable, share: tuple[str, ...]) -> Iterator[str]:
    """Mounts that can be written, are not the run's own, and are not shared, by the mount table."""
    for place in table.mounts:
        if (
            place.fstype in KERNEL_TYPES
            and below(place.point, share)
            and not table.is_covered(place)
        ):
            yield f"{place.point} is the host's kernel ({place.fstype})"
    root = table.at("/")
    if root is None or root.source != SOURCE:
        yield "/ is the host's"
    for place in table.mounts:
        if table.is_covered(place) or "ro" in place.options.split(","):
            continue
        own = place.source == SOURCE and place.fstype in (FSTYPE, "overlay", "tmpfs")
        if own or place.point in OWN_MOUNTS or below(place.point, share):
            continue
        yield f"{place.point} ({place.fstype}) is the host's and can be written"


def arriving(text: str) -> Iterator[str]:
    """Mounts below which more would appear when the host mounts something, with what attributes it likes."""
    for line in text.splitlines():
        fields = line.partition(" - ")[0].split(" ")
        if any(field.startswith("master:") for field in fields[6:]):
            yield f"what the host mounts below {fields[4]} would appear"


def device_nodes(table: MountTable) -> Iterator[str]:
    """Mounts of the host's outside /dev whose device nodes lead to its devices, by the mount table."""
    for place in table.mounts:
        ours = place.source == SOURCE or place.fstype in (FSTYPE, *KERNEL_TYPES)
        if ours or table.is_covered(place) or below(place.point, ("/dev",)):
            continue
        if "nodev" not in place.options.split(","):
            yield f"devices can be opened by nodes below {place.point} ({place.fstype})"


def _devices(table: MountTable) -> Iterator[str]:
    mount = table.at("/dev")
    if mount is None or mount.fstype != "tmpfs":
        yield "/dev is the host's"
    for entry in os.scandir("/dev"):
        mount = table.at(entry.path)
        node = stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode)
        if node in (stat.S_IFCHR, stat.S_IFBLK) and (
            mount is None or "ro" not in mount.options.split(",")
        ):
            yield f"the mode of {entry.path} can be changed"
    for name in ABSENT_DEVICES:
        if os.path.lexists(f"/dev/{name}"):
            yield f"/dev/{name} is there"
