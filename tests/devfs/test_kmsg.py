"""/dev/kmsg and syslog(2). Expected values are those seen on a real kernel (6.18) unless said."""

from __future__ import annotations

import errno
import os
import select

import pytest

from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.printk import Devkmsg, Printk
from fsmount.devfs.kmsg import KMSG_SIZE, KmsgFile, KmsgReader, KmsgWriter, Syslog, dev
from fsmount.tree.kernfs import Tree
from fsmount.tree.kobject import Caller
from tests.counters import Machine

NOBODY = Caller(uid=65534, capable=lambda cap: False)


class Clock:
    ns = 0

    def __call__(self):
        return self.ns


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def log(clock):
    return Printk(clock)


def errno_of(function, *args):
    with pytest.raises(KernelError) as caught:
        function(*args)
    return errno.errorcode[caught.value.errno]


# Reading /dev/kmsg


def test_record_format(log, clock):
    clock.ns = 1_234_567_890
    log.err("crash hp: a\\b\té\n")
    log.emit(4, "x", subsystem="memory", device="+memory:memory30")
    reader = KmsgReader(log)
    assert reader.read(8191) == b"3,0,1234567,-;crash hp: a\\x5cb\\x09\\xc3\\xa9\\x0a\n"
    assert reader.read(8191) == (b"4,1,1234567,-;x\n SUBSYSTEM=memory\n DEVICE=+memory:memory30\n")
    assert reader.read(8191) is None


def test_too_small_buffer_is_einval_and_the_record_is_gone(log):
    log.info("one")
    log.info("two")
    reader = KmsgReader(log)
    assert errno_of(reader.read, 5) == "EINVAL"
    assert reader.read(99) == b"6,1,0,-;two\n"


def test_overwritten_records_give_epipe_once_and_then_the_oldest():
    log = Printk(size=1024)
    log.info("first")
    reader = KmsgReader(log)
    for number in range(40):
        log.info(str(number))
    assert reader.poll() & select.POLLERR
    assert errno_of(reader.read, 99) == "EPIPE"
    assert reader.read(99).split(b";")[1] == b"8\n"


def test_poll_tells_whether_there_is_a_record(log):
    reader = KmsgReader(log)
    assert reader.poll() == 0
    log.info("x")
    assert reader.poll() == select.POLLIN | select.POLLRDNORM


def test_seek(log):
    for text in "abc":
        log.info(text)
    reader = KmsgReader(log)
    Syslog(log).action(5)
    log.info("d")
    assert reader.seek(0, os.SEEK_DATA) == 0
    assert reader.read(99)[-2:] == b"d\n"
    assert reader.seek(0, os.SEEK_SET) == 0
    assert reader.read(99)[-2:] == b"a\n"
    assert reader.seek(0, os.SEEK_END) == 0
    assert reader.read(99) is None
    assert errno_of(reader.seek, 1, os.SEEK_SET) == "ESPIPE"
    assert errno_of(reader.seek, 0, os.SEEK_CUR) == "EINVAL"
    assert errno_of(reader.seek, 0, os.SEEK_HOLE) == "EINVAL"


def test_dmesg_restrict_refuses_readers_without_cap_syslog(log):
    KmsgReader(log, NOBODY)
    log.dmesg_restrict = True
    assert errno_of(KmsgReader, log, NOBODY) == "EPERM"
    KmsgReader(log)


# Writing /dev/kmsg


@pytest.mark.parametrize(
    ("written", "prio", "text"),
    [
        (b"plain\n", 12, "plain"),
        (b"<0>x\n", 8, "x"),
        (b"<>x\n", 8, "x"),
        (b"<3>x\n", 11, "x"),
        (b"<191>x\n", 191, "x"),
        (b"<3x\n", 12, "<3x"),
        (b"<-3>x\n", 12, "<-3>x"),
        (b"a\nb\n", 12, "a\nb"),
        (b"a\0b\n\n", 12, "a"),
    ],
)
def test_written_prefix_gives_level_and_facility(log, written, prio, text):
    assert KmsgWriter(log).write(written) == len(written)
    log.info("next")
    record = next(iter(log))
    assert (record.facility << 3 | record.level, record.text) == (prio, text)


def test_bytes_that_are_not_text_come_back_escaped(log):
    KmsgWriter(log).write(b"\xff\x01\n")
    assert KmsgReader(log).read(99) == b"12,0,0,-;\\xff\\x01\n"


def test_write_without_newline_is_held_until_the_next_record(log):
    reader = KmsgReader(log)
    KmsgWriter(log).write(b"held")
    assert reader.read(99) is None
    log.info("next")
    assert reader.read(99) == b"12,0,0,-;held\n"


def test_more_than_1024_bytes_are_refused(log):
    assert errno_of(KmsgWriter(log).write, b"x" * 1025) == "EINVAL"
    assert KmsgWriter(log).write(b"x" * 1024) == 1024
    assert KmsgWriter(log).write(b"") == 0


def test_eleventh_write_in_five_seconds_is_dropped_but_counted(log, clock):
    writer, other = KmsgWriter(log, Caller(comm="logger")), KmsgWriter(log)
    assert [writer.write(b"x\n") for _ in range(12)] == [2] * 12
    assert len(list(log)) == 10
    other.write(b"of its own\n")
    assert len(list(log)) == 11
    clock.ns = 5_000_000_001
    writer.write(b"y\n")
    assert len(list(log)) == 12
    writer.close()
    other.close()
    # include/linux/ratelimit.h, ratelimit_state_exit()
    assert list(log)[-1].text == "logger: 2 output lines suppressed due to ratelimiting"
    assert len(list(log)) == 13


def test_devkmsg_setting(log):
    log.devkmsg = Devkmsg.ON
    writer = KmsgWriter(log)
    for _ in range(20):
        writer.write(b"x\n")
    assert len(list(log)) == 20
    log.devkmsg = Devkmsg.OFF
    assert writer.write(b"x\n") == 2
    assert len(list(log)) == 20
    assert errno_of(KmsgFile, log) == "EPERM"


# The file in the tree


def test_kmsg_in_the_tree_reads_one_record_a_call_and_drained_is_eagain():
    machine = Machine()
    tree = Tree(machine, [dev])
    node = tree.lookup("dev/kmsg")
    assert (oct(tree.getattr(node).mode), tree.getattr(node).size) == ("0o100644", KMSG_SIZE)
    machine.log.info("one")
    machine.log.info("two")
    file = tree.open(node, os.O_RDWR)
    first = file.read(8191, 0)
    assert first.endswith(b";one\n")
    assert file.read(8191, len(first)).endswith(b";two\n")
    assert errno_of(file.read, 8191, 2 * len(first)) == "EAGAIN"
    assert file.write(b"three\n", 0) == 6
    assert file.read(8191, 2 * len(first)).endswith(b";three\n")


def test_rewind_and_end_are_seen_by_the_offset_of_the_next_read(log):
    file = KmsgFile(log)
    log.info("one")
    first = file.read(99, 0)
    assert file.read(99, 0) == first
    log.info("two")
    assert errno_of(file.read, 99, KMSG_SIZE) == "EAGAIN"
    log.info("three")
    third = file.read(99, KMSG_SIZE)
    assert third == b"6,2,0,-;three\n"
    assert errno_of(file.read, 99, KMSG_SIZE + len(third)) == "EAGAIN"


# syslog(2)


def test_read_all_prints_level_and_time_before_each_line(log, clock):
    clock.ns = 12_345_678_999
    log.err("one\ntwo")
    assert Syslog(log).action(3, 4096) == (
        44,
        b"<3>[   12.345678] one\n<3>[   12.345678] two\n",
    )


def test_read_all_gives_the_newest_that_fit_whole(log):
    for text in ("one", "two", "three"):
        log.info(text)
    line = len(b"<6>[    0.000000] one\n")
    assert Syslog(log).action(3, line + line + 2)[1] == (
        b"<6>[    0.000000] two\n<6>[    0.000000] three\n"
    )
    assert Syslog(log).action(3, 5) == (0, b"")


def test_read_clear_and_clear_hide_what_was_there(log):
    syslog = Syslog(log)
    log.info("one")
    assert syslog.action(4, 4096)[1] == b"<6>[    0.000000] one\n"
    assert syslog.action(3, 4096) == (0, b"")
    log.info("two")
    assert syslog.action(5) == (0, b"")
    assert syslog.action(3, 4096) == (0, b"")
    assert syslog.action(9)[0] == 44


def test_read_consumes_may_split_a_record_and_waits_when_drained(log):
    syslog = Syslog(log)
    log.info("one")
    log.info("two")
    assert syslog.action(9) == (44, b"")
    assert syslog.action(2, 10)[1] == b"<6>[    0."
    assert syslog.action(9) == (34, b"")
    assert syslog.action(2, 4096)[1] == b"000000] one\n<6>[    0.000000] two\n"
    assert syslog.action(2, 10) is None
    assert syslog.action(9) == (0, b"")


def test_console_levels(log):
    syslog = Syslog(log)
    syslog.action(6)
    assert syslog.console_loglevel == 1
    syslog.action(7)
    assert syslog.console_loglevel == 7
    syslog.action(8, 4)
    assert syslog.console_loglevel == 4
    syslog.action(6)
    syslog.action(8, 5)
    syslog.action(7)
    assert syslog.console_loglevel == 5


def test_syslog_refusals(log):
    syslog = Syslog(log)
    assert syslog.action(10) == (1 << 18, b"")
    assert [syslog.action(0), syslog.action(1)] == [(0, b""), (0, b"")]
    for action, length in ((8, 0), (8, 9), (3, -1), (11, 0), (-1, 0)):
        assert errno_of(syslog.action, action, length) == "EINVAL"
    with pytest.raises(KernelError, match="EINVAL"):
        syslog.action(3, 10, buf=False)
    assert syslog.action(3, 0) == (0, b"")


def test_syslog_permissions(log):
    syslog = Syslog(log)
    assert syslog.action(10, 0, NOBODY) == (1 << 18, b"")
    for action in (1, 2, 4, 5, 6, 7, 8, 9):
        assert errno_of(syslog.action, action, 1, NOBODY) == "EPERM"
    assert syslog.action(3, 9, NOBODY) == (0, b"")
    log.dmesg_restrict = True
    assert errno_of(syslog.action, 3, 9, NOBODY) == "EPERM"
