"""`run --in DIR`, on the side of the server: each run has what a run of its own would have, on one kernel."""

from __future__ import annotations

import _socket as socket
import copy
import os
import select
from collections.abc import Callable

from elfcorehdr.errors import suppress
from elfcorehdr.init.main import Kernel
from fsmount.devfs.kmsg import Syslog
from fsmount.foreign.guests import GUESTS
from fsmount.foreign.qemu import Emulator
from fsmount.fuse.mount import Mount
from fsmount.host.mountns import RunError
from fsmount.run.inside import init
from fsmount.run.launch import RunOptions, written
from fsmount.run.server import Serving
from fsmount.run.sysctls import Sysctls
from fsmount.tree.kernfs import Tree


class Guests:
    """The runs in one mounted machine. Sysctls and the console's level are the machine's: they stay."""

    def __init__(self, mounted: Mount, kernel: Kernel, tree: Tree) -> None:
        self._mounted = mounted
        self._tree = copy.copy(tree)
        self._tree.owner = 0, 0  # inside, whoever runs this is root
        self._kernel = kernel
        self._sysctls = Sysctls(kernel, Syslog(kernel.log))
        self._guests: list[_Guest] = []
        mounted.afterwards.append(self._look)

    def welcome(self, connection: socket.socket) -> None:
        """Somebody knocks."""
        connection.setblocking(False)
        guest = _Guest(
            connection, self._kernel, self._tree, self._sysctls, self._mounted, self._guests.remove
        )
        self._guests.append(guest)

    def _look(self) -> None:
        for guest in list(self._guests):
            guest.look()


class _Guest:
    """One run."""

    def __init__(
        self,
        connection: socket.socket,
        kernel: Kernel,
        tree: Tree,
        sysctls: Sysctls,
        mounted: Mount,
        gone: Callable[[_Guest], None],
    ) -> None:
        self._connection = connection
        self._kernel = kernel
        self._tree = tree
        self._sysctls = sysctls
        self._mounted = mounted
        self._gone = gone
        self._serving: Serving | None = None
        self._channel: socket.socket | None = None
        self._watched: set[int] = set()
        self._starting = False
        self.register(connection.fileno(), select.POLLIN)

    # What a Serving watches

    def register(self, fd: int, events: int, /) -> None:
        """Poller.register(), by way of the mount's loop."""
        self._mounted.watch(fd, lambda: self._ready(fd))
        self._watched.add(fd)

    def unregister(self, fd: int, /) -> None:
        """Poller.unregister()"""
        self._mounted.unwatch(fd)
        self._watched.discard(fd)

    def look(self) -> None:
        """Something else was served meanwhile."""
        if self._serving is not None and self._channel is not None:
            self._serving.settle()
            self._serving.look()

    def _ready(self, fd: int) -> None:
        if fd == self._connection.fileno():
            self._hear()
            return
        serving = self._serving
        if serving is None:
            return
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        for _, events in poll.poll(0):
            told = serving.dispatch(fd, events)
            if told is not None and told[0] == "start":
                self._starts(False)
            if told is not None:
                self._say(*told)
        if not serving.goes_on:
            with suppress(RunError):
                self._say("end", str(serving.status()))
            self._end()

    def _hear(self) -> None:
        try:
            word, text, fds = init.hear(self._connection)
        except (OSError, UnicodeDecodeError):
            word, text, fds = "", "", []
        match word:
            case "joins" if self._serving is None:
                options = _options(text)
                self._serving = Serving(
                    self._kernel, self._tree, options, self, sysctls=self._sysctls
                )
                self._say("facts", written(self._serving.facts()))
            case "channel" if self._serving is not None and self._channel is None and fds:
                self._channel = socket.socket(fileno=fds.pop())
                self._serving.begin(self._channel)
                self._starts(True)
            case "signal" if self._channel is not None:
                with suppress(OSError):
                    init.say(self._channel, "signal", text)
            case _:
                self._end()
        for fd in fds:
            os.close(fd)

    def _starts(self, starting: bool) -> None:
        """It makes its mounts, or no longer."""
        if starting != self._starting:
            self._starting = starting
            self._mounted.starting(1 if starting else -1)

    def _say(self, word: str, text: str) -> None:
        with suppress(OSError):
            init.say(self._connection, word, text)

    def _end(self) -> None:
        self._starts(False)
        for fd in list(self._watched):
            self.unregister(fd)
        if self._serving is not None and self._channel is not None:
            self._serving.end()
        self._connection.close()
        self._gone(self)


def _options(text: str) -> RunOptions:
    """What the run asks for: what uname(2) says, and whose programs it runs besides the host's."""
    uname, _, machine = text.partition(" ")
    guest = next((found for found in GUESTS if found.machine == machine), None)
    # The emulator itself is the run's affair.
    emulator = Emulator(guest, "") if guest is not None else None
    return RunOptions(uname_machine=uname == "machine", emulator=emulator)
