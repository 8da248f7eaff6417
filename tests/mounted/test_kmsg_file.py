"""/dev/kmsg through the mount: waiting readers, who must not stop anyone else."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.fuse


@pytest.fixture
def kmsg(server):
    return server.root / "dev/kmsg"


def reader(kmsg):
    """cat, its output a pipe."""
    return subprocess.Popen(["cat", kmsg], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def test_drained_is_eagain_for_nonblocking_readers(kmsg):
    fd = os.open(kmsg, os.O_RDONLY | os.O_NONBLOCK)
    assert os.read(fd, 8191).endswith(b";booted\n")
    with pytest.raises(BlockingIOError):
        os.read(fd, 8191)
    os.close(fd)


def test_waiting_reader_stops_nobody_and_gets_what_comes(kmsg, text):
    with reader(kmsg) as cat:
        assert cat.stdout.readline().endswith(b";booted\n")
        assert (text / "text").read_text() == "hello\n"
        kmsg.write_text("<5>hello\n")
        assert cat.stdout.readline().startswith(b"13,1,")
        kmsg.write_text("held")
        assert select.select([cat.stdout], [], [], 0.2)[0] == []
        kmsg.write_text("next\n")
        assert cat.stdout.readline().endswith(b";held\n")
        assert cat.stdout.readline().endswith(b";next\n")
        cat.terminate()
    assert cat.returncode == -signal.SIGTERM


def test_reader_that_seeks_to_the_end_waits_for_what_comes(kmsg):
    code = "import os, sys; fd = os.open(sys.argv[1], 0); os.lseek(fd, 0, 2)\n"
    code += "print(flush=True); print(os.read(fd, 8191), flush=True)"
    command = [sys.executable, "-c", code, kmsg]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reads:
        assert reads.stdout.readline() == "\n"
        assert select.select([reads.stdout], [], [], 0.2)[0] == []
        kmsg.write_text("new\n")
        assert reads.stdout.readline().endswith(";new\\n'\n")
    assert reads.returncode == 0


def test_waiting_reader_can_be_killed_and_the_file_closed(kmsg, text):
    with reader(kmsg) as cat:
        cat.stdout.readline()
        cat.kill()
    assert cat.returncode == -signal.SIGKILL
    kmsg.write_text("after\n")
    assert (text / "text").read_text() == "hello\n"


def test_waiting_reader_is_let_go_when_the_server_ends(server, kmsg):
    with reader(kmsg) as cat:
        cat.stdout.readline()
        server.process.terminate()
        assert server.process.wait(10) == 0
        assert cat.wait(10) == 1


def test_too_small_buffer_is_einval_and_consumes(kmsg):
    kmsg.write_text("second\n")
    fd = os.open(kmsg, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(OSError, match="Invalid argument"):
        os.read(fd, 1)
    assert os.read(fd, 8191).endswith(b";second\n")
    os.close(fd)


def test_signal_with_a_handler_gives_eintr(kmsg):
    program = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGUSR1, lambda *_: sys.exit(7))\n"
        "fd = os.open(sys.argv[1], os.O_RDONLY)\n"
        "while True: os.write(1, os.read(fd, 8191))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, kmsg], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGUSR1)
        assert process.wait(10) == 7


def test_poll_tells_when_a_record_comes(kmsg):
    fd = os.open(kmsg, os.O_RDONLY | os.O_NONBLOCK)
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    assert poller.poll(0) == [(fd, select.POLLIN)]
    os.read(fd, 8191)
    assert poller.poll(0) == []
    with subprocess.Popen(["sh", "-c", "sleep 0.2; echo now > $0", kmsg]):
        assert poller.poll(10_000) == [(fd, select.POLLIN)]
    assert os.read(fd, 8191).endswith(b";now\n")
    os.close(fd)


def test_seek(kmsg):
    fd = os.open(kmsg, os.O_RDONLY | os.O_NONBLOCK)
    first = os.read(fd, 8191)
    assert os.lseek(fd, 0, os.SEEK_SET) == 0
    assert os.read(fd, 8191) == first
    assert os.lseek(fd, 0, os.SEEK_DATA) == 0
    assert os.read(fd, 8191) == first
    os.lseek(fd, 0, os.SEEK_END)
    with pytest.raises(BlockingIOError):
        os.read(fd, 8191)
    kmsg.write_text("new\n")
    assert os.read(fd, 8191).endswith(b";new\n")
    with pytest.raises(OSError, match="Errno") as caught:
        os.lseek(fd, 0, os.SEEK_HOLE)
    assert caught.value.errno == errno.EINVAL
    os.close(fd)


@pytest.mark.namespaces
def test_dmesg_reads_it_and_waits(kmsg):
    kmsg.write_text("<3>crash hp: x\n")
    bound = "mount --bind $0 /dev/kmsg && exec dmesg --decode"
    unshare = ["unshare", "-m" if os.geteuid() == 0 else "-rm", "sh", "-c"]
    done = subprocess.run([*unshare, bound, kmsg], capture_output=True, text=True, check=True)
    assert [line[:15] for line in done.stdout.splitlines()] == [
        "kern  :info  : ",
        "user  :err   : ",
    ]
    assert done.stdout.endswith("] crash hp: x\n")
    follow = [*unshare, f"{bound} --follow", kmsg]
    with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True) as dmesg:
        assert [dmesg.stdout.readline(), dmesg.stdout.readline()] == done.stdout.splitlines(True)
        kmsg.write_text("later\n")
        assert dmesg.stdout.readline().endswith("] later\n")
        dmesg.terminate()
