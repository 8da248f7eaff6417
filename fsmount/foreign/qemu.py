"""qemu-user: where it is, which version, and how the kernel comes to know of it (binfmt_misc).

Since Linux 6.7 each user namespace has a binfmt_misc of its own (fs/binfmt_misc.c), so what is
registered in a run's namespace is the run's alone. Dynamic programs are qemu-user's own, for their C
library has what they need (library.py). The interpreter of the others is a script, opened when it is
registered (flag F), whose one line is `#!QEMU -g`: the kernel then starts `QEMU -g SCRIPT PROGRAM
ARGV0 ARGUMENTS`, and the script's path, with a %d that qemu replaces by its process id, names the
socket on which this process waits for a debugger. So nothing depends on the environment, which
udevd, sudo and env -i change.
"""

from __future__ import annotations

import errno
import os

from elfcorehdr.lib.record import Record
from fsmount.foreign.guests import ELF_HEADER, Guest, elf_machine, guest, magic
from fsmount.host import mountns
from fsmount.host.mountns import BINFMT, MS_NODEV, MS_NOEXEC, MS_NOSUID, RunError
from fsmount.host.programs import search_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

OLDEST = (10, 0)
"""The first version with %d in the socket's name, and a name that may exist."""
NAME = "qemu"
"""What the emulator is called in the run's private directory."""
SOCKETS = "gdb"
"""The directory of sockets there."""
LIBRARIES = "libraries"
"""That of adapted C libraries."""
"""Where the run's own binfmt_misc is mounted."""
ALWAYS = ("/usr/bin",)
"""Where an emulator is looked for besides PATH."""
SELF = "/proc/self/exe"
CPUINFO, NO_PATH = b"\0/proc/cpuinfo\0", b":"
"""A path that qemu-user answers itself, and what its first character becomes, so that nobody asks for it."""
_LOOKED_AT = ("usr/sbin", "usr/bin", "sbin", "bin")
_MOST_FILES = 4096
_VERSION = r"version (\d+)\.(\d+)"


class Emulator(Record):
    """What runs a guest's programs."""

    guest: Guest
    path: str
    """The emulator on the host."""


def needed(argv: Sequence[str], packages: Sequence[str], root: str = "/") -> Emulator | None:
    """What runs the command and the programs in packages and root, if they are not all the host's. RunError."""
    path = search_path(os.environ.get("PATH", os.defpath))
    trees = packages if root == "/" else (*packages, root)
    which = _foreign(argv, trees, path)
    if which is None:
        return None
    _library()  # our files may not be there any more where it is used
    return find(which, trees, path)


def _library() -> Any:
    """What adapts a guest's C library: of no use to a native program's start."""
    from fsmount.foreign import library

    return library


def _foreign(argv: Sequence[str], packages: Sequence[str], path: str) -> Guest | None:
    """The one architecture that is not the host's. RunError if there are two."""
    found: dict[int, str] = {}
    for package in packages:
        for file, machine in _programs(package):
            found.setdefault(machine, file)
    if argv:
        command = _command(argv[0], packages, path)
        if command is not None and (made_for := _machine(command)) is not None:
            found.setdefault(made_for, command)
    native = _machine(SELF)  # uname(2) inside a run says another
    foreign = {m: file for m, file in found.items() if guest(m) and m != native}
    if not foreign:
        return None
    if len(foreign) > 1:
        one, other = list(foreign.values())[:2]
        raise RunError(
            f"{one[:200]} and {other[:200]} are programs of two foreign architectures,"
            " expected those of one"
        )
    return guest(next(iter(foreign)))


def _programs(package: str) -> Iterator[tuple[str, int]]:
    """Programs of an unpacked package, one of each architecture."""
    seen = set()
    for directory in _LOOKED_AT:
        try:
            entries = os.scandir(f"{package}/{directory}")
        except OSError:
            continue
        with entries:
            for _, entry in zip(range(_MOST_FILES), entries, strict=False):
                machine = _machine(entry.path)
                if machine is not None and machine not in seen:
                    seen.add(machine)
                    yield entry.path, machine


def _command(name: str, packages: Iterable[str], path: str) -> str | None:
    """Where a command will be found, packages lying over the system."""
    if "/" in name:
        return next(
            (p for p in (*(f"{package}{name}" for package in packages), name) if os.path.isfile(p)),
            None,
        )
    for package in packages:
        within = os.pathsep.join(f"{package}{part}" for part in path.split(os.pathsep) if part)
        if within and (found := _which(name, within)):
            return found
    return _which(name, path)


def _which(name: str, path: str) -> str | None:
    """shutil.which() without its imports, which every run would wait for."""
    for directory in path.split(os.pathsep):
        file = f"{directory}/{name}"
        if directory and os.path.isfile(file) and os.access(file, os.X_OK):
            return file
    return None


def _machine(path: str) -> int | None:
    try:
        with open(path, "rb") as file:
            return elf_machine(file.read(ELF_HEADER))
    except OSError:
        return None


def find(which: Guest, packages: Iterable[str], path: str) -> Emulator:
    """The emulator: of a package or a root, else of PATH. RunError saying what is missing."""
    names = (f"qemu-{which.machine}", f"qemu-{which.machine}-static")
    places = [f"{package}/usr/bin" for package in packages]
    old = ""
    for place in [*places, *(part for part in path.split(os.pathsep) if part), *ALWAYS]:
        for name in names:
            file = f"{place}/{name}"
            if not os.access(file, os.X_OK) or not _is_native(file):
                continue
            version = _version(file)
            if version >= OLDEST:
                return Emulator(which, os.path.realpath(file))
            old = old or f"{file[:200]} is version {version[0]}.{version[1]}"
    raise RunError(
        f"programs of {which.machine} need qemu-user {OLDEST[0]}.{OLDEST[1]} or later, and"
        f" {old or f'no {names[0]} is in PATH'}: install Debian's package qemu-user (of Debian 13 or"
        " bookworm-backports), or fetch it with `kdumpfs userland --qemu`"
    )


def _is_native(path: str) -> bool:
    return _machine(path) == _machine(SELF)


def _version(file: str) -> tuple[int, int]:
    try:
        import re
        import subprocess

        told = subprocess.run([file, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return 0, 0
    found = re.search(_VERSION, told.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def lay(file: str, parked: str) -> None:
    """Put the emulator into the run's private directory, as NAME. RunError.

    qemu-user opens /proc/cpuinfo on text of its own (do_guest_openat(), linux-user/syscall.c): for aarch64 and
    riscv64, since 11 for ppc64 too. Such a one is a copy in which that path is no path, as the machine has the file.
    """
    import mmap

    place = f"{parked}/{NAME}"
    with open(file, "rb") as source, open(place, "wb") as copy:
        with mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as text:
            at = text.find(CPUINFO)
            known = at >= 0 and text.find(CPUINFO, at + 1) < 0
        if known:
            while os.sendfile(copy.fileno(), source.fileno(), None, 1 << 30):
                pass
            os.pwrite(copy.fileno(), NO_PATH, at + 1)
            os.fchmod(copy.fileno(), 0o755)
    mountns.bind(place if known else file, place)
    mountns.set_readonly(place)


def lay_libraries(parked: str, which: Guest, page_size: int) -> list[str]:
    """Lay copies of the C libraries over them that reach the emulated kernel (library.py); sentences on what cannot be.

    To be called in the run's root.
    """
    found: dict[str, bytes] = {}
    lacks = []
    library = _library()
    for place in library.places(which):
        path = os.path.realpath(f"/{place}")
        if path in found or _machine(path) != which.elf:
            continue
        with open(path, "rb") as file:
            made = library.adapted(file.read(library.MOST_BYTES + 1), which, page_size)
        if made is None:
            lacks.append(
                f"kexec and module calls of programs that use {path}: no such C library is known"
            )
        else:
            found[path] = made
    os.mkdir(f"{parked}/{LIBRARIES}")
    for at, (path, made) in enumerate(found.items()):
        copy = f"{parked}/{LIBRARIES}/{at}"
        with open(copy, "wb") as file:
            file.write(made)
        os.chmod(copy, 0o755)
        mountns.bind(copy, path)
        mountns.set_readonly(path)
    return lacks


def register(parked: str, which: Guest) -> int:
    """Let this process's user namespace run the guest's programs; the open directory of sockets.

    parked is the run's private directory, where the emulator lies as NAME. RunError.
    """
    sockets = f"{parked}/{SOCKETS}"
    os.makedirs(sockets, exist_ok=True)
    os.chmod(sockets, 0o1777)
    script = f"{sockets}/%d"
    # As bytes: init imports nothing any more, a codec neither.
    with open(script, "wb") as file:
        file.write(f"#!{parked}/{NAME} -g\n".encode())
    os.chmod(script, 0o755)
    place = f"{parked}/{BINFMT}"
    os.makedirs(place, exist_ok=True)
    try:
        mountns.mount(BINFMT, place, BINFMT, MS_NOSUID | MS_NODEV | MS_NOEXEC)
    except RunError as refused:
        raise RunError(
            f"programs of {which.machine} need a binfmt_misc of the run's own (Linux 6.7 or later,"
            f" CONFIG_BINFMT_MISC): {refused}"
        ) from None
    # The newest is asked first: dynamic programs have their library, others wait to be changed (tracer.py).
    for name, parts, interpreter in (
        (which.machine, magic(which), script),
        (f"{which.machine}-dynamic", magic(which, dynamic=True), f"{parked}/{NAME}"),
    ):
        head, mask = ("".join(f"\\x{byte:02x}" for byte in part) for part in parts)
        try:
            with open(f"{place}/register", "wb") as file:
                file.write(f":{name}:M::{head}:{mask}:{interpreter}:FP".encode())
        except OSError as error:
            what = error.strerror or errno.errorcode.get(error.errno or 0, "")
            raise RunError(f"binfmt_misc does not take {name}: {what}") from None
    return os.open(sockets, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
