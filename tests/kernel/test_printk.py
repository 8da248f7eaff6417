"""The ring buffer of the kernel log."""

from __future__ import annotations

import pytest

from elfcorehdr.kernel.printk import KERN_DEBUG, LOG_USER, Devkmsg, Printk


def texts(log):
    return [record.text for record in log]


def test_records_are_numbered_and_timed_from_the_logs_making():
    now = iter([1_000_000_000, 1_500_000_000, 3_000_001_999])
    log = Printk(clock=lambda: next(now))
    log.err("a")
    log.info("b")
    assert [(r.seq, r.level, r.facility, r.ts_usec) for r in log] == [
        (0, 3, 0, 500_000),
        (1, 6, 0, 2_000_001),
    ]


def test_debug_is_kept_only_of_files_with_dynamic_debug():
    log = Printk(dynamic_debug=["memory_hotplug"])
    log.debug("crash_core", "no")
    log.debug("memory_hotplug", "yes")
    assert [(r.level, r.text) for r in log] == [(KERN_DEBUG, "yes")]
    assert Printk(dynamic_debug="*").debugging("crash_core")


def test_text_blocks_bound_the_buffer():
    # A block is id (8) + text + newline + NUL, rounded up to 8: 22 + 2 + 8 = 32 bytes.
    log = Printk(size=1024)
    for number in range(100):
        log.emit(6, f"{number:022}")
    assert [log.first_seq, log.next_seq] == [69, 100]
    assert len(texts(log)) == 31


def test_descriptors_bound_the_buffer():
    # 1024 bytes have 1024 >> 5 = 32 descriptors; a text of 1 byte needs a block of 16.
    log = Printk(size=1024)
    for _ in range(100):
        log.info("x")
    assert len(texts(log)) == 32


def test_a_block_does_not_wrap():
    # Three blocks of 312 bytes; the fourth would wrap, so it starts at 1024 and ends at 1336,
    # which overwrites what begins before 312: the first.
    log = Printk(size=1024)
    for letter in "abcd":
        log.info(letter * 302)
    assert [text[0] for text in texts(log)] == ["b", "c", "d"]
    log.info("e" * 302)
    assert [text[0] for text in texts(log)] == ["c", "d", "e"]


def test_unterminated_record_is_seen_when_the_next_one_comes():
    log = Printk()
    seen = []
    log.listeners.append(lambda: seen.append(log.next_seq))
    log.emit(4, "a", LOG_USER, newline=False)
    assert (texts(log), log.next_seq, log.record(0)) == ([], 0, None)
    log.emit(4, "b", LOG_USER, newline=False)
    assert (texts(log), log.next_seq) == (["a"], 1)
    log.info("c")
    assert (texts(log), log.next_seq) == (["a", "b", "c"], 3)
    assert seen == [0, 1, 3]


def test_text_is_cut_at_1023_bytes_and_loses_its_newline():
    log = Printk()
    log.info("é" * 600)
    assert log.next_seq == 0
    log.info("x" * 1022)
    assert [len(text.encode(errors="surrogateescape")) for text in texts(log)] == [1023, 1022]


def test_record_finds_the_oldest_later_one():
    log = Printk(size=1024)
    for _ in range(40):
        log.info("x")
    assert log.record(0).seq == 8
    assert log.record(20).seq == 20
    assert log.record(40) is None


@pytest.mark.parametrize(
    ("cmdline", "size", "devkmsg"),
    [
        ("quiet", 1 << 18, Devkmsg.RATELIMIT),
        ("log_buf_len=8M printk.devkmsg=on", 8 << 20, Devkmsg.ON),
        ("log_buf_len=3000000 printk.devkmsg=off", 4 << 20, Devkmsg.OFF),
        ("log_buf_len=64K printk.devkmsg=maybe", 1 << 18, Devkmsg.RATELIMIT),
        ("log_buf_len=99999G printk.devkmsg=ratelimit", 1 << 26, Devkmsg.RATELIMIT),
        ("log_buf_len=x", 1 << 18, Devkmsg.RATELIMIT),
    ],
)
def test_command_line_says_how_large_the_log_is_and_who_may_write(cmdline, size, devkmsg):
    log = Printk()
    log.setup(cmdline)
    assert (log.size, log.devkmsg) == (size, devkmsg)
