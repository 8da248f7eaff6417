"""How the server's loop waits."""

from __future__ import annotations

import os
import time

import pytest

from elfcorehdr.kernel.printk import Printk
from fsmount.fuse import serving
from fsmount.fuse.serving import Loop, Poller


@pytest.mark.parametrize("taken", [False, True])
def test_a_server_whose_cpu_is_taken_while_it_looks_for_requests_sleeps_instead(
    taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe that is ready once poll(2) may sleep; looking for it takes as long as if another had had the CPU, or not."""
    monkeypatch.setattr(serving, "BUSY_FIRST_S", 10.0)
    poller = Poller()
    poller.may_spin, poller.waited = True, lambda: 0.0
    read, write = os.pipe()
    poller.register(read, 1)
    looked = 0
    real = poller._poll

    def poll(timeout: int | None = None) -> list[tuple[int, int]]:
        nonlocal looked
        if timeout is None:
            os.write(write, b"x")
            return real()
        looked += 1
        if taken:
            time.sleep(5 * serving.TAKEN_S)
        return real(timeout)

    poller._poll = poll  # type: ignore[method-assign]
    for _ in range(20):
        assert poller.wait() == [(read, 1)]
        os.read(read, 1)
    assert looked == 1 if taken else looked >= 19
    os.close(read)
    os.close(write)


@pytest.mark.parametrize(("share", "looks"), [(0.0, True), (0.01, True), (0.5, False)])
def test_a_server_that_waits_for_a_cpu_leaves_it_to_others(
    monkeypatch: pytest.MonkeyPatch, share: float, looks: bool
) -> None:
    """Requests come 50 us after the server slept; share is that of the time it waited for a CPU."""
    now = 1000.0
    monkeypatch.setattr(serving.time, "perf_counter", lambda: now)
    poller = Poller()
    poller.may_spin, poller.waited = True, lambda: share * now
    looked = 0

    def poll(timeout: int | None = None) -> list[tuple[int, int]]:
        nonlocal now, looked
        looked += timeout is not None
        now += 50e-6 if timeout is None else 10e-6
        return [(7, 1)] if timeout is None else []

    poller._poll = poll  # type: ignore[method-assign]
    while now < 1003:
        poller.wait()
    first, looked = looked, 0
    while now < 1006:
        poller.wait()
    assert first
    of_three_seconds = looked * 10e-6 / 3
    assert of_three_seconds > 0.5 if looks else of_three_seconds < 0.03


def test_others_that_are_there_for_a_moment_are_left_the_cpu_for_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The CPU is taken once, later three times running; requests come 5 us after the last answer."""
    now, taken = 1000.0, 0.0
    monkeypatch.setattr(serving.time, "perf_counter", lambda: now)
    poller = Poller()
    poller.may_spin, poller.waited = True, lambda: 0.0

    def poll(timeout: int | None = None) -> list[tuple[int, int]]:
        nonlocal now, taken
        now += 5e-6 + (taken if timeout is not None else 0.0)
        if timeout is not None:
            slept.append(now - since)
            taken = 0.0
        return [(7, 1)]

    poller._poll = poll  # type: ignore[method-assign]

    def left() -> float:
        """For how long the server does not look, once its CPU was taken."""
        nonlocal since, taken
        taken, since = 2e-3, now
        while taken:
            poller.wait()
        since = now
        slept.clear()
        while not slept:
            poller.wait()
        return slept[0]

    slept: list[float] = []
    since = now
    for _ in range(10):
        poller.wait()
    assert left() == pytest.approx(0.016, rel=0.1)
    now += 1
    assert [left() for _ in range(8)] == pytest.approx(
        [0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1, 1], rel=0.1
    )


@pytest.mark.parametrize("watched", [False, True])
def test_requests_that_never_end_keep_neither_the_end_nor_another_descriptor_waiting(
    *, watched: bool
) -> None:
    """/dev/zero always has the next request; another descriptor's turn comes too, and stop() ends the loop."""
    zero, (read, write) = os.open("/dev/zero", os.O_RDONLY), os.pipe()
    answered, heard = 0, 0

    def request() -> bool:
        nonlocal answered
        answered += 1
        if answered == 100 and watched:
            os.write(write, b"x")
        elif answered >= (200 if watched else 100):
            loop.stop()
        return answered < 10_000

    def ready() -> None:
        nonlocal heard
        heard += 1
        os.read(read, 1)

    loop = Loop(zero, request, lambda: None, Printk())
    if watched:
        loop.watch(read, ready)
    loop.run()
    loop.close()
    for fd in (zero, read, write):
        os.close(fd)
    assert heard == watched
    assert answered < 300
