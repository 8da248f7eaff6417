"""The /dev/fuse server on a real mount: counters (tests/counters.py), served by a child process."""

from __future__ import annotations

import errno
import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsmount.fuse.direct import Connection
from fsmount.host import mountns
from fsmount.tree.kernfs import Tree
from fsmount.tree.kobject import Caller
from tests.counters import DECLARATIONS, Machine

pytestmark = pytest.mark.fuse


def needs_fuse() -> None:
    if os.geteuid() or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        if "fuse" in os.environ.get("KDUMPFS_REQUIRE", ""):
            pytest.fail("mounting needs root and /dev/fuse")
        pytest.skip("mounting needs root and /dev/fuse")


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """The tree of a machine with three counters, until the test ends."""
    needs_fuse()
    fd = mountns.open_fuse()
    mountns.mount_fuse(fd, str(tmp_path))
    pid = os.fork()
    if pid == 0:
        try:
            serve(fd)
        finally:
            os._exit(0)
    os.close(fd)
    try:
        yield tmp_path
    finally:
        mountns.unmount(str(tmp_path))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def serve(fd: int) -> None:
    machine = Machine()
    connection = Connection(fd, Tree(machine, DECLARATIONS), lambda u, g, p: Caller(u, g, p))
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while connection.mounted:
        poll.poll()
        before = machine.log.next_seq
        while connection.handle():
            pass
        if machine.log.next_seq != before:
            connection.retry()


def errno_of(act, *args) -> int:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno is what the test compares
        act(*args)
    return caught.value.errno or 0


def test_attribute_reads_and_stores_through_the_mount(mounted: Path):
    value = mounted / "sys/devices/system/counter/counter1/value"
    assert value.read_text() == "0\n"
    value.write_text("17")
    assert value.read_text() == "17\n"
    assert value.stat().st_size == 4096


def test_refusals_have_the_errno_of_sysfs(mounted: Path):
    text = mounted / "sys/kernel/text"
    assert errno_of((text / "text").write_text, "no") == errno.EINVAL
    assert errno_of((text / "length").write_text, "1") == errno.EACCES
    assert errno_of((text / "clear").read_text) == errno.EACCES
    assert errno_of((text / "new").write_text, "") == errno.EACCES
    assert errno_of((text / "new").mkdir) == errno.EPERM
    assert errno_of((text / "text").unlink) == errno.EPERM
    assert errno_of((text / "absent").read_text) == errno.ENOENT
    assert errno_of(os.setxattr, text / "text", "user.a", b"b") == errno.EOPNOTSUPP
    assert errno_of(os.getxattr, text / "text", "user.a") == errno.ENODATA


def test_truncation_is_accepted_and_stores_nothing(mounted: Path):
    text = mounted / "sys/kernel/text/text"
    os.close(os.open(text, os.O_WRONLY | os.O_TRUNC))
    os.truncate(text, 0)
    assert text.read_text() == "hello\n"


def test_chmod_sticks(mounted: Path):
    text = mounted / "sys/kernel/text/text"
    text.chmod(0o640)
    assert text.stat().st_mode & 0o7777 == 0o640


def test_links_lead_where_they_say(mounted: Path):
    link = mounted / "sys/bus/counter/devices/counter2"
    assert link.readlink() == Path("../../../devices/system/counter/counter2")
    assert (link / "value").read_text() == "0\n"


def test_directory_is_listed_whole_and_from_where_it_was_left(mounted: Path):
    place = mounted / "sys/devices/system/counter"
    for number in range(3, 400):
        (place / "plug").write_text(str(number))
    names = sorted(p.name for p in place.iterdir() if p.name.startswith("counter"))
    assert names == sorted(f"counter{number}" for number in range(400))
    assert place.stat().st_nlink == 2 + 400


def test_seek_data_is_answered(mounted: Path):
    with (mounted / "sys/kernel/text/text").open() as file:
        assert os.lseek(file.fileno(), 0, os.SEEK_DATA) == 0


def test_poll_of_an_attribute_is_ready_at_once_and_says_that_it_was_not_read(mounted: Path):
    with (mounted / "sys/kernel/text/text").open("rb+", buffering=0) as file:
        poll = select.poll()
        poll.register(file, select.POLLIN | select.POLLOUT)
        both = select.POLLIN | select.POLLOUT
        assert poll.poll(2000) == [(file.fileno(), both | select.POLLERR)]
        file.read(1)
        assert poll.poll(2000) == [(file.fileno(), both)]


def test_names_are_never_stale_after_hotplug(mounted: Path):
    place = mounted / "sys/devices/system/counter"
    for number in range(3, 60):
        path = place / f"counter{number}"
        assert not path.exists()
        (place / "plug").write_text(str(number))
        assert (path / "value").read_text() == "0\n"
        assert (path / "topology/core_id").exists()
        (place / "online").write_text(f"{number} 0")
        assert not (path / "topology").exists()
        (place / "unplug").write_text(str(number))
        assert not path.exists()
        assert place.stat().st_nlink == 2 + 3


def test_open_file_of_a_removed_object_is_enodev(mounted: Path):
    place = mounted / "sys/devices/system/counter"
    with (place / "counter0/value").open("rb", buffering=0) as file:
        (place / "unplug").write_text("0")
        assert errno_of(file.read, 10) == errno.ENODEV


def test_ordinary_user_is_held_to_the_mode_bits(mounted: Path):
    secret = mounted / "sys/kernel/text/secret"
    pid = os.fork()
    if pid == 0:
        os.setuid(65534)
        try:
            secret.read_text()
        except OSError as error:
            os._exit(error.errno or 0)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == errno.EACCES
