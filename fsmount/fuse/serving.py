"""The loop of a server: wait for requests and for whatever else is watched. One thread."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

from elfcorehdr.kernel.printk import Printk
from fsmount.tree.boundary import attempt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SPIN_FIRST_S, SPIN_MOST_S = 25e-6, 100e-6
"""How long a server looks for the next request before it sleeps."""
SOON_S = 250e-6
"""A request that came so soon after the server slept was worth looking for."""
TAKEN_S = 1e-3
"""Who looks so much longer than it meant to has had its CPU taken by others, and leaves it to them."""
BUSY_FIRST_S, BUSY_S, AGAIN_S = 0.016, 1.0, 0.1
"""For how long: at first, as once may be chance, and at most; twice as long each time that they are there again so soon."""
WATCH_S, CROWDED = 0.02, 0.05
"""How often a server that looks asks how long it had to wait for a CPU, and the share of the time from which on it is not alone."""


def waited_s() -> float:
    """How long this process was ready to run and not let: run_delay of /proc/PID/schedstat; 0 if nobody counts it."""
    try:
        with open("/proc/self/schedstat", "rb", buffering=0) as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


class Poller:
    """poll(2) over descriptors, which looks again for a while before it sleeps.

    A client that reads a file and then the next one sends its requests one at a time, and each would
    find the server asleep: waking it on another CPU costs more than the answer, on a CPU that
    has halted (a guest's above all) ten times more. So after an answer the server looks again for a
    while, as long as that has been of use lately: what KVM's halt_poll_ns does for a guest. Not while
    others want the CPU: the client may be one of them.
    """

    def __init__(self) -> None:
        poll = select.poll()
        self._poll = poll.poll
        self.register, self.unregister = poll.register, poll.unregister
        self._spin = self._busy_until = self._busy = 0.0
        self.waited: Callable[[], float] = waited_s
        self._watched_at = self._waited = 0.0
        # With one CPU, who looks keeps the client from asking.
        self.may_spin = len(os.sched_getaffinity(0)) > 1
        """Whether to look again at all."""

    def wait(self) -> list[tuple[int, int]]:
        """Descriptors and events, at least one."""
        poll, clock = self._poll, time.perf_counter
        spin = self._spin if self.may_spin else 0.0
        since = clock()
        if spin and since > self._busy_until and not self._crowded(since):
            until = since + spin
            ready: list[tuple[int, int]] = []
            while not ready and since < until:
                ready = poll(0)
                since = clock()
            if since > until + TAKEN_S:
                self._leave(since)
            if ready:
                return ready
        ready = poll()
        if clock() - since < SOON_S:
            self._spin = min(max(2 * spin, SPIN_FIRST_S), SPIN_MOST_S) if self.may_spin else 0.0
        else:
            self._spin = spin / 2 if spin > SPIN_FIRST_S else 0.0
        return ready

    def _crowded(self, now: float) -> bool:
        """Whether others want the CPUs too: then looking takes theirs, a quarter of a server's own time, and wins nothing."""
        passed = now - self._watched_at
        if passed < WATCH_S:
            return False
        waited, self._watched_at = self.waited(), now
        share = (waited - self._waited) / passed
        self._waited = waited
        # Of a time that it was idle in, a share says nothing.
        if passed > BUSY_S or share < CROWDED:
            return False
        self._leave(now)
        return True

    def _leave(self, now: float) -> None:
        """Leave the CPU to others for a while."""
        again = now - self._busy_until < AGAIN_S
        self._busy = min(2 * self._busy, BUSY_S) if again else BUSY_FIRST_S
        self._busy_until = now + self._busy
        self._watched_at = 0.0  # what it waits meanwhile may be for its own client


class Resched:
    """Kernel.cond_resched() of a machine that is served: in the midst of long work, others are let in now and then.

    Those that look are answered. Those that write wait until the work is done, as they would for the
    kernel's device_hotplug_lock.
    """

    PATIENCE_S = 0.03
    """How long a call may take before others are let in, and how often they are then."""

    def __init__(self) -> None:
        self.looks: list[Callable[[], None]] = []
        """What lets others in, one for each server of the machine."""
        self.later: list[Callable[[], None]] = []
        """What waits until the work is done."""
        self.inside = False
        self._due = 0.0

    @classmethod
    def of(cls, kernel: Any) -> Resched:
        """That of a kernel, made for its first server."""
        if not isinstance(getattr(kernel, "cond_resched", None), cls):
            kernel.cond_resched = cls()
        found: Resched = kernel.cond_resched
        return found

    def begin(self) -> None:
        """A call begins; its time counts from when it first asks whether to let others in: few ever do."""
        if not self.inside:
            self._due = 0.0

    def __call__(self) -> None:
        """Let others in, if they have waited long enough."""
        if self.inside:
            return
        now = time.perf_counter()
        if not self._due:
            self._due = now + self.PATIENCE_S
        if now < self._due:
            return
        self.inside = True
        try:
            for look in self.looks:
                look()
        finally:
            self.inside = False
            self._due = time.perf_counter() + self.PATIENCE_S

    def end(self) -> None:
        """A call is done: so may those be that have waited for it."""
        while self.later and not self.inside:
            self.later.pop(0)()


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
        self._may_spin, self._starting = self._poller.may_spin, 0
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

    def starting(self, runs: int) -> None:
        """So many more runs are making their mounts, which ask too seldom to be looked for: 9 ms of CPU a run else, 5 so."""
        self._starting += runs
        self._poller.may_spin = self._may_spin and not self._starting

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
