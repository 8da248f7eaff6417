"""How the server's loop waits."""

from __future__ import annotations

import os
import time

import pytest

from fsmount.fuse import serving
from fsmount.fuse.serving import Poller


@pytest.mark.parametrize("taken", [False, True])
def test_a_server_whose_cpu_is_taken_while_it_looks_for_requests_sleeps_instead(
    taken: bool,
) -> None:
    """A pipe that is ready once poll(2) may sleep; looking for it takes as long as if another had had the CPU, or not."""
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
    """Requests come 50 us after the server slept, for a second; share is that of the time it waited for a CPU."""
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
    for _ in range(5000):
        poller.wait()
    first, looked = looked, 0
    for _ in range(5000):
        poller.wait()
    assert first
    assert bool(looked) is looks
