"""A pipe as an input."""

from __future__ import annotations

import os
import threading

import pytest


@pytest.fixture
def pipe():
    """A function that returns the name of a pipe which gives the bytes, then ends (or never does)."""
    opened: list[int] = []
    threads: list[threading.Thread] = []

    def make(data: bytes, *, forever: bool = False) -> str:
        out, into = os.pipe()
        opened.append(out)

        def feed() -> None:
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(into, rest) :]
                while forever:
                    os.write(into, b"\0" * 65536)
            except BrokenPipeError:
                pass
            finally:
                os.close(into)

        thread = threading.Thread(target=feed)
        thread.start()
        threads.append(thread)
        return f"/proc/self/fd/{out}"

    yield make
    for fd in opened:
        os.close(fd)
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
