"""The loop of a server: wait for requests and for whatever else is watched. One thread."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

from elfcorehdr.kernel.printk import Printk
from fsmount.tree.boundary import attempt

SPIN_FIRST_S, SPIN_MOST_S = 25e-6, 100e-6
"""How long a server looks for the next request before it sleeps."""
SOON_S = 250e-6
"""A request that came so soon after the server slept was worth looking for."""


class Poller:
    """poll(2) over descriptors, which looks again for a while before it sleeps.

    A client that reads a file and then the next one sends its requests one at a time, and each would
    find the server asleep: waking it on another CPU costs more than the answer, on a CPU that
    has halted (a guest's above all) ten times more. So after an answer the server looks again for a
    while, as long as that has been of use lately: what KVM's halt_poll_ns does for a guest.
    """

    def __init__(self) -> None:
        poll = select.poll()
        self._poll = poll.poll
        self.register, self.unregister = poll.register, poll.unregister
        self._spin = 0.0
        # With one CPU, who looks keeps the client from asking.
        self.may_spin = len(os.sched_getaffinity(0)) > 1
        """Whether to look again at all."""

    def wait(self) -> list[tuple[int, int]]:
        """Descriptors and events, at least one."""
        poll, clock, spin = self._poll, time.perf_counter, self._spin
        if spin:
            until = clock() + spin
            while True:
                ready = poll(0)
                if ready:
                    return ready
                if clock() > until:
                    break
        since = clock()
        ready = poll()
        if clock() - since < SOON_S:
            self._spin = min(max(2 * spin, SPIN_FIRST_S), SPIN_MOST_S) if self.may_spin else 0.0
        else:
            self._spin = spin / 2 if spin > SPIN_FIRST_S else 0.0
        return ready


class Loop:
    """Calls request() whenever fd is readable, then after(); ends when request() says False, or at stop()."""

    def __init__(
        self, fd: int, request: Callable[[], bool], after: Callable[[], None], log: Printk
    ) -> None:
        self._fd = fd
        self._request = request
        self._after = after
        self._log = log
        self._watched: dict[int, Callable[[], None]] = {}
        self._stop_read, self._stop_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poller = Poller()
        self._poller.register(fd, select.POLLIN)
        self._poller.register(self._stop_read, select.POLLIN)

    def watch(self, fd: int, ready: Callable[[], None]) -> None:
        """Call ready() whenever fd is readable or hung up, between two requests."""
        self._watched[fd] = ready
        self._poller.register(fd, select.POLLIN)

    def unwatch(self, fd: int) -> None:
        """Undo watch(), before fd is closed."""
        del self._watched[fd]
        self._poller.unregister(fd)

    def stop(self) -> None:
        """End run(); may be called by a signal handler."""
        os.write(self._stop_write, b"x")

    def run(self) -> None:
        """Serve until the end."""
        fd, request, after, wait = self._fd, self._request, self._after, self._poller.wait
        while True:
            for ready, _ in wait():
                if ready == fd:
                    if not request():
                        return
                elif ready == self._stop_read:
                    return
                elif ready in self._watched:
                    attempt(self._log, self._watched[ready])
                after()

    def close(self) -> None:
        """Let go of what the loop itself has opened."""
        os.close(self._stop_read)
        os.close(self._stop_write)
