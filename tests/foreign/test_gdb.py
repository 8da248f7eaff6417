"""The debugger's side: packets in pieces, peers that flood, hang up or are somebody else by now."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import deque
from pathlib import Path

import pytest

from fsmount.foreign.gdb import MOST_BYTES, Gdb, Gone, connect
from fsmount.foreign.guests import GUESTS
from fsmount.foreign.tracer import REFUSED, redirect


@pytest.fixture
def pair() -> tuple[Gdb, socket.socket]:
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    return Gdb(ours), theirs


def test_packets_are_taken_whole_and_acknowledged(pair: tuple[Gdb, socket.socket]):
    gdb, theirs = pair
    theirs.sendall(b"+$T05th")
    assert gdb.take() == []
    theirs.sendall(b"read:1;#00$OK#9a")
    assert gdb.take() == ["T05thread:1;", "OK"]
    assert theirs.recv(9) == b"++"
    assert gdb.take() == []


def test_nobody_waits_for_who_does_not_read(pair: tuple[Gdb, socket.socket]):
    gdb, _ = pair

    def talk() -> None:
        for _ in range(1 << 16):
            gdb.send("p" * 1000)

    with pytest.raises(Gone):
        talk()


def test_who_hangs_up_or_floods_is_gone(pair: tuple[Gdb, socket.socket]):
    gdb, theirs = pair

    def flood() -> None:
        for _ in range(MOST_BYTES // 1000 + 1):
            theirs.sendall(b"x" * 1000)
            gdb.take()

    with pytest.raises(Gone):
        flood()
    ours, theirs = socket.socketpair()
    theirs.close()
    with pytest.raises(Gone):
        Gdb(ours).take()


def test_memory_is_that_of_who_listens(tmp_path: Path):
    listen = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", listen, str(tmp_path / "7")]
    directory = os.open(tmp_path, os.O_RDONLY)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        gdb = connect(directory, "7")
        assert gdb is not None
        assert gdb.pid == process.pid
        with gdb.memory() as memory:
            assert memory.name == f"/proc/{process.pid}/mem"
        process.kill()
        process.wait()
        with pytest.raises(OSError, match="No such"):
            gdb.memory()
    os.close(directory)


def test_socket_that_nobody_listens_on_yet_is_tried_again(tmp_path: Path):
    directory = os.open(tmp_path, os.O_RDONLY)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "7"))
    assert connect(directory, "7") is None
    listener.listen(1)
    gdb = connect(directory, "7")
    assert gdb is not None
    assert gdb.pid == os.getpid()
    assert os.listdir(tmp_path) == []
    with pytest.raises(Gone):
        connect(directory, "9")
    os.close(directory)


@pytest.mark.parametrize(
    "answers", [["E01"], ["zz"], ["00" * 8, "00" * 32], ["ff" * 8, "00" * 32], ["", ""]]
)
def test_answers_that_make_no_sense_end_it(pair: tuple[Gdb, socket.socket], answers: list[str]):
    steps = redirect(pair[0], GUESTS[0])
    next(steps)
    with pytest.raises(REFUSED):
        deque(map(steps.send, answers), maxlen=0)
