"""The processes inside `kdumpfs run`: their namespaces' init, and the command.

    run (serves, outside) -- clones --> init (pid 1) -- mounts, forks, reaps, ends with the command
                                          command -- second user namespace, filter, guards, exec

The command's user and mount namespaces are below init's: that locks the mounts (no unmounting to
see the host's files below, no read-write remount) and leaves no capability over the host. Init ends
when `run` is gone, and with init everything in its pid namespace.
"""

from __future__ import annotations

import _socket as socket
import errno
import fcntl
import os
import select
import struct
import sys
import time
import warnings  # noqa: F401  os.execvpe() would import it, when nothing may be any more

from elfcorehdr.errors import KernelError, suppress
from elfcorehdr.lib.record import Record, replace
from fsmount.host import mountns, uevents
from fsmount.host.mountns import RunError
from fsmount.host.signals import signal
from fsmount.run.inside import filter, guards, rootfs, session
from fsmount.run.inside.connect import carry_out
from fsmount.run.inside.keep import keep
from fsmount.run.inside.places import PARKED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from fsmount.foreign.qemu import Emulator
    from fsmount.host.cgroup import Group

_OUTER = mountns.CLONE_NEWNS | mountns.CLONE_NEWPID
_INNER = (
    mountns.CLONE_NEWUSER
    | mountns.CLONE_NEWNS
    | mountns.CLONE_NEWNET
    | mountns.CLONE_NEWIPC
    | mountns.CLONE_NEWUTS
)
_IGNORED = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP)
"""Signals that are not for init."""
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1
_NOT_FOUND, _NOT_EXECUTABLE, _FAILED = 127, 126, 125


class Inside(Record):
    """What the inside needs to know."""

    layout: rootfs.Layout
    argv: tuple[str, ...]
    release: str
    environment: dict[str, str]
    cwd: str
    files: dict[str, str]
    """Files to put into the private /run/kdumpfs."""
    booted_ns: int = 0
    """When the machine booted, by the host's CLOCK_MONOTONIC."""
    in_front: bool = False
    """Whether the command is to be in front on the caller's terminal."""
    pass_fds: tuple[int, ...] = ()
    """Descriptors besides 0, 1 and 2 that the command keeps."""
    then: tuple[str, ...] = ()
    """The command that runs on the capture kernel, if there is one."""
    emulator: Emulator | None = None
    """What runs programs of another architecture."""
    keep: str | None = None
    """An existing directory for what was written to private places."""
    page_size: int = 0
    """The machine's, for foreign programs."""


class Keeps(Record):
    """What is known before the machine is: see Inside."""

    in_front: bool
    pass_fds: tuple[int, ...]
    groups: tuple[Group, ...] = ()
    """Cgroups that the command is put into."""


def say(channel: socket.socket, word: str, text: str = "", fds: tuple[int, ...] = ()) -> None:
    """A message to `run`: a word, a text, descriptors."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))]
    channel.sendmsg([f"{word} {text}".encode(errors="replace")], rights if fds else [])


def hear(channel: socket.socket) -> tuple[str, str, list[int]]:
    """The next message; word "" when the other end is closed."""
    size, room = 1 << 16, socket.CMSG_SPACE(4 * 4)
    try:
        data, ancillary, _, _ = channel.recvmsg(size, room)
    except ConnectionResetError:
        # It was closed before it had read all that we said: told once, and before what it had said itself.
        data, ancillary, _, _ = channel.recvmsg(size, room)
    fds = [fd for _, _, raw in ancillary for (fd,) in struct.iter_unpack("i", raw)]
    word, _, text = data.decode().partition(" ")
    return word, text, fds


def _never_returns(channel: socket.socket, act: Callable[[], int]) -> NoReturn:
    """Run act in this forked process and exit with its result; what goes wrong is told to `run`."""
    status = _FAILED
    try:
        status = act()
    except (RunError, KernelError) as error:
        with suppress(OSError):
            say(channel, "error", str(error))
    except OSError as error:
        with suppress(OSError):
            say(channel, "error", f"cannot set up the machine: {error}")
    finally:
        if sys.exc_info()[0] is not None:
            sys.excepthook(*sys.exc_info())
        os._exit(status)


def start(channel: socket.socket, prepare: Callable[[str], Inside], keeps: Keeps) -> int:
    """Fork init, with namespaces of its own; its pid. RunError where the host gives none.

    prepare makes of the machine's facts what is to be done.
    """
    uid, gid, host_ns = os.geteuid(), os.getegid(), guards.namespaces()
    ordinary = bool(uid) or not mountns.may_mount()
    if ordinary:
        pid = mountns.clone(mountns.CLONE_NEWUSER | _OUTER, "a user namespace")
    else:
        pid = mountns.clone(_OUTER, "private mount and pid namespaces")
    if pid:
        return pid

    def act() -> int:
        ours = (fd for group in keeps.groups for fd in (group.top, group.procs))
        session.close_inherited((channel.fileno(), *keeps.pass_fds, *ours))
        if not keeps.in_front:
            os.setsid()
        if ordinary:
            mountns.write_id_maps("/proc/self", f"0 {uid} 1", f"0 {gid} 1", setgroups=False)
        code = _FAILED
        try:
            word, text, _ = hear(channel)
            if word == "facts":  # else there is no machine
                code = _init(channel, prepare(text), host_ns, keeps.groups)
        finally:
            if code == _FAILED:  # `run` is gone, perhaps: then nobody else takes them away
                _remove(keeps.groups)
        return code

    _never_returns(channel, act)


def _time_namespace(channel: socket.socket, booted_ns: int) -> None:
    """Children count from the machine's boot: timens_offsets, kernel/time/namespace.c. Without it their clock is the host's."""
    since_boot = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
    lines = []
    for clock, offset in (("monotonic", -booted_ns), ("boottime", -booted_ns - since_boot)):
        seconds, rest = divmod(offset, 10**9)
        lines.append(f"{clock} {seconds} {rest}\n")
    try:
        mountns.unshare(mountns.CLONE_NEWTIME, "a time namespace")
        with open("/proc/self/timens_offsets", "w", encoding="utf-8") as file:
            file.write("".join(lines))
    except (RunError, OSError) as error:
        if error.errno == errno.EPERM:
            raise  # who forbids unshare(2) will forbid what there can be no run without
        say(channel, "missing", f"the time since the boot is the host's to processes: {error}")


def _init(
    channel: socket.socket, inside: Inside, host_ns: dict[str, str], groups: tuple[Group, ...]
) -> int:
    """Pid 1: make the mounts, start the command, reap, end when it or `run` has ended."""

    def send_fuse(fd: int, procfs: int) -> None:
        # Host pid first: /proc is still the host's.
        say(channel, "fuse", os.readlink("/proc/self"), (fd, procfs))

    _time_namespace(channel, inside.booted_ns)
    umask = os.umask(0o022)  # the caller's is not for /run and the like
    session.limit()
    session.make_readonly({0, 1, 2, *inside.pass_fds})
    directory = -1
    if inside.keep is not None:
        directory = os.open(inside.keep, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    built = rootfs.build(inside.layout, send_fuse)
    lacks = built.missing
    if inside.emulator is not None:
        lacks += _qemu().lay_libraries(PARKED, inside.emulator.guest, inside.page_size)
    _import_no_more()
    for sentence in lacks:
        say(channel, "missing", sentence)
    for name, text in inside.files.items():
        with open(f"{PARKED}/{name}", "w", encoding="utf-8") as file:
            file.write(text)
    os.umask(umask)
    wake_r, wake_w = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    pid = _start(channel, inside, host_ns, groups, wake_w)
    code = _reap(channel, inside, built, pid, wake_r)
    if code is None:
        inside = replace(inside, argv=inside.then, then=())
        pid = _start(channel, inside, host_ns, groups, wake_w)
        code = _reap(channel, inside, built, pid, wake_r) or 0
    _kill_all()  # before `run` hears of it: who still waits would be told that nobody answers any more, and say so
    if directory >= 0:
        _keep(channel, built, directory)
    with suppress(OSError):
        say(channel, "exit", str(code))
    return code


def _remove(groups: tuple[Group, ...]) -> None:
    """Nobody else takes them away: end all that is in them, then do so."""
    if groups:
        _kill_all()
        _reap_all()
    for group in groups:
        group.remove()


def _start(
    channel: socket.socket,
    inside: Inside,
    host_ns: dict[str, str],
    groups: tuple[Group, ...],
    wake_w: int,
) -> int:
    """Fork the command with a user namespace of its own; its pid."""
    mapped, unshared = os.pipe(), os.pipe()
    mountns.set_undumpable(dumpable=True)  # its /proc files are to be its own
    signal.set_wakeup_fd(-1)
    pid = os.fork()
    if pid == 0:
        os.close(mapped[1])
        os.close(unshared[0])
        for number in (*_IGNORED, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for group in groups:
            with suppress(OSError):
                group.join()
        _never_returns(channel, lambda: _command(channel, inside, host_ns, mapped[0], unshared[1]))
    os.close(mapped[0])
    os.close(unshared[1])
    signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    mountns.set_undumpable()
    if os.read(unshared[0], 1):
        # The same ids inside as outside, for every id there is.
        uids, gids = (
            _identity(mountns.read(f"{PARKED}/proc/self/{name}_map")) for name in ("uid", "gid")
        )
        setgroups = mountns.read(f"{PARKED}/proc/self/setgroups").strip() == "allow"
        mountns.write_id_maps(f"{PARKED}/proc/{pid}", uids, gids, setgroups=setgroups)
        os.write(mapped[1], b"m")
    os.close(mapped[1])
    os.close(unshared[0])
    return pid


def _power_goes(channel: socket.socket) -> None:
    """Kill everything but init, and reap it: who waits for an answer of the dead kernel's gets it then."""
    _kill_all()
    say(channel, "killed")
    _reap_all()


def _kill_all() -> None:
    """End everything but init."""
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)


def _reap_all() -> None:
    """Wait for the end of everything but init."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _qemu() -> Any:
    """What runs programs of another architecture: imported only for them, and before the command can write."""
    from fsmount.foreign import qemu

    return qemu


def _import_no_more() -> None:
    """From here on every file is one that the command may have written: none may become code of ours."""
    sys.meta_path.clear()
    sys.path_hooks.clear()
    sys.path.clear()


def _keep(channel: socket.socket, built: rootfs.Built, directory: int) -> None:
    """--keep: copy out what was written, by whoever was killed."""
    if failed := keep(built.layers.uppers, directory):
        say(channel, "warning", f"--keep: not everything could be copied: {failed}")


def _identity(id_map: str) -> str:
    lines = (line.split() for line in id_map.splitlines())
    return "\n".join(f"{inside} {inside} {count}" for inside, _, count in lines)


def _reap(
    channel: socket.socket, inside: Inside, built: rootfs.Built, command: int, wake: int
) -> int | None:
    """Wait for the command, reaping orphans; 128 + N if signal N ended it, None if the machine crashed and goes on.

    `run` hears when the command is stopped, and says which signals to pass on to its process group.
    """
    connects: dict[int, str] = {}
    poll = select.poll()
    poll.register(wake, select.POLLIN)
    poll.register(channel, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == wake:
                os.read(wake, 4096)
                continue
            word, number, _ = hear(channel)
            if word == "connect":
                _connect(channel, built, number, connects)
                continue
            if word == "crashed":
                _power_goes(channel)
                return None if number == "then" else 0
            if word != "signal":
                return _FAILED  # `run` is gone
            if inside.in_front and int(number) == signal.SIGCONT:
                session.bring_to_front(command)
            with suppress(ProcessLookupError):
                os.killpg(command, int(number))
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid in connects:
                call = connects.pop(pid)
                if status:  # killed before it could say how it went
                    with suppress(OSError):
                        say(channel, "connected", f"{call} {errno.ECONNABORTED}")
            if pid != command:
                continue
            if os.WIFSTOPPED(status):
                say(channel, "stopped", str(os.WSTOPSIG(status)))
                continue
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _connect(
    channel: socket.socket, built: rootfs.Built, text: str, connects: dict[int, str]
) -> None:
    """Do a connect(2) for the caller, in a process of its own, which is noted with the call: it may take long."""
    call = text.split()[0]

    def act() -> int:
        procfs = os.open(f"{PARKED}/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        error = carry_out(text, procfs, built.host_devices)
        say(channel, "connected", f"{call} {error}")
        return 0

    try:
        pid = os.fork()
    except OSError as error:  # too many processes
        say(channel, "connected", f"{call} {error.errno}")
        return
    if pid == 0:
        signal.set_wakeup_fd(-1)
        _never_returns(channel, act)
    connects[pid] = call


def _loopback_up() -> None:
    """ip link set lo up"""
    any_socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP))
    any_socket.close()


def _command(
    channel: socket.socket, inside: Inside, host_ns: dict[str, str], mapped: int, unshared: int
) -> int:
    """Become the command: namespaces, filter, guards, exec."""
    os.setpgid(0, 0)
    # Of the group that was joined, and where the command has no rights over it: it cannot mount its hierarchy.
    mountns.unshare(mountns.CLONE_NEWCGROUP, "a private cgroup namespace")
    mountns.unshare(_INNER, "a second user namespace for the command")
    os.write(unshared, b"u")
    os.close(unshared)
    if not os.read(mapped, 1):
        return _FAILED
    os.close(mapped)
    _loopback_up()
    sender = uevents.open_socket()
    # By name: the directory itself is the host's.
    for place in (inside.cwd, "/"):
        try:
            os.chdir(place)
            break
        except OSError:
            continue
    sockets: tuple[int, ...] = ()
    if inside.emulator is not None:
        sockets = (_qemu().register(PARKED, inside.emulator.guest),)
    guards.check(inside.layout.share, host_ns, inside.pass_fds)
    listener = filter.install(shared=bool(inside.layout.share))
    say(
        channel,
        "listener",
        os.readlink(f"{PARKED}/proc/self/ns/user"),
        (listener, sender.fileno(), *sockets),
    )
    os.close(listener)
    sender.close()
    guards.check_calls(inside.release, shared=bool(inside.layout.share))
    say(channel, "start")
    channel.close()
    if inside.in_front:
        session.bring_to_front(os.getpgrp())
    for fd in inside.pass_fds:
        os.set_inheritable(fd, True)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them; the command would too
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(inside.argv[0], inside.argv, inside.environment)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        why = "command not found" if missing else error.strerror
        session.remark(f"{inside.argv[0]}: {why}")
        return _NOT_FOUND if missing else _NOT_EXECUTABLE
