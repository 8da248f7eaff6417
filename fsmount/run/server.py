"""`kdumpfs run`: one process that serves the machine's files and answers its system calls.

FUSE requests, supervised calls and the children's messages are served one at a time from one loop,
so that the engine stays single-threaded and a call is answered only after its effect. When this
process ends, however it ends, the kernel takes away the rest (see inside.py).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

from elfcorehdr.init.main import Kernel
from elfcorehdr.lib.kobject_uevent import Uevent
from elfcorehdr.lib.record import Record
from fsmount.devfs.kmsg import Syslog
from fsmount.fuse.direct import Connection
from fsmount.fuse.serving import Poller
from fsmount.host import mountns, uevents
from fsmount.host.mountns import RunError
from fsmount.run import inside, places, session, sysplan
from fsmount.run.connect import Connects
from fsmount.run.crash import CrashWatch
from fsmount.run.hostfs import Graft, Processes, ProcessFiles, Served
from fsmount.run.recorder import Recorder
from fsmount.run.rootfs import Layout
from fsmount.run.supervisor import Supervisor, Task
from fsmount.run.syscalls import Syscalls
from fsmount.run.sysctls import Sysctls
from fsmount.tree.boundary import Ended
from fsmount.tree.kernfs import Tree
from fsmount.tree.kobject import Caller

if TYPE_CHECKING:
    from fsmount.foreign.gdb import Gdb
    from fsmount.foreign.qemu import Emulator
    from fsmount.foreign.tracer import Tracer

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
_BURST = 64
"""FUSE requests answered in a row before the supervised calls have their turn."""


class RunOptions(Record):
    """What the command line may ask for."""

    then: tuple[str, ...] = ()
    """The command for the capture kernel, once the machine has crashed; of a shell, a shell."""
    share: tuple[str, ...] = ()
    """Paths that stay the host's own, besides the working directory where that is shared."""
    share_directory: bool = True
    keep: str | None = None
    """A directory for what was written to private places."""
    pass_fds: tuple[int, ...] = ()
    over: tuple[str, ...] = ()
    emulator: Emulator | None = None
    uname_machine: bool = True
    record: str | None = None
    environment: Mapping[str, str] = os.environ


def run_command(
    kernel: Kernel, tree: Tree, argv: tuple[str, ...], options: RunOptions | None = None
) -> int:
    """Run a command in the machine; its exit status, 128 + N if signal N ended it.

    An empty argv is the user's shell. RunError if a guard between command and host is not up.
    """
    options = options or RunOptions()
    # Inside, whoever runs this is root, and the machine's files are root's.
    tree.owner = 0, 0
    record = None
    if options.record is not None:
        try:
            record = os.fdopen(os.open(options.record, _CREATE, 0o666), "w", encoding="utf-8")
        except OSError as error:
            raise RunError(f"--record {options.record}: {error.strerror}") from None
    try:
        return _Run(kernel, tree, options, record).run(argv)
    finally:
        if record is not None:
            record.close()


class _Run:
    """One run: the loop and what it serves."""

    def __init__(
        self, kernel: Kernel, tree: Tree, options: RunOptions, record: TextIO | None
    ) -> None:
        self._kernel = kernel
        self._tree = tree
        self._options = options
        self._plan = sysplan.plan(tree)
        self._processes = Processes()
        self._recorder = Recorder(record, self._processes.status) if record is not None else None
        grafts: dict[str, Graft] = dict(self._plan.grafts)
        grafts["proc"] = self._processes
        grafts["proc/PID"] = ProcessFiles(self._processes)
        syslog = Syslog(kernel.log)
        grafts["proc/sys"] = sysctls = Sysctls(kernel, syslog)
        self._served = Served(tree, grafts)
        self._user_namespace: str | None = None
        self._calls = Syscalls(
            kernel,
            syslog,
            lambda path: not sysplan.lacks(tree, path),
            uname_machine=options.uname_machine,
            sysctls=sysctls,
            processes=self._processes,
        )
        self._fuse: Connection | None = None
        self._supervisor: Supervisor | None = None
        self._uevents: socket.socket | None = None
        self._tracer: Tracer | None = None
        self._maker = self._init = 0
        self._status: int | None = None
        self._error = ""
        self._log_seen = kernel.log.next_seq
        self._poll = Poller()
        self._in_front = session.in_front()
        self._sysctls = sysctls
        self._crash = CrashWatch(kernel, goes_on=False)

    def run(self, argv: tuple[str, ...]) -> int:
        """Fork, serve until the command has ended, reap."""
        session.open_streams()
        places.check_streams(mountns.table())
        session.check_passed(self._options.pass_fds)
        if self._options.keep is not None:
            try:
                os.makedirs(self._options.keep, exist_ok=True)
            except OSError as error:
                raise RunError(f"--keep {self._options.keep}: {error.strerror}") from None
        mountns.become_subreaper()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        what = self._inside(argv)
        self._crash = CrashWatch(self._kernel, goes_on=bool(what.then))
        sys.stdout.flush()
        sys.stderr.flush()
        self._maker = os.fork()
        if self._maker == 0:
            ours.close()
            inside.make(theirs, what)
        theirs.close()
        self._connects = Connects(lambda text: inside.say(ours, "connect", text))
        self._kernel.uevents.base = self._kernel.uevents.seqnum = uevents.host_seqnum()
        listeners = self._kernel.uevents.listeners
        listeners.append(self._send_uevent)
        handlers = self._signals(ours)
        ended_by = 0
        try:
            self._poll.register(ours, select.POLLIN)
            while self._serve(ours):
                pass
        except _Ended as signalled:
            ended_by = signalled.number
        finally:
            for number in handlers:
                signal.signal(number, signal.SIG_IGN)
            listeners.remove(self._send_uevent)
            self._end(ours)
            if self._in_front:
                session.bring_to_front(os.getpgrp())
            for number, handler in handlers.items():
                signal.signal(number, handler)
        if ended_by:
            os.kill(os.getpid(), ended_by)
        if self._error:
            raise RunError(self._error)
        if self._crash.status is not None:
            return self._crash.status
        if self._status is None:
            raise RunError("the machine's init was killed")
        return self._status

    def _signals(self, ours: socket.socket) -> dict[int, Any]:
        """A terminal's signals are the command's affair; SIGTERM and SIGHUP end the run. The old handlers."""

        def end(number: int, _frame: object) -> None:
            raise _Ended(number)

        def pass_on(number: int, _frame: object) -> None:
            with contextlib.suppress(OSError):
                inside.say(ours, "signal", str(number))

        old: dict[int, Any] = {}
        for number in session.PASSED_ON:
            # In front the terminal sends them to the command itself.
            handler = signal.SIG_IGN if self._in_front else pass_on
            if not self._in_front or number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP):
                old[number] = signal.signal(number, handler)
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup(1)
                old[number] = signal.signal(number, end)
        return old

    def _stop(self, channel: socket.socket) -> None:
        """The command was stopped: so is this job, until the caller's shell goes on with it."""
        if not self._in_front:
            os.kill(os.getpid(), signal.SIGSTOP)
            inside.say(channel, "signal", str(int(signal.SIGCONT)))
            return
        session.bring_to_front(os.getpgrp())
        os.killpg(0, signal.SIGSTOP)
        if os.tcgetpgrp(0) == os.getpgrp():
            inside.say(channel, "signal", str(int(signal.SIGCONT)))

    def _end(self, ours: socket.socket) -> None:
        """Kill what is inside, let go of every descriptor it may wait for, reap."""
        if self._init:
            try:
                os.kill(self._init, signal.SIGKILL)
            except ProcessLookupError:
                self._init = 0
        ours.close()
        if self._fuse is not None:
            os.close(self._fuse.fd)
            os.close(self._processes.dir_fd)
        if self._supervisor is not None:
            os.close(self._supervisor.listener)
        if self._uevents is not None:
            self._uevents.close()
        if self._tracer is not None:
            self._tracer.close()
        # Ours only: a shell that became this process may have left us others.
        for pid in (self._maker, self._init):
            with contextlib.suppress(ChildProcessError):
                if pid:
                    os.waitpid(pid, 0)

    def _inside(self, argv: tuple[str, ...]) -> inside.Inside:
        dev = self._tree.names(self._tree.lookup("dev"))
        emulator = self._options.emulator
        cwd, given = _cwd(), self._options.environment
        share = places.check_writable(self._options.share)
        if self._options.share_directory and cwd != "/":
            directory = places.shared_directory(cwd, given)
            share += (directory,) if directory is not None else ()
        layout = Layout(
            self._plan,
            share,
            self._options.over,
            tuple(name for name, _ in dev),
            emulator.path if emulator is not None else None,
            session.memory_size(),
        )
        environment = places.clean(given)
        environment["KDUMPFS"] = self._kernel.machine.name
        pass_fds, keep = self._options.pass_fds, self._options.keep
        files: dict[str, str] = {}
        then = self._options.then
        if not argv:
            argv, files = _shell(environment, self._kernel)
            then = then or argv
        return inside.Inside(
            layout,
            argv,
            self._kernel.release,
            environment,
            cwd,
            files,
            self._kernel.timekeeping.began_ns,
            self._in_front,
            pass_fds,
            then,
            emulator,
            keep,
        )

    # The loop

    def _serve(self, channel: socket.socket) -> bool:
        """Serve what is ready; False once everything inside has ended."""
        for fd, events in self._poll.wait():
            if fd == channel.fileno():
                if not self._message(channel):
                    return False
            elif self._crash.waiting:
                continue
            elif self._fuse is not None and fd == self._fuse.fd:
                for _ in range(_BURST):
                    if not self._fuse.handle() or self._crash.gone:
                        break
                if not self._fuse.mounted:
                    self._poll.unregister(fd)
            elif self._supervisor is not None and fd == self._supervisor.listener:
                if events & select.POLLIN:
                    self._supervisor.serve()
                else:
                    self._poll.unregister(fd)  # no one is under the filter any more
            elif self._tracer is not None and fd == self._tracer.fileno():
                self._tracer.serve()
            if self._calls.rebooted:
                self._calls.rebooted = False
                self._crash.rebooted(channel, self._forget_command)
            self._crash.look(channel, self._forget_command)
            if not self._crash.waiting:
                self._wake()
        return True

    def _forget_command(self) -> None:
        """The machine crashed: the command's system calls and events are nobody's any more."""
        if self._supervisor is not None:
            self._poll.unregister(self._supervisor.listener)
            os.close(self._supervisor.listener)
            self._supervisor = None
        if self._uevents is not None:
            self._uevents.close()
            self._uevents = None
        self._sysctls.restart()

    def _wake(self) -> None:
        """Something was logged: ask those again that wait for it."""
        if self._kernel.log.next_seq == self._log_seen:
            return
        self._log_seen = self._kernel.log.next_seq
        if self._fuse is not None:
            self._fuse.retry()
        if self._supervisor is not None:
            self._supervisor.retry()

    def _message(self, channel: socket.socket) -> bool:
        word, text, fds = inside.hear(channel)
        match word:
            case "fuse":
                self._init = int(text)
                os.waitpid(self._maker, 0)  # from here on init is our child
                os.set_blocking(fds[0], False)
                seen = self._recorder.saw_file if self._recorder is not None else None
                self._fuse = Connection(fds[0], self._served, self._caller, seen=seen)
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
                    self._settle,
                )
                self._poll.register(fds[0], select.POLLIN)
                self._uevents = socket.socket(fileno=fds[1])
                self._uevents.settimeout(5)
                self._trace(fds[2:])
            case "missing":
                sys.stderr.write(f"kdumpfs: missing here: {text}\n")
            case "error":
                self._error = self._error or text
            case "connected":
                self._connects.done(text)
                if self._supervisor is not None:
                    self._supervisor.retry()
                self._connects.forget(text)
            case "warning":
                sys.stderr.write(f"kdumpfs: {text}\n")
            case "killed":
                self._crash.killed()
            case "stopped":
                self._stop(channel)
            case "exit":
                self._status = int(text)
        return bool(word)

    def _trace(self, sockets: list[int]) -> None:
        """Answer the system calls of foreign programs."""
        emulator, supervisor = self._options.emulator, self._supervisor
        if emulator is None or supervisor is None:
            return
        from fsmount.foreign.tracer import Tracer

        def answer(gdb: Gdb, name: str, args: tuple[int, ...]) -> int:
            return supervisor.answer(Task(gdb.pid, gdb.is_open, memory=gdb), name, args)

        (directory,) = sockets
        if self._tracer is not None:  # of the kernel before the crash
            self._poll.unregister(self._tracer.fileno())
            self._tracer.close()
        self._tracer = Tracer(directory, emulator.guest, answer)
        self._poll.register(self._tracer.fileno(), select.POLLIN)

    def _settle(self) -> None:
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

        return Caller(uid, gid, pid, capable, self._processes.comm(pid))


def _cwd() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "/"


class _Ended(Ended):
    """A signal asked `run` to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _shell(environment: dict[str, str], kernel: Kernel) -> tuple[tuple[str, ...], dict[str, str]]:
    """The user's shell with a prompt that says where one is."""
    shell = environment.get("SHELL") or "/bin/sh"
    where = f"({kernel.machine.name} {kernel.release}) "
    environment["PS1"] = where + "\\w \\$ " if shell.endswith("bash") else f"{where}$ "
    if not shell.endswith("/bash"):
        return (shell,), {}
    rc = f'[ -f ~/.bashrc ] && . ~/.bashrc\nPS1="{where}$PS1"\n'
    return (shell, "--rcfile", "/run/kdumpfs/bashrc"), {"bashrc": rc}
