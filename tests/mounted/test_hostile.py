"""The server lives, whatever a file answers: that one call fails, every other is answered."""

from __future__ import annotations

import errno
import os
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mounted.conftest import Server
from tests.mounted.hostile import FILES, RAISED, SHOWN
from tests.mounted.running import running

pytestmark = pytest.mark.fuse


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The counters' tree with the hostile files in it; one server for all of them."""
    server = Server(tmp_path_factory.mktemp("hostile"), "libfuse", "announced", "4096", "hostile")
    yield server
    server.oops_expected = True
    server.stop()


@pytest.fixture(autouse=True)
def everybody_is_answered(hostile: Server) -> Iterator[None]:
    """During each test somebody waits in kmsg; afterwards he is there, and woken by what is written."""
    with running(["cat", hostile.root / "dev/kmsg"], stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        assert (hostile.root / "sys/kernel/text/text").read_text() == "hello\n"
        yield
        assert (hostile.root / "sys/kernel/text/text").read_text() == "hello\n"
        (hostile.root / "dev/kmsg").write_text("<5>all is well\n")
        while not reader.stdout.readline().endswith(b";all is well\n"):
            assert reader.poll() is None


def outcome(act, *args) -> int:
    """The errno of a call, 0 if it succeeds."""
    try:
        act(*args)
    except OSError as error:
        return error.errno or 0
    return 0


def opened(path: Path, flags: int, act) -> int:
    """The errno of what act does with the open file, or of the open."""
    try:
        fd = os.open(path, flags)
    except OSError as error:
        return error.errno or 0
    try:
        return outcome(act, fd)
    finally:
        os.close(fd)


@pytest.mark.parametrize("name", [*RAISED, "deep"])
def test_whatever_show_and_store_raise_is_that_call_s_errno(hostile: Server, name: str):
    expected = RAISED[name][1] if name in RAISED else errno.EIO
    path = hostile.root / "sys/raised" / name
    assert opened(path, os.O_RDONLY, lambda fd: os.read(fd, 100)) == expected
    assert opened(path, os.O_WRONLY, lambda fd: os.write(fd, b"1")) == expected


@pytest.mark.parametrize("name", SHOWN)
def test_what_is_no_text_is_an_oops(hostile: Server, name: str):
    path = hostile.root / "sys/shown" / name
    # A lone surrogate is no byte that was ever written.
    assert opened(path, os.O_RDONLY, lambda fd: os.read(fd, 100)) == errno.EIO


def test_a_text_without_end_is_cut_at_a_page_and_a_binary_one_is_refused(hostile: Server):
    shown = hostile.root / "sys/shown"
    assert (shown / "endless").read_bytes() == b"x" * 4095
    assert outcome((shown / "endless_bytes").read_bytes) == errno.ENOMEM


def test_what_a_store_returns_is_nothing_to_anybody(hostile: Server):
    (hostile.root / "sys/shown/returns").write_text("1")


def test_a_size_that_is_none_fails_stat_alone(hostile: Server):
    path = hostile.root / "sys/shown/bytes"
    assert outcome(path.stat) == errno.EIO
    assert outcome(os.listdir, path.parent) == 0


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_its_own_that_answers_wrongly_fails_that_call(hostile: Server, name: str):
    path, method = hostile.root / "sys/odd" / name, FILES[name][0]
    calls = {
        "read": lambda fd: os.read(fd, 100),
        "write": lambda fd: os.write(fd, b"123"),
        "seek": lambda fd: os.lseek(fd, 0, os.SEEK_DATA),
    }
    for what, call in calls.items():
        if name == "read_again" and what == "read":
            continue  # it waits, below
        wrong = what == method and name != "read_much"
        assert opened(path, os.O_RDWR, call) == (errno.EIO if wrong else 0), what
    fd = os.open(path, os.O_RDWR)
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    poller.poll(100)
    os.close(fd)


def test_a_read_that_has_to_wait_is_asked_again_after_each_write(hostile: Server):
    path = hostile.root / "sys/odd/read_again"
    with running(["cat", path]) as reader:
        with pytest.raises(subprocess.TimeoutExpired):
            reader.wait(0.2)
        (hostile.root / "sys/kernel/text/clear").write_text("1")
        reader.terminate()
        assert reader.wait(10) != 0
    (hostile.root / "sys/kernel/text/text").write_text("hello\n")


@pytest.mark.parametrize(
    ("path", "call"),
    [
        ("odd/open_raises", lambda path: os.open(path, os.O_RDONLY)),
        ("odd/open_nothing", lambda path: path.read_bytes()),
        ("links/number", os.readlink),
        ("links/raises", os.readlink),
        ("names/slash", os.listdir),
        ("names/long", os.listdir),
        ("names/numbers", os.listdir),
        ("names/raises", os.listdir),
        ("names/raises/x", os.stat),
        ("subtree/number", os.listdir),
        ("subtree/text", os.stat),
        ("names/nosubtree", os.listdir),
    ],
)
def test_whatever_a_declaration_answers_the_mount_goes_on(hostile: Server, path: str, call):
    assert outcome(call, hostile.root / "sys" / path) == errno.EIO


def test_an_is_visible_that_fails_takes_its_own_files_away(hostile: Server):
    assert outcome(os.stat, hostile.root / "sys/raised/unseen") == errno.ENOENT
    assert set(os.listdir(hostile.root / "sys/raised")) == {*RAISED, "deep"}


def test_ioctl_is_enotty_and_gives_no_bytes_back(hostile: Server):
    import fcntl

    for path in ("sys/kernel/text/text", "dev/kmsg"):
        with (hostile.root / path).open("rb") as file:
            for request in (0x5401, 0x80084502, 0xC0FF0001, 0x40045436):
                buf = bytearray(255)
                assert outcome(fcntl.ioctl, file, request, buf) == errno.ENOTTY
                assert buf == bytes(255)
    directory = os.open(hostile.root / "sys", os.O_RDONLY | os.O_DIRECTORY)
    assert outcome(fcntl.ioctl, directory, 0x80084502, bytearray(8)) == errno.ENOTTY
    os.close(directory)


def test_an_oops_is_bounded_in_the_log_and_on_stderr(hostile: Server):
    assert "RecursionError" in hostile.stderr()
    assert max(map(len, hostile.stderr().splitlines())) < 500
