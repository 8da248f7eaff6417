"""The caller's side of `kdumpfs run`: what is asked for, the command's process, its signals, its end.

Knows nothing of the engine: `run --in` starts with this alone, and another process serves the machine.
"""

from __future__ import annotations

import _socket as socket
import os
import sys
import time

from elfcorehdr.errors import Ended, suppress
from elfcorehdr.lib.record import Record
from fsmount.host import mountns
from fsmount.host.programs import search_path
from fsmount.host.signals import signal
from fsmount.run.inside import init, places, session
from fsmount.run.inside.rootfs import Layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from fsmount.foreign.qemu import Emulator
    from fsmount.host.cgroup import Group


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
    root: str = "/"
    """The tree in which the command runs."""
    emulator: Emulator | None = None
    uname_machine: bool = True
    record: str | None = None
    quiet: bool = False
    """Whether not to say what is missing here."""
    environment: Mapping[str, str] = os.environ


class Facts(Record):
    """What a machine is, as far as those must know who start a command in it."""

    name: str
    release: str
    booted_ns: int
    page_size: int
    devices: tuple[str, ...]
    """Names in the tree's dev/."""
    covers: tuple[str, ...]
    """SysPlan.covers"""


def written(facts: Facts) -> str:
    """Facts as one text: no name in it has a tab or a newline."""
    lists = "\t".join(facts.devices), "\t".join(facts.covers)
    numbers = str(facts.booted_ns), str(facts.page_size)
    return "\n".join((facts.name, facts.release, *numbers, *lists))


def read_facts(text: str) -> Facts:
    """The reverse."""
    name, release, booted_ns, page_size, devices, covers = text.split("\n")
    lists = tuple(devices.split("\t")), tuple(covers.split("\t"))
    return Facts(name, release, int(booted_ns), int(page_size), *lists)


class Launch:
    """One command: its processes are made by start(), and gone after end()."""

    def __init__(self, argv: tuple[str, ...], options: RunOptions) -> None:
        """Look at what is asked for. RunError if a run may not have it."""
        self._argv = argv
        self._options = options
        self._in_front = session.in_front()
        self.quiet = options.quiet
        self._children: list[int] = []
        self.began_ns = 0
        """When its first process was made, by CLOCK_MONOTONIC."""
        self._handlers: dict[int, Any] = {}
        self._groups: list[Group] = []
        session.open_streams()
        self._table = mountns.table()
        places.check_streams(self._table)
        session.check_passed(options.pass_fds)
        self._share = places.check_writable(options.share)
        if options.keep is not None:
            places.check_kept(options.keep)

    def start(self) -> socket.socket:
        """Fork init, the earlier the less there is to copy; our end of the channel to it.

        It waits for the machine's facts. RunError if the host gives us no namespaces.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sys.stdout.flush()
        sys.stderr.flush()
        self._groups = session.groups(self._table)
        keeps = init.Keeps(self._in_front, self._options.pass_fds, tuple(self._groups))
        self.began_ns = time.monotonic_ns()
        try:
            pid = init.start(theirs, lambda text: self.inside(read_facts(text)), keeps)
        except BaseException:
            self._remove_groups()
            raise
        self._children.append(pid)
        theirs.close()
        return ours

    def __enter__(self) -> socket.socket:
        """start(); whatever goes wrong meanwhile, nothing is left."""
        self._channel = self.start()
        return self._channel

    def __exit__(self, *_: object) -> None:
        self._channel.close()
        self.kill()
        self.end()

    def inside(self, facts: Facts) -> init.Inside:
        """What the inside needs to know."""
        options = self._options
        cwd, given = _cwd(), options.environment
        share = self._share
        if options.share_directory and cwd != "/":
            directory = places.shared_directory(cwd, given)
            share += (directory,) if directory is not None else ()
        emulator = options.emulator
        layout = Layout(
            facts.covers,
            share,
            options.over,
            facts.devices,
            options.root,
            emulator.path if emulator is not None else None,
            session.memory_size(),
        )
        environment = places.clean(given)
        environment["KDUMPFS"] = facts.name
        if "PATH" in environment:
            environment["PATH"] = search_path(environment["PATH"])
        files: dict[str, str] = {}
        argv, then = self._argv, options.then
        if not argv:
            if options.root != "/":
                environment["SHELL"] = "/bin/sh"
            argv, files = _shell(environment, facts)
            then = then or argv
        return init.Inside(
            layout,
            argv,
            facts.release,
            environment,
            cwd,
            files,
            facts.booted_ns,
            self._in_front,
            options.pass_fds,
            then,
            emulator,
            options.keep,
            facts.page_size,
        )

    def take_signals(self, send: socket.socket) -> None:
        """A terminal's signals are the command's affair; those that a program sends to end this raise Signalled.

        In front the terminal sends SIGINT and SIGQUIT to the command itself: what comes here is a program's.
        """

        def end(number: int, _frame: object) -> None:
            raise Signalled(number)

        def pass_on(number: int, _frame: object) -> None:
            with suppress(OSError):
                init.say(send, "signal", str(number))

        old = self._handlers
        if self._in_front:
            old[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, signal.SIG_IGN)
            for number in (signal.SIGINT, signal.SIGQUIT):
                old[number] = signal.signal(number, end)
        else:
            for number in session.PASSED_ON:
                # What a shell lets its background jobs ignore, the command ignores, too: passed on it would end nothing.
                ignored = signal.getsignal(number) == signal.SIG_IGN
                ends = ignored and number in (signal.SIGINT, signal.SIGQUIT)
                old[number] = signal.signal(number, end if ends else pass_on)
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup(1)
                old[number] = signal.signal(number, end)

    def stopped(self, send: socket.socket) -> None:
        """The command was stopped: so is this job, until the caller's shell goes on with it."""
        if not self._in_front:
            os.kill(os.getpid(), signal.SIGSTOP)
            with suppress(OSError):  # it may have been killed meanwhile
                init.say(send, "signal", str(int(signal.SIGCONT)))
            return
        session.bring_to_front(os.getpgrp())
        os.killpg(0, signal.SIGSTOP)
        with suppress(OSError):
            in_front = os.tcgetpgrp(0) == os.getpgrp()
            if in_front:
                init.say(send, "signal", str(int(signal.SIGCONT)))

    def ignore_signals(self) -> None:
        """The end has begun."""
        for number in self._handlers:
            signal.signal(number, signal.SIG_IGN)

    def kill(self) -> None:
        """Kill what is inside."""
        for child in self._children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def end(self) -> None:
        """Reap, and give terminal and signals back."""
        # Ours only: a shell that became this process may have left us others.
        for child in self._children:
            with suppress(ChildProcessError):
                os.waitpid(child, 0)
        self._children.clear()
        self._remove_groups()
        if self._in_front:
            session.bring_to_front(os.getpgrp())
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()

    def _remove_groups(self) -> None:
        for group in self._groups:
            group.remove()
        self._groups.clear()


def tell(launch: Launch, channel: socket.socket, word: str, text: str) -> str:
    """What the serving side has for the caller's; the sentence of an error comes back."""
    match word:
        case "missing":
            if not (launch.quiet or told_before(text)):
                session.remark(f"missing here: {text}; this is told once, -q never")
        case "warning":
            session.remark(text)
        case "stopped":
            launch.stopped(channel)
        case "error":
            return text
    return ""


def told_before(sentence: str) -> bool:
    """Whether this user was told so before; from now on he was."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    path = os.path.join(state, "kdumpfs", "told")
    try:
        with suppress(FileNotFoundError), open(path, encoding="utf-8") as file:
            if sentence in file.read().splitlines():
                return True
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{sentence}\n")
    except (OSError, UnicodeError):
        pass  # then he is told again
    return False


def _cwd() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "/"


class Signalled(Ended):
    """A signal asked `run` to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def status(self) -> int:
        """End this process by the signal, once all is tidied up; of Ctrl-C's and Ctrl-\\'s the exit status."""
        if self.number not in (signal.SIGINT, signal.SIGQUIT):  # a core of ours helps nobody
            os.kill(os.getpid(), self.number)
        return 128 + self.number


def _shell(environment: dict[str, str], facts: Facts) -> tuple[tuple[str, ...], dict[str, str]]:
    """The user's shell with a prompt that says where one is."""
    shell = environment.get("SHELL") or "/bin/sh"
    where = f"({facts.name} {facts.release}) "
    environment["PS1"] = where + "\\w \\$ " if shell.endswith("bash") else f"{where}$ "
    if not shell.endswith("/bash"):
        return (shell,), {}
    rc = f'[ -f ~/.bashrc ] && . ~/.bashrc\nPS1="{where}$PS1"\n'
    return (shell, "--rcfile", "/run/kdumpfs/bashrc"), {"bashrc": rc}
