"""`kdumpfs run`: one process that serves the machine's files and answers its system calls.

FUSE requests, supervised calls and the children's messages are served one at a time from one loop,
so that the engine stays single-threaded and a call is answered only after its effect. When this
process ends, however it ends, the kernel takes away the rest (see inside.py).
"""

from __future__ import annotations

import _socket as socket
import os
import select
from functools import partial

from elfcorehdr.errors import suppress
from elfcorehdr.init.main import Kernel
from elfcorehdr.lib.kobject_uevent import Uevent
from fsmount.devfs.kmsg import Syslog
from fsmount.fuse.direct import Connection
from fsmount.fuse.serving import Poller, Resched
from fsmount.host import uevents
from fsmount.host.mountns import RunError
from fsmount.run import sysplan
from fsmount.run.connect import Connects
from fsmount.run.crash import CrashWatch
from fsmount.run.hostfs import Graft, Processes, ProcessFiles, Served
from fsmount.run.inside import init
from fsmount.run.inside.places import PARKED
from fsmount.run.launch import Facts, Launch, RunOptions, Signalled, tell, written
from fsmount.run.supervisor import Supervisor
from fsmount.run.syscalls import Syscalls
from fsmount.run.sysctls import Sysctls
from fsmount.tree.kernfs import Tree
from fsmount.tree.kobject import Caller

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol, TextIO

    from fsmount.run.recorder import Recorder

    class Watches(Protocol):
        """What waits for descriptors."""

        def register(self, fd: int, events: int, /) -> object: ...
        def unregister(self, fd: int, /) -> object: ...

    from fsmount.foreign.tracer import Tracer


def _create(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o666)


_BURST = 64
"""Supervised calls answered in a row in the midst of long work."""


def run_command(
    kernel: Kernel, tree: Tree, argv: tuple[str, ...], options: RunOptions | None = None
) -> int:
    """Run a command in the machine; its exit status, 128 + N if signal N ended it.

    An empty argv is the user's shell. RunError if a guard between command and host is not up.
    """
    options = options or RunOptions()
    launch = Launch(argv, options)
    with launch as channel:
        return serve(kernel, tree, launch, channel, options, goes_on=not argv)


def serve(
    kernel: Kernel,
    tree: Tree,
    launch: Launch,
    channel: socket.socket,
    options: RunOptions,
    *,
    goes_on: bool,
) -> int:
    """Serve the machine to a command that was launched; as run_command(). goes_on: also after a crash."""
    # Inside, whoever runs this is root, and the machine's files are root's.
    tree.owner = 0, 0
    if launch.began_ns < kernel.timekeeping.began_ns:
        kernel.switched_on(launch.began_ns)  # no process is older than its machine
    record = None
    if options.record is not None:
        try:
            record = open(options.record, "w", opener=_create, encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise RunError(f"--record {options.record}: {error.strerror}") from None
    try:
        return _run(kernel, tree, launch, channel, options, record, goes_on)
    finally:
        if record is not None:
            record.close()


def _run(
    kernel: Kernel,
    tree: Tree,
    launch: Launch,
    channel: socket.socket,
    options: RunOptions,
    record: TextIO | None,
    goes_on: bool,
) -> int:
    poll = Poller()
    may_spin, poll.may_spin = poll.may_spin, False  # while the mounts are made it is of no use
    goes_on = goes_on or bool(options.then)  # a shell is started anew on a capture kernel
    serving = Serving(kernel, tree, options, poll, record, goes_on=goes_on)
    ended_by: Signalled | None = None
    error = ""
    try:
        launch.take_signals(channel)
        serving.begin(channel)
        init.say(channel, "facts", written(serving.facts()))
        while serving.goes_on:
            for fd, events in poll.wait():
                told = serving.dispatch(fd, events)
                if told is not None and told[0] == "start":
                    poll.may_spin = may_spin
                elif told is not None:
                    error = error or tell(launch, channel, *told)
    except Signalled as signalled:
        ended_by = signalled
    finally:
        launch.ignore_signals()
        launch.kill()
        serving.end()
        launch.end()
    if ended_by is not None:
        return ended_by.status()
    if error:
        raise RunError(error)
    return serving.status()


class Serving:
    """One run: what it is served. poll is told which descriptors to watch."""

    def __init__(
        self,
        kernel: Kernel,
        tree: Tree,
        options: RunOptions,
        poll: Watches,
        record: TextIO | None = None,
        sysctls: Sysctls | None = None,
        goes_on: bool = False,
    ) -> None:
        self._kernel = kernel
        self._tree = tree
        self._options = options
        self._plan = sysplan.plan(tree)
        self._processes = Processes()
        self._recorder: Recorder | None = None
        if record is not None:
            from fsmount.run.recorder import Recorder

            self._recorder = Recorder(record, self._processes.status)
        grafts: dict[str, Graft] = dict(self._plan.grafts)
        grafts["proc"] = self._processes
        grafts["proc/PID"] = ProcessFiles(self._processes)
        self._sysctls = sysctls or Sysctls(kernel, Syslog(kernel.log))
        grafts["proc/sys"] = self._sysctls
        self._served = Served(tree, grafts)
        self._user_namespace: str | None = None
        self._calls = Syscalls(
            kernel,
            self._sysctls.syslog,
            lambda path: not sysplan.lacks(tree, path),
            uname_machine=options.uname_machine,
            sysctls=self._sysctls,
            processes=self._processes,
        )
        self._fuse: Connection | None = None
        self._supervisor: Supervisor | None = None
        self._uevents: socket.socket | None = None
        self._tracer: Tracer | None = None
        self._status: int | None = None
        self._log_seen = kernel.log.next_seq
        self._poll = poll
        self._resched = Resched.of(kernel)
        self._crash = CrashWatch(kernel, goes_on=goes_on)

    def facts(self) -> Facts:
        """What the machine is."""
        kernel = self._kernel
        devices = tuple(name for name, _ in self._tree.names(self._tree.lookup("dev")))
        began, covers = kernel.timekeeping.began_ns, tuple(self._plan.covers)
        name, release = kernel.machine.name, kernel.release
        return Facts(name, release, began, kernel.page_size, devices, covers)

    def begin(self, channel: socket.socket) -> None:
        """Serve what is at the other end of the channel."""
        self._channel = channel
        self.goes_on = True
        self._connects = Connects(partial(self._tell_init, "connect"))
        self._kernel.uevents.base = self._kernel.uevents.seqnum = uevents.host_seqnum()
        self._kernel.uevents.listeners.append(self._send_uevent)
        self._poll.register(channel.fileno(), select.POLLIN)
        self._resched.looks.append(self._let_in)

    def _tell_init(self, word: str, text: str = "") -> None:
        """Init may have ended, with whoever asks; what it said last is still to be read."""
        with suppress(OSError):
            init.say(self._channel, word, text)

    def end(self) -> None:
        """Let go of every descriptor that what is inside may wait for."""
        with suppress(ValueError):
            self._kernel.uevents.listeners.remove(self._send_uevent)
        self._channel.close()
        with suppress(ValueError):
            self._resched.looks.remove(self._let_in)
        if self._fuse is not None:
            self._fuse.close()
            os.close(self._fuse.fd)
            os.close(self._processes.dir_fd)
        if self._supervisor is not None:
            self._supervisor.close()
        if self._uevents is not None:
            self._uevents.close()
        if self._tracer is not None:
            self._tracer.close()

    def status(self) -> int:
        """How the run ended; RunError if it has not."""
        if self._crash.status is not None:
            return self._crash.status
        if self._status is None:
            raise RunError("the machine's init was killed")
        return self._status

    # The loop

    def dispatch(self, fd: int, events: int) -> tuple[str, str] | None:
        """Serve what is ready; what the caller's side is to hear of it."""
        told = None
        if fd == self._channel.fileno():
            told = self._message()
        elif self._crash.waiting:
            return None
        elif self._fuse is not None and fd == self._fuse.fd:
            # Only one: to look for the next at once finds none, nearly always, and costs 2 us.
            if not self._fuse.handle() and not self._fuse.mounted:
                self._poll.unregister(fd)
        elif self._supervisor is not None and fd == self._supervisor.listener:
            if events & select.POLLIN:
                self._resched.begin()
                self._supervisor.serve()
                self._resched.end()
            else:
                self._poll.unregister(fd)  # no one is under the filter any more
        elif self._supervisor is not None and fd == self._supervisor.fileno():
            self._resched.begin()
            self._supervisor.late()
            self._resched.end()
        elif self._tracer is not None and fd == self._tracer.fileno():
            self._tracer.serve()
        if not self.goes_on:
            return told
        if self._calls.rebooted:
            self._calls.rebooted = False
            self._crash.rebooted(self._tell_init, self._forget_command)
        self.look()
        return told

    def look(self) -> None:
        """Something may have happened to the kernel: a crash, a record in the log, a change of names."""
        self._crash.look(self._tell_init, self._forget_command)
        if not self._crash.waiting:
            self._wake()

    def _forget_command(self) -> None:
        """The machine crashed: the command's system calls and events are nobody's any more."""
        if self._supervisor is not None:
            for watched in (self._supervisor.listener, self._supervisor.fileno()):
                with suppress(KeyError):  # the listener, when nobody was under the filter any more
                    self._poll.unregister(watched)
            self._supervisor.close()
            self._supervisor = None
        if self._uevents is not None:
            self._uevents.close()
            self._uevents = None
        self._sysctls.restart()

    def _let_in(self) -> None:
        """Answer supervised calls in the midst of long work; those that change the machine wait for its end."""
        supervisor = self._supervisor
        if supervisor is None:
            return
        supervisor.busy = True
        try:
            for _ in range(_BURST):
                ready = select.select([supervisor.listener, supervisor.fileno()], [], [], 0)[0]
                if supervisor.fileno() in ready:
                    supervisor.late()
                if supervisor.listener not in ready:
                    break
                supervisor.serve()
        finally:
            supervisor.busy = False
        if supervisor.waiting:
            self._resched.later.append(supervisor.retry)

    def _wake(self) -> None:
        """Something was logged: ask those again that wait for it."""
        if self._kernel.log.next_seq == self._log_seen:
            return
        self._log_seen = self._kernel.log.next_seq
        if self._fuse is not None:
            self._fuse.retry()
        if self._supervisor is not None:
            self._supervisor.retry()

    def _message(self) -> tuple[str, str] | None:
        word, text, fds = init.hear(self._channel)
        match word:
            case "fuse":
                os.set_blocking(fds[0], False)
                seen = self._recorder.saw_file if self._recorder is not None else None
                if self._fuse is not None:  # of the kernel before the crash
                    self._fuse.close()
                self._fuse = Connection(fds[0], self._served, self._caller, seen=seen)
                self._fuse.mounted_as = f"/proc/{text}/mountinfo", f"{PARKED}/fuse"
                self._crash.serves(self._fuse)
                self._processes.dir_fd = fds[1]
                self._poll.register(fds[0], select.POLLIN)
            case "listener":
                self._user_namespace = self._calls.user_namespace = text
                self._supervisor = Supervisor(
                    fds[0],
                    {
                        **self._calls.answers(),
                        "connect": self._connects.connect,
                        "socketpair": self._connects.socketpair,
                    },
                    self._kernel.log,
                    self._recorder.saw_call if self._recorder is not None else None,
                    self.settle,
                    self._options.emulator.guest if self._options.emulator is not None else None,
                )
                for watched in (fds[0], self._supervisor.fileno()):
                    self._poll.register(watched, select.POLLIN)
                self._uevents = socket.socket(fileno=fds[1])
                self._uevents.settimeout(5)
                self._trace(fds[2:])
            case "connected":
                self._connects.done(text)
                if self._supervisor is not None:
                    self._supervisor.retry()
                self._connects.forget(text)
            case "killed":
                self._crash.killed()
            case "exit":
                self._status = int(text)
            case "":
                self.goes_on = False
                self._poll.unregister(self._channel.fileno())
            case "start" | "missing" | "warning" | "stopped" | "error":
                return word, text
        return None

    def _trace(self, sockets: list[int]) -> None:
        """Look after foreign programs that start."""
        emulator = self._options.emulator
        if emulator is None:
            return
        from fsmount.foreign.tracer import Tracer

        (directory,) = sockets
        if self._tracer is not None:  # of the kernel before the crash
            self._poll.unregister(self._tracer.fileno())
            self._tracer.close()
        self._tracer = Tracer(directory, emulator.guest)
        self._poll.register(self._tracer.fileno(), select.POLLIN)

    def settle(self) -> None:
        """Before a supervised call is answered: what it changed must be visible."""
        if self._fuse is not None:
            self._fuse.sync_names()

    def _send_uevent(self, event: Uevent) -> None:
        if self._uevents is None:
            return
        try:
            event.seqnum = self._kernel.uevents.seqnum = uevents.send(self._uevents, event)
        except OSError as error:
            self._kernel.log.warning(f"kdumpfs: uevent {event} not sent: {error.strerror}")

    # Who asks

    def _caller(self, uid: int, gid: int, pid: int) -> Caller:
        def capable(cap: int) -> bool:
            status = self._processes.status(pid)
            if not int(status.get("CapEff", "0"), 16) >> cap & 1:
                return False
            try:
                space = os.readlink(f"{pid}/ns/user", dir_fd=self._processes.dir_fd)
            except OSError:
                return False
            return space == self._user_namespace or self._user_namespace is None

        comm, proc = self._processes.comm(pid), self._processes.dir_fd
        return Caller(uid, gid, pid, capable, comm, proc)
